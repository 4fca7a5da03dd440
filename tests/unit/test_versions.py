"""Versions of a project: commits that git's user doesn't notice, and the way back."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flor.runtime.errors import FlorError
from flor.runtime.record.version import VersionKeeper
from flor.runtime.store import Store
from flor.runtime.versions import command, git, listing, snapshot
from flor.runtime.versions.contents import entries_of, of_run, read_blobs
from flor.runtime.versions.settings import limits_of


def run_git(root: Path, *words: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "protocol.file.allow=always")
    done = subprocess.run(
        ["git", "--no-optional-locks", *identity, *words],
        cwd=root, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout


def make_repository(root: Path) -> Path:
    root.mkdir(parents=True)
    run_git(root, "init", "-q", "-b", "work")
    (root / "train.py").write_text("x = 1\n")
    (root / ".gitignore").write_text("data/\n")
    run_git(root, "add", ".")
    run_git(root, "commit", "-qm", "first")
    return root


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a change, a staged change, a stash, untracked and ignored files."""
    root = make_repository(tmp_path / "r")
    (root / "train.py").write_text("x = 9\n")
    run_git(root, "stash")
    (root / "staged.py").write_text("staged\n")
    run_git(root, "add", "staged.py")
    (root / "staged.py").write_text("staged, then changed\n")
    (root / "train.py").write_text("x = 2\n")
    (root / "new.yaml").write_text("lr: 1\n")
    (root / "data").mkdir()
    (root / "data" / "big.bin").write_text("ignored\n")
    return root


def state(root: Path) -> dict[str, str]:
    """All that belongs to the user in a repository: everything but objects and our refs."""
    folder = Path(run_git(root, "rev-parse", "--absolute-git-dir").strip())
    found = {"status": run_git(root, "status", "--porcelain", "--untracked-files=all")}
    refs = run_git(root, "for-each-ref").splitlines()
    found["refs"] = "\n".join(line for line in refs if "\trefs/flor/" not in line)
    found["stash"] = run_git(root, "stash", "list")
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not name.startswith(("objects/", "refs/flor", "packed-refs")):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def contents(place: git.Repository, commit: str) -> dict[str, bytes]:
    entries = entries_of(place, commit)
    blobs = read_blobs(place, {entry.oid for entry in entries.values()})
    return {path: blobs[entry.oid] for path, entry in entries.items()}


def kept(root: Path, *must: str) -> tuple[snapshot.Kept, dict[str, bytes]]:
    """Take and keep a version; what was kept, and what git says is in it."""
    (root / ".flor").mkdir(exist_ok=True)
    (root / ".flor" / ".gitignore").write_text("*\n")
    result = snapshot.take(root, must).keep()
    private = result.place == "private"
    place = git.private(root, create=False) if private else git.users(root)
    assert place.run("rev-parse", f"{git.REFS}{result.commit}^{{tree}}").decode().strip() == (
        result.tree
    )
    place.run("fsck", "--strict", "--no-dangling")
    return result, contents(place, result.commit)


def test_all_files_but_ignored_ones_and_nothing_of_the_users_changes(repository: Path) -> None:
    hooks = repository / ".git" / "hooks"
    for name in ("reference-transaction", "pre-commit", "post-commit", "post-index-change"):
        (hooks / name).write_text("#!/bin/sh\necho ran >> hook-ran; exit 1\n")
        (hooks / name).chmod(0o755)
    run_git(repository, "config", "core.logAllRefUpdates", "always")
    before = state(repository)
    result, files = kept(repository)
    assert files == {
        ".gitignore": b"data/\n",
        "new.yaml": b"lr: 1\n",
        "staged.py": b"staged, then changed\n",
        "train.py": b"x = 2\n",
    }
    assert state(repository) == before
    assert result.place == "git" and result.files == 4 and result.subject == "first"
    assert not list((repository / ".git").rglob("refs/flor/*.lock"))


def test_the_same_files_are_the_same_commit_and_survive_a_pruning(repository: Path) -> None:
    first, _ = kept(repository)
    again, _ = kept(repository)
    assert again == first
    (repository / "train.py").write_text("x = 3\n")
    second, _ = kept(repository)
    assert second.commit != first.commit
    refs = run_git(repository, "for-each-ref", "--format=%(refname)", "refs/flor").split()
    assert sorted(refs) == sorted(git.REFS + one.commit for one in (first, second))
    run_git(repository, "stash", "clear")
    run_git(repository, "gc", "-q", "--prune=now")
    assert contents(git.users(repository), first.commit)["train.py"] == b"x = 2\n"
    (repository / "train.py").write_text("x = 2\n")
    assert kept(repository)[0] == first
    other = repository.parent / "elsewhere.git"
    run_git(repository.parent, "init", "-q", "--bare", str(other))
    run_git(repository, "push", "-q", "--all", str(other))
    assert run_git(other, "for-each-ref", "refs/flor") == ""


def test_modes_links_and_odd_names(repository: Path) -> None:
    odd = 'quo"te\\and\nline.py'
    (repository / odd).write_text("odd\n")
    raw = os.fsdecode(b"latin-\xe4.py")
    (repository / raw).write_text("latin\n")
    (repository / "run.sh").write_text("#!/bin/sh\n")
    (repository / "run.sh").chmod(0o755)
    os.symlink("train.py", repository / "link.py")
    os.symlink("nowhere", repository / "broken")
    (repository / "empty").write_text("")
    (repository / "dos.py").write_bytes(b"a = 1\r\nb = 2\r\n")
    (repository / ".gitattributes").write_text("* text=auto eol=lf\n")
    os.mkfifo(repository / "pipe")
    result, files = kept(repository)
    assert files[odd] == b"odd\n" and files[raw] == b"latin\n" and files["empty"] == b""
    assert files["dos.py"] == b"a = 1\r\nb = 2\r\n"  # as it is, whatever git would make of it
    assert files["link.py"] == b"train.py" and files["broken"] == b"nowhere"
    modes = {p: e.mode for p, e in entries_of(git.users(repository), result.commit).items()}
    assert modes["run.sh"] == "100755" and modes["link.py"] == "120000" == modes["broken"]
    assert "pipe" not in files


def test_a_project_in_a_folder_of_a_repository(repository: Path) -> None:
    inner = repository / "sub" / "project"
    inner.mkdir(parents=True)
    (inner / "fit.py").write_text("fit\n")
    result, files = kept(inner)
    assert files == {"fit.py": b"fit\n"} and result.place == "git"
    assert run_git(repository, "for-each-ref", "--format=%(refname)", "refs/flor").strip()


def test_a_folder_that_the_repository_ignores(repository: Path) -> None:
    inner = repository / "data" / "project"
    inner.mkdir()
    (inner / "fit.py").write_text("fit\n")
    result, files = kept(inner)
    assert files == {"fit.py": b"fit\n"} and result.place == "private"
    assert "ignores" in result.note
    assert run_git(repository, "for-each-ref", "refs/flor") == ""


def test_modules_that_are_ignored_belong_to_it_all_the_same(repository: Path) -> None:
    (repository / "data" / "generated.py").write_text("g = 1\n")
    _, files = kept(repository, "data/generated.py", "no-such-file.py")
    assert files["data/generated.py"] == b"g = 1\n" and "data/big.bin" not in files


def test_a_linked_worktree(repository: Path) -> None:
    tree = repository.parent / "linked"
    run_git(repository, "worktree", "add", "-q", "--detach", str(tree))
    (tree / "train.py").write_text("in the worktree\n")
    before = state(repository)
    result, files = kept(tree)
    assert files["train.py"] == b"in the worktree\n" and result.place == "git"
    assert state(repository) == before
    run_git(repository, "worktree", "remove", "--force", str(tree))
    run_git(repository, "gc", "-q", "--prune=now")
    assert contents(git.users(repository), result.commit)["train.py"] == b"in the worktree\n"


def test_a_repository_apart_from_its_checkout(tmp_path: Path) -> None:
    root = make_repository(tmp_path / "made")
    run_git(root, "init", "-q", "--separate-git-dir", str(tmp_path / "apart.git"))
    assert (root / ".git").is_file()
    assert kept(root)[1]["train.py"] == b"x = 1\n"


def test_a_worktree_of_a_bare_repository(repository: Path) -> None:
    bare = repository.parent / "bare.git"
    run_git(repository.parent, "clone", "-q", "--bare", str(repository), str(bare))
    tree = repository.parent / "checkout"
    run_git(bare, "worktree", "add", "-q", str(tree), "work")
    (tree / "more.py").write_text("more\n")
    result, files = kept(tree)
    assert files["more.py"] == b"more\n" and result.place == "git"
    assert git.REFS + result.commit in run_git(bare, "for-each-ref")


def test_a_repository_of_sha256(tmp_path: Path) -> None:
    root = tmp_path / "r"
    root.mkdir()
    run_git(root, "init", "-q", "--object-format=sha256")
    (root / "train.py").write_text("x = 1\n")
    (root / "sub").mkdir()
    (root / "sub" / "a.py").write_text("y = 1\n")
    result, files = kept(root)  # a repository without a commit, too
    assert len(result.commit) == 64 and sorted(files) == ["sub/a.py", "train.py"]
    (root / ".git" / "objects").rename(root / ".git" / "objects.gone")
    (root / ".git" / "objects").write_text("")
    again = snapshot.take(root, ()).keep()
    assert again.place == "private" and len(again.commit) == 40
    place = git.private(root, create=False)
    assert contents(place, again.commit)["sub/a.py"] == b"y = 1\n"


def test_submodules_and_repositories_inside(repository: Path) -> None:
    library = make_repository(repository.parent / "library")
    run_git(repository, "submodule", "--quiet", "add", str(library), "libs/one")
    (repository / "libs" / "one" / "train.py").write_text("changed in the submodule\n")
    (repository / "libs" / "one" / "data").mkdir()
    (repository / "libs" / "one" / "data" / "ignored.bin").write_text("ignored there\n")
    make_repository(repository / "vendored")
    before = state(repository)
    result, files = kept(repository)
    assert files["libs/one/train.py"] == b"changed in the submodule\n"
    assert files["vendored/train.py"] == b"x = 1\n" and ".gitmodules" in files
    assert not [path for path in files if "ignored" in path or "/.git/" in path]
    head = run_git(library, "rev-parse", "HEAD").strip()
    assert result.submodules["libs/one"] == head and len(result.submodules["vendored"]) == 40
    assert state(repository) == before
    run_git(repository, "submodule", "--quiet", "deinit", "-f", "libs/one")
    result, files = kept(repository)
    assert "libs/one/train.py" not in files and result.submodules["libs/one"] == head


def test_without_a_repository(tmp_path: Path) -> None:
    root = tmp_path / "plain"
    (root / ".venv" / "lib").mkdir(parents=True)
    (root / ".venv" / "pyvenv.cfg").write_text("")
    (root / ".venv" / "lib" / "x.py").write_text("")
    (root / "__pycache__").mkdir()
    (root / "__pycache__" / "fit.pyc").write_text("")
    (root / "fit.py").write_text("fit\n")
    result, files = kept(root)
    assert files == {"fit.py": b"fit\n"} and result.place == "private"
    assert sorted(os.listdir(root)) == [".flor", ".venv", "__pycache__", "fit.py"]


def test_a_repository_that_git_does_not_accept(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # as if it were somebody else's
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    (repository / ".flor").mkdir()
    result = snapshot.take(repository, ()).keep()
    assert result.place == "private" and "ownership" in result.note
    files = contents(git.private(repository, create=False), result.commit)
    assert files["train.py"] == b"x = 2\n" and "data/big.bin" not in files


@pytest.mark.parametrize("broken", ["HEAD", "index", "objects"])
def test_a_damaged_repository(repository: Path, broken: str) -> None:
    place = repository / ".git" / broken
    if broken == "objects":  # it can be listed, but nothing can be written
        place.rename(place.with_name("objects.gone"))
        place.write_text("")
    else:
        place.write_text("damaged\n")
    (repository / ".flor").mkdir()
    result = snapshot.take(repository, ()).keep()
    assert result.place == "private"
    files = contents(git.private(repository, create=False), result.commit)
    assert files["train.py"] == b"x = 2\n"
    assert not list((repository / ".git").glob("fast_import_crash*"))


def test_without_git(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))
    with pytest.raises(git.GitError, match="not installed"):
        snapshot.take(repository, ())
    notes: list[str] = []
    keeper = VersionKeeper(repository, notes.append)
    keeper.look([repository / "train.py"])
    keeper.keep(1)
    keeper.close(1.0)
    assert not notes


def test_what_a_hook_of_the_users_sets_misleads_nobody(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_INDEX_FILE", str(repository / "other-index"))
    assert kept(repository)[1]["train.py"] == b"x = 2\n"
    assert not (repository / "other-index").exists()


ONE = """
import sys
from pathlib import Path
from flor.runtime.versions.snapshot import take
root, path, text = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
sys.stdin.read(1)
(root / path).write_text(text)
print(take(root, [path]).keep().commit)
"""


@pytest.mark.parametrize("inside", [True, False])
def test_ten_at_once(repository: Path, inside: bool) -> None:
    root = repository if inside else repository.parent / "plain"
    (root / ".flor").mkdir(parents=True)
    (root / ".flor" / ".gitignore").write_text("*\n")
    before = state(repository)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ONE, str(root), f"data/v{n}.py", f"version {n}\n"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(10)
    ]
    (root / "data").mkdir(exist_ok=True)
    answers = [process.communicate("x")[0].strip() for process in processes]
    place = git.users(root) if inside else git.private(root, create=False)
    for n, commit in enumerate(answers):
        assert contents(place, git.REFS + commit)[f"data/v{n}.py"] == f"version {n}\n".encode()
    assert state(repository) == before
    leftover = [name for name in os.listdir(root / ".flor") if name.startswith(".versions.git")]
    assert not leftover


def test_large_files_are_left_out_and_named(repository: Path) -> None:
    (repository / "weights.pt").write_bytes(b"w" * 5000)
    (repository / "more.bin").write_bytes(b"m" * 900)
    (repository / "train.py").write_text("#" * 3000)
    (repository / "tracked.bin").write_bytes(b"t" * 4000)
    run_git(repository, "add", "tracked.bin")
    run_git(repository, "commit", "-qm", "a large one")
    limits = listing.Limits(file=2000, total=3500)
    taken = snapshot.take(repository, ["train.py"], limits)
    assert set(taken.listing.left_out) == {"weights.pt", "more.bin"}
    assert taken.listing.left_out["weights.pt"][0] == 5000
    result = taken.keep()
    files = contents(git.users(repository), result.commit)
    assert "tracked.bin" in files and len(files["train.py"]) == 3000
    line = snapshot.left_out_message(result.left_out, limits)
    assert "weights.pt (0.0 MB), more.bin (0.0 MB)" in line and "version-file-mb" in line
    assert not snapshot.left_out_message({}, limits)
    (repository / "tracked.bin").write_bytes(b"u" * 4000)  # git hasn't got this one
    assert "tracked.bin" in snapshot.take(repository, (), limits).listing.left_out


def test_limits_are_a_setting(tmp_path: Path) -> None:
    assert limits_of(tmp_path) == listing.Limits()
    setting = tmp_path / "pyproject.toml"
    setting.write_text("[tool.florc]\nversion-file-mb = 0.5\n")
    assert limits_of(tmp_path) == listing.Limits(500_000, listing.TOTAL_LIMIT)
    setting.write_text("[tool.florc]\nversion-file-mb = 'many'\n")
    assert limits_of(tmp_path) == listing.Limits()
    setting.write_text("[tool.florc\nversion-file-mb = 1")
    assert limits_of(tmp_path) == listing.Limits()


def test_a_look_reads_only_what_changed(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repository / ".flor").mkdir()
    old = time.time_ns() - 10_000_000_000
    monkeypatch.setattr(listing, "_RACY_NS", -(10**12))  # as if all files were old
    first = snapshot.take(repository, ())
    assert len(first.listing.contents) == 4
    assert not snapshot.take(repository, ()).listing.contents
    (repository / "train.py").write_text("x = 5\n")
    os.utime(repository / "train.py", ns=(old, old))
    third = snapshot.take(repository, ())
    assert list(third.listing.contents.values()) == [b"x = 5\n"]
    monkeypatch.setattr(listing, "_RACY_NS", 10**15)  # as if all were being written
    (repository / ".flor" / "versions.json").unlink()
    for _ in range(2):
        assert len(snapshot.take(repository, ()).listing.contents) == 4
    (repository / ".flor" / "versions.json").write_text("{broken")
    assert snapshot.take(repository, ()).tree == third.tree


def test_objects_that_a_repository_lost_are_sent_again(repository: Path) -> None:
    first, _ = kept(repository)
    run_git(repository, "update-ref", "-d", git.REFS + first.commit)
    run_git(repository, "gc", "-q", "--prune=now")
    assert kept(repository)[0] == first


# -- runs, and the commands ---------------------------------------------------------------------


def begin(root: Path, text: str) -> int:
    """A run of a script with this text, as far as its version goes."""
    (root / "train.py").write_text(text)
    keeper = VersionKeeper(root, print)
    with Store.open(root, create=True) as store:
        version = store.put_version({"train.py": text})
        (root / ".flor" / ".gitignore").write_text("*\n")
        keeper.look([root / "train.py"])
        run = store.begin_run({"script": "train.py", "version": version})
    keeper.keep(run)
    keeper.close(10.0)
    return run


def options(root: Path, **more: object) -> argparse.Namespace:
    return argparse.Namespace(**{"root": str(root), "format": "json", **more})


def test_versions_are_listed(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("a = 1\n", "a = 1\n", "a = 2\n"):
        begin(repository, text)
    (repository / "new.yaml").unlink()
    begin(repository, "a = 1\n")
    assert command.versions(options(repository)) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["runs"] for row in rows] == [[1, 2], [3], [4]]
    assert [row["changed"] for row in rows] == [
        None,
        [{"path": "train.py", "change": "M"}],
        [{"path": "train.py", "change": "M"}, {"path": "new.yaml", "change": "D"}],
    ]
    assert rows[0]["version"] == rows[2]["version"] and rows[0]["message"] == "first"
    assert command.versions(options(repository, format="table")) == 0
    assert "1-2" in capsys.readouterr().out
    assert command.diff(options(repository, old="1", new="last", format="table")) == 0
    out = capsys.readouterr().out
    assert "deleted file" in out and "-lr: 1" in out and "train.py" not in out
    assert command.diff(options(repository, old="2", new="3")) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["path"] == "train.py" and "-a = 1\n+a = 2\n" in row["diff"]


def test_a_large_version_is_kept_in_the_background(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flor.runtime.record.version.AT_ONCE", 0)
    run = begin(repository, "a = 1\n")
    with Store.open(repository) as store:
        assert of_run(store, store.run(run)).read(["train.py"]) == {"train.py": b"a = 1\n"}


def test_checkout(repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begin(repository, "a = 1\n")
    begin(repository, "a = 2\n")
    place = tmp_path / "out"
    assert command.checkout(options(repository, run="1", folder=str(place))) == 0
    assert (place / "train.py").read_text() == "a = 1\n"
    assert (place / "new.yaml").exists() and not (place / "data").exists()
    assert "4 files" in capsys.readouterr().out
    with pytest.raises(FlorError, match="is not empty") as refused:
        command.checkout(options(repository, run="1", folder=str(place)))
    assert refused.value.code == 2


def test_without_a_snapshot_the_texts_are_there(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Store.open(repository, create=True) as store:
        version = store.put_version({"train.py": "s = 'ä'\n"})
        store.begin_run({"script": "train.py", "version": version})
        store.begin_run({"script": "train.py"})
    assert command.checkout(options(repository, run="1", folder=str(tmp_path / "out"))) == 0
    assert (tmp_path / "out" / "train.py").read_text() == "s = 'ä'\n"
    assert "only the modules" in capsys.readouterr().err
    with pytest.raises(FlorError, match="not kept"):
        command.checkout(options(repository, run="2", folder=str(tmp_path / "none")))


def test_the_text_that_was_compiled_counts(repository: Path) -> None:
    """Should somebody have saved the file between the compilation and the look."""
    run = begin(repository, "a = 1\n")
    with Store.open(repository) as store:
        row = store.run(run)
        version = of_run(store, row)
        version.texts = {"train.py": "a = 0\n"}
        assert version.read(["train.py"]) == {"train.py": b"a = 0\n"}
