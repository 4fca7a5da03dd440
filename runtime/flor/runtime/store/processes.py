"""Which process records a run, and whether it still lives."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def identity(pid: int) -> str | None:
    """What tells process `pid` from a later one with the same number; None if it is unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    return f"{boot}:{stat.rpartition(')')[2].split()[19]}"  # field 22: start time


def is_dead(host: str | None, pid: int | None, process: str | None) -> bool:
    """Whether the process is certainly gone; False when another host knows better."""
    if pid is None or host != socket.gethostname():
        return False
    if process is not None and Path("/proc/self/stat").exists():
        return identity(pid) != process
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
