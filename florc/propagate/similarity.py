"""How alike two statements are, and which of two lists of statements belong together."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher

from florc.propagate.source import LOOPS, Statement

SIGN = 0.2
"""What a bracket or an operator counts for, where a word counts for 1."""
CROWDED = 20_000
"""Pairs in a gap; where there are more, only pairs that share a rare word are compared."""
ALIKE = 0.5
"""From here on two statements may be one that was edited."""

_ASSIGN = (ast.Assign, ast.AugAssign, ast.AnnAssign)
_WITH = (ast.With, ast.AsyncWith)
_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
_FAMILIES: tuple[tuple[type[ast.AST], ...], ...] = (_ASSIGN, LOOPS, _WITH, _FUNCTION)

Tokens = Callable[[Statement], Sequence[str]]


def family(node: ast.stmt) -> object:
    """Statements of different families are never one that was edited."""
    return next((kinds for kinds in _FAMILIES if isinstance(node, kinds)), type(node))


def dice(one: Sequence[str], two: Sequence[str]) -> float:
    """Likeness of two bags of words: 0 (nothing in common) to 1 (equal)."""
    common = sum(_weight(w) * n for w, n in (Counter(one) & Counter(two)).items())
    total = sum(map(_weight, one)) + sum(map(_weight, two))
    return 2 * common / total if total else 1.0


def _weight(word: str) -> float:
    return 1.0 if word[0].isalnum() or word[0] in "_'\"" else SIGN


def target_of(node: ast.stmt) -> str:
    """What an assignment binds, as text; "" for other statements."""
    if isinstance(node, ast.Assign):
        return ", ".join(map(ast.unparse, node.targets))
    if isinstance(node, (ast.AugAssign, ast.AnnAssign)):
        return ast.unparse(node.target)
    return ""


class Likeness:
    """Compares statements; `tokens` gives a new statement's words as the old version has them."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._known: dict[tuple[int, int], float] = {}
        self._targets: dict[Statement, str] = {}

    def __call__(self, new: Statement, old: Statement) -> float:
        """0 to 1; below ALIKE the two have nothing to do with each other."""
        pair = (id(new), id(old))
        if pair not in self._known:
            self._known[pair] = self._compare(new, old)
        return self._known[pair]

    def _compare(self, new: Statement, old: Statement) -> float:
        if family(new.node) is not family(old.node):
            return 0.0
        if new.is_definition:
            return 1.0 if new.key.split("(")[0] == old.key.split("(")[0] else 0.0
        words = self._tokens(new)
        alike = dice(words, old.tokens)
        if isinstance(new.node, _ASSIGN):
            target = self._target(old)
            if target and tuple(words[: target.count(" ") + 1]) and self._starts(words, old):
                return 0.5 + 0.5 * alike
            return alike
        if new.blocks and old.blocks:
            mine = [key for key in new.inner if key != "pass"]
            theirs = [key for key in old.inner if key != "pass"]
            if not mine or not theirs:
                return alike
            return max(0.6 * alike + 0.4 * dice(mine, theirs), alike if alike > 0.8 else 0.0)
        return alike

    def _starts(self, words: Sequence[str], old: Statement) -> bool:
        """Whether both assign the same: the words up to the sign of assignment agree."""
        count = next((i for i, w in enumerate(old.tokens) if w == "="), len(old.tokens))
        return list(words[: count + 1]) == list(old.tokens[: count + 1])

    def _target(self, statement: Statement) -> str:
        if statement not in self._targets:
            self._targets[statement] = target_of(statement.node)
        return self._targets[statement]


def exact_runs(new: Sequence[str], old: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of positions of equal texts, in order, long runs first."""
    matcher = SequenceMatcher(None, list(new), list(old), autojunk=False)
    return [
        (block.a + i, block.b + i) for block in matcher.get_matching_blocks()
        for i in range(block.size)
    ]  # fmt: skip


def best_chain(
    new: Sequence[Statement], old: Sequence[Statement], like: Likeness
) -> list[tuple[int, int, float]]:
    """Pairs of positions in a gap, in order, of the greatest likeness in all."""
    if not new or not old:
        return []
    if len(new) * len(old) > CROWDED:
        return _sparse_chain(new, old, like)
    width = len(old) + 1
    best = [[0.0] * width for _ in range(len(new) + 1)]
    for i in range(len(new) - 1, -1, -1):
        row, below = best[i], best[i + 1]
        for j in range(len(old) - 1, -1, -1):
            score = like(new[i], old[j])
            paired = score - ALIKE / 2 + below[j + 1] if score >= ALIKE else 0.0
            row[j] = max(below[j], row[j + 1], paired)
    pairs = []
    i = j = 0
    while i < len(new) and j < len(old):
        score = like(new[i], old[j])
        if score >= ALIKE and best[i][j] == score - ALIKE / 2 + best[i + 1][j + 1]:
            pairs.append((i, j, score))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return pairs


def _sparse_chain(
    new: Sequence[Statement], old: Sequence[Statement], like: Likeness
) -> list[tuple[int, int, float]]:
    """The same for large gaps: only pairs that share a rare word count."""
    places: dict[str, list[int]] = defaultdict(list)
    for j, statement in enumerate(old):
        for word in set(statement.tokens):
            places[word].append(j)
    candidates: list[tuple[int, int, float]] = []
    for i, statement in enumerate(new):
        near: Counter[int] = Counter()
        for word in set(statement.tokens):
            if len(places.get(word, ())) <= 12:
                near.update(places.get(word, ()))
        for j, _ in near.most_common(6):
            score = like(statement, old[j])
            if score >= ALIKE:
                candidates.append((i, j, score))
    candidates.sort(key=lambda c: (c[0], -c[1]))
    # The heaviest chain that rises in both positions, by a prefix-maximum tree over old positions.
    tree: list[tuple[float, int]] = [(0.0, -1)] * (len(old) + 1)
    before: list[int] = []
    for number, (_, j, score) in enumerate(candidates):
        reach: tuple[float, int] = (0.0, -1)
        k = j
        while k > 0:
            reach = max(reach, tree[k])
            k &= k - 1
        before.append(reach[1])
        total = (reach[0] + score, number)
        k = j + 1
        while k <= len(old):
            tree[k] = max(tree[k], total)
            k += k & -k
    end = max(tree)[1]
    chain = []
    while end >= 0:
        chain.append(candidates[end])
        end = before[end]
    return chain[::-1]
