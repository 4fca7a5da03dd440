"""Small programs, each for one thing that the analysis has to see; a wrong analysis breaks one.

Every program has one outermost loop of a few iterations that is jumped into from every checkpoint.
`rng`, `training` and `members` are what the plan has to say about it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """A program, and what its plan must say."""

    text: str
    rng: tuple[str, ...] | None = None  # of the outermost loop
    training: int | None = None  # number of training loops
    members: tuple[str, ...] = ()  # that the outermost loop must have


def loop(body: str, before: str = "", after: str = "", **facts: object) -> Case:
    """`for k in range(6):` around `body`, with the lines before and after it.

    It has state of its own, so that it is jumped into whatever is thought of `body`.
    """
    lines = ["ticks = ticks + 1", *body.split("\n"), 'flor.log("ticks", ticks)']
    indented = "\n".join("    " + line for line in lines)
    start = f"import random\nimport flor\nticks = 0\n{before}\n"
    text = f"{start}for k in range(6):\n{indented}\n{after}\n"
    return Case(text, **facts)  # type: ignore[arg-type]


def method(before: str, call: str, view: str) -> Case:
    """A method that changes its receiver, called each time round and looked at."""
    return loop(f'{call}\nflor.log("v", {view})', before)


TORCH = """
import torch
from torch import nn
torch.manual_seed(0)
torch.set_num_threads(1)
inputs, targets = torch.randn(8, 3), torch.randn(8, 2)
net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
"""
STEP = """
loss = ((net(inputs) - targets) ** 2).mean()
optimizer.zero_grad()
loss.backward()
optimizer.step()
flor.log("loss", loss.item())
"""
SGD = TORCH + "optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)\n"
BOX = """
class Base:
    def __init__(self):
        self.n = 0
        self.items = []
    def bump(self):
        self.n += 1
        return self.n
class Box(Base):
    pass
class Over(Base):
    def bump(self):
        self.items.append(len(self.items))
        return len(self.items)
"""

CASES: dict[str, Case] = {
    # -- library calls -------------------------------------------------------------------------
    "list.append": method("x = []", "x.append(k)", "x"),
    "list.extend": method("x = []", "x.extend([k])", "x"),
    "list.insert": method("x = []", "x.insert(0, k)", "x"),
    "list.pop": method("x = list(range(20))", "x.pop()", "x"),
    "list.remove": method("x = list(range(20))", "x.remove(k)", "x"),
    "list.sort": loop(
        'flor.log("v", x)\nif k == 2:\n    x.sort()', "x = [3, 1, 2]", 'flor.log("e", x)'
    ),
    "list.reverse": method("x = [3, 1, 2]", "x.reverse()", "x"),
    "list.clear": loop(
        'flor.log("v", len(x))\nif k == 2:\n    x.clear()', "x = [1, 2, 3]", 'flor.log("e", x)'
    ),
    "dict.update": method("x = {}", "x.update({k: 1})", "x"),
    "dict.setdefault": method("x = {}", "x.setdefault(k, 1)", "x"),
    "dict.pop": method("x = dict.fromkeys(range(9))", "x.pop(k)", "x"),
    "set.add": method("x = set()", "x.add(k)", "sorted(x)"),
    "set.discard": method("x = set(range(9))", "x.discard(k)", "sorted(x)"),
    "deque.appendleft": method(
        "from collections import deque\nx = deque()", "x.appendleft(k)", "list(x)"
    ),
    "deque.rotate": method(
        "from collections import deque\nx = deque([1, 2, 3, 4])", "x.rotate(1)", "list(x)"
    ),
    "Counter.update": method(
        "from collections import Counter\nx = Counter()", "x.update([k % 2])", "sorted(x.items())"
    ),
    "defaultdict": method(
        "from collections import defaultdict\nx = defaultdict(int)", "x[k]", "len(x)"
    ),
    "heappush": method("import heapq\nx = []", "heapq.heappush(x, -k)", "x"),
    "random.shuffle": loop(
        'random.shuffle(x)\nflor.log("v", x)', "random.seed(3)\nx = list(range(9))",
        rng=("python",),
    ),
    "random.random": loop('flor.log("v", random.random())', "random.seed(1)", rng=("python",)),
    "Random.random": method("x = random.Random(3)", "y = x.random()", "y"),
    "numpy.shuffle": loop(
        'np.random.shuffle(x)\nflor.log("v", x.tolist())',
        "import numpy as np\nnp.random.seed(3)\nx = np.arange(9)", rng=("numpy",),
    ),
    "numpy.rand": loop(
        'flor.log("v", np.random.rand())', "import numpy as np\nnp.random.seed(3)", rng=("numpy",)
    ),
    "Generator.normal": method(
        "import numpy as np\nx = np.random.default_rng(3)", "y = float(x.normal())", "y"
    ),
    "ndarray.fill": loop(
        'flor.log("v", x.tolist())\nif k == 2:\n    x.fill(7)',
        "import numpy as np\nx = np.zeros(3)", 'flor.log("e", x.tolist())',
    ),
    "ndarray.sort": loop(
        'flor.log("v", x.tolist())\nif k == 3:\n    x.sort()',
        "import numpy as np\nx = np.linspace(3, 0, 4)", 'flor.log("e", x.tolist())',
    ),
    "numpy.add out": method(
        "import numpy as np\nx = np.zeros(3)", "np.add(x, k, out=x)", "x.tolist()"
    ),
    "tensor.add_": method("import torch\nx = torch.zeros(2)", "x.add_(k)", "x.tolist()"),
    "tensor view": loop(
        'x.view(4).mul_(2)\nflor.log("v", x.tolist())', "import torch\nx = torch.ones(2, 2)"
    ),
    "tensor.detach": loop(
        'x.detach().mul_(2)\nflor.log("v", x.tolist())', "import torch\nx = torch.ones(2)"
    ),
    "torch.rand": loop(
        'flor.log("v", torch.rand(1).item())', "import torch\ntorch.manual_seed(3)",
        rng=("cuda", "torch"),
    ),
    "torch.Generator": method(
        "import torch\nx = torch.Generator().manual_seed(3)",
        "y = torch.rand(1, generator=x).item()", "y",
    ),
    "optimizer.step": loop(STEP, SGD, training=1),
    "backward": loop(
        STEP + "for i in range(2):\n    y = i\n    flor.log('i', y)", SGD, training=1
    ),
    "adam": loop(STEP, TORCH + "optimizer = torch.optim.Adam(net.parameters(), lr=0.1)\n"),
    "optimizer of parameters": loop(
        STEP.replace("net(inputs)", "(inputs @ w)"),
        TORCH + "w = torch.zeros(3, 2, requires_grad=True)\n"
        "params = [w]\noptimizer = torch.optim.SGD(params, lr=0.1)\n",
        members=("w",),
    ),
    "optimizer made anew": loop(
        "optimizer = torch.optim.SGD([w], lr=0.1)\n"
        "loss = ((inputs @ w - targets) ** 2).mean()\noptimizer.zero_grad()\n"
        'loss.backward()\noptimizer.step()\nflor.log("loss", loss.item())',
        TORCH + "w = torch.zeros(3, 2, requires_grad=True)\n",
    ),
    "deep in a display": loop(
        'torch._foreach_add_([x], k)\nflor.log("v", x.tolist())', "import torch\nx = torch.zeros(2)"
    ),
    "scheduler.step": loop(
        STEP + 'sched.step()\nflor.log("lr", optimizer.param_groups[0]["lr"])',
        SGD + "sched = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)\n",
        members=("optimizer", "sched"),
    ),
    "scheduler alone": loop(
        'sched.step()\nflor.log("lr", optimizer.param_groups[0]["lr"])',
        SGD + "sched = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)\n",
        members=("optimizer", "sched"),
    ),
    "Module.train": loop(
        'flor.log("m", net.training)\nif k == 2:\n    net.eval()', TORCH,
        'flor.log("e", net.training)',
    ),
    "Module.__call__": loop(
        'net(inputs)\nflor.log("v", net[1].running_mean.tolist())', TORCH
    ),
    "load_state_dict": loop(
        'flor.log("v", net[0].weight.tolist())\nif k == 3:\n    net.load_state_dict(other)',
        TORCH + "import copy\nother = {n: t * 0 for n, t in net.state_dict().items()}\n",
        'flor.log("e", net[0].weight.tolist())',
    ),
    "init": loop(
        'nn.init.uniform_(net[0].weight)\nflor.log("v", k)', TORCH,
        'flor.log("e", net[0].weight.tolist())',
    ),
    "gradients accumulate": loop(
        "loss = ((net(inputs) - targets) ** 2).mean()\nloss.backward()\n"
        'if k % 2:\n    optimizer.step()\n    optimizer.zero_grad()\nflor.log("loss", loss.item())',
        SGD,
    ),
    "gradients read": loop(
        'flor.log("g", net[0].weight.grad is None or net[0].weight.grad.tolist())\n'
        "optimizer.zero_grad()\n((net(inputs) - targets) ** 2).mean().backward()\noptimizer.step()",
        SGD,
    ),
    "state_dict": loop(
        'net.state_dict()["0.weight"].mul_(0.9)\nflor.log("v", net[0].weight.tolist())', TORCH
    ),
    "loader": loop(
        'flor.log("v", [b.tolist() for b in loader])',
        "import torch\nfrom torch.utils.data import DataLoader\ntorch.manual_seed(1)\n"
        "loader = DataLoader(torch.arange(6.0), batch_size=2, shuffle=True)",
        rng=("torch",),
    ),
    "deepcopy": loop(
        'x[0].append(k)\nflor.log("v", [x, y])', "import copy\nx = [[]]\ny = copy.deepcopy(x)"
    ),
    "copy": loop('copy.copy(x)[0].append(k)\nflor.log("v", x)', "import copy\nx = [[]]"),
    "list of list": loop('list(x)[0].append(k)\nflor.log("v", x)', "x = [[]]"),
    "dict.values": loop(
        'for v in x.values():\n    v.append(k)\nflor.log("v", x)', "x = {1: [], 2: []}"
    ),
    "dict.get": loop('x.get(1).append(k)\nflor.log("v", x)', "x = {1: [], 2: []}"),
    "dict.items": loop(
        'for _, v in x.items():\n    v.append(k)\nflor.log("v", x)', "x = {1: [], 2: []}"
    ),
    "zip": loop('for a, b in zip(x, x):\n    a.append(k)\nflor.log("v", x)', "x = [[], []]"),
    "enumerate": loop('for _, a in enumerate(x):\n    a.append(k)\nflor.log("v", x)', "x = [[]]"),
    "sorted": loop(
        'sorted(x, key=len)[0].append(k)\nflor.log("v", x)', "x = [[], [1]]"
    ),
    "min key": loop(
        'min([1, 2], key=key)\nflor.log("v", len(seen))',
        "seen = []\ndef key(v):\n    seen.append(v)\n    return v",
    ),
    "map": loop('list(map(x.append, [k]))\nflor.log("v", x)', "x = []"),
    "map later": loop(
        'next(y)\nflor.log("v", x)',
        "x = []\ndef f(v):\n    x.append(v)\ny = map(f, range(50))",
    ),
    "iter of a function": loop(
        'for v in iter(f, 9):\n    if v > 2:\n        break\nflor.log("v", x)',
        "x = []\nv = 0\ndef f():\n    x.append(v)\n    return v + len(x)",
    ),
    "accumulate": Case(
        "import flor, itertools\nx = 5\n"
        "for k in itertools.accumulate(range(6), lambda a, b: a + b + x):\n    x = x + 1\n"
        "    flor.log('v', k)\n"
    ),
    "key is a partial": loop(
        'y = sorted([2, 1], key=f)\nflor.log("v", x)',
        "import functools\nx = []\ndef g(v, w):\n    x.append(v)\n    return w\n"
        "f = functools.partial(g, 4)",
    ),
    "partial": loop(
        'f()\nflor.log("v", n)',
        "import functools\nn = 0\ndef up():\n    global n\n    n += 1\nf = functools.partial(up)",
    ),
    "partial of a method": loop(
        'f()\nflor.log("v", x)', "import functools\nx = []\nf = functools.partial(x.append, 1)"
    ),
    "setattr": loop(
        'setattr(x, "n", k)\nflor.log("v", k)', BOX + "x = Box()", 'flor.log("e", x.n)'
    ),
    "setattr of a computed name": loop(
        'setattr(x, "nm"[k // 9], k)\nflor.log("v", k)', BOX + "x = Box()", 'flor.log("e", x.n)'
    ),
    "StringIO.write": loop(
        'x.write(str(k))\nflor.log("v", x.getvalue())', "import io\nx = io.StringIO()"
    ),
    # -- statements ----------------------------------------------------------------------------
    "assign": loop('flor.log("v", x)\nx = k', "x = -1", 'flor.log("e", x)'),
    "augmented name": loop('x += k\nflor.log("v", x)', "x = 0"),
    "augmented alias": loop('y += [k]\nflor.log("v", x)', "x = []\ny = x"),
    "augmented in function": loop(
        'grow(x)\nflor.log("v", x)', "x = []\ndef grow(v):\n    v += [1]"
    ),
    "attribute store": loop('x.n = x.n + k\nflor.log("v", x.n)', BOX + "x = Box()"),
    "attribute augmented": loop('x.items += [k]\nflor.log("v", x.items)', BOX + "x = Box()"),
    "subscript store": loop('x[k] = 1\nflor.log("v", x)', "x = {}"),
    "subscript augmented": loop('x[0] += k\nflor.log("v", x)', "x = [0]"),
    "slice store": loop('x[:] = x[1:]\nflor.log("v", x)', "x = list(range(9))"),
    "del item": loop('del x[0]\nflor.log("v", x)', "x = list(range(9))"),
    "del evaluates": loop(
        'del x[pick()]\nflor.log("v", seen)',
        "x, seen = list(range(9)), []\ndef pick():\n    seen.append(1)\n    return 0",
    ),
    "del attribute": loop(
        'flor.log("v", hasattr(x, "n"))\nif k == 2:\n    del x.n', BOX + "x = Box()",
        'flor.log("e", hasattr(x, "n"))',
    ),
    "del name": loop(
        'try:\n    flor.log("v", x)\nexcept NameError:\n    flor.log("v", -1)\n'
        "if k == 2:\n    del x", "x = 3",
    ),
    "tuple target": loop('a, b = b, a + b\nflor.log("v", a)', "a, b = 0, 1"),
    "unpacked alias": loop('a, b = x\na.append(k)\nflor.log("v", x)', "x = ([], [])"),
    "starred target": loop('a, *b = x\nb[0].append(k)\nflor.log("v", x)', "x = ([], [])"),
    "for target": loop(
        'for i in range(k):\n    pass\nflor.log("v", i)', "i = -1",
    ),
    "for target after": Case(
        "import flor\nx = 0\nfor k in range(5):\n    x += 1\n    flor.log('v', x)\n"
        "flor.log('e', k)\n"
    ),
    "nested loop": loop(
        'for i in range(3):\n    x.append(i)\n    flor.log("v", len(x))', "x = []"
    ),
    "live after": loop('x.append(k)\nflor.log("v", k)', "x = []", 'flor.log("e", x)'),
    "rebound live after": loop('x = k * 2\nflor.log("v", k)', "x = 0", 'flor.log("e", x)'),
    "conditional assign": loop(
        'if k == 1:\n    x = k\nflor.log("v", x)', "x = 0",
    ),
    "walrus": loop('if (x := x + 1) > 3:\n    pass\nflor.log("v", x)', "x = 0"),
    "walrus in comprehension": loop(
        'y = [x := x + i for i in range(2)]\nflor.log("v", x)', "x = 0"
    ),
    "walrus skipped": loop(
        'if k < 2 and (x := k) > -1:\n    pass\nflor.log("v", x)', "x = 0"
    ),
    "match capture": loop(
        'match (k, x):\n    case (0 | 3, _):\n        pass\n    case (_, y):\n        pass\n'
        'flor.log("v", y)\nx = k', "x, y = 0, 0",
    ),
    "match alias": loop(
        'match x:\n    case {"a": y}:\n        y.append(k)\nflor.log("v", x)', 'x = {"a": []}'
    ),
    "match attribute": loop(
        'match x:\n    case Box(items=y):\n        y.append(k)\nflor.log("v", x.items)',
        BOX + "x = Box()",
    ),
    "match nested": loop(
        'match x:\n    case [[y, *_]]:\n        y.append(k)\nflor.log("v", x)', "x = [[[]]]"
    ),
    "exception carries": loop(
        'try:\n    raise E(x)\nexcept E as e:\n    e.held.append(k)\nflor.log("v", x)',
        "x = []\nclass E(Exception):\n    def __init__(self, v):\n        self.held = v",
    ),
    "class decorator": loop(
        'table["C"]().up()\nflor.log("v", n)',
        "n, table = 0, {}\ndef register(c):\n    table[c.__name__] = c\n    return c\n"
        "@register\nclass C:\n    def up(self):\n        global n\n        n += 1",
    ),
    "sent": Case(
        "import flor\ndef taking():\n    while True:\n        v = yield\n        v.append(1)\n"
        "x = []\ndef main():\n    for k in range(5):\n        g = taking()\n        next(g)\n"
        "        g.send(x)\n        flor.log('v', x)\nmain()\n"
    ),
    "extended callable": loop(
        'x[0]()\nflor.log("v", n)',
        "n, x = 0, []\ndef up():\n    global n\n    n += 1\nx.extend([up])",
    ),
    "callable in a slice": loop(
        'x[0]()\nflor.log("v", n)',
        "n, x = 0, []\ndef up():\n    global n\n    n += 1\nx[:] = [up]",
    ),
    "callable in an update": loop(
        'x["f"]()\nx["g"]()\nflor.log("v", n)',
        "n, x = 0, {}\ndef up():\n    global n\n    n += 1\nx.update({'f': up}, g=up)",
    ),
    "callable added in place": loop(
        'x[0]()\nflor.log("v", n)',
        "n, x = 0, []\ndef up():\n    global n\n    n += 1\ndef each():\n    yield up\n"
        "x += each()",
    ),
    "stored callable": loop(
        'x["f"]()\nflor.log("v", n)',
        "n, x = 0, {}\ndef up():\n    global n\n    n += 1\nx['f'] = up",
    ),
    "callable attribute": loop(
        'x.f()\nflor.log("v", n)',
        BOX + "n, x = 0, Box()\ndef up():\n    global n\n    n += 1\nx.f = up",
    ),
    "callable returned": loop(
        'pick()()\nflor.log("v", n)',
        "n = 0\ndef up():\n    global n\n    n += 1\ndef pick():\n    return up",
    ),
    "callable in a tuple": loop(
        'f, g = x\nf()\nflor.log("v", n)',
        "n = 0\ndef up():\n    global n\n    n += 1\nx = (up, up)",
    ),
    "callables yielded": loop(
        'for f in each():\n    f()\nflor.log("v", n)',
        "n = 0\ndef up():\n    global n\n    n += 1\ndef each():\n    yield up",
    ),
    "callables joined": loop(
        '([up] + x)[1]()\nflor.log("v", n)',
        "n = 0\ndef up():\n    return 1\ndef more():\n    global n\n    n += 1\nx = [more]",
    ),
    "callable captured by match": loop(
        'match x:\n    case {"a": f}:\n        f()\nflor.log("v", n)',
        "n = 0\ndef up():\n    global n\n    n += 1\nx = {'a': up}",
    ),
    "starred callables": loop(
        'a, *b = x\nb[0]()\nflor.log("v", n)',
        "n = 0\ndef up():\n    global n\n    n += 1\nx = (1, up)",
    ),
    "either callable": loop(
        '(f or up)()\nflor.log("v", n)', "f, n = None, 0\ndef up():\n    global n\n    n += 1"
    ),
    "appended callable": loop(
        'x[0]()\nflor.log("v", n)',
        "n, x = 0, []\ndef up():\n    global n\n    n += 1\nx.append(up)",
    ),
    "exception edge": loop(
        'try:\n    x = k\n    [][k if k == 2 else 0 and 0]\nexcept IndexError:\n'
        '    flor.log("v", x)\nx = -k', "x = 0",
    ),
    "live in handler": loop(
        "try:\n    if k == 3:\n        raise ValueError\n    x = k\nexcept ValueError:\n"
        '    flor.log("h", x)\nflor.log("v", k)', "x = -1",
    ),
    "live in finally": loop(
        "try:\n    if k == 3:\n        continue\n    x = k\nfinally:\n"
        '    flor.log("h", x)\nflor.log("v", k)', "x = -1",
    ),
    "handler name": loop(
        "try:\n    raise ValueError(k)\nexcept ValueError as e:\n    x.append(e.args)\n"
        'flor.log("v", x)', "x = []",
    ),
    "loop else": loop(
        'for i in range(2):\n    if k == 3:\n        break\nelse:\n    x = k\nflor.log("v", x)',
        "x = -1",
    ),
    "break keeps": loop(
        'flor.log("v", k)\nif k == 4:\n    break\nx = k', "x = -1", 'flor.log("e", x)'
    ),
    "with exit": loop(
        'with x:\n    pass\nflor.log("v", x.n)',
        "class C:\n    n = 0\n    def __enter__(self):\n        return self\n"
        "    def __exit__(self, *e):\n        self.n += 1\nx = C()",
    ),
    "with enter": loop(
        'with x as y:\n    y.append(k)\nflor.log("v", x.held)',
        "class C:\n    def __init__(self):\n        self.held = []\n"
        "    def __enter__(self):\n        return self.held\n"
        "    def __exit__(self, *e):\n        pass\nx = C()",
    ),
    "with swallows": loop(
        'with C():\n    if k == 2:\n        raise KeyError\n    x = k\nflor.log("v", x)',
        "class C:\n    def __enter__(self):\n        pass\n"
        "    def __exit__(self, *e):\n        return True\nx = -1",
    ),
    "contextmanager": loop(
        'with held(x):\n    pass\nflor.log("v", x)',
        "import contextlib\n@contextlib.contextmanager\ndef held(v):\n    yield\n    v.append(1)\n"
        "x = []",
    ),
    "global": loop(
        'up()\nflor.log("v", n)', "n = 0\ndef up():\n    global n\n    n += 1"
    ),
    "global deep": loop(
        'outer()\nflor.log("v", n)',
        "n = 0\ndef up():\n    global n\n    n += 1\ndef outer():\n    up()",
    ),
    "nonlocal": loop(
        'flor.log("v", up())',
        "def make():\n    n = 0\n    def up():\n        nonlocal n\n        n += 1\n"
        "        return n\n    return up\nup = make()",
    ),
    "closure object": loop(
        'flor.log("v", up(k))',
        "def make():\n    seen = []\n    def up(v):\n        seen.append(v)\n"
        "        return len(seen)\n    return up\nup = make()",
    ),
    "default argument": loop(
        'flor.log("v", up(k))', "def up(v, seen=[]):\n    seen.append(v)\n    return len(seen)"
    ),
    "keyword default": loop(
        'flor.log("v", up(k))', "def up(v, *, seen=[]):\n    seen.append(v)\n    return len(seen)"
    ),
    "lambda default": loop(
        'up(k)\nflor.log("v", k)', "x = []\nup = lambda v, seen=x: seen.append(v)",
        'flor.log("e", x)',
    ),
    "function attribute": loop(
        'up()\nflor.log("v", up.n)', "def up():\n    up.n += 1\nup.n = 0"
    ),
    "class attribute": loop(
        'Box.made += 1\nflor.log("v", Box.made)', "class Box:\n    made = 0"
    ),
    # -- calls ---------------------------------------------------------------------------------
    "argument": loop('grow(x)\nflor.log("v", x)', "x = []\ndef grow(v):\n    v.append(1)"),
    "keyword argument": loop(
        'grow(v=x)\nflor.log("v", x)', "x = []\ndef grow(v):\n    v.append(1)"
    ),
    "star argument": loop(
        'grow(*y)\nflor.log("v", x)', "x = []\ny = [x]\ndef grow(v):\n    v.append(1)"
    ),
    "star parameter": loop(
        'grow(x)\nflor.log("v", x)', "x = []\ndef grow(*v):\n    v[0].append(1)"
    ),
    "double star": loop(
        'grow(**y)\nflor.log("v", x)', "x = []\ny = {'v': x}\ndef grow(v):\n    v.append(1)"
    ),
    "double star parameter": loop(
        'grow(v=x)\nflor.log("v", x)', "x = []\ndef grow(**v):\n    v['v'].append(1)"
    ),
    "return alias": loop(
        'pick(x).append(k)\nflor.log("v", x)', "x = [[]]\ndef pick(v):\n    return v[0]"
    ),
    "return of several": loop(
        'a, b = pick()\nb.append(k)\nflor.log("v", x)', "x = []\ndef pick():\n    return 1, x"
    ),
    "recursion": loop(
        'dive(2)\nflor.log("v", x)',
        "x = []\ndef dive(n):\n    if n:\n        dive(n - 1)\n    else:\n        x.append(1)",
    ),
    "method": loop('x.bump()\nflor.log("v", x.n)', BOX + "x = Base()"),
    "inherited method": loop('x.bump()\nflor.log("v", x.n)', BOX + "x = Box()"),
    "overridden method": loop('x.bump()\nflor.log("v", x.items)', BOX + "x = Over()"),
    "super method": loop(
        'x.bump()\nflor.log("v", x.n)',
        BOX + "class Sub(Base):\n    def bump(self):\n        super().bump()\nx = Sub()",
    ),
    "bound method": loop('f()\nflor.log("v", x.n)', BOX + "x = Box()\nf = x.bump"),
    "bound library method": loop('f(k)\nflor.log("v", x)', "x = []\nf = x.append"),
    "property": loop(
        'x.p\nflor.log("v", x.n)',
        "class C:\n    n = 0\n    @property\n    def p(self):\n        self.n += 1\nx = C()",
    ),
    "setter": loop(
        'x.p = k\nflor.log("v", x.n)',
        "class C:\n    n = 0\n    @property\n    def p(self):\n        return 1\n"
        "    @p.setter\n    def p(self, v):\n        self.n += v\nx = C()",
    ),
    "classmethod": loop(
        'C.up()\nflor.log("v", C.n)',
        "class C:\n    n = 0\n    @classmethod\n    def up(cls):\n        cls.n += 1",
    ),
    "call": loop(
        'x()\nflor.log("v", x.n)',
        "class C:\n    n = 0\n    def __call__(self):\n        self.n += 1\nx = C()",
    ),
    "getitem": loop(
        'x[0]\nflor.log("v", x.n)',
        "class C:\n    n = 0\n    def __getitem__(self, k):\n        self.n += 1\nx = C()",
    ),
    "setitem": loop(
        'x[0] = k\nflor.log("v", x.n)',
        "class C:\n    n = 0\n    def __setitem__(self, k, v):\n        self.n += v\nx = C()",
    ),
    "contains": loop(
        'k in x\nflor.log("v", x.n)',
        "class C:\n    n = 0\n    def __contains__(self, k):\n        self.n += 1\n"
        "        return True\nx = C()",
    ),
    "bool": loop(
        'y = 1 if x else 2\nflor.log("v", x.n)',
        "class C:\n    n = 0\n    def __bool__(self):\n        self.n += 1\n"
        "        return True\nx = C()",
    ),
    "operator": loop(
        'y = x + 1\nflor.log("v", x.n)',
        "class C:\n    n = 0\n    def __add__(self, k):\n        self.n += k\nx = C()",
    ),
    "in-place operator": loop(
        'x += k\nflor.log("v", n)',
        "n = 0\nclass C:\n    def __iadd__(self, k):\n        global n\n        n += k\n"
        "        return self\nx = C()",
    ),
    "format": loop(
        'y = f"{x}"\nflor.log("v", x.n)',
        "class C:\n    n = 0\n    def __str__(self):\n        self.n += 1\n"
        "        return ''\nx = C()",
    ),
    "constructor": loop(
        'C(k)\nflor.log("v", x)',
        "x = []\nclass C:\n    def __init__(self, v):\n        x.append(v)",
    ),
    "constructor keeps": loop(
        'C(x).held.append(k)\nflor.log("v", x)',
        "x = []\nclass C:\n    def __init__(self, v):\n        self.held = v",
    ),
    "dataclass field": loop(
        'x.held.append(k)\nflor.log("v", x.held)',
        "from dataclasses import dataclass, field\n@dataclass\nclass C:\n"
        "    held: list = field(default_factory=list)\nx = C()",
    ),
    "decorator": loop(
        'f()\nflor.log("v", x)',
        "x = []\ndef deco(g):\n    def outer():\n        x.append(1)\n        return g()\n"
        "    return outer\n@deco\ndef f():\n    pass",
    ),
    "getattr": loop('getattr(x, "bump")()\nflor.log("v", x.n)', BOX + "x = Box()"),
    # -- containers and aliases ----------------------------------------------------------------
    "list element": loop('x[0].append(k)\nflor.log("v", y)', "y = []\nx = [y]"),
    "dict element": loop('x["a"].append(k)\nflor.log("v", y)', "y = []\nx = {'a': y}"),
    "appended element": loop(
        'x[0].append(k)\nflor.log("v", y)', "y = []\nx = []\nx.append(y)"
    ),
    "attribute alias": loop(
        'x.items.append(k)\nflor.log("v", y)', BOX + "y = []\nx = Box()\nx.items = y"
    ),
    "conditional alias": loop(
        '(x if k % 2 else y).append(k)\nflor.log("v", [x, y])', "x, y = [], []"
    ),
    "or alias": loop('(y or x).append(k)\nflor.log("v", x)', "x, y = [], None"),
    "comprehension": loop('[v.append(k) for v in x]\nflor.log("v", x)', "x = [[], []]"),
    "dict comprehension": loop(
        '{i: v.append(k) for i, v in enumerate(x)}\nflor.log("v", x)', "x = [[], []]"
    ),
    "generator expression": loop('sum(f(v) for v in x)\nflor.log("v", x)',
        "x = [[], []]\ndef f(v):\n    v.append(1)\n    return 1"),
    "starred display": loop('[*x][0].append(k)\nflor.log("v", x)', "x = [[], []]"),
    "slice alias": loop('x[:1][0].append(k)\nflor.log("v", x)', "x = [[], []]"),
    "list sum": loop('(x + y)[0].append(k)\nflor.log("v", x)', "x, y = [[]], [[]]"),
    "names swap": loop('x, y = y, x\nx.append(k)\nflor.log("v", z)', "x, y = [], []\nz = [x, y]"),
    "element taken over": loop(
        'y = x[k % 3]\nflor.log("v", k)', "x = [[], [], []]\ny = None",
        'y.append(1)\nflor.log("e", x)',
    ),
    "taken over by is": loop(
        'if k == 2:\n    y = x[1]\nflor.log("v", k)', "x = [[], [], []]\ny = None",
        'flor.log("e", [y is v for v in x])',
    ),
    "moved between containers": loop(
        'y.append(x.pop())\nflor.log("v", [len(x), len(y)])',
        "x = [[i] for i in range(9)]\ny = []\nz = list(x)",
        'y[0].append(1)\nflor.log("e", z)',
    ),
    # -- what isn't jumped into ----------------------------------------------------------------
    "generator depends": Case(
        "import flor\nx, ticks = [5], 0\ndef items():\n    n = 0\n    for i in range(6):\n"
        "        n += x[0]\n        yield n\nfor k in items():\n    ticks = ticks + 1\n    x[0] += 1\n"
        "    flor.log('v', k)\n"
    ),
    "generator depends on the frame": Case(
        "import flor\nx = 5\ndef items():\n    n = 0\n    for i in range(6):\n        n += x\n"
        "        yield n\nfor k in items():\n    x = x + 1\n    flor.log('v', k)\n"
    ),
    "iterator class depends": Case(
        "import flor\nx = 5\nclass C:\n    n = 0\n    def __iter__(self):\n        return self\n"
        "    def __next__(self):\n        self.n += x\n        return self.n\nfor k in C():\n"
        "    x = x + 1\n    flor.log('v', k)\n    if x > 9:\n        break\n"
    ),
    "goes through a lost list": Case(
        "import flor\nx, y = [1] * 9, 0\nfor v in x:\n    y += v\n    x[-1] = y\n    if y == 4:\n"
        "        x = list(x)\n    flor.log('v', [v, y])\nflor.log('e', y)\n"
    ),
    "two iterators by turns": loop(
        'a = next(y)\nb = next(x) if k % 2 else 0\nflor.log("v", [a, b, next(y) if k % 3 else 0])',
        "import itertools\nx = iter(range(50))\ny = itertools.pairwise(x)",
    ),
    "cached": loop(
        'flor.log("v", f(k // 2))',
        "import functools\nn = 0\n@functools.lru_cache\ndef f(v):\n    global n\n    n += 1\n    return n",
    ),
    "exec": loop('exec("x = x + 1")\nflor.log("v", x)', "x = 0"),
    "only a function leads there": loop(
        'flor.log("v", [f(k) for f in x])',
        "def make():\n    seen = []\n    def up(v):\n        seen.append(v)\n        return len(seen)\n"
        "    return up\nx = [make(), make()]",
    ),
    # -- regions -------------------------------------------------------------------------------
    "region assigns a global": loop(
        'sample()\nflor.log("v", n)',
        "n = 0\ndef sample():\n    global n\n    n += 1\n    random.random()",
    ),
    "region changes an argument": loop(
        'sample(x)\nflor.log("v", len(x))', "x = []\ndef sample(v):\n    v.append(random.random())"
    ),
    "region returns an alias": loop(
        'y = sample()\ny.append(k)\nflor.log("v", x)',
        "x = []\ndef sample():\n    random.random()\n    return x",
    ),
    "region advances": loop(
        'sample(x)\nflor.log("v", next(x))',
        "x = iter(range(50))\ndef sample(v):\n    next(v)\n    random.random()",
    ),
    "region sets": loop(
        'sample()\nflor.log("v", str(torch.zeros(1).dtype))',
        "import torch\ndef sample():\n    torch.set_default_dtype(torch.float64)\n    torch.rand(1)",
        "torch.set_default_dtype(torch.float32)",
    ),
    # -- names that are bound several times, and read elsewhere ----------------------------------
    "rebound alias": loop(
        'y = a\nif k % 2:\n    y = b\ny.append(k)\nflor.log("v", [a, b])', "a, b = [], []"
    ),
    "captured": loop('flor.log("v", look())\nx = k', "x = -1\ndef look():\n    return x"),
    "read at the end of an object": loop(
        "if k == 3:\n    c = None\nx = k",
        "x = -1\nclass C:\n    def __del__(self):\n        flor.log('d', x)\nc = C()",
    ),
    "inner loop runs not once": Case(
        "import flor\nx, y = [], -1\nfor k in range(6):\n    for i in range(k % 3):\n"
        "        x.append(i)\n        y = i\n    flor.log('v', y)\n    x.append(y)\nflor.log('e', x)\n"
    ),
    # -- saved or recomputed ---------------------------------------------------------------------
    "recomputed": loop('flor.log("v", y)\nx = x + k\ny = [x] * 3', "x = 0\ny = [0]"),
    "operand assigned later": loop('flor.log("v", y)\ny = [x] * 3\nx = x + k', "x = 0\ny = [0]"),
    "operand changed later": loop(
        'flor.log("v", y)\ny = x * 1\nx.append(k)', "x = [1]\ny = []"
    ),
    "recomputed by a draw": loop(
        'flor.log("v", y)\ny = [random.random()] * 3', "random.seed(2)\ny = []", rng=("python",)
    ),
    # -- objects ---------------------------------------------------------------------------------
    "several of one site": loop(
        'y.items.append(k)\nflor.log("v", [x.items, y.items])',
        BOX + "def make():\n    return Box()\nx, y = make(), make()",
    ),
    "bound method of no name": loop('flor.log("v", up())', BOX + "up = Box().bump"),
    "unknown call": loop(
        'ElementTree.SubElement(x, "a")\nflor.log("v", len(x))',
        "from xml.etree import ElementTree\nx = ElementTree.Element('r')",
    ),
    "gradient read": loop(
        'g = net[0].weight.grad\nflor.log("g", 0 if g is None else float(g.sum()))\n'
        "((net(inputs) - targets) ** 2).mean().backward()",
        TORCH,
    ),
    "gradients of one of two": loop(
        "optimizers[k % 2].zero_grad()\n"
        "loss = sum(((n(inputs) - targets) ** 2).mean() for n in nets)\nloss.backward()\n"
        'if k % 3 == 2:\n    optimizers[0].step()\nflor.log("loss", loss.item())\n'
        'flor.log("g", [float(n.weight.grad.sum()) for n in nets])',
        TORCH + "nets = [nn.Linear(3, 2) for _ in range(2)]\n"
        "optimizers = [torch.optim.SGD(n.parameters(), lr=0.1) for n in nets]\n",
    ),
    # -- iterators -----------------------------------------------------------------------------
    "iterator": loop('flor.log("v", next(x))', "x = iter(range(20))"),
    "iterator in for": loop(
        'for v in x:\n    flor.log("v", v)\n    break', "x = iter(range(20))"
    ),
    "generator": loop(
        'flor.log("v", next(x))',
        "def numbers():\n    for i in range(20):\n        yield i\nx = numbers()",
    ),
    "generator effects": loop(
        'for v in numbers():\n    pass\nflor.log("v", seen)',
        "seen = []\ndef numbers():\n    yield 1\n    seen.append(1)\n",
    ),
    "generator yields alias": loop(
        'for v in each():\n    v.append(k)\nflor.log("v", x)',
        "x = [[], []]\ndef each():\n    for v in x:\n        yield v",
    ),
    "yield from": loop(
        'for v in each():\n    v.append(k)\nflor.log("v", x)',
        "x = [[], []]\ndef each():\n    yield from x",
    ),
    "iterator class": loop(
        'for v in x:\n    break\nflor.log("v", v)',
        "class C:\n    n = 0\n    def __iter__(self):\n        return self\n"
        "    def __next__(self):\n        self.n += 1\n        return self.n\nx = C()",
    ),
    "unpacked iterator": loop('a, b = (next(x), next(x))\nflor.log("v", b)', "x = iter(range(50))"),
    "zip of iterator": Case(
        "import flor\nx = iter(range(50))\nfor k, v in zip(range(5), x):\n"
        "    flor.log('v', v)\nflor.log('e', next(x))\n"
    ),
    "while": Case(
        "import flor\nx, n = [], 0\nwhile n < 5:\n    n += 1\n    x.append(n)\n"
        "    flor.log('v', x)\n"
    ),
    "loop in function": Case(
        "import flor\nx = []\ndef main():\n    n = 0\n    for k in range(5):\n        n += k\n"
        "        x.append(n)\n        flor.log('v', [n, x])\n    return n\nflor.log('e', main())\n"
    ),
    "loop in method": Case(
        "import flor\nclass T:\n    def __init__(self):\n        self.n = 0\n    def run(self):\n"
        "        for k in range(5):\n            self.step()\n            flor.log('v', self.n)\n"
        "    def step(self):\n        self.n += 1\nT().run()\n"
    ),
}  # fmt: skip
