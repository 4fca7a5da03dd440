"""Processor time of `florc instrument`: cold, and with the build cached.

    python benchmarks/compile_speed.py SCRIPT…

Each is the least of three processes, start of the interpreter included.  Nothing is written next to
the scripts.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROUNDS = 3


def seconds(command: list[str], cache: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "XDG_CACHE_HOME": cache}
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("scripts", nargs="+", type=Path)
    florc = [sys.executable, "-m", "florc"]
    scripts = options.parse_args().scripts
    with tempfile.TemporaryDirectory() as cache:
        start = min(seconds([*florc, "--version"], cache) for _ in range(ROUNDS))
        print(f"start of florc: {start:.2f} s\n")
        print("| script | lines | modules | cold, s | cached, s |\n|---|---|---|---|---|")
        for script in scripts:
            explain = [*florc, "instrument", "--explain", "-q", str(script)]
            cold = min(seconds([*explain, "--no-cache"], cache) for _ in range(ROUNDS))
            seconds(explain, cache)
            cached = min(seconds(explain, cache) for _ in range(ROUNDS))
            shown = subprocess.run(explain, capture_output=True, text=True, check=True).stdout
            modules = shown.split(": ", 1)[1].split(" ")[0]
            lines = len(script.read_text(encoding="utf-8").splitlines())
            name = "/".join(script.parts[-2:])
            print(f"| {name} | {lines} | {modules} | {cold:.2f} | {cached:.2f} |", flush=True)


if __name__ == "__main__":
    main()
