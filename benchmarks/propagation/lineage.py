"""Which line of an old version a line of a new one was, followed commit by commit."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from difflib import SequenceMatcher
from functools import cache
from itertools import pairwise
from pathlib import Path


def git(repository: Path, *arguments: str) -> str:
    """What git prints; "" where it fails (a path that isn't there)."""
    done = subprocess.run(
        ["git", "--git-dir", str(repository), *arguments], capture_output=True, check=False
    )
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""


def history(repository: Path, head: str, path: str) -> list[tuple[str, str]]:
    """(commit, path then) of every version of a file, the newest first, renames followed."""
    command = ("log", "--format=@%H", "--name-only")
    # Where old objects are missing, renames can't be followed.
    listed = git(repository, *command, "--follow", head, "--", path) or git(
        repository, *command, head, "--", path
    )
    found: list[tuple[str, str]] = []
    commit = ""
    for row in listed.splitlines():
        if row.startswith("@"):
            commit = row[1:]
        elif row.strip():
            found.append((commit, row.strip()))
    return found


@cache
def text_at(repository: Path, commit: str, path: str) -> str:
    """A file's text at a commit."""
    return git(repository, "show", f"{commit}:{path}")


def folder_at(repository: Path, commit: str, path: str) -> dict[str, str]:
    """All modules of the file's folder at a commit, relative to it."""
    folder = path.rpartition("/")[0]
    listed = git(repository, "ls-tree", "--name-only", commit, f"{folder}/" if folder else ".")
    names = [row for row in listed.splitlines() if row.endswith(".py")]
    return {row.rpartition("/")[2]: text_at(repository, commit, row) for row in names}


@cache
def step(new: str, old: str) -> dict[int, int]:
    """One commit: new line -> old line (from 1); edited and moved lines count where it's plain."""
    mine = [row.strip() for row in new.splitlines()]
    theirs = [row.strip() for row in old.splitlines()]
    least = min(len(mine), len(theirs))
    head = next((i for i in range(least) if mine[i] != theirs[i]), least)
    tail = next((i for i in range(least - head) if mine[-1 - i] != theirs[-1 - i]), least - head)
    found = {i: i for i in range(head)}
    found |= {len(mine) - 1 - i: len(theirs) - 1 - i for i in range(tail)}
    middle = mine[head : len(mine) - tail], theirs[head : len(theirs) - tail]
    for tag, a, b, c, d in SequenceMatcher(None, *middle, autojunk=False).get_opcodes():
        a, b, c, d = a + head, b + head, c + head, d + head
        if tag == "equal":
            found.update({a + i: c + i for i in range(b - a)})
        elif tag == "replace" and (b - a) * (d - c) < 4000:
            _edited(mine, theirs, range(a, b), range(c, d), found)
    _moved(mine, theirs, found)
    return {a + 1: c + 1 for a, c in found.items()}


def _edited(
    mine: list[str], theirs: list[str], new: range, old: range, found: dict[int, int]
) -> None:
    """Lines of a changed passage that are much alike, in order."""
    start = old.start
    matcher = SequenceMatcher(autojunk=False)
    for a in new:
        if len(mine[a]) < 4:
            continue
        best, place = 0.6, -1
        matcher.set_seq2(mine[a])
        for c in range(start, old.stop):
            matcher.set_seq1(theirs[c])
            if matcher.real_quick_ratio() > best and matcher.quick_ratio() > best:
                ratio = matcher.ratio()
                if ratio > best:
                    best, place = ratio, c
        if place >= 0:
            found[a] = place
            start = place + 1


def _moved(mine: list[str], theirs: list[str], found: dict[int, int]) -> None:
    """Passages of equal lines, three or more, that each side has left over once."""
    taken = set(found.values())
    left: dict[str, list[int]] = defaultdict(list)
    free: dict[str, list[int]] = defaultdict(list)
    for a, row in enumerate(mine):
        if a not in found and len(row) > 12:
            left[row].append(a)
    for c, row in enumerate(theirs):
        if c not in taken and len(row) > 12:
            free[row].append(c)
    moved = {
        places[0]: free[row][0] for row, places in left.items()
        if len(places) == len(free.get(row, ())) == 1
    }  # fmt: skip
    for a, c in moved.items():
        around = [(a + i, c + i) for i in (-2, -1, 1, 2)]
        if sum(moved.get(n) == m for n, m in around) >= 2:
            found[a] = c


def lineage(texts: list[str]) -> dict[int, int]:
    """Line of the first text -> line of the last, through all versions between."""
    current = {n: n for n in range(1, len(texts[0].splitlines()) + 1)}
    for new, old in pairwise(texts):
        found = step(new, old)
        current = {line: found[at] for line, at in current.items() if at in found}
    return current
