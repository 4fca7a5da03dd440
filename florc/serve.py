"""Many compilations in one process: a command a line on standard input, an answer a line.

A command is ``{"argv": […], "cwd": "…"}``, an answer ``{"code": 0, "lines": […]}`` with what the
command printed on standard error.  The process ends with its input.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from typing import IO

from florc.cli import main


def serve(commands: IO[str], answers: IO[str]) -> None:
    """Answer commands until there are no more."""
    for line in commands:
        command = json.loads(line)
        printed = io.StringIO()
        with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(io.StringIO()):
            os.chdir(command["cwd"])
            try:
                code: object = main(command["argv"])
            except SystemExit as stop:  # argparse
                code = stop.code
        answers.write(json.dumps({"code": code, "lines": printed.getvalue().splitlines()}) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve(sys.stdin, sys.stdout)
