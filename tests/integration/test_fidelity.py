"""A recorded script sees the world of a plain one: paths, names, tracebacks, workers, modules."""

from __future__ import annotations

import json
from pathlib import Path

import harness
import pytest

LOOK_ROUND = '''\
"""Prints what a script can see of itself."""
from __future__ import annotations

import inspect
import os
import pickle
import sys
import traceback
import warnings
from dataclasses import dataclass


@dataclass
class State:
    weight: float = 1.0
    best: State | None = None


class Model:
    """A model."""

    def __init__(self):
        self.state = State()

    def update(self, x):
        # a comment that getsource shows
        self.state.weight -= 0.1 * x
        return self.state.weight


def main():
    model = Model()
    for epoch in range(4):
        for x in (0.1, 0.2):
            value = model.update(x)
        if epoch == 1:
            warnings.warn("half way")
            print(sys._getframe().f_lineno, inspect.currentframe().f_code.co_filename)
            print(traceback.extract_stack()[-2:])
        print(f"{epoch=} {value:.3f}")
    return model


print(__doc__)
print(__name__, __file__, os.path.abspath(__file__), __package__, __spec__)
print(sys.argv, sys.path[0], os.getcwd(), len(sys.path) == len(set(sys.path)))
print(sys.modules["__main__"].__dict__ is globals(), sys.flags.optimize)
print(inspect.getsource(main))
print(inspect.getsource(Model))
print(inspect.getsourcefile(Model), inspect.getsourcelines(Model.update)[1])
print(main.__code__.co_filename, main.__code__.co_firstlineno, main.__module__)
model = main()
copy = pickle.loads(pickle.dumps(model))
print(type(copy).__module__, type(copy) is Model, copy.state)
print(sorted(name for name in globals() if not name.startswith("__")))
print(main.__code__.co_varnames[:4], "flor" in sys.modules)
try:
    open(__file__).read().index("flor_abi")
except ValueError:
    print("the file is the author's")
'''

NESTED_ERROR = """\
import helper


def train(n):
    total = 0.0
    for epoch in range(n):
        for i, x in enumerate([1.0,
                               2.0]):
            total += helper.scale(
                x,
                epoch,
            )
        print("epoch", epoch, total)
    return total


if __name__ == "__main__":
    train(5)
"""

HELPER = """\
import warnings

state = {"calls": 0}


def scale(x, epoch):
    state["calls"] += 1
    if epoch == 1:
        warnings.warn("large", stacklevel=2)
    for attempt in range(2):
        if epoch == 3:
            raise RuntimeError("scale") from ZeroDivisionError("of nothing")
    return x * epoch
"""

PACKAGE = {
    "pyproject.toml": "",  # the project's root is here, not in pkg/
    "pkg/__init__.py": "print('package', __name__)\n",
    "pkg/train.py": """\
import sys
from . import steps
from .steps import Model
import pkg

def main():
    model = Model()
    for epoch in range(3):
        loss = steps.run(model)
        print(epoch, loss)
    return 0

if __name__ == "__main__":
    print(__name__, __package__, __spec__.name, __file__)
    print(sys.argv, sys.path[0], Model.__module__, pkg.steps is steps)
    sys.exit(main() or 4)
""",
    "pkg/steps.py": """\
class Model:
    def __init__(self):
        self.w = 2.0

def run(model):
    loss = 0.0
    for x in (0.5, 0.25):
        model.w -= x * model.w
        loss += model.w
    return loss
""",
}

WORKERS = """\
import multiprocessing as mp
import os
import sys

import torch
from torch.utils.data import DataLoader, Dataset

torch.set_num_threads(1)


class Squares(Dataset):
    def __len__(self):
        return 12

    def __getitem__(self, i):
        name = __name__.replace("__mp_main__", "__main__")
        return torch.tensor([float(i) ** 2]), torch.rand(1), name


class Net(torch.nn.Linear):
    pass


def main(context):
    torch.manual_seed(3)
    model = Net(1, 1)
    opt = torch.optim.SGD(model.parameters(), lr=1e-4)
    loader = DataLoader(Squares(), batch_size=4, shuffle=True, num_workers=2,
                        multiprocessing_context=context, persistent_workers=True)
    for epoch in range(3):
        for x, r, name in loader:
            loss = (model(x) - r).pow(2).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
        print(epoch, loss.item(), set(name))


if __name__ == "__main__":
    main(sys.argv[1])
"""

POOL = """\
import multiprocessing as mp
import sys

shared = {"calls": 0}


def square(x):
    shared["calls"] += 1
    return x * x, __name__ in ("__main__", "__mp_main__")


def train(context):
    weight = 1.0
    with mp.get_context(context).Pool(2) as pool:
        for epoch in range(3):
            parts = pool.map(square, [weight, epoch, 3])
            weight -= 0.01 * sum(p for p, _ in parts)
            print(epoch, weight, all(ok for _, ok in parts), shared)


if __name__ == "__main__":
    train(sys.argv[1])
"""

LATE = """\
import atexit
import sys
import threading

done = []


def background():
    for i in range(3):
        done.append(i)


def train():
    w = 1.0
    for epoch in range(3):
        worker = threading.Thread(target=background)
        worker.start()
        worker.join()
        w *= 0.5
        print(epoch, w, len(done))


atexit.register(print, "at exit", done)
sys.setrecursionlimit(2000)
train()
assert globals()["__builtins__"] is not None
line = sys.stdin.readline()
print(repr(line), sys.stdout.isatty())
"""


def write(folder: Path, files: dict[str, str]) -> None:
    """Put `files` below `folder`."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def compare(folder: Path, files: dict[str, str], argv: list[str]) -> harness.Result:
    """Run plain and recorded in the same folder; equal in everything but our own lines."""
    write(folder, files)
    wanted = harness.plain(argv, folder)
    got = harness.record(argv, folder)
    assert got.out == wanted.out, got
    assert harness.only_ours(got.err) == wanted.err.splitlines(), got
    assert got.code == wanted.code, got
    assert got.files == wanted.files
    assert len(harness.runs(folder)) == 1, "one run, however many processes"
    return got


def test_what_a_script_sees_of_itself(tmp_path: Path) -> None:
    """__file__, __name__, argv, path, getsource, pickle, line numbers, warnings' place."""
    # what the emitted import binds, and flor in sys.modules, may show: both are left out
    text = LOOK_ROUND.replace(
        'if not name.startswith("__")', 'if not name.startswith(("__", "flor"))'
    ).replace('"flor" in sys.modules', "True")
    result = compare(tmp_path, {"train.py": text}, ["train.py", "--x", "1 2", ""])
    line = next(n for n, each in enumerate(text.splitlines(), 1) if "half way" in each)
    assert f"train.py:{line}: UserWarning: half way" in result.err


def test_in_a_folder_with_an_absolute_path(tmp_path: Path) -> None:
    """An absolute script path: sys.path[0] and __file__ are absolute too."""
    text = LOOK_ROUND.replace(
        'if not name.startswith("__")', 'if not name.startswith(("__", "flor"))'
    ).replace('"flor" in sys.modules', "True")
    harness.git(tmp_path, "init", "-q")  # a repository without a commit
    compare(tmp_path, {"src/train.py": text}, [str(tmp_path / "src" / "train.py")])


def test_tracebacks_and_warnings(tmp_path: Path) -> None:
    """The traceback over two modules, with its cause, is the plain one to the character."""
    files = {"train.py": NESTED_ERROR, "helper.py": HELPER}
    result = compare(tmp_path, files, ["train.py"])
    assert result.code == 1
    assert 'train.py", line 9, in train' in result.err
    assert "train.py:9: UserWarning: large" in result.err


def test_threads_exit_handlers_and_input(tmp_path: Path) -> None:
    """Threads, atexit, standard input and __builtins__ are as always."""
    compare(tmp_path, {"train.py": LATE}, ["train.py"])


def test_module_run_with_relative_imports(tmp_path: Path) -> None:
    """`-m pkg.train`: package, spec, sys.path[0], argv[0], exit code."""
    result = compare(tmp_path, PACKAGE, ["-m", "pkg.train", "--lr", "1"])
    assert result.code == 4


def test_package_main(tmp_path: Path) -> None:
    """`-m pkg` runs pkg/__main__.py."""
    files = {**PACKAGE, "pkg/__main__.py": PACKAGE["pkg/train.py"]}
    compare(tmp_path, files, ["-m", "pkg"])


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_loader_workers(tmp_path: Path, context: str) -> None:
    """DataLoader workers import the script as they would; the numbers are the same."""
    compare(tmp_path, {"train.py": WORKERS}, ["train.py", context])


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_multiprocessing(tmp_path: Path, context: str) -> None:
    """A pool in the script; no worker records anything."""
    compare(tmp_path, {"train.py": POOL}, ["train.py", context])


def test_replay_keeps_the_place_of_an_error(tmp_path: Path) -> None:
    """An added statement that raises: its own file and line, exit code not 0, nothing stored."""
    write(tmp_path, {"train.py": "w = 1.0\nfor epoch in range(6):\n    w *= 0.9\nprint(w)\n"})
    assert harness.record(["train.py"], tmp_path).code == 0
    edited = (
        "import flor\nw = 1.0\nfor epoch in range(6):\n    w *= 0.9\n"
        "    flor.log('bad', 1 / (epoch - 4))\nprint(w)\n"
    )
    (tmp_path / "train.py").write_text(edited)
    sql = "SELECT epoch, bad FROM logs WHERE epoch = 4"
    result = harness.flor(tmp_path, "replay", "--yes", "--format", "json", sql)
    assert result.code in (1, 2), result
    assert "train.py" in result.err and "5" in result.err and "ZeroDivisionError" in result.err
    sql = "SELECT epoch, bad FROM logs WHERE epoch = 2"
    result = harness.flor(tmp_path, "replay", "--yes", "--format", "json", sql)
    assert result.code == 0, result
    assert json.loads(result.out) == [{"epoch": 2, "bad": -0.5}]


def test_outside_a_recording(tmp_path: Path) -> None:
    """With the real flor, `log`, `arg` and `loop` hand their value back in a plain run."""
    write(
        tmp_path,
        {
            "train.py": (
                "import sys, flor\n"
                "lr = flor.arg('lr', 0.5)\n"
                "for i in flor.loop('i', range(3)):\n"
                "    assert flor.log('x', lr * i) == lr * i\n"
                "heavy = ('torch', 'numpy', 'pandas', 'libcst')\n"
                "print(lr, [name for name in heavy if name in sys.modules])\n"
            )
        },
    )
    result = harness.execute([harness.sys.executable, "train.py"], tmp_path)
    assert (result.code, result.out, result.err) == (0, "0.5 []\n", ""), result
    assert not (tmp_path / ".flor").exists()
