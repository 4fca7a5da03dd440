"""Child processes of a script under the overlay: shielded, read-only, or refused."""

# ruff: noqa: E501  (scripts and cases are data)
from __future__ import annotations

from pathlib import Path

import pytest
from overlay_help import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_forked_workers_share_the_view(project: Project) -> None:
    project.run("""
        import multiprocessing
        def work(i):
            open(f"w{i}.txt", "w").write(str(i))
            if i == 0:
                os.remove("data/a.txt")
        with multiprocessing.get_context("fork").Pool(2) as pool:
            pool.map(work, range(3))
        assert [open(f"w{i}.txt").read() for i in range(3)] == ["0", "1", "2"]
        assert not os.path.exists("data/a.txt")
        with multiprocessing.get_context("fork").Manager() as manager:
            assert manager.dict({"a": 1})["a"] == 1
    """)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_spawned_workers_join(project: Project, method: str) -> None:
    script = project.root / "spawned.py"
    script.write_text(
        "import multiprocessing, os\n"
        "def work(i):\n"
        "    open(f'w{i}.txt', 'w').write(str(i))\n"
        "    assert os.path.exists('before.txt')\n"
        "def main(method):\n"
        "    with multiprocessing.get_context(method).Pool(1) as pool:\n"
        "        pool.map(work, range(2))\n"
    )
    project.run(f"""
        sys.path.insert(0, os.getcwd())
        import spawned
        open("before.txt", "w").close()
        spawned.main({method!r})
        assert open("w1.txt").read() == "1"
    """)


def test_python_children_join(project: Project) -> None:
    project.run("""
        import subprocess
        code = "open('child.txt','w').write('c'); import sys; print([p for p in sys.path if 'scratch' in p])"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]", done.stdout
        assert open("child.txt").read() == "c"
        subprocess.check_call([sys.executable, "-c", code.replace("child", "clean")], env={"PATH": os.environ["PATH"]})
        assert os.path.exists("clean.txt")
        os.mkdir("sub")
        subprocess.check_call([sys.executable, "-c", code], cwd="sub")
        assert os.listdir("sub") == ["child.txt"]
        try:
            subprocess.run([sys.executable, "-I", "-c", code])
        except PermissionError as error:
            assert str(error).startswith("florc: replay blocked the command"), error
        else:
            raise SystemExit("ran unshielded")
        if not os.fork():
            os.execv(sys.executable, [sys.executable, "-c", "open('exec.txt','w')"])
        os.wait()
        assert os.path.exists("exec.txt")
    """)


@pytest.mark.parametrize(
    "call",
    [
        "subprocess.run(['touch', 'x'])",
        "subprocess.run('echo hi > x', shell=True)",
        "subprocess.run('cat log.txt | tee x', shell=True)",
        "subprocess.run(['git', 'commit', '-am', 'x'])",
        "subprocess.run(['git', 'checkout', 'x'])",
        "subprocess.run(['git', '-c', 'core.pager=touch x', 'log'])",
        "subprocess.run(['git', 'diff', '--output=x'])",
        "subprocess.run(['git', 'describe', '--always', '--dirty'])",
        "subprocess.run(['bash', '-c', 'rm log.txt'])",
        "subprocess.run(['hostname', 'other'])",
        "subprocess.run(['gcc', 'a.c', '-o', 'x'])",
        "subprocess.run('true; rm log.txt', shell=True)",
        "subprocess.run('echo `rm log.txt`', shell=True)",
        "os.system('rm -rf data')",
        "os.system('echo $(rm log.txt)')",
        "os.popen('rm log.txt')",
        "os.posix_spawn('/bin/rm', ['rm', 'log.txt'], os.environ)",
        "os.execv('/bin/rm', ['rm', 'log.txt'])",
        "os.execvp('rm', ['rm', 'log.txt'])",
    ],
)
def test_refused(project: Project, call: str) -> None:
    project.run(f"""
        import subprocess
        try:
            {call}
        except PermissionError as error:
            assert str(error).startswith("florc: replay blocked the command"), error
        else:
            raise SystemExit("ran")
    """)


@pytest.mark.parametrize(
    "call",
    [
        "subprocess.run(['git', 'rev-parse', '--show-toplevel'])",
        "subprocess.run(['git', '--no-pager', 'status', '--porcelain'])",
        "subprocess.run('git describe --always 2>/dev/null', shell=True)",
        "subprocess.run('cat log.txt | wc -l && uname -a', shell=True)",
        "subprocess.run('ls > /dev/null 2>&1', shell=True)",
        "os.system('true')",
        "os.popen('uname').read()",
        "__import__('ctypes.util').util.find_library('c')",
        "__import__('platform').processor()",
        "subprocess.run(['gcc', '--version'])",
        "__import__('uuid').getnode()",
        "subprocess.run(['nvidia-smi', '-L'])",
    ],
)
def test_allowed(project: Project, call: str) -> None:
    project.run(f"""
        import subprocess
        try:
            {call}
        except FileNotFoundError:
            pass
    """)


def test_git_leaves_the_index(project: Project) -> None:
    import os
    import subprocess
    import time

    def git(*words: str) -> None:
        subprocess.run(["git", *words], cwd=project.root, check=True, capture_output=True)

    git("init", "-q")
    git("add", ".")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x")
    future = time.time() + 50  # a stat-dirty file makes `git status` want to refresh the index
    os.utime(project.root / "log.txt", (future, future))
    project.run("""
        import subprocess
        subprocess.run(["git", "status"], check=True)
        subprocess.run(["git", "diff"], check=True)
        subprocess.run(["git", "diff", "--stat", "HEAD"], check=True)
        subprocess.run(["git", "describe", "--always"], check=True)
    """)


def test_files_of_the_scratch_are_not_shown_to_commands(project: Project) -> None:
    project.run("""
        import subprocess
        open("new.txt", "w").write("n")
        try:
            subprocess.run(["cat", "new.txt"])
        except PermissionError as error:
            assert "was written during the replay" in str(error)
        else:
            raise SystemExit("ran")
    """)


def test_allow_subprocess(project: Project) -> None:
    project.run(
        """
        import subprocess
        subprocess.run(["touch", "/dev/null"], check=True)
        """,
        allow_subprocess=True,
    )
