"""Libraries under the overlay, those too whose native code opens files by name."""

# ruff: noqa: E501  (scripts and cases are data)
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from overlay_help import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_numpy(project: Project) -> None:
    pytest.importorskip("numpy")
    subprocess.run(
        [
            sys.executable,
            "-c",
            "import numpy as np; np.save('base.npy', np.arange(6)); np.arange(6).tofile('raw.bin')",
        ],
        cwd=project.root,
        check=True,
    )
    script = """
        import numpy as np
        np.save("x.npy", np.ones(3)); assert np.load("x.npy").sum() == 3
        np.savez("x.npz", a=np.ones(2)); assert np.load("x.npz")["a"].sum() == 2
        np.savetxt("x.txt", np.ones(3)); assert np.loadtxt("x.txt").sum() == 3
        np.savetxt("x.txt.gz", np.ones(3)); assert np.genfromtxt("x.txt.gz").sum() == 3
        np.ones(4).tofile("x.bin"); assert np.fromfile("x.bin").sum() == 4
        np.zeros(2, dtype="int64").tofile("raw.bin"); assert np.fromfile("raw.bin", dtype="int64").tolist() == [0, 0]
        m = np.memmap("mm.bin", dtype="float32", mode="w+", shape=(4,)); m[:] = 2; m.flush()
        assert np.fromfile("mm.bin", dtype="float32").sum() == 8
        m = np.load("base.npy", mmap_mode="r+"); m[0] = 50; m.flush(); del m
        assert np.load("base.npy").tolist() == [50, 1, 2, 3, 4, 5]
        m = np.lib.format.open_memmap("om.npy", mode="w+", shape=(2,)); m[:] = 1; m.flush()
        assert np.load("om.npy").sum() == 2
    """
    project.run(script)
    project.scratch = project.scratch.with_name("scratch2")
    project.run(script, before="import numpy; numpy.loadtxt(['1'])")


@pytest.mark.parametrize("before", ["", "import torch"])
def test_torch(project: Project, before: str) -> None:
    pytest.importorskip("torch")
    subprocess.run(
        [sys.executable, "-c", "import torch; torch.save({'a': torch.ones(3)}, 'old.pt')"],
        cwd=project.root,
        check=True,
    )
    project.run(
        """
        import torch
        state = {"w": torch.arange(4.0)}
        assert torch.load("old.pt")["a"].sum() == 3
        torch.save(state, "old.pt"); assert torch.load("old.pt")["w"].sum() == 6
        torch.save(state, Path("new.pt")); assert torch.load(Path("new.pt"))["w"].sum() == 6
        assert torch.load("new.pt", mmap=True)["w"].sum() == 6
        torch.save(state, "oldfmt.pt", _use_new_zipfile_serialization=False)
        assert torch.load("oldfmt.pt")["w"].sum() == 6
        with open("stream.pt", "wb") as stream: torch.save(state, stream)
        assert torch.load("stream.pt")["w"].sum() == 6
        torch.save(state, "tmp.pt"); os.replace("tmp.pt", "old.pt")
        torch.save(state, "a\u00e4.pt"); assert torch.load("a\u00e4.pt")["w"].sum() == 6
        os.makedirs("ck"); os.chdir("ck"); torch.save(state, "c.pt"); assert torch.load("c.pt")["w"].sum() == 6
        os.chdir("..")
        f = torch.from_file("t.bin", shared=True, size=4); f.fill_(3); assert os.path.getsize("t.bin") == 16
        s = torch.UntypedStorage.from_file("u.bin", True, 8); assert os.path.getsize("u.bin") == 8
        m = torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2))
        m.save("jit1.pt"); torch.jit.save(m, "jit2.pt"); torch.jit.load("jit1.pt"); torch.jit.load("jit2.pt")
        torch.manual_seed(0)
        """,
        before=before,
    )


def test_torch_loader_workers(project: Project) -> None:
    pytest.importorskip("torch")
    project.run("""
        import torch
        from torch.utils.data import DataLoader, Dataset
        class D(Dataset):
            def __len__(self): return 8
            def __getitem__(self, i):
                open(f"item{i}.txt", "w").write(str(i))
                return torch.tensor(float(len(open("log.txt").read())))
        for sharing in torch.multiprocessing.get_all_sharing_strategies():
            torch.multiprocessing.set_sharing_strategy(sharing)
            total = sum(x.sum().item() for x in DataLoader(D(), batch_size=2, num_workers=2))
            assert total == 8 * 7, total
        assert open("item7.txt").read() == "7"
    """)


def test_sklearn_joblib_pandas(project: Project) -> None:
    pytest.importorskip("sklearn")
    project.run("""
        import joblib
        from sklearn.datasets import load_digits
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import cross_val_score
        x, y = load_digits(return_X_y=True)
        model = LogisticRegression(max_iter=20).fit(x[:200], y[:200])
        joblib.dump(model, "m.joblib"); joblib.load("m.joblib")
        def work(i):
            open(f"j{i}.txt", "w").write(str(i)); return i
        if __name__ == "__main__":
            joblib.Parallel(n_jobs=2)(joblib.delayed(work)(i) for i in range(3))
            assert open("j2.txt").read() == "2"
        memory = joblib.Memory("cache", verbose=0); memory.cache(len)("abc")
    """)


def test_pandas(project: Project) -> None:
    pytest.importorskip("pandas")
    project.run("""
        import pandas as pd
        frame = pd.DataFrame({"a": [1, 2]})
        frame.to_csv("f.csv", index=False); assert pd.read_csv("f.csv").a.sum() == 3
        frame.to_csv("f.csv", index=False, mode="a", header=False); assert len(pd.read_csv("f.csv")) == 4
        frame.to_pickle("f.pkl"); assert pd.read_pickle("f.pkl").a.sum() == 3
        frame.to_json("f.json"); assert pd.read_json("f.json").a.sum() == 3
    """)


def test_tensorboard(project: Project) -> None:
    pytest.importorskip("tensorboard")
    pytest.importorskip("torch")
    project.run("""
        from torch.utils.tensorboard import SummaryWriter
        writer = SummaryWriter("runs/x"); writer.add_scalar("loss", 1.0, 0); writer.close()
        assert len(os.listdir("runs/x")) == 1 and os.path.getsize("runs/x/" + os.listdir("runs/x")[0]) > 40
        SummaryWriter().close(); assert len(os.listdir("runs")) == 2
    """)


def test_matplotlib_and_pillow(project: Project) -> None:
    pytest.importorskip("matplotlib")
    project.run("""
        import matplotlib; matplotlib.use("agg")
        import matplotlib.pyplot as plt
        plt.plot([1, 2]); plt.savefig("p.png"); plt.savefig("p.pdf")
        from PIL import Image
        image = Image.open("p.png"); image.convert("RGB").save("p.jpg"); Image.open("p.jpg").load()
    """)


def test_h5py(project: Project) -> None:
    pytest.importorskip("h5py")
    subprocess.run(
        [sys.executable, "-c", "import h5py; h5py.File('old.h5', 'w')['x'] = [1, 2]"],
        cwd=project.root,
        check=True,
    )
    project.run("""
        import h5py
        with h5py.File("new.h5", "w") as f: f["x"] = [1]
        with h5py.File("old.h5", "a") as f: f["y"] = [3]
        with h5py.File("old.h5") as f: assert sorted(f) == ["x", "y"]
    """)


def test_safetensors(project: Project) -> None:
    pytest.importorskip("safetensors")
    pytest.importorskip("torch")
    project.run("""
        import torch
        from safetensors.torch import save_file, load_file, save_model, load_model
        save_file({"w": torch.ones(2)}, "w.safetensors")
        assert load_file("w.safetensors")["w"].sum() == 2
        from safetensors import safe_open
        with safe_open("w.safetensors", "pt") as f: assert list(f.keys()) == ["w"]
        m = torch.nn.Linear(1, 1); save_model(m, "m.safetensors"); load_model(m, "m.safetensors")
    """)
