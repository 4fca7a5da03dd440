"""Small synthetic data sets, in the files that public training scripts read."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def make(name: str, folder: Path, **options: Any) -> None:
    """Write the data set `name` below `folder`.  Raises KeyError for an unknown name."""
    MAKERS[name](folder, **options)


def words(folder: Path, sentences: int = 150, vocabulary: int = 60, to: str = "data") -> None:
    """train.txt, valid.txt and test.txt of sentences with a pattern in them."""
    draw = random.Random(0)
    names = [f"w{i}" for i in range(vocabulary)]
    (folder / to).mkdir(parents=True, exist_ok=True)
    for part, count in (("train", sentences), ("valid", sentences // 4), ("test", sentences // 4)):
        lines = []
        for _ in range(count):
            first = draw.randrange(5)
            lines.append(" ".join(names[(first + 3 * j) % vocabulary] for j in range(14)) + " \n")
        (folder / to / f"{part}.txt").write_text("".join(lines))


def tokens(folder: Path, to: str = "data/shakespeare_char", size: int = 20_000) -> None:
    """train.bin and val.bin of 16-bit tokens, and meta.pkl."""
    draw = np.random.RandomState(0)
    (folder / to).mkdir(parents=True, exist_ok=True)
    for part, count in (("train", size), ("val", size // 6)):
        values = (np.arange(count) * 7 % 65 + draw.randint(0, 3, count)) % 65
        values.astype(np.uint16).tofile(folder / to / f"{part}.bin")
    meta = {"vocab_size": 65, "itos": {}, "stoi": {}}
    (folder / to / "meta.pkl").write_bytes(pickle.dumps(meta))


def sine(folder: Path) -> None:
    """traindata.pt of shifted sine waves."""
    import torch

    draw = np.random.RandomState(2)
    waves = np.sin((np.arange(60)[None] + draw.randint(-40, 40, 8)[:, None]) / 4.0)
    torch.save(waves.astype("float64"), folder / "traindata.pt", pickle_protocol=4)


def graph(folder: Path, to: str = "data/cora", nodes: int = 1600, features: int = 24) -> None:
    """cora.content and cora.cites of a random citation graph."""
    draw = np.random.RandomState(3)
    (folder / to).mkdir(parents=True, exist_ok=True)
    topics = draw.randint(0, 7, nodes)
    with open(folder / to / "cora.content", "w") as file:
        for node, topic in enumerate(topics):
            bits = draw.rand(features) < 0.1 + 0.5 * (np.arange(features) % 7 == topic)
            row = " ".join(str(int(bit)) for bit in bits)
            file.write(f"{node} {row} topic{topic}\n")
    with open(folder / to / "cora.cites", "w") as file:
        for node in range(nodes):
            for other in draw.randint(0, nodes, 2):
                file.write(f"{node} {other}\n")


def names(folder: Path, file: str = "names.txt", count: int = 1100) -> None:
    """One pronounceable name per line."""
    draw = random.Random(4)
    made = {
        "".join(draw.choice("bdklmnrst") + draw.choice("aeiou") for _ in range(draw.randint(2, 4)))
        for _ in range(2 * count)
    }
    (folder / file).write_text("\n".join(sorted(made)[:count]) + "\n")


def images(folder: Path, to: tuple[str, ...], count: int = 4, size: int = 256) -> None:
    """PNG files of coloured noise with a gradient, `count` in each of the folders."""
    from PIL import Image

    draw = np.random.RandomState(5)
    ramp = np.linspace(0, 128, size)[:, None, None]
    for name in to:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = (ramp + draw.randint(0, 120, (size, size, 3))).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


def masks(folder: Path, count: int = 10, size: int = 32) -> None:
    """data/imgs/N.png and data/masks/N.png: a disc, and where it is."""
    from PIL import Image

    draw = np.random.RandomState(6)
    for part in ("imgs", "masks"):
        (folder / "data" / part).mkdir(parents=True, exist_ok=True)
    grid = np.mgrid[0:size, 0:size]
    for number in range(count):
        centre = draw.randint(8, size - 8, 2)[:, None, None]
        disc = ((grid - centre) ** 2).sum(0) < 36
        pixels = draw.randint(0, 100, (size, size, 3)) + 120 * disc[:, :, None]
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"data/imgs/{number}.png")
        Image.fromarray(disc.astype(np.uint8)).save(folder / f"data/masks/{number}.png")


def boxes(folder: Path, to: str = "small", count: int = 6, size: int = 64) -> None:
    """A data set in YOLO's format: images, labels, and small.yaml with two classes."""
    from PIL import Image

    draw = np.random.RandomState(7)
    for part in ("train", "val"):
        for kind in ("images", "labels"):
            (folder / to / kind / part).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = draw.randint(0, 90, (size, size, 3))
            rows = []
            for _ in range(2):
                kind, side = draw.randint(0, 2), draw.randint(12, 28)
                x, y = draw.randint(0, size - side, 2)
                pixels[y : y + side, x : x + side, kind] += 150
                centre = ((x + side / 2) / size, (y + side / 2) / size)
                rows.append(
                    f"{kind} {centre[0]:.5f} {centre[1]:.5f} {side / size:.5f} {side / size:.5f}"
                )
            where = folder / to
            Image.fromarray(pixels.astype(np.uint8)).save(where / f"images/{part}/{number}.png")
            (where / f"labels/{part}/{number}.txt").write_text("\n".join(rows) + "\n")
    (folder / f"{to}.yaml").write_text(
        f"path: {to}\ntrain: images/train\nval: images/val\nnames:\n  0: red\n  1: green\n"
    )


def folders(folder: Path, names: tuple[str, ...] = ("results",)) -> None:
    """Empty folders."""
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)


MAKERS: dict[str, Callable[..., None]] = {
    "words": words,
    "tokens": tokens,
    "sine": sine,
    "graph": graph,
    "names": names,
    "images": images,
    "masks": masks,
    "boxes": boxes,
    "folders": folders,
}
