"""The torch modules that a region uses: which mode each is in, and that nothing else changes.

A module's call is taken for one in evaluation mode, in which it changes nothing.  This is where it
turns out whether it was: buffers are compared bit by bit, because statistics don't move version
counters, and parameters by place and version.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable
from types import FrameType, FunctionType, MethodType, ModuleType
from typing import Any

from ..checkpoint import paths
from ..checkpoint.draws import is_loader

MAX_OBJECTS = 20_000
MAX_BUFFER_BYTES = 1 << 26

_LEAVES = (str, bytes, int, float, complex, type(None), type, ModuleType)


class UnwatchableError(Exception):
    """What a region uses can't be told apart well enough."""


def found_at(where: Iterable[str], frame: FrameType) -> list[Any]:
    """The modules below the paths `where`, each once, in an order that a replay repeats."""
    local = paths.local_names(frame)
    try:
        roots = [paths.resolve(path, frame, local) for path in where]
        return below(roots)
    finally:
        paths.forget(frame, local)


def below(roots: list[Any]) -> list[Any]:
    """The modules below objects, each once.  Raises UnwatchableError."""
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "nn"):
        return []
    module, tensor = torch.nn.Module, torch.Tensor
    found: list[Any] = []
    seen: set[int] = set()
    stack = list(reversed(roots))
    while stack:
        obj = stack.pop()
        if isinstance(obj, (*_LEAVES, tensor)) or id(obj) in seen:
            continue
        seen.add(id(obj))
        if len(seen) > MAX_OBJECTS:
            raise UnwatchableError("it uses too many objects")
        held: list[Any] = []
        if isinstance(obj, module):
            found.append(obj)
            held = [v for k, v in vars(obj).items() if k not in _TABLES and not _empty(v)]
        elif is_loader(obj):  # what it reads isn't searched: the analysis has ruled that out
            if obj.persistent_workers:
                raise UnwatchableError("the workers of its data loader go on from call to call")
        elif isinstance(obj, (list, tuple, deque)):
            held = list(obj)
        elif isinstance(obj, dict):
            held = list(obj.values())
        elif isinstance(obj, (set, frozenset)):
            held = [item for item in obj if not isinstance(item, _LEAVES)]
            if len(held) > 1:
                raise UnwatchableError("it uses a set of objects, which has no order")
        elif isinstance(obj, FunctionType):
            held = [obj.__defaults__, obj.__kwdefaults__, *_cells(obj)]
        elif isinstance(obj, MethodType):
            held = [obj.__self__, obj.__func__]
        else:
            held = list(getattr(obj, "__dict__", {}).values())
            for cls in type(obj).__mro__:
                names = vars(cls).get("__slots__", ())
                for name in (names,) if isinstance(names, str) else names:
                    held.append(getattr(obj, name, None))
        stack += reversed(held)
    return found


_TABLES = frozenset({"_parameters", "_buffers", "training"})


def _empty(value: Any) -> bool:
    return value is None or type(value) is bool or (isinstance(value, (dict, set)) and not value)


def _cells(function: FunctionType) -> list[Any]:
    held = []
    for cell in function.__closure__ or ():
        try:
            held.append(cell.cell_contents)
        except ValueError:
            continue
    return held


class Watched:
    """The modules as they were when a region began."""

    def __init__(self, found: list[Any]) -> None:
        """Raises UnwatchableError if there is too much to compare."""
        self.modules = found
        self.modes = [bool(module.training) for module in found]
        self.parameters: list[tuple[Any, ...]] = []
        self.buffers: list[tuple[Any, Any]] = []
        size = 0
        seen: set[int] = set()
        for module in found:
            for table in (module._parameters, module._buffers):
                for tensor in table.values():
                    if tensor is None or id(tensor) in seen:
                        continue
                    seen.add(id(tensor))
                    if table is module._parameters:
                        self.parameters.append((tensor, *_state(tensor)))
                        continue
                    size += tensor.numel() * tensor.element_size()
                    if size > MAX_BUFFER_BYTES:
                        raise UnwatchableError("its modules have too many buffers")
                    self.buffers.append((tensor, tensor.detach().clone()))
        self.tables = [_identities(module) for module in found]

    def unchanged(self) -> bool:
        """Whether parameters and buffers are what they were."""
        if [_identities(module) for module in self.modules] != self.tables:
            return False
        if any(_state(tensor) != tuple(was) for tensor, *was in self.parameters):
            return False
        return all(_same_bits(tensor, was) for tensor, was in self.buffers)

    def changed_modes(self) -> dict[int, bool]:
        """Number of a module -> its mode, where that is another than before."""
        return {
            number: bool(module.training)
            for number, (module, before) in enumerate(zip(self.modules, self.modes, strict=True))
            if bool(module.training) != before
        }


def _state(tensor: Any) -> tuple[Any, ...]:
    """What tells that somebody wrote to a parameter; cheap."""
    version = None if tensor.is_inference() else tensor._version
    pointer = tensor.data_ptr() if tensor.layout is sys.modules["torch"].strided else 0
    return version, pointer, tuple(tensor.shape), tensor.requires_grad, id(tensor.grad)


def _identities(module: Any) -> tuple[int, ...]:
    tables = (module._parameters, module._buffers, module._modules)
    return tuple(id(value) for table in tables for value in table.values())


def _same_bits(tensor: Any, was: Any) -> bool:
    torch = sys.modules["torch"]
    if tensor.shape != was.shape or tensor.dtype != was.dtype or tensor.device != was.device:
        return False
    if torch.equal(tensor, was):
        return True
    a, b = tensor.detach().contiguous(), was.contiguous()  # NaN isn't equal to itself
    return bool(torch.equal(a.view(-1).view(torch.uint8), b.view(-1).view(torch.uint8)))


def set_modes(found: list[Any], modes: dict[int, bool]) -> None:
    """Put modules in the modes that a region left them in."""
    for number, mode in modes.items():
        found[number].training = mode


def torch_modes() -> tuple[Any, ...]:
    """Modes of torch itself in this thread."""
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "is_inference_mode_enabled"):
        return ()
    return (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.get_default_dtype(),
        torch.is_autocast_enabled(),
    )
