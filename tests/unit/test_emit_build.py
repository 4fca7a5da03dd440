"""The build folder: contents, freshness, encodings, several processes at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from emission import compilation

from florc.emit.build import (
    Build,
    assemble,
    build_dir,
    fresh_build,
    is_stale,
    same_text,
    text_hash,
    write,
)
from florc.emit.load import code_for
from florc.plan import load

TEXT = "for epoch in range(3):\n    step()\n"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text(TEXT)
    return path


def made(script: Path, text: str = TEXT) -> Build:
    return assemble(compilation(text, script.parent, script.name))


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_contents(script: Path) -> None:
    build = made(script)
    folder = write(build, script.parent, script)
    assert folder == build_dir(script.parent)
    cache = next(name for name in files(folder) if name.startswith("cache/"))
    assert files(folder) == {
        "plan.json",
        "stamp.json",
        ".lock",
        "record/train.py",
        "replay/train.py",
        cache,
    }
    assert (folder / "record/train.py").read_text() == build.record["train.py"]
    assert (script.parent / ".flor/.gitignore").read_text() == "*\n"
    plan = load(folder / "plan.json")
    assert plan == build.plan and plan.modules[0].emitted and plan.modules[0].source_map
    assert fresh_build(script.parent, script) == build
    assert code_for(build.record["train.py"], plan.modules[0].source_map, str(script))
    mode = (folder / "plan.json").stat().st_mode & 0o777
    probe = script.parent / "probe"
    probe.touch()
    assert mode == probe.stat().st_mode & 0o777


def test_nothing_to_emit(script: Path) -> None:
    script.write_text("a = 1\n")
    build = made(script, "a = 1\n")
    folder = write(build, script.parent, script)
    assert not (folder / "record").exists() and build.record == {}
    assert build.plan.modules[0].emitted is False
    assert fresh_build(script.parent, script) == build


def test_staleness(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = script.parent
    effects = root / "effects.toml"
    effects.write_text("")
    assert is_stale(root, script) and fresh_build(root, script) is None
    folder = write(made(script), root, script)
    assert not is_stale(root, script)
    assert is_stale(root, script, effects=[effects])
    assert is_stale(root, script, module="train")
    write(made(script), root, script, effects=[effects])
    assert not is_stale(root, script, effects=[effects])
    effects.write_text("# changed")
    assert is_stale(root, script, effects=[effects])
    effects.unlink()
    assert is_stale(root, script, effects=[effects])
    # The folder holds the other build now, though the cache of this one is fresh.
    assert is_stale(root, script) and fresh_build(root, script)
    write(made(script), root, script)
    (folder / "record/train.py").write_text("tampered")
    assert is_stale(root, script) and fresh_build(root, script)
    write(made(script), root, script)
    assert not is_stale(root, script)
    script.write_text(TEXT + "# more\n")
    assert is_stale(root, script) and fresh_build(root, script) is None
    script.write_text(TEXT)
    assert not is_stale(root, script)
    monkeypatch.setattr("florc.__version__", "9.9.9")
    assert is_stale(root, script)


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"layout": 1}'])
def test_damaged_files_are_stale(script: Path, damage: str) -> None:
    root = script.parent
    folder = write(made(script), root, script)
    cache = next((folder / "cache").iterdir())
    good = cache.read_text()
    cache.write_text(damage)
    assert is_stale(root, script) and fresh_build(root, script) is None
    cache.write_text(good)
    (folder / "stamp.json").write_text(damage)
    assert is_stale(root, script)
    write(made(script), root, script)
    assert not is_stale(root, script)
    data = json.loads(good)
    data["plan"] = {}
    cache.write_text(json.dumps(data))
    assert fresh_build(root, script) is None


def test_files_of_an_earlier_build_go(script: Path) -> None:
    root = script.parent
    build = made(script)
    more = {**build.record, "pkg/deep/mod.py": "x = 1\n"}
    folder = write(replace(build, record=more, replay=more), root, script)
    assert (folder / "replay/pkg/deep/mod.py").exists()
    foreign = folder / "record" / "pkg" / "notes.txt"
    foreign.write_text("mine")
    write(build, root, script)
    assert files(folder / "record") == {"train.py", "pkg/notes.txt"}
    assert files(folder / "replay") == {"train.py"} and not (folder / "replay/pkg").exists()


def test_unchanged_files_are_not_written_again(script: Path) -> None:
    folder = write(made(script), script.parent, script)
    path = folder / "record/train.py"
    os.utime(path, (1, 1))
    write(made(script), script.parent, script)
    assert path.stat().st_mtime == 1


def test_out_folder(script: Path, tmp_path: Path) -> None:
    out = tmp_path / "elsewhere"
    write(made(script), script.parent, script, directory=out)
    assert not (script.parent / ".flor").exists() and (out / "record/train.py").exists()
    assert not is_stale(script.parent, script, directory=out)
    assert is_stale(script.parent, script)


@pytest.mark.parametrize(
    ("head", "encoding"),
    [("# -*- coding: latin-1 -*-\n", "latin-1"), ("", "utf-8-sig"), ("", "utf-8")],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_encodings(script: Path, head: str, encoding: str, newline: str) -> None:
    text = f"{head}é = 'ü'\n{TEXT}".replace("\n", newline)
    script.write_bytes(text.encode(encoding))
    folder = write(made(script, text), script.parent, script)
    raw = (folder / "record/train.py").read_bytes()
    decoded = raw.decode(encoding)
    assert raw.startswith(b"\xef\xbb\xbf") == (encoding == "utf-8-sig")
    assert "é = 'ü'" in decoded and decoded.count("\n") == text.count("\n") + 1
    assert "\n" not in decoded.replace(newline, "")
    assert not is_stale(script.parent, script)
    assert same_text(script, text_hash(text))
    compile(raw, "train.py", "exec")


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, {unit!r})
from test_emit_build import made
from florc.emit.build import fresh_build, write
script = Path(sys.argv[1])
text = script.read_text()
build = made(script, text)
for _ in range(15):
    write(build, script.parent, script)
    assert fresh_build(script.parent, script) == build
"""


def test_processes_building_at_once(tmp_path: Path) -> None:
    scripts = []
    for name in ("a.py", "b.py"):
        script = tmp_path / name
        script.write_text(f"for {name[0]} in range(3): pass\n")
        scripts.append(script)
    code = WRITER.format(unit=str(Path(__file__).parent))
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(script)], stderr=subprocess.PIPE)
        for script in scripts * 2
    ]
    for process in processes:
        assert process.wait(120) == 0, process.stderr.read().decode()
    folder = build_dir(tmp_path)
    assert len([s for s in scripts if not is_stale(tmp_path, s)]) == 1
    assert len(files(folder / "record")) == 1
    assert not [name for name in files(folder) if name.endswith(".tmp")]
    assert all(fresh_build(tmp_path, script) for script in scripts)


def test_checking_is_light_and_fast(script: Path) -> None:
    write(made(script), script.parent, script)
    code = (
        "import sys, time\nstart = time.process_time()\nfrom pathlib import Path\n"
        "from florc.emit.build import fresh_build, is_stale\nfrom florc.emit.load import code_for\n"
        f"root, script = Path({str(script.parent)!r}), Path({str(script)!r})\n"
        "assert not is_stale(root, script) and fresh_build(root, script)\n"
        "heavy = {'libcst', 'networkx', 'torch', 'numpy', 'rich', 'sqlglot'} & set(sys.modules)\n"
        "assert not heavy, heavy\nprint(time.process_time() - start)\n"
    )
    best = min(
        float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)
        for _ in range(3)
    )
    assert best < 0.1
    start = time.process_time()
    assert not is_stale(script.parent, script)
    assert time.process_time() - start < 0.1
