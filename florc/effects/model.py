"""Reading the effect files: what library calls read, mutate, draw and return.

A file is TOML with two tables.

``[types."torch.optim.SGD"]`` declares a library type: ``bases`` (list of qualified names),
``scalars`` (attributes that hold immutable values), ``sink`` (true: the outside world; it is never
checkpointed), ``immutable`` (true: values of it can't be mutated), ``iterable_calls`` (methods of
held objects that iterating over it calls, e.g. ``__getitem__`` of a loader's data set), ``parts``
(the type of data attributes, such as a layer's weight), ``own`` (attributes that are such parts
and never objects that it was given), ``lacks`` (methods that no object of the type has, nor of a
derived one unless an exact entry of that describes it),
``closed`` (true: objects of it have no public methods but those described, no attributes that can
be called but what they hold), ``closed_base`` (true: the same of project classes derived from it
or, in its package, from a type based on it), ``api`` (all public attributes of its objects, as
words of one string: what isn't among them doesn't exist), ``holds`` (the attributes that give
what it was given, such as a wrapper's ``module``; without it any attribute may),
``plain`` (true: its objects keep no references to others, as an image), ``codeless`` (true: what
iterating and subscripting give is never a function, a method or a class), ``gives`` (true: they
give what it was given, and nothing else), ``restless`` (true: its objects remember what never
shows, such as a warning that was given; no claim is made of them), ``stream``
(true: a generator of random numbers; the run time notes what iterators draw from it),
``shares`` (true: its memory may be that of an object of another library's), ``entries`` (true:
what two constant keys lead to are different objects, as in a loaded file), ``iteration_draws``
(RNG streams that making an iterator of it draws from), ``elements`` (the type of what iterating
yields), ``collates`` (two attributes: iterating gives what the function at the first makes of the
items of the second).

``[effects."torch.optim.Optimizer.step"]`` describes a call of a function, a class or a method.
A location is ``self`` (the receiver), an argument's position ``0``, ``1``… (receiver not counted)
or keyword name, or ``args`` (all arguments); ``*`` behind it means all that is reachable from it,
``*torch`` only what of it may be of a type of that package.

* ``mutates``: locations that the call may mutate.
* ``keeps``: locations that the receiver (or the result of a constructor) keeps a reference to;
  ``flat:LOC`` keeps what containers at LOC hold, however nested, instead of the containers,
  ``drained:LOC`` what iterators at LOC give, instead of them (anything else is kept itself),
  ``fields:LOC`` its attributes under their names, ``func=LOC`` it as its attribute ``func``.
* ``returns``: ``none`` (an immutable value), ``new``, ``self``, an argument's location,
  ``elem:LOC`` (what LOC contains), ``part:self`` (a part of the receiver, of the given `type`),
  ``holder:LOC`` (a new container of `type` with parts of LOC), ``sum:LOC`` (LOC's items added up),
  ``holding:LOC`` (a new object of `type` that keeps LOC),
  ``each:args`` (the argument, or a tuple of them if there are several),
  ``call:LOC`` (what calling LOC returns), ``called`` (what the functions in `calls` return),
  ``copy:LOC``, ``deepcopy:LOC``, ``groups:LOC`` (an iterator over pairs of a key and an iterator
  over LOC), ``tees:LOC`` (a tuple of such iterators), ``pairs:LOC`` (key-value pairs of a
  mapping), ``values:LOC`` (a list of what LOC holds), or a list of these.
  Default ``new``.  A location with ``?option`` behind it counts only where the call, or the call
  that made the receiver, is given that option (``0?inplace``), or that argument (``0?1``).
* ``type``: the type of a ``new`` result.
* ``parameters``: the names of its parameters, in order, as words of one string; arguments that it
  keeps (``args``) are then attributes of these names.
* ``draws``: RNG streams: python numpy torch cuda.
* ``calls``: locations that are called; ``0.method`` calls a method of it; ``each:0`` calls it with
  items of the other arguments; ``target@args,kwargs`` calls it with what the tuple at ``args``
  holds, and the dictionary at ``kwargs``.
* ``trains``: true if it is what makes a loop a training loop.
* ``kills_grads``: locations whose gradients are cleared.  ``sink``: it writes to the outside.
* ``clock``: true if the result depends on the time.  ``reads_grads``: it uses gradients.
* ``reads_files``: it may read a file (a call that opens one only to write doesn't count).
* ``swallows``: true if the context manager that it makes may swallow exceptions.
* ``advances``: locations whose iterator position moves.
* ``modes``: what it changes is only whether modules are in training mode.
* ``training_only``: in evaluation mode it changes nothing of what it mutates (a module's call).
* ``no_grad``: in its scope, or in a function that it decorates, tensors have no history.
* ``lasting``: it changes what later calls in the process do, or uses input up, in a way that no
  location tells; in a ``with`` statement it is undone.
* ``process``: what it returns depends on what no location tells (memory in use, a stream's state).
* ``transparent``: a function that it decorates has the effects and results that it had.

``[aliases]`` says that what begins with one name is meant by another: ``"tqdm.auto" = "tqdm"``; a
``*`` at the end stands for any one module in between (``"torch.nn.modules.*" = "torch.nn"``).

``[constants]`` lists, by module, attributes that are plain values: ``math = ["pi", "inf"]``.

Names may hold ``*`` (fnmatch); an exact name wins over a pattern, a longer pattern over a shorter.
``"*.backward"`` is what is known of a method when the receiver's type isn't.
"""

from __future__ import annotations

import fnmatch
import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from florc.effects.validate import (
    EFFECT_LISTS,
    TYPE_LISTS,
    EffectsError,
    TOMLDecodeError,
    check,
    parse,
    toml_problem,
)

__all__ = ["Effect", "Effects", "EffectsError", "LibraryType", "load_effects", "read_effects"]


ITEMS = ("__getitem__", "__setitem__", "__iter__")
"""What makes a container of an object."""


@dataclass(frozen=True)
class Effect:
    """What one call does.  See the module's docstring for the fields."""

    name: str
    mutates: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    returns: tuple[str, ...] = ("new",)
    type: str = ""
    parameters: tuple[str, ...] = ()
    draws: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    trains: bool = False
    kills_grads: tuple[str, ...] = ()
    reads_grads: bool = False
    sink: bool = False
    clock: bool = False
    advances: tuple[str, ...] = ()
    swallows: bool = False
    reads_files: bool = False
    modes: bool = False
    training_only: bool = False
    no_grad: bool = False
    lasting: bool = False
    process: bool = False
    transparent: bool = False


@dataclass(frozen=True)
class LibraryType:
    """What is known of a library type.  See the module's docstring for the fields."""

    name: str
    bases: tuple[str, ...] = ()
    scalars: tuple[str, ...] = ()
    sink: bool = False
    immutable: bool = False
    iterable_calls: tuple[str, ...] = ()
    iteration_draws: tuple[str, ...] = ()
    elements: str = ""
    parts: str = ""
    own: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    closed: bool = False
    closed_base: bool = False
    holds: tuple[str, ...] = ()
    collates: tuple[str, ...] = ()
    entries: bool = False
    shares: bool = False
    plain: bool = False
    stream: bool = False
    codeless: bool = False
    restless: bool = False
    gives: bool = False
    api: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Effects:
    """The whole model: types and effects by name, with patterns apart."""

    types: dict[str, LibraryType]
    exact: dict[str, Effect]
    patterns: tuple[tuple[str, Effect], ...]
    sources: tuple[str, ...] = ()
    users: frozenset[str] = frozenset()  # names of calls that the user's own files describe
    user_sinks: tuple[str, ...] = ()  # types that they declare to be sinks
    aliases: dict[str, str] = field(default_factory=dict)  # prefix of a name -> the usual one
    constants: dict[str, frozenset[str]] = field(default_factory=dict)  # of modules
    _names: dict[str, str] = field(default_factory=dict, compare=False)
    _mro: dict[str, tuple[str, ...]] = field(default_factory=dict, compare=False)
    _memo: dict[str, Effect | None] = field(default_factory=dict, compare=False)
    _prefixes: set[str] = field(default_factory=set, compare=False)
    _merged: dict[str, LibraryType] = field(default_factory=dict, compare=False)

    def mro(self, name: str) -> tuple[str, ...]:
        """`name` and its bases, nearest first (depth first, each once)."""
        if name not in self._mro:
            order: dict[str, None] = {name: None}
            for base in self.types[name].bases if name in self.types else ():
                order.update(dict.fromkeys(self.mro(base)))
            self._mro[name] = tuple(order)
        return self._mro[name]

    def canonical(self, qualified: str) -> str:
        """The name that the tables use for what may be imported from several places."""
        if qualified in self._names:
            return self._names[qualified]
        parts = qualified.split(".")
        found = qualified
        if qualified in self.exact or qualified in self.types:
            parts = []
        for end in range(len(parts), 0, -1):
            prefix, rest = ".".join(parts[:end]), parts[end:]
            any_module = ".".join([*parts[: end - 1], "*"])
            if prefix in self.aliases:
                found = ".".join([self.aliases[prefix], *rest])
                break
            if rest and any_module in self.aliases and qualified not in self.exact:
                found = ".".join([self.aliases[any_module], *rest])
                break
        if found != qualified:
            found = self.canonical(found)
        self._names[qualified] = found
        return found

    def call(self, qualified: str) -> Effect | None:
        """The effect of calling a function or class by its qualified name, or None."""
        if qualified not in self._memo:
            found = self.exact.get(qualified)
            if found is None:
                for pattern, effect in self.patterns:
                    if fnmatch.fnmatchcase(qualified, pattern):
                        found = effect
                        break
            self._memo[qualified] = found
        return self._memo[qualified]

    def describes(self, qualified: str) -> bool:
        """Whether there is an entry for a name, for something in it, or for what it stands for."""
        if not self._prefixes:
            for name in (*self.exact, *self.types, *self.aliases):
                parts = name.split(".")
                self._prefixes.update(".".join(parts[:end]) for end in range(1, len(parts) + 1))
        return self.canonical(qualified) in self._prefixes or qualified in self._prefixes

    def is_module(self, qualified: str) -> bool:
        """Whether a name is a module's: things in it are described, and not it itself."""
        last = qualified.rpartition(".")[2]
        if not last.islower() or qualified in self.exact or qualified in self.types:
            return False
        return self.describes(qualified) and qualified not in self.aliases

    def method(self, type_name: str, method: str) -> Effect | None:
        """The effect of `method` on a receiver of `type_name` or of its bases.

        The nearest exact entry, else the longest pattern that fits any of them.
        """
        if type_name:
            for base in self.mro(type_name):
                exact = self.exact.get(f"{base}.{method}")
                if exact is not None:
                    return exact
            found = [self.call(f"{base}.{method}") for base in self.mro(type_name)]
            patterns = [e for e in found if e is not None and not e.name.startswith("*.")]
            if patterns:
                return max(patterns, key=lambda effect: len(effect.name))
        return None

    def has_no(self, type_name: str, method: str, *, derived: bool = False) -> bool:
        """Whether no object of the type (`derived`: of a project class from it) has it."""
        declared = self.type(type_name)
        if method in declared.lacks:
            return not any(f"{base}.{method}" in self.exact for base in self.mro(type_name))
        complete = declared.closed_base if derived else (declared.closed or bool(declared.api))
        asked = {"__call__", *ITEMS} if derived else {"__call__"}
        if not complete or (method.startswith("_") and method not in asked):
            return False
        effect = self.method(type_name, method)
        return (effect is None or "*" in effect.name) and method not in declared.api

    def by_method_name(self, method: str) -> Effect | None:
        """What is known of a method of that name whatever the receiver (``"*.name"``)."""
        return self.exact.get(f"*.{method}")

    def is_a(self, type_name: str, base: str) -> bool:
        """Whether `type_name` is `base` or derives from it."""
        return base in self.mro(type_name)

    def type(self, name: str) -> LibraryType:
        """The declared type, merged with its bases' flags; an empty one when undeclared."""
        if name not in self._merged:
            self._merged[name] = self._merge(name)
        return self._merged[name]

    def _merge(self, name: str) -> LibraryType:
        merged = LibraryType(name)
        chain = [self.types[base] for base in self.mro(name) if base in self.types]
        if not chain:
            return merged
        return LibraryType(
            name,
            chain[0].bases,
            tuple(s for t in chain for s in t.scalars),
            any(t.sink for t in chain),
            any(t.immutable for t in chain),
            next((t.iterable_calls for t in chain if t.iterable_calls), ()),
            next((t.iteration_draws for t in chain if t.iteration_draws), ()),
            next((t.elements for t in chain if t.elements), ""),
            next((t.parts for t in chain if t.parts), ""),
            tuple(s for t in chain for s in t.own),
            tuple(s for t in chain for s in t.lacks),
            any(t.closed for t in chain),
            any(t.closed_base and _package(t.name) == _package(name) for t in chain),
            next((t.holds for t in chain if t.holds), ()),
            next((t.collates for t in chain if t.collates), ()),
            any(t.entries for t in chain),
            any(t.shares for t in chain),
            any(t.plain for t in chain),
            any(t.stream for t in chain),
            any(t.codeless for t in chain),
            any(t.restless for t in chain),
            any(t.gives for t in chain),
            frozenset().union(*(t.api for t in chain)),
        )


def _package(name: str) -> str:
    return name.partition(".")[0]


def _strings(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def read_table(name: str, table: dict[str, Any]) -> Effect:
    """An entry that was checked."""
    values = _values(table, EFFECT_LISTS)
    if "parameters" in values:
        values["parameters"] = tuple(values["parameters"].split())
    return Effect(name, **values)


def _type(name: str, table: dict[str, Any]) -> LibraryType:
    values = _values(table, TYPE_LISTS)
    if "api" in values:
        values["api"] = frozenset(values["api"].split())
    return LibraryType(name, **values)


def _values(table: dict[str, Any], lists: tuple[str, ...]) -> dict[str, Any]:
    return {k: _strings(v) if k in lists else v for k, v in table.items() if k != "note"}


def read_effects(files: Iterable[Path]) -> Effects:
    """Merge effect files; a later file wins over an earlier one.

    Raises EffectsError naming file, line and entry for anything that isn't of the documented form.
    """
    types: dict[str, LibraryType] = {}
    exact: dict[str, Effect] = {}
    aliases: dict[str, str] = {}
    constants: dict[str, frozenset[str]] = {}
    sources = []
    for path in files:
        try:
            text = path.read_text(encoding="utf-8")
            data = parse(text)
        except OSError as error:
            raise EffectsError(str(path), 0, f"can't be read: {error.strerror}") from None
        except (UnicodeDecodeError, TOMLDecodeError) as error:
            raise EffectsError(str(path), *toml_problem(error)) from None
        check(path, text, data)
        sources.append(str(path))
        aliases.update(data.get("aliases", {}))
        for name, values in data.get("constants", {}).items():
            constants[name] = constants.get(name, frozenset()) | frozenset(_strings(values))
        for name, table in data.get("types", {}).items():
            types[name] = _type(name, table)
        for names, table in data.get("effects", {}).items():
            for name in names.split():  # one table may describe several calls
                exact[name] = read_table(name, table)
    patterned = {n: e for n, e in exact.items() if "*" in n and not n.startswith("*.")}
    for name in patterned:
        del exact[name]
    order = sorted(patterned.items(), key=lambda item: (-len(item[0]), item[0]))
    return Effects(types, exact, tuple(order), tuple(sources), aliases=aliases, constants=constants)


def load_effects(extra: Sequence[Path] = ()) -> Effects:
    """The shipped files and then the user's `extra` ones, parsed once per process and content."""
    return _load(tuple((path, _stamp(path)) for path in extra))


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=8)
def _load(extra: tuple[tuple[Path, tuple[int, int]], ...]) -> Effects:
    shipped = sorted(Path(__file__).parent.glob("*.toml"))
    files = [path for path, _ in extra]
    if not files:
        return read_effects(shipped)
    own = read_effects(files)
    users = frozenset([*own.exact, *(name for name, _ in own.patterns)])
    sinks = tuple(sorted(name for name, declared in own.types.items() if declared.sink))
    return replace(read_effects([*shipped, *files]), users=users, user_sinks=sinks)
