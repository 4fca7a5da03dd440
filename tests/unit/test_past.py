"""An older version's code and files: imported, laid out, taken away; folders that go again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from flor.runtime.places import Moved
from flor.runtime.replay import packages
from flor.runtime.replay.laid import LaidOut
from flor.runtime.replay.overlay.layers import Layers
from flor.runtime.replay.overlay.past import PastSources
from flor.runtime.replay.prepare import mismatch, renamed_script
from flor.runtime.replay.work import mentioned
from flor.runtime.store.rows import Run
from flor.runtime.ui.numbers import spans
from flor.runtime.versions.contents import Version
from flor.runtime.versions.worktrees import SCRATCH, Workplace, clean
from florc.plan import LoopPlan, Plan

RUNTIME = Path(__file__).parents[2] / "runtime"


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(textwrap.dedent(text))
    return folder


OLD = {
    "same.py": "from lib import here\nimport space.inner\n",
    "lib/__init__.py": "here = __file__, __spec__.origin\n",
    "space/inner.py": "X = 'old'\n",
    "gone.py": "X = 'old'\n",
}
NEW = {
    "same.py": "raise RuntimeError\n",
    "lib/__init__.py": "raise RuntimeError\n",
    "space/other.py": "X = 'new'\n",
    "space/built.py": "X = 'built'\n",
    "added.py": "X = 'new'\n",
    "generated.py": "X = 'ignored by git'\n",
    "added_package/__init__.py": "",
}
TRY = """
import importlib, inspect, os, sys
sys.path.insert(0, {runtime!r})
from flor.runtime.replay.overlay.past import PastSources, install
root = {root!r}
sys.path.insert(0, root)
hidden = ["added.py", "space/other.py", "added_package/__init__.py"]
install(PastSources(root, {folder!r}, hidden))
import same, gone, json, generated
import space.inner, space.built
assert same.here == (root + "/lib/__init__.py",) * 2, same.here
assert same.__file__ == root + "/same.py" and gone.X == space.inner.X == "old"
assert list(sys.modules["lib"].__path__) == [root + "/lib"]
assert sys.modules["space"].__spec__.origin is None
assert generated.X == "ignored by git" and space.built.X == "built"
assert "from lib" in same.__loader__.get_source("same")
assert json.__file__.startswith(os.path.dirname(os.__file__))
for name in ("added", "space.other", "added_package", "nowhere"):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        assert error.name == name, error.name
    else:
        raise AssertionError(name)
assert importlib.reload(gone).X == "old"
"""


def test_modules_of_the_old_version(tmp_path: Path) -> None:
    root, folder = write(tmp_path / "root", NEW), write(tmp_path / "old", OLD)
    code = TRY.format(runtime=str(RUNTIME), root=str(root), folder=str(folder))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_child_runs_the_old_script(tmp_path: Path) -> None:
    root = write(tmp_path / "root", {"tool.py": "", "today.py": ""})
    folder = write(tmp_path / "old", {"tool.py": "", "sub/gone.py": ""})
    past = PastSources(str(root), str(folder), [])
    python, place = sys.executable, os.path.realpath(folder)
    assert past.command([python, "-B", "tool.py", "x"], root) == [
        python, "-B", f"{place}/tool.py", "x"
    ]  # fmt: skip
    assert past.command(("python3", "gone.py"), root / "sub")[1] == f"{place}/sub/gone.py"
    for same in (
        [python, "today.py"], [python, "-m", "tool"], [python, "-c", "tool.py"], "python tool.py",
        ["git", "tool.py"], [python], [python, str(tmp_path / "tool.py")],
    ):  # fmt: skip
        assert past.command(same, root) is same


def test_loops_have_to_be_those_of_the_recording() -> None:
    def plan(*loops: tuple[str, str, str]) -> Plan:
        made = tuple(
            LoopPlan(id, name, "train.py", 3, "", kind, True, None, (), "item", None)
            for id, name, kind in loops
        )
        return Plan("train.py", (), made, ())

    recorded = plan(("a", "epoch", "for"), ("b", "step", "for"))
    more = plan(("c", "p", "for"), ("a", "epoch", "for"), ("b", "step", "for"))
    assert mismatch(recorded, recorded) == "" == mismatch(recorded, more)
    for other in (plan(("a", "epoch", "for")), plan(("a", "epoch", "for"), ("b", "i", "for"))):
        assert "other loops" in mismatch(recorded, other) and "`step`" in mismatch(recorded, other)


def test_a_module_of_a_library_comes_first_if_its_folder_does(tmp_path: Path) -> None:
    root = write(tmp_path / "root", {"tool.py": "X = 'new'\n"})
    folder = write(tmp_path / "old", {"tool.py": "X = 'old'\n"})
    library = write(tmp_path / "library", {"tool.py": "X = 'library'\n"})
    code = (
        "import sys\n"
        f"sys.path.insert(0, {str(RUNTIME)!r})\n"
        "from flor.runtime.replay.overlay.past import PastSources, install\n"
        f"sys.path[:0] = [{str(library)!r}, {str(root)!r}]\n"
        f"install(PastSources({str(root)!r}, {str(folder)!r}, []))\n"
        "import tool; assert tool.X == 'library'\n"
        "del sys.modules['tool'], sys.path[0]\n"
        "import tool; assert tool.X == 'old'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_laid_out_and_taken_away(tmp_path: Path) -> None:
    """After a jump, what the run may have written is as it is today, but for what we changed."""
    root = write(tmp_path / "root", {"a.txt": "new", "b.txt": "new", "c.txt": "new", "x.py": ""})
    names = ("a.txt", "b.txt", "c.txt", "d.txt", "x.py", "missing.txt")
    folder = write(tmp_path / "old", {n: "old" for n in names if n != "missing.txt"})
    scratch = tmp_path / "scratch"
    laid = LaidOut(root, scratch, folder, names)
    upper = Path(f"{os.path.realpath(scratch)}/files{os.path.realpath(root)}")
    assert sorted(os.listdir(upper)) == sorted(n for n in names if n != "missing.txt")
    started = time.time() - 100
    os.utime(root / "b.txt", (started - 50, started - 50))
    (upper / "c.txt").write_text("changed by the replay")
    laid.take_away(started, ())
    assert sorted(os.listdir(upper)) == ["b.txt", "c.txt", "x.py"]


def layers(tmp_path: Path, known: dict[str, tuple[int, int, str | None]], ended: float) -> Layers:
    said: list[str] = []
    found = Layers(str(tmp_path / "scratch"), (), 1000.0, said.append, known, ended)
    found.said = said  # type: ignore[attr-defined]
    return found


@pytest.mark.parametrize(
    ("size", "when", "text", "stale"),
    [
        (3, 500.0, "one", False),  # as it was
        (3, 500.5, "one", False),  # touched before the run: the hash says that it is the same
        (3, 3000.0, "one", False),  # touched after the run
        (3, 1500.0, "one", True),  # written while the run went on, by it perhaps
        (3, 3000.0, "two", True),
        (4, 3000.0, "four", True),
        (3, 400.0, "two", True),  # an older file in its place
    ],
)
def test_an_input_is_what_the_run_read(
    tmp_path: Path, size: int, when: float, text: str, stale: bool
) -> None:
    import xxhash

    file = write(tmp_path, {"in.txt": text}) / "in.txt"
    os.utime(file, (when, when))
    path = os.path.realpath(file)
    known = {path: (3, 500 * 10**9, xxhash.xxh3_128_hexdigest(b"one"))}
    place = layers(tmp_path, known, 2000.0)
    place.note_read(path)
    assert bool(place.said) is stale  # type: ignore[attr-defined]
    unfinished = layers(tmp_path / "other", known, 0.0)
    unfinished.note_read(path)
    assert bool(unfinished.said) is (when != 500.0)  # type: ignore[attr-defined]


def test_workplaces_go(tmp_path: Path) -> None:
    with Workplace(tmp_path) as place:
        assert not (tmp_path / ".flor").exists()
        tree, scratch = place.tree(), place.scratch()
        assert (tree / ".flor").is_dir() and scratch.name.startswith(SCRATCH)
        (scratch / "locked").mkdir(mode=0o500)
        clean(tmp_path)  # another command of somebody's
        assert tree.exists() and scratch.exists()
        first = place.scratch()
        place.free(first)
        assert not first.exists()
    assert not scratch.exists() and os.listdir(tmp_path / ".flor") == []


KILLED = """
import os, sys
sys.path.insert(0, {runtime!r})
from pathlib import Path
from flor.runtime.versions.worktrees import Workplace
place = Workplace(Path({root!r})).__enter__()
print(place.tree(), place.scratch(), flush=True)
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    code = KILLED.format(runtime=str(RUNTIME), root=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    tree, scratch = map(Path, done.stdout.split())
    assert done.returncode == -9 and tree.exists() and scratch.exists()
    foreign = tmp_path / "precious"
    foreign.mkdir()
    os.symlink(foreign, tree.parent / "scratch" / "precious")  # no scratch of ours
    (tmp_path / ".flor" / "worktrees" / ".new-999999999-x").mkdir()
    elsewhere = tmp_path / ".flor" / "worktrees" / "far"
    elsewhere.mkdir()
    facts = {"host": "another-host", "pid": 1, "id": None}
    (elsewhere / "owner").write_text(json.dumps(facts))
    clean(tmp_path)
    assert not tree.exists() and not scratch.exists() and foreign.exists()
    assert os.listdir(tmp_path / ".flor" / "worktrees") == ["far"]


def test_which_packages_differ() -> None:
    texts = {"a.py": "import pytest, os\nfrom numpy import x\nfrom . import y\n", "b": "for for"}
    assert packages.imported(texts.values()) == {"pytest", "numpy"}
    now = packages.environment.packages()
    python = packages.platform.python_version()
    same = Run(1, packages={"pytest": now["pytest"], "other": "1"}, python=python)
    assert packages.differences(same, texts) == ""
    differs = Run(1, packages={"pytest": "0.1", "numpy": "0.2"}, python="3.1")
    line = packages.differences(differs, {"a.py": "import pytest, no_such_module"})
    assert f"Python 3.1 (now {python}), pytest 0.1 (now {now['pytest']})" in line
    assert "numpy" not in line


def test_a_script_of_another_name(tmp_path: Path) -> None:
    body = "".join(f"line_{n} = {n}\n" for n in range(20))
    root = write(tmp_path, {"fit.py": body + "more = 1\n", "util.py": "u = 1\n", "a.txt": body})
    paths = ["util.py", "fit.py", "a.txt", "none.py"]
    version = Version({"train.py": body, "util.py": "u = 1\n"})
    assert renamed_script(root, "train.py", version, paths) == "fit.py"
    assert renamed_script(root, "other.py", version, paths) is None
    assert renamed_script(root, "train.py", version, ["util.py"]) is None
    had = Version({"train.py": body, "fit.py": body + "more = 1\n"})
    assert renamed_script(root, "train.py", had, paths) is None  # it was there beside it
    had = Version({"train.py": body, "fit.py": "something = 'else'\n"})
    assert renamed_script(root, "train.py", had, paths) == "fit.py"


def test_small_things(tmp_path: Path) -> None:
    assert mentioned("SELECT Loss, x FROM logs", {"loss", "acc", None}) == {"loss"}
    assert mentioned("SELECT * FROM logs", {"loss"}) is None
    assert spans([1, 2, 3, 7, 9, 10]) == "1-3, 7, 9-10" and spans([4]) == "4"
    now = os.path.realpath(tmp_path)
    moved = Moved("/was/here", tmp_path)
    assert moved.path("/was/here/a/b") == f"{now}/a/b" and moved.path("/was/here") == now
    assert moved.path("/was/hereafter") == "/was/hereafter"
    assert Moved(None, tmp_path).path("/x/y") == "/x/y"
