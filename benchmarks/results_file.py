"""Where figures are kept: a part of RESULTS.md for each script, with date and machine."""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path

RESULTS = Path(__file__).parent / "RESULTS.md"


def machine(*more: str) -> str:
    """One line: the date, the machine, its load; `more` stands before the load."""
    names = []
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [s.split(":", 1)[1].strip() for s in file if s.startswith("model name")]
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    processor = names[0] if names else platform.processor() or platform.machine()
    parts = [
        datetime.date.today().isoformat(),
        f"{os.cpu_count()} cores ({processor})",
        f"Python {platform.python_version()}",
        *more,
        f"load average at the end {load}.",
    ]
    return ", ".join(parts)


def write(script: str, text: str, heading: str = "") -> None:
    """Replace what stands between a script's marks; put below a new `heading` if there are none."""
    mark = f"<!-- written by {script} -->\n"
    page = RESULTS.read_text(encoding="utf-8")
    parts = page.split(mark)
    if len(parts) == 1 and heading:
        parts = [f"{page.rstrip()}\n\n## {heading}\n\n", "", ""]
    if len(parts) != 3:
        raise SystemExit(f"{RESULTS} lacks the marks {mark.strip()}")
    RESULTS.write_text(mark.join([parts[0], f"{text.strip()}\n", parts[2]]), encoding="utf-8")
