"""The global random number streams: Python, numpy's legacy one, torch's CPU and CUDA ones.

Only modules that are already loaded are looked at.  A captured state is made of plain values and
bytes, so that it can be pickled, compared and read without numpy or torch.
"""

from __future__ import annotations

import array
import ctypes
import importlib
import random
import sys
from typing import Any

State = dict[str, Any]
_WORDS = 624
_INSTANCE: Any = vars(random)["_inst"]
"""The generator behind the functions of `random`."""


def _numpy_random() -> Any:
    return sys.modules.get("numpy.random")


def _cuda(torch: Any) -> Any:
    """torch.cuda if it was used already: before that nobody can have drawn from it."""
    cuda = getattr(torch, "cuda", None)
    return cuda if cuda is not None and cuda.is_initialized() else None


def pack_python(state: Any) -> Any:
    """`random.Random.getstate()`'s value with the 625 words as bytes."""
    version, words, gauss = state
    return (version, array.array("I", words).tobytes(), gauss)


def unpack_python(state: Any) -> Any:
    """The inverse of `pack_python`."""
    version, words, gauss = state
    return (version, tuple(array.array("I", words)), gauss)


def pack_numpy(state: Any) -> Any:
    """A bit generator's `state` dict with arrays as ("array", dtype, shape, bytes)."""
    if isinstance(state, dict):
        return {key: pack_numpy(value) for key, value in state.items()}
    if hasattr(state, "tobytes") and hasattr(state, "dtype"):
        return ("array", state.dtype.str, tuple(state.shape), state.tobytes())
    return state


def unpack_numpy(state: Any) -> Any:
    """The inverse of `pack_numpy`."""
    if isinstance(state, dict):
        return {key: unpack_numpy(value) for key, value in state.items()}
    if isinstance(state, tuple) and state[:1] == ("array",):
        numpy = importlib.import_module("numpy")
        return numpy.frombuffer(state[3], dtype=state[1]).reshape(state[2]).copy()
    return state


def tensor_bytes(tensor: Any) -> bytes:
    """The bytes of a contiguous CPU byte tensor (no numpy needed)."""
    return ctypes.string_at(tensor.data_ptr(), tensor.numel())


def byte_tensor(data: bytes) -> Any:
    """A CPU byte tensor that owns a copy of `data`."""
    torch = importlib.import_module("torch")
    return torch.frombuffer(bytearray(data), dtype=torch.uint8).clone()


_seen: dict[str, tuple[Any, Any]] = {}
"""By stream: its last fingerprint and the state that belongs to it."""


def capture_rng() -> State:
    """The state of every loaded global stream: python, numpy, torch, cuda (a list by device)."""
    python, numpy, torch, cuda = fingerprint()
    state: State = {"python": _python_state(python)}
    if numpy is not None:
        state["numpy"] = _numpy_state(numpy)
    if torch is not None:
        state["torch"] = torch
    if cuda is not None:
        state["cuda"] = list(cuda)
    return state


def _python_state(mark: Any) -> Any:
    known = _seen.get("python")
    if known is None or known[0] != mark:
        known = _seen["python"] = (mark, pack_python(random.getstate()))
    return known[1]


def _numpy_state(mark: Any) -> Any:
    """Reading it takes 60 µs.  The words tell all, but for a second normal number that waits."""
    known = _seen.get("numpy")
    if known is None or known[0] != mark or known[1].get("has_gauss"):
        known = _seen["numpy"] = (mark, pack_numpy(_numpy_random().get_state(legacy=False)))
    return known[1]


def restore_rng(state: State) -> None:
    """Set every stream in `state`; a stream that `state` lacks is left alone."""
    if "python" in state:
        random.setstate(unpack_python(state["python"]))
    if "numpy" in state:
        importlib.import_module("numpy.random").set_state(unpack_numpy(state["numpy"]))
    if "torch" in state:
        importlib.import_module("torch").set_rng_state(byte_tensor(state["torch"]))
    if "cuda" in state:
        torch = importlib.import_module("torch")
        if torch.cuda.is_available():
            for device in range(min(torch.cuda.device_count(), len(state["cuda"]))):
                torch.cuda.set_rng_state(byte_tensor(state["cuda"][device]), device)


def _raw_python_works() -> bool:
    """Whether the C structure of random.Random is laid out as `fingerprint` expects."""
    if sys.implementation.name != "cpython":
        return False
    words = random.getstate()[1]
    raw = ctypes.string_at(id(_INSTANCE) + 16, 4 * (_WORDS + 1))
    expected = b"".join(w.to_bytes(4, sys.byteorder) for w in (words[-1], *words[:-1]))
    return raw == expected


_RAW_PYTHON = _raw_python_works()


def _python_fingerprint() -> Any:
    if not _RAW_PYTHON:
        return random.getstate()
    inst = _INSTANCE
    return (ctypes.string_at(id(inst) + 16, 4 * (_WORDS + 1)), inst.gauss_next)


def _numpy_fingerprint(np_random: Any) -> Any:
    global_state = np_random.mtrand._rand
    bits = global_state._bit_generator
    if type(bits).__name__ != "MT19937":
        return repr(bits.state)
    raw = ctypes.string_at(bits.ctypes.state_address, 4 * (_WORDS + 1))
    return raw  # a cached second gaussian is missed, but making it moved the words


def fingerprint() -> tuple[Any, ...]:
    """(python, numpy, torch, cuda): equal before and after iff nothing was drawn.  About 2 µs."""
    np_random = _numpy_random()
    torch = sys.modules.get("torch")
    torch_state = cuda_state = None
    if torch is not None and hasattr(torch, "get_rng_state"):
        torch_state = tensor_bytes(torch.get_rng_state())
        cuda = _cuda(torch)
        if cuda is not None:
            cuda_state = tuple(tensor_bytes(s.contiguous()) for s in cuda.get_rng_state_all())
    return (
        _python_fingerprint(),
        _numpy_fingerprint(np_random) if np_random is not None else None,
        torch_state,
        cuda_state,
    )


def changed_streams(before: tuple[Any, ...], after: tuple[Any, ...]) -> tuple[str, ...]:
    """The names of the streams that differ between two fingerprints."""
    names = ("python", "numpy", "torch", "cuda")
    return tuple(n for n, b, a in zip(names, before, after, strict=True) if b != a)
