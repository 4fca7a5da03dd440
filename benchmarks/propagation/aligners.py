"""The aligners that are compared: florc's, and that of another installed program."""

from __future__ import annotations

import ast
import importlib.util
import signal
import sys
import types
from collections.abc import Callable, Mapping
from functools import cache

from histories import Refused
from judge import NAME, is_probe

TIME_LIMIT = 120
"""Seconds of the processor for a case."""


def florc(new: Mapping[str, str], old: Mapping[str, str], file: str, line: int) -> dict[str, str]:
    """`florc propagate`, the library function."""
    from florc.propagate.propagation import propagate

    done = propagate(new, old)
    outcome = done.outcomes[0]
    if outcome.kind == "refused":
        raise Refused(outcome.reason)
    return dict(done.texts)


def flordb(new: Mapping[str, str], old: Mapping[str, str], file: str, line: int) -> dict[str, str]:
    """The aligner of flordb, as its `backprop` calls it, but for the files."""
    replicate = _replicate()

    name = next(path for path in new if NAME in new[path])
    file = file if file in old else next(iter(old))  # it knows of one file only
    tree, target = ast.parse(new[name]), ast.parse(old[file])
    node = next(n for n in ast.walk(tree) if is_probe(n))
    guard = {c: p for p in ast.walk(tree) for c in ast.iter_child_nodes(p)}
    while isinstance(guard[node], ast.If) and guard[node].body == [node]:
        node = guard[node]  # its own is asked to take the guard along, as a user would

    def late(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, TIME_LIMIT)
    try:
        replicate(tree, node, target)
    except TimeoutError:
        raise Refused(f"more than {TIME_LIMIT} s") from None
    except Exception as error:
        raise Refused(f"{type(error).__name__}: {error}") from None
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    return {**old, file: ast.unparse(target)}


@cache
def _replicate() -> Callable[..., None]:
    """flordb's aligner; the package itself, which reads the command line, isn't imported."""
    spec = importlib.util.find_spec("flordb")
    assert spec is not None
    package = types.ModuleType("flordb")
    package.__path__ = list(spec.submodule_search_locations or ())
    sys.modules["flordb"] = package
    found: Callable[..., None] = importlib.import_module("flordb.hlast.gtpropagate").replicate
    return found


def installed(name: str) -> bool:
    """Whether the program is there."""
    return name == "florc" or importlib.util.find_spec(name) is not None
