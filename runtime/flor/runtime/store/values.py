"""Logged values: snapshot, encoding for SQLite, exact decoding and bit-exact comparison.

A stored value is a triple (kind, value, exact).  `value` is what SQL sees, in SQLite's own type;
`exact` is there only when SQLite can't hold the value itself (NaN, integers over 64 bits, …).
"""

from __future__ import annotations

import io
import json
import math
import struct
import sys
from typing import Any

NONE, BOOL, INT, FLOAT, STR, JSON, ARRAY, BIGINT, NAN, REPR, BYTES = range(11)

KIND_NAMES = (
    "none", "bool", "int", "float", "str", "json", "array", "int", "float", "repr", "bytes",
)  # fmt: skip
"""Kind number -> what the column `type` of `records` shows."""

Encoded = tuple[int, Any, Any]

_INT64 = 1 << 63
_NPY_MAGIC = b"\x93NUMPY"
MAX_COPY_BYTES = 1 << 26
"""Arrays above this many bytes (64 MiB) are logged as their description, not their contents."""


class Text(str):
    """The `repr` of an object that has no stored form of its own."""

    __slots__ = ()


class Pending:
    """A tensor on its way from a CUDA device; whoever needs the value waits for it.

    The copy is queued on the stream that was current when the value was logged: it sees what was
    queued there before, and nothing that comes later.
    """

    __slots__ = ("arrived", "nbytes", "tensor")

    def __init__(self, tensor: Any, arrived: Any) -> None:
        self.tensor = tensor  # in pinned memory of the host
        self.arrived = arrived  # an event on the stream, behind the copy
        self.nbytes = tensor.numel() * tensor.element_size()

    def resolve(self) -> Any:
        """Wait for the copy; the Python number or the numpy array."""
        self.arrived.synchronize()
        return self.tensor.item() if self.tensor.ndim == 0 else _array_of(self.tensor)


_IMMUTABLE = frozenset((float, int, str, bool, type(None), bytes))


def freeze(value: Any) -> Any:
    """Return something that later mutation of `value` can't change.

    Scalars are returned as they are.  A 0-d tensor becomes a Python number, an array or tensor a
    numpy copy, containers a deep copy of JSON-able parts, anything else its `repr`.  Never raises.
    """
    if type(value) in _IMMUTABLE:
        return value
    try:
        return _freeze(value)
    except Exception as error:  # a broken __repr__, a lost device: logging must not stop training
        return Text(f"<{type(value).__name__}: {type(error).__name__}: {error}>")


def _freeze(value: Any) -> Any:
    if isinstance(value, (Text, Pending)):
        return value
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return _freeze_tensor(value)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        if isinstance(value, numpy.generic):
            return _freeze_scalar(value, numpy)
        if isinstance(value, numpy.ndarray):
            return _freeze_array(value)
    if isinstance(value, (list, tuple, dict)):
        return _jsonable(value)
    if isinstance(value, bool):
        return bool(value)
    if isinstance(value, str):  # a subclass, e.g. an enum's member: its plain value
        return str.__str__(value)
    if isinstance(value, (int, float)):
        return int(value) if isinstance(value, int) else float(value)
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    return Text(repr(value))


def _freeze_scalar(value: Any, numpy: Any) -> Any:
    plain = value.item()
    if type(plain) in _IMMUTABLE:
        return plain
    if isinstance(value, numpy.floating):  # longdouble has no Python number
        return float(plain)
    return Text(repr(plain))


def _freeze_array(value: Any) -> Any:
    if value.dtype.hasobject:
        return _jsonable(value.tolist())
    if value.nbytes > MAX_COPY_BYTES:
        return Text(f"<array {value.shape} {value.dtype}: too large to log>")
    return value.item() if value.ndim == 0 else value.copy()


def _freeze_tensor(value: Any) -> Any:
    if value.numel() * value.element_size() > MAX_COPY_BYTES:
        return Text(f"<tensor {tuple(value.shape)} {value.dtype}: too large to log>")
    torch = sys.modules["torch"]
    value = value.detach()
    if value.layout != torch.strided or value.is_quantized:
        return Text(repr(value))
    if value.device.type == "cuda":
        return _on_its_way(torch, value)
    return value.item() if value.ndim == 0 else _array_of(value.cpu())


def _on_its_way(torch: Any, value: Any) -> Any:
    """Queue a copy to the host; nothing is waited for."""
    with torch.cuda.device(value.device):
        if torch.cuda.is_current_stream_capturing():
            return Text(f"<tensor {tuple(value.shape)}: logged while a CUDA graph was captured>")
        value = value.resolve_conj().resolve_neg()
        host = torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
        host.copy_(value, non_blocking=True)
        arrived = torch.cuda.Event(blocking=True)  # waiting for it takes no processor time
        arrived.record()
    return Pending(host, arrived)


def _array_of(tensor: Any) -> Any:
    """The contents of a tensor on the host as a numpy array of its own."""
    tensor = tensor.resolve_conj().resolve_neg()
    if str(tensor.dtype) == "torch.bfloat16":  # numpy has none; float32 holds it exactly
        tensor = tensor.float()
    return tensor.numpy().copy()


def _jsonable(value: Any, wait: bool = False) -> Any:
    """A deep copy in types that JSON has; what is on its way stays so unless we `wait` for it."""
    kind = type(value)
    if kind in _IMMUTABLE and kind is not bytes:
        return value
    if isinstance(value, dict):
        return {k if type(k) is str else _key(k): _jsonable(v, wait) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(item, wait) for item in value]
    frozen = _freeze(value)
    if isinstance(frozen, Pending):
        if not wait:
            return frozen
        frozen = frozen.resolve()
    if type(frozen) in _IMMUTABLE and type(frozen) is not bytes:
        return frozen
    if hasattr(frozen, "tolist"):
        return frozen.tolist()
    return str(frozen)


def _key(key: Any) -> str:
    plain = freeze(key)
    return json.dumps(plain) if isinstance(plain, (bool, type(None))) else str(plain)


def encode(value: Any) -> Encoded:
    """Encode a frozen value as (kind, value, exact) for SQLite.  Raises nothing but MemoryError."""
    kind = type(value)
    if kind is float:
        if value != value:
            return NAN, None, struct.pack("<d", value)
        return FLOAT, value, None
    if kind is int:
        if -_INT64 <= value < _INT64:
            return INT, value, None
        return BIGINT, _nearest_float(value), hex(value)
    if kind is str:
        return _encode_text(STR, value)
    if kind is bool:
        return BOOL, int(value), None
    if value is None:
        return NONE, None, None
    if kind is bytes:
        return BYTES, value, None
    if kind is Pending:
        return encode(value.resolve())
    if kind is Text:
        return _encode_text(REPR, str(value))
    if kind is list or kind is dict:
        return _encode_text(JSON, json.dumps(_jsonable(value, wait=True), ensure_ascii=False))
    if hasattr(value, "dtype") and hasattr(value, "tobytes"):
        return _encode_array(value)
    return encode(freeze(value))


def _nearest_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _encode_text(kind: int, text: str) -> Encoded:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # lone surrogates
        shown = text.encode("utf-8", "replace").decode("utf-8")
        return kind, shown, text.encode("utf-8", "surrogatepass")
    return kind, text, None


def _encode_array(value: Any) -> Encoded:
    import numpy

    value = numpy.asarray(value)
    buffer = io.BytesIO()
    numpy.lib.format.write_array(buffer, value, allow_pickle=False)
    return ARRAY, buffer.getvalue(), None


def is_typed(kind: int, exact: Any) -> bool:
    """Whether what SQL sees isn't the Python value itself."""
    return kind not in (NONE, INT, FLOAT, STR) or exact is not None


def decode(kind: int, value: Any, exact: Any = None) -> Any:
    """The Python value that `encode` was given."""
    if kind == FLOAT:
        return float(value)
    if kind in (INT, NONE, BYTES):
        return value
    if kind == BOOL:
        return bool(value)
    if kind == NAN:
        return struct.unpack("<d", exact)[0]
    if kind == BIGINT:
        return int(exact, 16)
    if kind == ARRAY:
        return decode_array(value)
    text = value if exact is None else exact.decode("utf-8", "surrogatepass")
    if kind == JSON:
        return json.loads(text)
    return Text(text) if kind == REPR else text


def is_array(blob: bytes) -> bool:
    """Whether a blob is a stored array."""
    return blob[:6] == _NPY_MAGIC


def decode_array(blob: bytes) -> Any:
    """The numpy array in an npy blob."""
    import numpy

    return numpy.lib.format.read_array(io.BytesIO(blob), allow_pickle=False)


def to_plain(value: Any) -> Any:
    """What comes out of the store when `value` is logged now."""
    return decode(*encode(freeze(value)))


def same(a: Any, b: Any) -> bool:
    """Bit-exact equality of two logged values: NaN equals NaN, 1, 1.0 and True all differ."""
    kind_a, value_a, exact_a = encode(freeze(a))
    kind_b, value_b, exact_b = encode(freeze(b))
    if kind_a != kind_b:
        return False
    if kind_a == NAN:
        return True
    if kind_a == FLOAT:
        return struct.pack("<d", value_a) == struct.pack("<d", value_b)
    if kind_a == ARRAY and value_a != value_b:
        return _same_array(decode_array(value_a), decode_array(value_b))
    if kind_a == JSON and (value_a, exact_a) != (value_b, exact_b):
        return _same_json(decode(kind_a, value_a, exact_a), decode(kind_b, value_b, exact_b))
    return bool(value_a == value_b and exact_a == exact_b)


def _same_array(a: Any, b: Any) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind not in "fc":
        return bool(a.tobytes() == b.tobytes())
    both_nan = (a != a) & (b != b)
    zeros = a.dtype.type(0)
    a, b = a.copy(), b.copy()
    a[both_nan] = zeros
    b[both_nan] = zeros
    return bool(a.tobytes() == b.tobytes())


def _same_json(a: Any, b: Any) -> bool:
    """JSON texts may differ in the order of keys only."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same_json(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(_same_json, a, b))
    return same(a, b)
