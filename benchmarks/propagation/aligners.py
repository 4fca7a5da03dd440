"""The aligners that are compared: florc's, and that of another installed program."""

from __future__ import annotations

import ast
import signal
from collections.abc import Mapping
from pathlib import Path

from histories import Refused

TIME_LIMIT = 120


def florc(new: Mapping[str, str], old: Mapping[str, str], file: str, line: int) -> str | None:
    """`florc propagate`, the library function."""
    from florc.propagate.propagation import propagate

    done = propagate(new, old)
    outcome = done.outcomes[0]
    if outcome.kind == "refused":
        raise Refused(outcome.reason)
    return done.texts[outcome.file]


def flordb(new: Mapping[str, str], old: Mapping[str, str], file: str, line: int) -> str | None:
    """The aligner of flordb, as its `backprop` calls it, but for the files."""
    from flordb.hlast.gtpropagate import find, replicate

    name = next(path for path in new if "the_probe" in new[path])
    tree, target = ast.parse(new[name]), ast.parse(old[file])
    node = next(
        n for n in ast.walk(tree) if isinstance(n, ast.Expr) and n.lineno == line
        and "the_probe" in ast.unparse(n)
    )  # fmt: skip
    assert find is not None

    def late(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(TIME_LIMIT)
    try:
        replicate(tree, node, target)
    except TimeoutError:
        raise Refused(f"more than {TIME_LIMIT} s") from None
    except Exception as error:
        raise Refused(f"{type(error).__name__}: {error}") from None
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return ast.unparse(target)


def installed(name: str) -> bool:
    """Whether the program is there."""
    import importlib.util

    return name == "florc" or importlib.util.find_spec(name) is not None


HERE = Path(__file__).resolve().parent
