"""Options of the whole suite."""

from __future__ import annotations

import os

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--bless`: write what the golden cases give now as what they are expected to give."""
    parser.addoption(
        "--bless",
        action="store_true",
        help="rewrite the expected files of tests/golden (read the difference before committing)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """A run that judges a change must not rewrite what it is judged by."""
    if config.getoption("--bless") and os.environ.get("CI", "").lower() in ("1", "true"):
        raise pytest.UsageError("--bless is not for CI: bless, read the difference, commit it")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees what another one, or the user, has compiled."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def bless(request: pytest.FixtureRequest) -> bool:
    """Whether expected files are written instead of compared."""
    return bool(request.config.getoption("--bless"))
