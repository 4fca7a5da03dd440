"""Whether an expression looks as if evaluating it changes nothing: refuses when unsure."""

from __future__ import annotations

import ast
import re

FUNCTIONS = frozenset(
    "abs bool callable complex divmod float format getattr hasattr id int isinstance issubclass "
    "len max min ord chr pow range repr round str type".split()
)
"""Builtins that change nothing and consume nothing."""

CONSUMERS = frozenset("all any dict enumerate frozenset list set sorted sum tuple zip".split())
"""Builtins that are harmless when what they iterate over is made anew."""

MODULES = frozenset(("math", "np", "numpy", "torch", "F"))
"""Names under which modules of pure functions go; `np.random` and the like are no such function."""

MODULE_FUNCTIONS = frozenset(
    "abs all any arange argmax argmin array asarray as_tensor bincount cat ceil clip concatenate "
    "corrcoef cos count_nonzero cross_entropy diag diff dist dot einsum exp finfo flatten floor "
    "full histc histogram hypot inf isfinite isinf isnan linspace log log10 log1p log2 log_softmax "
    "logical_and logical_or logsumexp max mean median min mse_loss multiply norm ones percentile "
    "prod quantile relu sigmoid sign sin softmax sqrt square stack std sum svdvals tan tanh tensor "
    "trace transpose tril triu unique var where zeros cosine_similarity matrix_norm vector_norm "
    "is_available memory_allocated max_memory_allocated current_device is_grad_enabled".split()
)
SUBMODULES = frozenset(("cuda", "linalg", "nn", "functional", "fft", "special"))

METHODS = frozenset(
    "abs all any argmax argmin bool bytes ceil clamp clone conj contiguous copy cos count cpu "
    "detach diag diagonal dim dot double element_size endswith eq exp find flatten float floor "
    "format ge get get_last_lr gt half hex index int isdigit isfinite isinf isnan item join keys "
    "le lower log log10 log2 long lt matmul max mean median min mm ndimension ne norm numel "
    "numpy prod quantile relu replace reshape round rsqrt sigmoid sign sin size softmax split "
    "sqrt square squeeze startswith std strip sum t tanh title tolist topk trace transpose type "
    "unique unsqueeze upper values var view items".split()
)
"""Methods of tensors, arrays, strings and dictionaries that change nothing."""

FRESH = frozenset(
    "buffers children items keys modules named_buffers named_children named_modules "
    "named_parameters parameters state_dict values split".split()
)
"""Methods that return something new to iterate over."""


_QUESTION = re.compile(
    r"_?(is|has|should|can|must|needs?|exists)(_|$)|is[a-z]+$|get_(rank|world_size)$"
)
"""What functions are called that answer a question and do nothing else, as a rule."""


def looks_pure(node: ast.expr | None, rebound: frozenset[str] = frozenset()) -> bool:
    """Whether evaluating `node` looks free of effects; names in `rebound` are no builtins."""
    if node is None:
        return True
    if isinstance(node, (ast.Name, ast.Constant)):
        return True
    if isinstance(node, ast.Call):
        return _pure_call(node, rebound)
    if isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
        return _pure_comprehension(node, rebound)
    if isinstance(node, _PLAIN):
        return all(
            looks_pure(child, rebound)
            for child in ast.iter_child_nodes(node)
            if isinstance(child, ast.expr)
        )
    return False  # await, yield, walrus, lambda, …


_PLAIN = (
    *(ast.Attribute, ast.Subscript, ast.Slice, ast.Compare, ast.BoolOp, ast.BinOp, ast.UnaryOp),
    *(ast.IfExp, ast.Tuple, ast.List, ast.Dict, ast.Set, ast.JoinedStr, ast.FormattedValue),
    *(ast.Starred,),
)


def only_asks(test: ast.expr) -> bool:
    """Whether a guard's test is pure but for calls that are named like questions.

    `is_main_process()`, `dist.get_rank() == 0`, `os.path.exists(path)`; not `next(batches)`.
    """
    for node in ast.walk(test):
        if isinstance(node, (ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)):
            return False
        if isinstance(node, ast.Call) and not looks_pure(node):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else None
            name = node.func.id if isinstance(node.func, ast.Name) else name
            if name is None or not _QUESTION.match(name):
                return False
    return True


def makes_iterable(node: ast.expr, rebound: frozenset[str] = frozenset()) -> bool:
    """Whether iterating over `node` looks harmless: nothing that others iterate over is advanced.

    A bare name may be an iterator; an attribute or an item (`optimizer.param_groups`) is taken
    for a container.
    """
    if not looks_pure(node, rebound):
        return False
    if isinstance(node, (ast.Attribute, ast.Subscript, ast.Constant)):
        return True
    if isinstance(node, (ast.List, ast.Tuple, ast.Set, ast.Dict)):
        return True
    if isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
        return True
    if isinstance(node, ast.Call):
        function = node.func
        if isinstance(function, ast.Name):
            return function.id == "range" or function.id in CONSUMERS
        return isinstance(function, ast.Attribute) and function.attr in FRESH
    return False


def _pure_call(node: ast.Call, rebound: frozenset[str]) -> bool:
    arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
    if not all(looks_pure(argument, rebound) for argument in arguments):
        return False
    function = node.func
    if isinstance(function, ast.Name):
        if function.id in rebound:
            return False
        if function.id in CONSUMERS:
            return all(makes_iterable(argument, rebound) for argument in node.args)
        return function.id in FUNCTIONS
    if not isinstance(function, ast.Attribute):
        return False
    if any(keyword.arg in ("out", "inplace") for keyword in node.keywords):
        return False
    module = _module_of(function.value)
    if module is not None:
        return module == "math" or function.attr in MODULE_FUNCTIONS
    return function.attr in METHODS | FRESH and looks_pure(function.value, rebound)


def _module_of(node: ast.expr) -> str | None:
    """The module that an expression like `torch.nn.functional` names, or None."""
    while isinstance(node, ast.Attribute) and node.attr in SUBMODULES:
        node = node.value
    return node.id if isinstance(node, ast.Name) and node.id in MODULES else None


def _pure_comprehension(
    node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp, rebound: frozenset[str]
) -> bool:
    results = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
    tests = [test for part in node.generators for test in part.ifs]
    return all(looks_pure(part, rebound) for part in [*results, *tests]) and all(
        makes_iterable(part.iter, rebound) and not part.is_async for part in node.generators
    )
