"""Columns of `logs` for a set of runs, by nest of loops, taken from packs or gathered from rows."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from . import column, packs
from .column import Column
from .packs import PARENT, VALUE, Pack, Unpackable
from .positions import ROOT

MAX_GATHERED = 1_000_000
"""Iterations that a query reads from rows into columns; beyond, SQLite answers it."""


class Frames:
    """Rows of iterations, run after run.  Use it within one read transaction."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        runs: Sequence[int],
        parents: Mapping[int, int | None],
        gathered: Callable[[Pack], None] | None = None,
    ) -> None:
        """`parents`: shape -> the shape around it.  `gathered` is told of packs made from rows."""
        self._connection = connection
        self._parents = parents
        self._cache: dict[tuple[int, int], Column] = {}
        self.runs = sorted(runs)
        sources = self._sources(gathered)
        self._pieces: list[_Piece] = []
        for source, members in itertools.groupby(self.runs, sources.__getitem__):
            self._pieces.append(_Piece(source, list(members)))

    def _sources(self, gathered: Callable[[Pack], None] | None) -> dict[int, _Source]:
        """Where each run's columns come from."""
        wanted, sources = set(self.runs), {}
        opened: dict[int, _Source] = {}
        query = "SELECT run, pack FROM packed WHERE pack IS NOT NULL"
        for run, number in self._connection.execute(query).fetchall():
            if run in wanted:
                if number not in opened:
                    pack = packs.layout(self._connection, number)
                    opened[number] = _Source(self._connection, pack, number)
                sources[run] = opened[number]
        lacking = [run for run in self.runs if run not in sources]
        if sum(self._iterations(run) for run in lacking) > MAX_GATHERED:
            raise Unpackable
        for run in lacking:
            pack = packs.gather(self._connection, run)
            if gathered is not None:
                gathered(pack)
            sources[run] = _Source(self._connection, pack, None)
        return sources

    def _iterations(self, run: int) -> int:
        query = "SELECT max(node) FROM nodes WHERE run = ?"
        return int(self._connection.execute(query, (run,)).fetchone()[0] or 0)

    def counts(self, shape: int) -> Any:
        """How many rows each run has in a nest of loops."""
        counts = [piece.counts(shape) for piece in self._pieces]
        return np.concatenate(counts) if counts else np.zeros(0, dtype=np.int64)

    def run_index(self, shape: int) -> Any:
        """Row -> position of its run in `self.runs`."""
        return np.repeat(np.arange(len(self.runs)), self.counts(shape))

    def parent(self, shape: int) -> Any:
        """Row -> row of the iteration around it, in the nest around this one."""
        outer = self._parents[shape]
        assert outer is not None
        if outer == ROOT:
            return self.run_index(shape)
        counts = self.counts(outer)
        starts = np.cumsum(counts) - counts
        return self._column(shape, PARENT).data + np.repeat(starts, self.counts(shape))

    def ancestors(self, shape: int, outer: int) -> Any:
        """Row -> row of the iteration of nest `outer` that it is in."""
        if outer == ROOT:
            return self.run_index(shape)
        rows = None
        while shape != outer:
            above = self.parent(shape)
            rows = above if rows is None else above[rows]
            shape = self._parents[shape] or ROOT
        return rows if rows is not None else np.arange(int(self.counts(shape).sum()))

    def coordinate(self, shape: int) -> Column:
        """The loop's value in each row."""
        return self._column(shape, VALUE)

    def logged(self, shape: int, name: int) -> Column:
        """What was logged under a name (its id) in each row.  Raises Unpackable."""
        return self._column(shape, name)

    def _column(self, shape: int, name: int) -> Column:
        found = self._cache.get((shape, name))
        if found is None:
            parts = [piece.column(shape, name) for piece in self._pieces]
            found = column.concatenate(parts) if parts else column.absent(0)
            self._cache[shape, name] = found
        return found


class _Source:
    """A pack that columns are taken from, stored under a number or only in memory."""

    def __init__(self, connection: sqlite3.Connection, pack: Pack, number: int | None) -> None:
        self._connection = connection
        self._number = number
        self.pack = pack

    def column(self, shape: int, name: int) -> Column | None:
        """A whole column; None if nothing of it was logged.  Raises Unpackable."""
        if (shape, name) in self.pack.unheld:
            raise Unpackable
        found = self.pack.columns.get((shape, name))
        if found is None and self._number is not None:
            found = packs.load(self._connection, self._number, shape, name)
            if found is not None:
                self.pack.columns[shape, name] = found
        return found


class _Piece:
    """Some runs of one pack."""

    def __init__(self, source: _Source, members: list[int]) -> None:
        self._source = source
        self._pack = source.pack
        self._members = members

    @cached_property
    def _chosen(self) -> Any:
        return np.isin(np.array(self._pack.runs), np.array(self._members))

    def counts(self, shape: int) -> Any:
        """How many rows each of the runs has."""
        counts = self._pack.shapes.get(shape)
        if counts is None:
            return np.zeros(len(self._members), dtype=np.int64)
        return np.array(counts, dtype=np.int64)[self._chosen]

    def column(self, shape: int, name: int) -> Column:
        """The runs' part of a column."""
        found = self._source.column(shape, name)
        if found is None:
            return column.absent(int(self.counts(shape).sum()))
        if len(self._members) == len(self._pack.runs):
            return found
        return found.take(np.repeat(self._chosen, self._pack.shapes[shape]))
