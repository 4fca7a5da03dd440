"""The effect files: they load, look-ups find what they should, and sampled claims hold when run."""

from __future__ import annotations

import importlib
import random
import re
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from florc.effects.model import Effect, EffectsError, load_effects, read_effects

torch = pytest.importorskip("torch")
from effect_samples import SAMPLES, T  # noqa: E402

SHIPPED = sorted((Path(__file__).parents[2] / "florc" / "effects").glob("*.toml"))
RESULT = (
    r"(elem:|each:|sum:|call:|part:|holder:|flat:|drained:|fields:|copy:|deepcopy:|pairs:|values:|holding:"
    r"|groups:|tees:)?"
)
LOCATION = re.compile(RESULT + r"(\w+=)?(self|args|\d+|[A-Za-z_]\w*)(\.\w+)?(\*[\w.]*)?(\?\w+)?")


# -- the files themselves ------------------------------------------------------------------------
def test_at_least_450_names_are_described() -> None:
    effects = load_effects()
    assert len(effects.exact) + len(effects.patterns) >= 450


def test_every_location_is_of_the_documented_form() -> None:
    effects = load_effects()
    for effect in [*effects.exact.values(), *(e for _, e in effects.patterns)]:
        for location in (*effect.mutates, *effect.keeps, *effect.kills_grads, *effect.advances):
            assert LOCATION.fullmatch(location), (effect.name, location)
            assert "." not in location.partition("*")[0], (effect.name, location)
            assert "elem:" not in location, (effect.name, location)
        for location in effect.calls:
            where, _, spread = location.partition("@")
            assert LOCATION.fullmatch(where), (effect.name, location)
            assert not spread or re.fullmatch(r"\w+,\w+", spread), (effect.name, location)
        assert effect.returns, effect.name
        for location in effect.returns:
            assert LOCATION.fullmatch(location), (effect.name, location)
        if "none" in effect.returns:
            assert len(effect.returns) == 1 and not effect.type, effect.name


def test_no_file_describes_a_name_twice() -> None:
    seen: dict[tuple[str, str], str] = {}
    for path in SHIPPED:
        table = ""
        for line in path.read_text(encoding="utf-8").splitlines():
            table = line if line.startswith("[") else table
            if line.startswith('"'):
                for name in line[1:].partition('"')[0].split():
                    assert (table, name) not in seen, (name, path.name, seen[table, name])
                    seen[table, name] = path.name


def test_bases_are_declared_and_not_circular() -> None:
    effects = load_effects()
    for name, declared in effects.types.items():
        for base in declared.bases:
            assert base in effects.types, (name, base)
        assert name not in [b for base in declared.bases for b in effects.mro(base)]


def test_exact_torch_and_numpy_names_exist() -> None:
    """At most a few, removed in some release or added in a later one, may be missing."""
    effects = load_effects()
    missing = []
    for name in effects.exact:
        if name.startswith(("torch.", "numpy.")) and not _exists(name):
            missing.append(name)
    assert len(missing) < 0.1 * len(effects.exact), missing


def _exists(name: str) -> bool:
    try:
        _resolve(name)
    except (AttributeError, ImportError):
        return False
    return True


# -- broken files --------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[effects.f]\nmutates = 3\n", "must be a string or a list of strings"),
        ("[effects.f]\nmutate = ['0']\n", "mutate is not a known field"),
        ("[effects.f]\ndraws = ['jax']\n", "unknown RNG stream 'jax'"),
        ("[effects.f]\nsink = 'yes'\n", "must be true or false"),
        ("[types.t]\nbase = 'x'\n", "base is not a known field"),
        ("[effect.f]\n", "unknown table [effect]"),
        ("[effects.f\n", "broken.toml"),
    ],
)
def test_a_broken_file_is_refused_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(EffectsError) as refused:
        read_effects([path])
    message = str(refused.value)
    assert says in message and "broken.toml" in message and "\n" not in message


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EffectsError, match=r"none\.toml"):
        read_effects([tmp_path / "none.toml"])


def test_a_file_of_the_users_wins(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[effects."torch.relu my.lib.step"]\nmutates = ["0*"]\n', encoding="utf-8")
    effects = load_effects((path,))
    for name in ("torch.relu", "my.lib.step"):
        found = effects.call(name)
        assert found is not None and found.mutates == ("0*",)


# -- look-ups ------------------------------------------------------------------------------------
def _call(name: str) -> Effect:
    found = load_effects().call(name)
    assert found is not None, name
    return found


def _method(type_name: str, method: str) -> Effect:
    found = load_effects().method(type_name, method)
    assert found is not None, (type_name, method)
    return found


def test_optimizers_reach_their_parameters() -> None:
    for name in ("SGD", "AdamW", "LBFGS"):
        made = _call(f"torch.optim.{name}")
        assert made.type == f"torch.optim.{name}" and "drained:0" in made.keeps
        step = _method(f"torch.optim.{name}", "step")
        assert step.mutates == ("self*torch",) and step.reads_grads and not step.trains
        assert _method(f"torch.optim.{name}", "zero_grad").kills_grads == ("self",)


def test_layers_differ_in_what_a_call_does() -> None:
    assert _method("torch.nn.Linear", "__call__").mutates == ()
    assert _method("torch.nn.BatchNorm2d", "__call__").mutates == ("self*torch",)
    assert "torch" in _method("torch.nn.Dropout", "forward").draws
    sequential = _method("torch.nn.Sequential", "__call__")
    assert sequential.mutates == ("self*torch",) and "cuda" in sequential.draws
    assert _method("torch.nn.Conv2d", "parameters").returns == ("part:self",)


def test_undescribed_methods_of_torch_types_are_not_pure() -> None:
    for type_name in ("torch.nn.Linear", "torch.optim.Adam", "torch.optim.lr_scheduler.StepLR"):
        assert "self*" in _method(type_name, "frobnicate").mutates, type_name
    assert _call("torch.frob.nicate").mutates == ("args*",)
    assert _method("builtins.list", "frobnicate").mutates == ("self",)


def test_tensor_methods() -> None:
    assert _method("torch.nn.Parameter", "mul_").mutates == ("self",)
    assert _method("torch.nn.Parameter", "sum").returns == ("new", "out")
    assert _method("torch.Tensor", "frobnicate_").mutates == ("self",)
    assert _method("torch.Tensor", "__add__").mutates == ()
    assert _method("torch.Tensor", "__iadd__").mutates == ("self",)
    assert _method("torch.Tensor", "view").returns == ("self",)
    assert _method("torch.Tensor", "item").returns == ("none",)


def test_what_trains() -> None:
    effects = load_effects()
    trains = {e.name for e in effects.exact.values() if e.trains}
    assert {"torch.Tensor.backward", "torch.autograd.backward", "*.backward"} <= trains
    unknown = effects.by_method_name("partial_fit")
    assert unknown is not None and unknown.trains
    assert effects.by_method_name("frobnicate") is None


# Methods that move or convert what they are called on (as a rule a tensor, and then a copy), and
# types that do something of their own under a common name.
OTHERWISE = {
    ("pickle.Loaded", "torch.nn.Module", "torch_geometric.data.Data"): (
        "to cuda cpu float half double bfloat16 type copy"
    ),
    ("queue.Queue", "queue.LifoQueue", "queue.PriorityQueue", "queue.SimpleQueue"): "get",
    ("PIL.Image.Image",): "copy transpose split",  # loads its pixels when first asked
    ("transformers.PreTrainedTokenizerBase", "accelerate.Accelerator"): "encode gather",
}


def test_facts_about_unknown_receivers_hold_for_known_ones() -> None:
    """What is said of a method by its name alone is said of no known type otherwise."""
    effects = load_effects()
    allowed = {(t, m) for types, names in OTHERWISE.items() for t in types for m in names.split()}
    for name, effect in effects.exact.items():
        owner, _, method = name.rpartition(".")
        common = effects.exact.get(f"*.{method}")
        if common is None or owner not in effects.types or common.trains or common.mutates:
            continue
        if (owner, method) not in allowed:
            changed = [m for m in effect.mutates if m.partition("*")[0] == "self"]
            assert not (changed or effect.draws or effect.calls), name


def test_facts_about_unknown_receivers_invent_nothing() -> None:
    """What such a method gives is immutable, or may be what it was called on."""
    effects = load_effects()
    for name, effect in effects.exact.items():
        if name.startswith("*.") and not (effect.trains or effect.mutates):
            assert effect.returns == ("none",) or "self" in effect.returns, name


def test_types() -> None:
    effects = load_effects()
    assert effects.is_a("torch.nn.LSTM", "torch.nn.Module")
    assert effects.is_a("collections.OrderedDict", "builtins.dict")
    loader = effects.type("torch.utils.data.DataLoader")
    assert "__getitem__" in loader.iterable_calls and "torch" in loader.iteration_draws
    assert "shape" in effects.type("torch.nn.Parameter").scalars
    assert effects.type("builtins.file").sink and effects.type("builtins.str").immutable
    assert effects.type("torch.utils.tensorboard.SummaryWriter").sink


# -- claims, run ---------------------------------------------------------------------------------
# They draw in some uses only (a dropout in training, rows above max_norm): at most, not exactly.
MAY_DRAW = {
    "torch.relu_",
    "torch.utils.data.DataLoader.__iter__",
    "torch.nn.functional.relu",
}


def _resolve(name: str) -> Any:
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:cut]))
        except ImportError:
            continue
        for part in parts[cut:]:
            found = getattr(found, part)
        return found
    raise ImportError(name)


def _frozen(value: Any) -> Any:
    """A comparable picture of a value, deep enough for the samples; gradients are left out."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy().tobytes(), tuple(value.shape), value.requires_grad
    if isinstance(value, np.ndarray):
        return value.tobytes(), value.shape
    if isinstance(value, torch.nn.Module):
        return _frozen(value.state_dict()), [m.training for m in value.modules()]
    if isinstance(value, torch.optim.Optimizer):
        return _frozen(value.param_groups)
    if isinstance(value, torch.Generator):
        return _frozen(value.get_state())
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    if isinstance(value, np.random.RandomState):
        return repr(value.get_state())
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, dict):
        return [(key, _frozen(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple, set, deque)):
        return [_frozen(item) for item in value]
    return value if isinstance(value, (int, float, str)) else type(value)


def _streams() -> dict[str, Any]:
    return {
        "python": random.getstate(),
        "numpy": repr(np.random.get_state(legacy=True)[1:]) + str(np.random.get_state()[1].sum()),
        "torch": torch.get_rng_state().numpy().tobytes(),
    }


def _memory(value: Any, depth: int = 3) -> set[Any]:
    """Identities of the mutable memory that a value shows."""
    if isinstance(value, torch.Tensor):
        return {value.untyped_storage().data_ptr()} - {0}
    if isinstance(value, np.ndarray):
        while isinstance(value.base, np.ndarray):
            value = value.base
        return {value.__array_interface__["data"][0]} if value.size else set()
    if isinstance(value, torch.nn.Module):
        return {id(value)} | _memory([*value.parameters(), *value.buffers()])
    if isinstance(value, dict) and depth:
        return {id(value)} | {m for v in value.values() for m in _memory(v, depth - 1)}
    if isinstance(value, (list, tuple, set, deque)) and depth:
        own = set() if isinstance(value, tuple) else {id(value)}
        return own | {m for v in value for m in _memory(v, depth - 1)}
    if value is None or isinstance(value, (int, float, complex, str, bytes, type, slice)):
        return set()
    return {id(value)}


def _touches(locations: tuple[str, ...], name: str) -> bool:
    """Whether `name` is among the locations, were all options (``0?inplace``) given."""
    bare = {re.sub(r"^\w+:|\?\w+$", "", location).partition("*")[0] for location in locations}
    return name in bare or ("args" in bare and name != "self")


def _look_up(name: str) -> tuple[Effect, bool]:
    """The effect, and whether the first argument of the sample is the receiver."""
    owner, _, method = name.rpartition(".")
    if isinstance(_resolve(owner), type):
        return _method(owner, method), True
    return _call(name), False


@pytest.mark.parametrize(("name", "sample"), SAMPLES, ids=[name for name, _ in SAMPLES])
def test_a_claim_holds_when_run(name: str, sample: Callable[[], tuple[Any, ...]]) -> None:
    effect, is_method = _look_up(name)
    random.seed(11)
    np.random.seed(11)
    torch.manual_seed(11)
    args = sample()
    labels = [
        "self" if is_method and not index else str(index - is_method) for index in range(len(args))
    ]
    before = [_frozen(arg) for arg in args]
    memory = [_memory(arg) for arg in args]
    streams = _streams()
    result = _resolve(name)(*args)
    drawn = {stream for stream, state in _streams().items() if state != streams[stream]}

    for label, arg, picture in zip(labels, args, before, strict=True):
        if _frozen(arg) != picture:
            assert _touches(effect.mutates, label), f"{name} mutates {label}"

    claimed = set(effect.draws) - {"cuda"}
    assert drawn <= claimed, f"{name} draws from {drawn}"
    if name not in MAY_DRAW:
        assert drawn == claimed, f"{name} does not draw from {claimed - drawn}"

    if hasattr(result, "__next__"):
        result = list(result)
    shown = _memory(result)
    if "none" in effect.returns:
        # a method such as list.append gives None; a scalar, a string or a flag is immutable too
        assert not shown or (is_method and result is None), f"{name} gives {type(result)}"
    for label, owned in zip(labels, memory, strict=True):
        if shown & owned:
            kept = effect.keeps if not is_method and "new" in effect.returns else ()
            known = _touches(effect.returns, label) or _touches(kept, label)
            assert known, f"the result of {name} may share memory with {label}"


@pytest.mark.parametrize("method", ["view", "t", "numpy", "__iter__", "swapaxes", "real", "T"])
def test_views_of_a_tensor_are_the_tensor(method: str) -> None:
    found = load_effects().method("torch.Tensor", method)
    if method in ("real", "T"):  # attributes, which no call describes
        return
    assert found is not None and "self" in found.returns


@pytest.mark.filterwarnings("ignore")
def test_every_torch_function_that_gives_a_view_says_so() -> None:
    """Any one-argument torch function whose result shares the argument's memory is known to."""
    wrong = []
    for name in dir(torch):
        function = getattr(torch, name)
        if name.startswith(("_", "set_", "use_", "autocast_", "save", "seed", "init_")):
            continue
        if not callable(function) or isinstance(function, type):
            continue
        given = T(2, 2)
        before = _frozen(given)
        try:
            result = function(given)
        except Exception:  # a call of another shape says nothing
            continue
        effect = load_effects().call(f"torch.{name}")
        if effect is None:
            continue
        if _frozen(given) != before and not _touches(effect.mutates, "0"):
            wrong.append(f"{name} mutates")
        try:
            shared = _memory(result) & _memory(given)
        except RuntimeError:  # sparse, nested or quantized: no plain storage
            continue
        if shared and not (_touches(effect.returns, "0") or _touches(effect.keeps, "0")):
            wrong.append(f"{name} aliases")
    assert not wrong


@pytest.mark.filterwarnings("ignore")
def test_every_tensor_method_is_sound_on_a_small_matrix() -> None:
    """No method that needs no argument mutates or aliases its receiver unsaid."""
    wrong = []
    skip = {"backward", "share_memory_", "storage_type"}
    for name in dir(torch.Tensor):
        function = getattr(torch.Tensor, name)
        if name.startswith("_") or not callable(function) or name in skip:
            continue
        given = T(2, 2)
        before, owned = _frozen(given), _memory(given)
        torch.manual_seed(3)
        stream = _streams()["torch"]
        try:
            result = function(given)
            shared = _memory(result) & owned
        except Exception:  # a call of another shape says nothing
            continue
        effect = _method("torch.Tensor", name)
        try:
            changed = _frozen(given) != before
        except Exception:  # no plain storage any more
            changed = True
        if changed and "self" not in effect.mutates:
            wrong.append(f"{name} mutates")
        if shared and "self" not in effect.returns:
            wrong.append(f"{name} aliases")
        if _streams()["torch"] != stream and "torch" not in effect.draws:
            wrong.append(f"{name} draws")
    assert not wrong


def _distributions() -> list[torch.distributions.Distribution]:
    one, two = torch.tensor([0.3, 0.7]), torch.eye(2)
    dist = torch.distributions
    return [
        *(getattr(dist, n)(one) for n in ("Bernoulli", "Categorical", "Exponential", "Geometric")),
        *(
            getattr(dist, n)(one)
            for n in ("HalfNormal", "Poisson", "OneHotCategorical", "Dirichlet")
        ),
        *(getattr(dist, n)(one, one + 1) for n in ("Normal", "Beta", "Gamma", "Laplace", "Cauchy")),
        *(getattr(dist, n)(one, one + 1) for n in ("Uniform", "Gumbel", "LogNormal", "Weibull")),
        dist.Independent(dist.Normal(one, one + 1), 1),
        dist.MultivariateNormal(one, two),
    ]


@pytest.mark.parametrize("method", ["log_prob", "entropy", "cdf", "icdf", "perplexity", "sample"])
def test_what_a_distribution_computes_shares_none_of_its_memory(method: str) -> None:
    effect = load_effects().method("torch.distributions.Normal", method)
    assert effect is not None and effect.returns == ("new",)
    for made in _distributions():
        value = made.sample()
        try:
            result = getattr(made, method)(*([] if method in NO_VALUE else [value]))
        except NotImplementedError:
            continue
        owned = {v.data_ptr() for v in vars(made).values() if isinstance(v, torch.Tensor)}
        assert result.data_ptr() not in owned | {value.data_ptr()}, type(made)


NO_VALUE = {"entropy", "perplexity", "sample"}
