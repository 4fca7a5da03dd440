"""SIGTERM ends a run with everything kept; forked children die of it as they always did."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType


def on_termination(pid: int, finish: Callable[[], None], patience: float = 10.0) -> None:
    """Install a SIGTERM handler, unless somebody has one already.

    `finish` runs in a thread of its own (the main thread may hold a lock that it needs) and gets
    `patience` seconds.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return

    def handler(signum: int, frame: FrameType | None) -> None:
        if os.getpid() == pid:
            thread = threading.Thread(target=finish, daemon=True)
            thread.start()
            thread.join(patience)
        signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)

    def in_child() -> None:
        if signal.getsignal(signal.SIGTERM) is handler:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    signal.signal(signal.SIGTERM, handler)
    os.register_at_fork(after_in_child=in_child)


def die_of(signum: int) -> None:
    """End this process by `signum`'s default action, as an unhandled signal would."""
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)
