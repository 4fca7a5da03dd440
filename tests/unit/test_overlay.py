"""The overlay with the standard library: what scripts do with files, seen and not done."""

# ruff: noqa: E501  (scripts and cases are data)
from __future__ import annotations

from pathlib import Path

import pytest
from overlay_help import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_write_then_read_and_list(project: Project) -> None:
    project.run("""
        with open("out.txt", "w") as stream:
            assert stream.name == "out.txt"
            stream.write("hello")
        assert open("out.txt").read() == "hello"
        assert Path("out.txt").read_text() == "hello"
        assert os.path.exists("out.txt") and os.path.isfile("out.txt")
        assert os.path.getsize("out.txt") == 5
        assert sorted(os.listdir(".")) == ["data", "flink.txt", "link", "log.txt", "out.txt"]
        assert sorted(os.listdir()) == sorted(p.name for p in Path(".").iterdir())
        assert overlay.written() == [os.path.abspath("out.txt")]
        assert not os.path.exists(os.path.join("data", "out.txt"))
    """)
    assert not (project.root / "out.txt").exists()


def test_overwrite_append_update(project: Project) -> None:
    project.run("""
        open("data/a.txt", "w").write("new")
        assert open("data/a.txt").read() == "new"
        open("log.txt", "a").write("line 2\\n")
        assert open("log.txt").read() == "line 1\\nline 2\\n"
        with open("data/b.txt", "r+b") as stream:
            stream.seek(1)
            stream.write(b"E")
        assert open("data/b.txt").read() == "bEta\\n"
        assert sorted(os.listdir("data")) == ["a.txt", "b.txt", "deep"]
        with open("data/deep/c.txt", "w+") as stream:
            assert stream.read() == ""
    """)


def test_exclusive_creation(project: Project) -> None:
    project.run("""
        try:
            open("log.txt", "x")
        except FileExistsError as error:
            assert error.filename == "log.txt"
        else:
            raise SystemExit("not refused")
        open("new.txt", "x").write("1")
        try:
            open("new.txt", "x")
        except FileExistsError as error:
            assert error.filename == "new.txt", error.filename
        else:
            raise SystemExit("not refused")
        os.remove("log.txt")
        open("log.txt", "x").write("2")
        assert open("log.txt").read() == "2"
        Path("log.txt").touch(); Path("t").touch()
        try:
            Path("t").touch(exist_ok=False)
        except FileExistsError:
            pass
        else:
            raise SystemExit("not refused")
    """)


def test_remove_hides(project: Project) -> None:
    project.run("""
        os.remove("data/a.txt")
        assert not os.path.exists("data/a.txt")
        assert os.listdir("data") != [] and "a.txt" not in os.listdir("data")
        assert [e.name for e in os.scandir("data") if e.is_file()] == ["b.txt"]
        try:
            open("data/a.txt")
        except FileNotFoundError as error:
            assert error.filename == "data/a.txt", error.filename
        else:
            raise SystemExit("still there")
        try:
            os.remove("data/a.txt")
        except FileNotFoundError:
            pass
        Path("data/b.txt").unlink()
        Path("data/b.txt").unlink(missing_ok=True)
        assert os.listdir("data") == ["deep"]
        open("data/a.txt", "w").write("back")
        assert sorted(os.listdir("data")) == ["a.txt", "deep"]
        assert open("data/a.txt").read() == "back"
        os.remove("data/a.txt")
        assert os.listdir("data") == ["deep"]
    """)


def test_rename_and_replace(project: Project) -> None:
    project.run("""
        os.rename("data/a.txt", "moved.txt")
        assert open("moved.txt").read() == "alpha\\n" and not os.path.exists("data/a.txt")
        open("ckpt.tmp", "w").write("state")
        os.replace("ckpt.tmp", "log.txt")
        assert open("log.txt").read() == "state" and not os.path.exists("ckpt.tmp")
        Path("data/b.txt").rename("data/z.txt")
        assert sorted(os.listdir("data")) == ["deep", "z.txt"]
        os.rename("data", "data2")
        assert sorted(os.listdir("data2")) == ["deep", "z.txt"]
        assert open("data2/deep/c.txt").read() == "gamma\\n"
        assert not os.path.exists("data") and not os.path.exists("data/deep/c.txt")
        os.makedirs("data/deep")
        assert os.listdir("data/deep") == []
        for bad in (("nothing", "x"), ("moved.txt", "data2"), ("data2", "moved.txt")):
            try:
                os.rename(*bad)
            except OSError as error:
                assert error.filename == bad[0] and error.filename2 == bad[1]
            else:
                raise SystemExit(f"{bad} worked")
    """)


def test_folders(project: Project) -> None:
    project.run("""
        os.makedirs("runs/exp/weights")
        os.makedirs("runs/exp/weights", exist_ok=True)
        Path("runs/exp2").mkdir(parents=True)
        Path("data").mkdir(exist_ok=True)
        for path in ("data", "runs"):
            try:
                os.mkdir(path)
            except FileExistsError as error:
                assert error.filename == path
            else:
                raise SystemExit("made twice")
        try:
            os.mkdir("no/where")
        except FileNotFoundError:
            pass
        try:
            open("no/where.txt", "w")
        except FileNotFoundError as error:
            assert error.filename == "no/where.txt"
        open("data/deep/new.txt", "w").write("1")
        assert sorted(os.listdir("data/deep")) == ["c.txt", "new.txt"]
        try:
            os.rmdir("data/deep")
        except OSError as error:
            assert error.errno == 39
        else:
            raise SystemExit("removed a full folder")
        os.remove("data/deep/new.txt"); os.remove("data/deep/c.txt"); os.rmdir("data/deep")
        assert not os.path.isdir("data/deep")
        os.removedirs("runs/exp/weights")
        assert os.listdir("runs") == ["exp2"]
    """)


def test_walk_glob_rglob(project: Project) -> None:
    project.run("""
        import glob
        open("data/deep/d.txt", "w").write("1")
        os.remove("data/a.txt")
        assert sorted(glob.glob("data/**/*.txt", recursive=True)) == [
            "data/b.txt", "data/deep/c.txt", "data/deep/d.txt"]
        assert sorted(map(str, Path("data").rglob("*.txt"))) == [
            "data/b.txt", "data/deep/c.txt", "data/deep/d.txt"]
        assert sorted(p.name for p in Path("data").glob("*")) == ["b.txt", "deep"]
        found = [(r, sorted(d), sorted(f)) for r, d, f in os.walk("data")]
        assert found == [("data", ["deep"], ["b.txt"]), ("data/deep", [], ["c.txt", "d.txt"])]
        assert glob.glob(os.path.abspath("data/deep/*.txt")) and glob.glob(b"data/deep/d*") == [b"data/deep/d.txt"]
        assert sorted(os.listdir(b"data")) == [b"b.txt", b"deep"]
        names = {e.name: (e.is_dir(), e.is_file(), e.path) for e in os.scandir("data")}
        assert names == {"b.txt": (False, True, "data/b.txt"), "deep": (True, False, "data/deep")}
    """)


def test_shutil(project: Project) -> None:
    project.run("""
        import shutil
        shutil.copy("log.txt", "copy.txt")
        shutil.copy2("log.txt", "data/copy.txt")
        assert open("copy.txt").read() == open("data/copy.txt").read() == "line 1\\n"
        assert abs(os.stat("data/copy.txt").st_mtime - os.stat("log.txt").st_mtime) < 1e-3
        shutil.copytree("data", "data_copy")
        assert sorted(os.listdir("data_copy")) == ["a.txt", "b.txt", "copy.txt", "deep"]
        shutil.move("data/a.txt", "data_copy/moved.txt")
        assert open("data_copy/moved.txt").read() == "alpha\\n" and not os.path.exists("data/a.txt")
        shutil.rmtree("data")
        assert not os.path.exists("data")
        os.makedirs("data")
        assert os.listdir("data") == [] and not os.path.exists("data/b.txt")
        shutil.rmtree("data_copy")
        assert not os.path.exists("data_copy")
        shutil.make_archive("packed", "zip", ".", "log.txt")
        import zipfile
        assert zipfile.ZipFile("packed.zip").read("log.txt") == b"line 1\\n"
        shutil.unpack_archive("packed.zip", "unpacked")
        assert open("unpacked/log.txt").read() == "line 1\\n"
        assert shutil.disk_usage(".").total > 0
    """)


def test_links(project: Project) -> None:
    project.run("""
        open("link/a.txt", "w").write("through")
        assert open("data/a.txt").read() == "through" == open("link/a.txt").read()
        assert os.path.islink("link") and os.path.islink("flink.txt")
        open("flink.txt", "a").write("line 2\\n")
        assert open("log.txt").read() == "line 1\\nline 2\\n" and os.path.islink("flink.txt")
        os.makedirs("runs/1"); os.symlink("1", "runs/latest")
        open("runs/latest/x", "w").write("x")
        assert os.listdir("runs/1") == ["x"] and os.readlink("runs/latest") == "1"
        assert os.path.realpath("runs/latest") == os.path.abspath("runs/1")
        assert Path("runs/latest").resolve() == Path("runs/1").absolute()
        os.remove("runs/latest"); os.mkdir("runs/2"); os.symlink(os.path.abspath("runs/2"), "runs/latest")
        assert os.listdir("runs/latest") == [] and os.readlink("runs/latest") == os.path.abspath("runs/2")
        os.unlink("link")
        assert not os.path.lexists("link") and os.path.exists("data/b.txt")
        os.symlink("nowhere", "dangling")
        assert os.path.lexists("dangling") and not os.path.exists("dangling")
        os.symlink("loop2", "loop1"); os.symlink("loop1", "loop2")
        try:
            open("loop1")
        except OSError as error:
            assert error.errno == 40, error
        else:
            raise SystemExit("followed a loop")
        os.link("log.txt", "hard.txt")
        open("hard.txt", "a").write("!")
        assert open("log.txt").read().endswith("!") and os.stat("log.txt").st_nlink == 2
        assert os.path.samefile("log.txt", "hard.txt")
        open("data/../data/deep/../up.txt", "w").write("u")
        assert open("data/up.txt").read() == "u"
    """)


def test_metadata(project: Project) -> None:
    project.run("""
        os.chmod("log.txt", 0o600); os.utime("data/a.txt", (5, 5)); os.truncate("data/b.txt", 2)
        assert os.stat("log.txt").st_mode & 0o777 == 0o600
        assert os.stat("data/a.txt").st_mtime == 5 and open("data/b.txt").read() == "be"
        os.utime("data", (7, 7)); os.chmod("data", 0o700)
        assert sorted(os.listdir("data")) == ["a.txt", "b.txt", "deep"]
        with open("log.txt") as stream:
            os.fchmod(stream.fileno(), 0o640)
        with open("data/deep/c.txt") as stream:
            os.fchmod(stream.fileno(), 0o640); os.utime(stream.fileno(), (9, 9))
        assert os.stat("data/deep/c.txt").st_mode & 0o777 == 0o640
        assert os.access("log.txt", os.R_OK) and not os.access("nothing", os.R_OK)
        os.chown("link", os.getuid(), os.getgid(), follow_symlinks=False)
    """)


def test_current_folder(project: Project) -> None:
    project.run("""
        here = os.getcwd()
        os.chdir("data")
        open("n.txt", "w").write("n")
        assert sorted(os.listdir()) == ["a.txt", "b.txt", "deep", "n.txt"]
        os.chdir(here); os.mkdir("fresh"); os.chdir("fresh")
        assert os.getcwd() == here + "/fresh" == str(Path.cwd()) and os.path.abspath("x") == here + "/fresh/x"
        open("in.txt", "w").write("i")
        assert os.listdir(".") == ["in.txt"] and os.path.exists(here + "/fresh/in.txt")
        assert open("../log.txt").read() == "line 1\\n" and open("in.txt").read() == "i"
        os.chdir("..")
        assert os.getcwd() == here
    """)


def test_os_open_and_descriptors(project: Project) -> None:
    project.run("""
        fd = os.open("log.txt", os.O_RDWR | os.O_APPEND)
        os.write(fd, b"x"); os.close(fd)
        assert open("log.txt").read() == "line 1\\nx"
        folder = os.open("data", os.O_RDONLY)
        fd = os.open("q.txt", os.O_WRONLY | os.O_CREAT, dir_fd=folder)
        os.write(fd, b"q"); os.close(fd)
        assert os.stat("q.txt", dir_fd=folder).st_size == 1
        assert sorted(os.listdir(folder)) == ["a.txt", "b.txt", "deep", "q.txt"]
        assert sorted(e.name for e in os.scandir(folder)) == ["a.txt", "b.txt", "deep", "q.txt"]
        os.unlink("q.txt", dir_fd=folder); os.fsync(folder)
        assert not os.path.exists("data/q.txt")
        assert [sorted(f) for _, _, f, _ in os.fwalk("data")] == [["a.txt", "b.txt"], ["c.txt"]]
        import fcntl
        with open("a.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
        with open(os.open("via.txt", os.O_WRONLY | os.O_CREAT), "w") as stream:
            stream.write("v")
        def opener(path, flags):
            return os.open(path, flags, 0o600)
        with open("op.txt", "w", opener=opener) as stream:
            stream.write("o")
        assert open("op.txt").read() == "o" and os.stat("op.txt").st_mode & 0o777 == 0o600
    """)


def test_kernel_files_and_allowed(project: Project, tmp_path: Path) -> None:
    (tmp_path / "allowed").mkdir()
    project.run(
        f"""
        open(os.devnull, "w").write("x"); open("/dev/stderr", "w").write("")
        assert "Name" in open("/proc/self/status").read() and os.path.exists("/proc/self/fd/0")
        open({str(tmp_path / "allowed" / "x")!r}, "w").write("1")
        open({str(tmp_path / "other")!r}, "w").write("1")
        from multiprocessing import shared_memory
        block = shared_memory.SharedMemory(create=True, size=8); block.close(); block.unlink()
        """,
        allow=(str(tmp_path / "allowed"),),
    )
    assert (tmp_path / "allowed" / "x").read_text() == "1" and not (tmp_path / "other").exists()


def test_tempfile(project: Project) -> None:
    out = project.run("""
        import tempfile
        with tempfile.NamedTemporaryFile("w+", delete=False) as stream:
            stream.write("t")
        print(stream.name)
        with tempfile.TemporaryDirectory() as folder:
            open(os.path.join(folder, "x"), "w").write("x")
            os.mkdir(os.path.join(folder, "y"))
        assert not os.path.exists(folder)
        with tempfile.NamedTemporaryFile("w", dir=".", delete=False) as stream:
            stream.write("atomic")
        os.replace(stream.name, "final.txt")
        assert open("final.txt").read() == "atomic"
        os.replace(tempfile.mkstemp()[1], "empty.txt")
        assert os.path.getsize("empty.txt") == 0
        with tempfile.TemporaryFile(dir="data") as stream:
            stream.write(b"z")
        with tempfile.TemporaryDirectory(dir="data") as folder:
            open(os.path.join(folder, "x"), "w").write("x")
        assert sorted(os.listdir("data")) == ["a.txt", "b.txt", "deep"]
        with tempfile.SpooledTemporaryFile(max_size=1) as stream:
            stream.write(b"spill")
    """)
    assert out.startswith(str(project.scratch))


def test_formats_of_the_standard_library(project: Project) -> None:
    project.run("""
        import csv, json, pickle, zipfile, tarfile, gzip, bz2, lzma, shelve, logging, logging.handlers
        import configparser, mmap, fileinput, linecache, urllib.request
        with open("m.csv", "w", newline="") as stream:
            csv.writer(stream).writerows([[1, 2]])
        json.dump({"a": 1}, open("m.json", "w")); assert json.load(open("m.json")) == {"a": 1}
        pickle.dump([1], open("m.pkl", "wb")); assert pickle.load(open("m.pkl", "rb")) == [1]
        for module in (gzip, bz2, lzma):
            with module.open("z." + module.__name__, "wb") as stream: stream.write(b"z")
            with module.open("z." + module.__name__) as stream: assert stream.read() == b"z"
        with tarfile.open("t.tar.gz", "w:gz") as tar: tar.add("data")
        assert "data/deep/c.txt" in tarfile.open("t.tar.gz").getnames()
        with tarfile.open("t.tar.gz") as tar: tar.extractall("untar")
        assert open("untar/data/a.txt").read() == "alpha\\n"
        logging.basicConfig(filename="log.txt", level="INFO"); logging.info("logged")
        assert open("log.txt").read() == "line 1\\nINFO:root:logged\\n"
        handler = logging.handlers.RotatingFileHandler("rot.log", maxBytes=10, backupCount=2)
        logger = logging.getLogger("r"); logger.addHandler(handler)
        for i in range(5): logger.info("message %d", i)
        assert os.path.exists("rot.log.1")
        with open("data/b.txt", "r+b") as stream, mmap.mmap(stream.fileno(), 0) as m: m[0:1] = b"X"
        assert open("data/b.txt").read() == "Xeta\\n"
        import dbm.dumb
        with dbm.dumb.open("dumb") as db: db["k"] = "v"
        assert dbm.dumb.open("dumb")["k"] == b"v"
        assert urllib.request.urlopen("file://" + os.path.abspath("m.json")).read() == b'{"a": 1}'
        urllib.request.urlretrieve("file://" + os.path.abspath("m.json"), "got.json")
        assert open("got.json").read() == '{"a": 1}'
        assert linecache.getline("log.txt", 1) == "line 1\\n"
    """)


def test_sqlite(project: Project) -> None:
    import sqlite3

    base = sqlite3.connect(project.root / "db.sqlite")
    base.execute("CREATE TABLE t(x)")
    base.execute("INSERT INTO t VALUES (1)")
    base.commit()
    base.close()
    project.run("""
        import sqlite3
        for name, uri in (("db.sqlite", False), (Path("db.sqlite"), False), ("file:db.sqlite?mode=rw", True)):
            c = sqlite3.connect(name, uri=uri)
            c.execute("INSERT INTO t VALUES (2)"); c.commit()
            total = c.execute("SELECT count(*) FROM t").fetchone()[0]
            c.close()
        assert total == 4
        c = sqlite3.connect("fresh.db"); c.execute("CREATE TABLE u(x)"); c.commit(); c.close()
        assert os.path.exists("fresh.db") and sqlite3.connect(":memory:").execute("SELECT 1").fetchone() == (1,)
        c = sqlite3.connect("file::memory:?cache=shared", uri=True)
    """)


def test_captured_before_the_overlay(project: Project) -> None:
    project.run(
        """
        import glob, shutil
        assert mine is open and look is os.stat
        Path("p.txt").write_text("p")
        assert Path("p.txt").exists() and list(Path(".").glob("p.*")) and glob.glob("p.*")
        open("data/deep/n", "w"); shutil.rmtree("data"); assert not Path("data").exists()
        """,
        before="import glob, shutil, pathlib, tempfile, sqlite3, logging\nmine = open\n"
        "from os import stat as look",
    )


def test_guard_refuses_what_was_not_redirected(project: Project) -> None:
    project.run("""
        import posix, _io, _sqlite3
        def refused(what, *args):
            try:
                what(*args)
            except PermissionError as error:
                text = str(error)
                assert text.startswith("florc: replay blocked ") and "\\n" not in text, text
            else:
                raise SystemExit(f"{what} {args} was not refused")
        refused(posix.open, "new", os.O_CREAT | os.O_WRONLY)
        refused(posix.open, "log.txt", os.O_RDWR)
        refused(_io.open, "log.txt", "a")
        refused(_io.FileIO, "log.txt", "w")
        refused(posix.remove, "log.txt"); refused(posix.unlink, "log.txt")
        refused(posix.mkdir, "new"); refused(posix.rmdir, "data/deep")
        refused(posix.rename, "log.txt", "new"); refused(posix.replace, "log.txt", "new")
        refused(posix.link, "log.txt", "new"); refused(posix.symlink, "log.txt", "new")
        refused(posix.chmod, "log.txt", 0o600); refused(posix.utime, "log.txt")
        refused(posix.truncate, "log.txt", 0); refused(posix.chown, "log.txt", 0, 0)
        refused(_sqlite3.connect, "new.db")
        fd = posix.open("log.txt", os.O_RDONLY)
        refused(posix.fchmod, fd, 0o600)
        assert _io.open("log.txt").read() == "line 1\\n"
    """)


def test_stale_inputs(project: Project) -> None:
    fresh = project.root / "saved.ckpt"
    fresh.write_text("weights")
    (project.root / ".flor").mkdir()
    (project.root / ".flor" / "x").write_text("")
    project.run("""
        assert open("log.txt").read() and overlay.stale_inputs == ()
        open(".flor/x").read()
        assert os.path.exists("saved.ckpt") and overlay.stale_inputs == ()
        open("saved.ckpt").read(); Path("saved.ckpt").read_bytes()
        assert overlay.stale_inputs == (os.path.abspath("saved.ckpt"),)
        open("mine.txt", "w").write("m"); open("mine.txt").read()
        assert len(overlay.stale_inputs) == 1
    """)
    project.run("""
        pid = os.fork()
        if not pid:
            open("saved.ckpt").read(); os.remove("data/a.txt"); os._exit(0)
        os.waitpid(pid, 0)
        assert len(overlay.stale_inputs) == 1 and not os.path.exists("data/a.txt")
    """)


def test_folder_made_by_the_recorded_run(project: Project) -> None:
    (project.root / "results").mkdir()
    (project.root / "results" / "old.txt").write_text("o")
    project.run("""
        os.mkdir("results")      # the recorded run made it: it must not fail now
        open("results/new.txt", "w").write("n")
        assert sorted(os.listdir("results")) == ["new.txt", "old.txt"]
        try:
            os.mkdir("results")
        except FileExistsError:
            pass
        else:
            raise SystemExit("made twice")
    """)


def test_second_activation(project: Project) -> None:
    project.run("""
        try:
            activate(Path("/tmp/x"), started=0.0)
        except RuntimeError as error:
            assert "already" in str(error)
    """)


def test_traceback_and_types(project: Project) -> None:
    project.run("""
        for bad, kind in ((None, TypeError), (3.5, TypeError), ("a\\0b", ValueError), ("", FileNotFoundError)):
            try:
                open(bad)
            except kind:
                pass
            else:
                raise SystemExit(bad)
        for path in ("data", "data/"):
            for mode in ("r", "w", "a"):
                try:
                    open(path, mode)
                except IsADirectoryError as error:
                    assert error.filename == path, (path, mode, error.filename)
        try:
            open("log.txt", "q")
        except ValueError:
            pass
        try:
            open("log.txt/x")
        except NotADirectoryError:
            pass
        assert not os.path.exists(Path("a\\0b"))
    """)
