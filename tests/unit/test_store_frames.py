"""Data frames: their types, and that they are the same from columns and from rows."""

from __future__ import annotations

import math

import pytest

from flor.runtime.store.column import of_values
from flor.runtime.store.framing import data_frame
from flor.runtime.store.rows import Answer, unique

pandas = pytest.importorskip("pandas")

COLUMNS = {
    "floats": ([1.5, -0.0, math.inf], "float64"),
    "with nan": ([1.5, math.nan, 2.0], "float64"),
    "with null": ([1.5, None, 2.0], "float64"),
    "integers": ([1, -(2**62), 3], "int64"),
    "integers with null": ([1, None, 2**62], "Int64"),
    "truth": ([True, False, True], "bool"),
    "truth with null": ([True, None, False], "boolean"),
    "truth and integers": ([True, 2, 3], "int64"),
    "integers and floats": ([1, 2.5, None], "float64"),
    "all numbers": ([True, 2, 2.5], "float64"),
    "text": (["a", "b", ""], "str"),
    "text with null": (["a", None, "a"], "str"),
    "text and numbers": (["a", 1, 2.5], "object"),
    "null": ([None, None, None], "float64"),
}


def values(series):
    return ["null" if pandas.isna(value) else value for value in series.tolist()]


@pytest.mark.parametrize("name", COLUMNS)
def test_types_follow_from_values(name):
    given, dtype = COLUMNS[name]
    by_column = data_frame(Answer([name], columns=[of_values(given)]))
    by_row = data_frame(Answer([name], rows=[(value,) for value in given]))
    for frame in (by_column, by_row):
        assert str(frame[name].dtype) == dtype
        assert list(frame.index) == [0, 1, 2]
        expected = ["null" if v is None or v != v else v for v in given]
        if dtype in ("int64", "float64"):
            expected = [v if v == "null" else frame[name].dtype.type(v) for v in expected]
        assert values(frame[name]) == expected
    assert (by_column[name].isna() == by_row[name].isna()).all()


@pytest.mark.parametrize(
    "given", [[[1, 2], [3]], [10**30, 1], [2**64, None], [b"x", b"y"], [{"a": 1}, None]], ids=repr
)
def test_other_values_are_objects(given):
    frame = data_frame(Answer(["x"], rows=[(value,) for value in given]))
    assert frame["x"].dtype == object
    assert frame["x"].tolist() == given


def test_arrays_are_objects():
    numpy = pytest.importorskip("numpy")
    given = [numpy.arange(2), numpy.arange(2)]
    frame = data_frame(Answer(["x"], rows=[(value,) for value in given]))
    assert frame["x"].dtype == object
    assert frame["x"][1] is given[1]


def test_answers_without_rows_or_with_names_twice():
    empty = data_frame(Answer(["a", "b"], rows=[]))
    assert (list(empty.columns), len(empty)) == (["a", "b"], 0)
    empty = data_frame(Answer(["a"], columns=[of_values([])]))
    assert (list(empty.columns), len(empty)) == (["a"], 0)
    twice = data_frame(Answer(["a", "a", "a_2"], rows=[(1, 2, 3)]))
    assert list(twice.columns) == unique(["a", "a", "a_2"]) == ["a", "a_2", "a_2_2"]
    assert twice.iloc[0].tolist() == [1, 2, 3]


def test_an_answers_length_and_rows():
    answer = Answer(["a", "b"], columns=[of_values([1, 2]), of_values(["x", None])])
    assert len(answer) == 2
    assert answer.table() == (["a", "b"], [(1, "x"), (2, None)])
    assert len(Answer(["a"], rows=[])) == len(Answer([], columns=[])) == 0
