"""The public hlast propagation set: versions of scripts with the log statement put in by hand.

`tests/<codebase>/vN` are the versions, `vM-log` the newest one with the statement, `vN-gt` the
older ones with it (or without it, where there is no place for it).
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterator
from pathlib import Path

from histories import Case
from judge import Probe, logged, probes
from lineage import git

REPOSITORY = "adandamudi/hlast"


def cases(mirrors: Path, repository: str = REPOSITORY) -> Iterator[Case]:
    """Every case of the set."""
    root = mirrors / repository.replace("/", "+") / "repo"
    files: dict[str, dict[str, dict[str, str]]] = {}
    for path in git(root, "ls-tree", "-r", "--name-only", "HEAD", "tests").splitlines():
        found = re.fullmatch(r"tests/([\w-]+)/(v\d+(?:-gt|-log)?)/(.+\.py)", path)
        if found:
            text = git(root, "show", f"HEAD:{path}").replace("\r\n", "\n")
            files.setdefault(found[1], {}).setdefault(found[2], {})[found[3]] = text
    for codebase, versions in sorted(files.items()):
        newest = next(v for v in versions if v.endswith("-log"))
        for file, text in sorted(versions[newest].items()):
            probe = _added(versions[newest.removesuffix("-log")].get(file), text)
            if probe is None:
                continue
            for version in sorted(versions):
                if "-" in version or version == newest.removesuffix("-log"):
                    continue
                old = versions[version].get(file)
                truth = versions.get(f"{version}-gt", {}).get(file)
                if old is None or truth is None or not _parses(old, truth):
                    continue
                there = _added(old, truth)
                yield Case(
                    f"hlast/{codebase}", int(newest[1:-4]) - int(version[1:]),
                    "log" if there else "stranger", file,
                    {file: logged(text, probe)}, {file: old}, probe.line + 1, probe.text,
                    {file: logged(truth, there)} if there else {}, f"{version}/{file}",
                    renamed=there is not None,
                )  # fmt: skip


def _parses(*texts: str) -> bool:
    try:
        for text in texts:
            ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return True


def _added(before: str | None, after: str) -> Probe | None:
    """The statement that only the second text has."""
    if before is None or not _parses(before, after):
        return None
    known = [p.text for p in probes(before)]
    found = []
    for probe in probes(after):
        if probe.text in known:
            known.remove(probe.text)
        else:
            found.append(probe)
    if len(found) > 1:  # the one whose line was added
        rows = list(difflib.ndiff(before.splitlines(), after.splitlines()))
        new = {r[2:].strip() for r in rows if r.startswith("+ ")}
        found = [p for p in found if after.splitlines()[p.line - 1].strip() in new]
    return found[0] if found else None
