"""The command line of the run time: how it ends when something of ours is at fault."""

from __future__ import annotations

import pytest

from flor.runtime import cli
from flor.runtime.replay import command


def broken(args: object) -> int:
    raise IndexError("list index\nout of range")


def test_internal_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit 123; the traceback only for who asks for it."""
    monkeypatch.setattr(command, "replay", broken)
    monkeypatch.delenv("FLORC_DEBUG", raising=False)
    assert cli.main(["replay", "SELECT 1"]) == 123
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1
    assert err.startswith("florc: internal error: IndexError: list index out of range (")
    monkeypatch.setenv("FLORC_DEBUG", "1")
    with pytest.raises(IndexError):
        cli.main(["replay", "SELECT 1"])
