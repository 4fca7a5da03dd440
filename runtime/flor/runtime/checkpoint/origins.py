"""Which of a loop's objects there were before it began.

At the first head of a loop all objects that its state may reach get numbers, in an order that the
program's structure decides, so that another process gives the same objects the same numbers.  A
checkpoint notes the number of each object that it holds.  A restore then knows, whatever names and
containers have done in between, which live object each saved one is, and which ones are new.
"""

from __future__ import annotations

import functools
import gc
import hashlib
import types
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from .graph import ATOMS
from .kinds import TypeInfo, callable_name, describe, find_named, type_name
from .paths import MISSING

Reference = tuple[Any, ...] | None
"""How an object that isn't saved is found again: ("atom", value), ("number", of its origin),
("method", name, owner's reference), ("name", "module:qualified name")."""

LIMIT = 100_000
"""So many objects get numbers at most, those with the shortest paths."""

WIDE = 2_000
"""So many more below roots that are taken to be unchanged: one may turn out not to be."""

ORIGINS = "flor.origins"
"""Key of a snapshot's `meta`: what `Origins.note` gave."""


class Origins:
    """The objects below `deep` roots and the `shallow` roots themselves, by number.

    Of those below `wide` roots only the nearest.
    `hold`: keep them alive.  Otherwise only those are kept that can't be referred to weakly.
    """

    def __init__(
        self,
        deep: Mapping[str, object],
        shallow: Mapping[str, object],
        *,
        hold: bool,
        wide: Mapping[str, object] | None = None,
    ) -> None:
        wide = wide or {}
        self.deep, self.shallow, self.wide = tuple(deep), tuple(shallow), tuple(wide)
        self._numbers: dict[int, int] = {}
        self._objects: list[Any] = []
        shape = hashlib.blake2b(digest_size=8)
        roots: dict[str, Any] = {**shallow, **deep}
        present = [path for path, obj in roots.items() if obj is not MISSING]
        shape.update(repr(present).encode())
        queue = [obj for path in deep if type(obj := deep[path]) not in ATOMS]
        ends = [obj for obj in shallow.values() if type(obj) not in ATOMS]
        classes = {id(obj) for obj in queue if isinstance(obj, type)}
        self._walk(queue, classes, shape, LIMIT)
        for obj in ends:
            if obj is not MISSING and id(obj) not in self._numbers:
                self._add(obj, shape)
        self.shape = shape.hexdigest()
        self._sure = self._usable = len(self._objects)
        further = [obj for obj in wide.values() if type(obj) not in ATOMS]
        classes |= {id(obj) for obj in further if isinstance(obj, type)}
        shape.update(repr([path for path, obj in wide.items() if obj is not MISSING]).encode())
        self._walk(further, classes, shape, self._sure + WIDE)
        self.wide_shape = shape.hexdigest()
        self._weak = False
        if not hold:
            self._let_go()

    def _walk(self, queue: list[Any], classes: set[int], shape: Any, limit: int) -> None:
        at = 0
        while at < len(queue) and len(self._objects) < limit:
            obj = queue[at]
            at += 1
            if obj is MISSING or id(obj) in self._numbers:
                continue
            self._add(obj, shape)
            for part in _class_parts(obj) if id(obj) in classes else _parts(obj):
                if type(part) not in ATOMS and id(part) not in self._numbers:
                    if len(queue) - at > limit:
                        break
                    queue.append(part)

    def _add(self, obj: Any, shape: Any) -> None:
        self._numbers[id(obj)] = len(self._objects)
        self._objects.append(obj)
        shape.update(repr(type_name(type(obj))).encode())

    def _let_go(self) -> None:
        self._weak = True
        for number, obj in enumerate(self._objects):
            try:
                self._objects[number] = weakref.ref(obj)
            except TypeError:
                self._objects[number] = functools.partial(_same, obj)

    def number(self, obj: Any) -> int:
        """The number of a live object; -1 if it wasn't there."""
        number = self._numbers.get(id(obj), -1)
        if number >= 0 and self._weak and self._objects[number]() is not obj:
            return -1  # another object has the place of one that is gone
        return number

    def refer(self, obj: Any) -> Reference:
        """How to find an object that isn't saved; None: not at all."""
        if type(obj) in ATOMS:
            return ("atom", obj)
        number = self.number(obj)
        if number >= 0:
            return ("number", number)
        if isinstance(obj, types.MethodType):
            owner = self.refer(obj.__self__)
            return None if owner is None else ("method", obj.__func__.__name__, owner)
        if isinstance(obj, (types.FunctionType, types.BuiltinFunctionType, type)):
            name = callable_name(obj)
            return ("name", name) if find_named(name) is obj else None
        return None

    def found(self, reference: Reference) -> Any:
        """What `reference` leads to; MISSING if it can't be told."""
        if reference is None:
            return MISSING
        if reference[0] == "atom":
            return reference[1]
        if reference[0] == "name":
            found = find_named(reference[1])
            return MISSING if found is None else found
        if reference[0] == "method":
            owner = self.found(reference[2])
            return MISSING if owner is MISSING else getattr(owner, reference[1], MISSING)
        return self._objects[reference[1]] if reference[1] < self._usable else MISSING

    def note(self, objects: Sequence[Any], methods: Iterable[int]) -> dict[str, Any]:
        """What a snapshot of `objects` keeps: numbers, and the owners of bound `methods`."""
        owners = {index: self.refer(objects[index].__self__) for index in methods}
        return {
            "deep": self.deep,
            "shallow": self.shallow,
            "wide": self.wide,
            "shape": self.shape,
            "wide_shape": self.wide_shape,
            "numbers": tuple(map(self.number, objects)),
            "owners": {index: owner for index, owner in owners.items() if owner is not None},
        }

    def fits(self, note: Mapping[str, Any] | None) -> bool:
        """Whether these are the objects that the recording gave the numbers in `note`.

        If so, `objects` are those that can be relied on: the ones below `wide` roots perhaps not.
        """
        if note is None or self._weak or note["shape"] != self.shape:
            return False
        alike = note.get("wide_shape") == self.wide_shape
        self._usable = len(self._objects) if alike else self._sure
        return True

    def numbers(self, note: Mapping[str, Any]) -> tuple[int, ...]:
        """By node: the number that the recording gave it; -1 for none, or one of no use here."""
        return tuple(n if n < self._usable else -1 for n in note["numbers"])

    @property
    def objects(self) -> Sequence[Any]:
        """The objects by number (for one that holds them)."""
        return self._objects[: self._usable]


def _same(obj: Any) -> Any:
    return obj


def _parts(obj: Any) -> Iterator[Any]:
    """What an object refers to, in an order that is the same in every process."""
    info = describe(type(obj))
    if info.has_dict:
        values = object.__getattribute__(obj, "__dict__")
        yield from (v for k, v in list(values.items()) if k not in info.skip)
    for _, descriptor in info.slots:
        try:
            yield descriptor.__get__(obj, type(obj))
        except AttributeError:
            continue
    find = _PARTS.get(info.kind)
    if find is not None:
        yield from find(obj, info)


def _class_parts(obj: type) -> Iterator[Any]:
    for name, value in list(vars(obj).items()):
        if not name.startswith("__") and not hasattr(type(value), "__get__"):
            yield value


def _items(obj: Any, info: TypeInfo) -> Iterable[Any]:
    solid: Any = info.solid
    return list(solid.__iter__(obj))


def _pairs(obj: Any, info: TypeInfo) -> Iterable[Any]:
    solid: Any = info.solid
    found = [item for pair in solid.items(obj) for item in pair]
    factory = getattr(solid, "default_factory", None)
    return found if factory is None else [*found, factory.__get__(obj)]


def _of_function(obj: Any, info: TypeInfo) -> Iterable[Any]:
    if isinstance(obj, types.FunctionType):
        kept = vars(obj).values()
        return [*(obj.__closure__ or ()), obj.__defaults__, obj.__kwdefaults__, *kept]
    if isinstance(obj, (types.BuiltinFunctionType, types.MethodWrapperType)):
        owner = obj.__self__
        return () if isinstance(owner, (types.ModuleType, type)) else (owner,)
    return ()


def _of_cell(obj: Any, info: TypeInfo) -> Iterable[Any]:
    try:
        return (obj.cell_contents,)
    except ValueError:
        return ()


def _of_tensor(obj: Any, info: TypeInfo) -> Iterable[Any]:
    return (obj.grad,) if obj.is_leaf and obj.grad is not None else ()


_PARTS: dict[str, Any] = {
    "list": _items,
    "tuple": _items,
    "deque": _items,
    "dict": _pairs,
    "function": _of_function,
    "method": lambda obj, info: (obj.__self__, obj.__func__),
    "partial": lambda obj, info: (obj.func, obj.args, obj.keywords),
    "cell": _of_cell,
    "tensor": _of_tensor,
    "ndarray": lambda obj, info: obj.ravel().tolist() if obj.dtype.hasobject else (),
    "npgen": lambda obj, info: (obj.bit_generator,),
    "iterator": lambda obj, info: gc.get_referents(obj),
    "iterator_proxy": lambda obj, info: (*obj._args, *obj._kwargs.values()),
}
