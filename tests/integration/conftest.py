"""Makes `harness` importable by the tests of this folder and registers their mark."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark, so that the folder can be run by itself."""
    config.addinivalue_line("markers", "slow: more than a few seconds; left out by -m 'not slow'")
