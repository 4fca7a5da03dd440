"""The columns that say where values stand: the run, and the loops that some names belong to."""

from __future__ import annotations

from collections.abc import Sequence

from florc.queries import Catalogue, fold

from ..store.positions import shape_paths
from ..store.relation import catalogue
from ..store.store import Store


def around(store: Store, names: Sequence[str]) -> list[str]:
    """`run` and the loops around the logged names among `names`, but for those named already.

    They are the loops that a row of these names belongs to anyway: naming them adds no row.
    """
    known = catalogue(store.connection)
    found = {known.origin(column) for column in map(known.find, names) if column is not None}
    logged = [name for family, name in found if family == "log"]
    marks = ", ".join("?" * len(logged))
    shapes = {
        shape
        for (shape,) in store.connection.execute(
            "SELECT DISTINCT shape FROM name_shapes JOIN names USING (name_id) "
            f"WHERE name IN ({marks})",
            logged,
        )
    }
    paths = shape_paths(store.connection)
    loops = {loop for shape in shapes for loop in paths.get(shape, ())}
    mentioned = {fold(name) for name in names}
    columns = ["run", *(_column(known, loop) for loop in known.loops if loop in loops)]
    return [column for column in columns if fold(column) not in mentioned]


def _column(known: Catalogue, loop: str) -> str:
    """The column of a loop; a loop called like a column of every run has a name of its own."""
    return loop if known.origin(known.find(loop) or loop) == ("loop", loop) else f"loop.{loop}"
