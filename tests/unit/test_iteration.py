"""Whatever gives the rows of a table, changing a row changes the table."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from florc.analysis import heap
from florc.driver import compile_project

WAYS = [
    "for row in table: CHANGE",
    "for row in (r for r in table): CHANGE",
    "for row in (r for r in (s for s in table)): CHANGE",
    "for row in [r for r in table]: CHANGE",
    "for row in {i: r for i, r in enumerate(table)}.values(): CHANGE",
    "for _, row in {i: r for i, r in enumerate(table)}.items(): CHANGE",
    "for row in iter(table): CHANGE",
    "for row in iter(iter(table)): CHANGE",
    "for row in table.__iter__(): CHANGE",
    "for row in reversed(table): CHANGE",
    "for _, row in enumerate(table): CHANGE",
    "for _, row in enumerate(r for r in table): CHANGE",
    "for row, _ in zip(table, range(9)): CHANGE",
    "for _, row in zip(range(9), (r for r in table)): CHANGE",
    "for row in map(lambda r: r, table): CHANGE",
    "for row in map(same, (r for r in table)): CHANGE",
    "for row in filter(None, table): CHANGE",
    "for row in filter(lambda r: True, iter(table)): CHANGE",
    "for row in sorted(table): CHANGE",
    "for row in list(r for r in table): CHANGE",
    "for row in tuple(map(same, table)): CHANGE",
    "for row in table[:]: CHANGE",
    "for row in table + []: CHANGE",
    "for row in itertools.chain(table, []): CHANGE",
    "for row in itertools.chain.from_iterable([table]): CHANGE",
    "for row in itertools.chain.from_iterable(t for t in [table]): CHANGE",
    "for row in itertools.islice(table, 1): CHANGE",
    "for row in itertools.islice((r for r in table), 1): CHANGE",
    "for row, _ in itertools.product(table, [1]): CHANGE",
    "for row, _ in itertools.combinations(table, 2): CHANGE",
    "for (row,) in itertools.permutations(table, 1): CHANGE",
    "for row, _ in itertools.zip_longest(table, [1]): CHANGE",
    "for row in itertools.takewhile(bool, table): CHANGE",
    "for row in itertools.filterfalse(bool, table): CHANGE",
    "for _, rows in itertools.groupby(table, len):\n        for row in rows: CHANGE",
    "for row in itertools.tee(table)[0]: CHANGE",
    "for row, _ in itertools.pairwise(table): CHANGE",
    "for row in itertools.islice(itertools.cycle(table), 2): CHANGE",
    "for row in generated(): CHANGE",
    "for row in passed_on(): CHANGE",
    "for row in passed_on_lazily(): CHANGE",
    "for row in collections.deque(table): CHANGE",
    "for row in collections.OrderedDict(enumerate(table)).values(): CHANGE",
    "for row in random.sample(table, 1): CHANGE",
    "for row in copy.copy(table): CHANGE",
    "for row in Rows(table): CHANGE",
    "for row in Items(table): CHANGE",
    "row = next(r for r in table); CHANGE",
    "row = next(iter(table)); CHANGE",
    "row = next(generated()); CHANGE",
    "row = max(table, key=len); CHANGE",
    "row = min((r for r in table), key=len); CHANGE",
    "row, *_ = table; CHANGE",
    "row, *_ = (r for r in table); CHANGE",
    "*_, row = map(same, table); CHANGE",
    "row = [*(r for r in table)][0]; CHANGE",
    "row = {**dict(enumerate(table))}[0]; CHANGE",
    "row = functools.reduce(lambda a, b: a, table); CHANGE",
    "row = table.pop(); CHANGE",
    "row = random.choice(table); CHANGE",
    "row = operator.itemgetter(0)(table); CHANGE",
    "for row in map(lambda i: table[i], range(2)): CHANGE",
    "for row in map(table.__getitem__, range(2)): CHANGE",
    "for row in map(rows.get, range(2)): CHANGE",
    "for row in itertools.starmap(lambda i, j: table[i], [(0, 0)]): CHANGE",
    "for row in itertools.accumulate(table, lambda a, b: b): CHANGE",
    "for row in list(map(pick, range(2))): CHANGE",
    "for _, row in zip(range(2), map(pick, range(2))): CHANGE",
    "for row in concurrent.futures.ThreadPoolExecutor(1).map(pick, range(2)): CHANGE",
    "row = concurrent.futures.ThreadPoolExecutor(1).submit(pick, 0).result(); CHANGE",
    "row = functools.partial(pick, 0)(); CHANGE",
    "row = (lambda: table[0])(); CHANGE",
    "row = {'a': pick}['a'](0); CHANGE",
    "row = getattr(Holder, 'row'); CHANGE",
    "row = vars(Holder)['row']; CHANGE",
    "row = Holder.__dict__['row']; CHANGE",
    "row = holder.__dict__['own']; CHANGE",
    "row = vars(holder)['own']; CHANGE",
    "row = sys.modules[__name__].__dict__['first']; CHANGE",
    "row = globals()['first']; CHANGE",
    "row = vars()['first']; CHANGE",
    "row = getattr(other, 'row'); CHANGE",
    "row = other.__dict__['row']; CHANGE",
    "row = vars(other)['row']; CHANGE",
    "row = sys.modules['other'].row; CHANGE",
    "row = importlib.import_module('other').row; CHANGE",
    "[change(r) for r in table]",
    "list(change(r) for r in table)",
    "any(change(r) for r in table)",
    "list(map(change, table))",
    "list(map(lambda pair: change(pair[0]), zip(table)))",
    "list(map(lambda pair: change(pair[1]), enumerate(table)))",
    "list(map(lambda i, row: change(row), range(2), iter(table)))",
    "list(map(change, (r for r in table)))",
    "list(filter(lambda pair: change(pair[0]), zip(table)))",
    "list(itertools.starmap(change, zip(table)))",
    "list(itertools.starmap(lambda i, row: change(row), enumerate(table)))",
    "with concurrent.futures.ThreadPoolExecutor() as pool:\n"
    "        list(pool.map(lambda pair: change(pair[0]), zip(table)))",
    "functools.reduce(lambda so_far, pair: change(pair[0]), zip(table), None)",
    "sorted(zip(table), key=lambda pair: change(pair[0]) or 0)",
    "max(enumerate(table), key=lambda pair: change(pair[1]) or 0)",
    "for row in DataLoader(table, batch_size=None): CHANGE",
    "for row in DataLoader(Indexed(table), batch_size=None): CHANGE",
    "for row in DataLoader(Rows(table), batch_size=None if epoch else 1): CHANGE",
    "for row in DataLoader(table, collate_fn=lambda batch: batch[0]): CHANGE",
    "for row in DataLoader(Indexed(table), 1, False, collate_fn=pick_first): CHANGE",
    "for row in DataLoader(Indexed(table), collate_fn=Collator()): CHANGE",
    "for row in DataLoader(Subset(Indexed(table), [0]), collate_fn=Collator()): CHANGE",
    "part = Subset(Subset(Subset(Subset(Indexed(table), [0]), [0]), [0]), [0])\n"
    "for row in DataLoader(part, collate_fn=Collator()): CHANGE",
    "for rows in DataLoader(Indexed(table), collate_fn=list): row = rows[0]; CHANGE",
    "it = iter(DataLoader(table, collate_fn=pick_first)); row = next(it); CHANGE",
    "passes_on(change, table[0])",
    "passes_on(change, *table[:1])",
    "passes_on(change, row=table[0])",
    "passes_on(passes_on, change, table[0])",
    "[passes_on(f, table[0]) for f in (pick, change)]",
    "holds_on(table[0])(change)",
    "deque = collections.deque((change(r) for r in table), maxlen=0)",
    "match table:\n        case [row, *_]: CHANGE",
]


@pytest.fixture(params=[heap.CROWD, 1], ids=["apart", "crowded"])
def crowd(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects of one type are told apart, or one stands for any two of them."""
    monkeypatch.setattr(heap, "CROWD", request.param)


@pytest.mark.usefixtures("crowd")
@pytest.mark.parametrize("way", WAYS)
def test_a_change_of_a_row_changes_the_table(tmp_path: Path, way: str) -> None:
    text = """
    import collections, concurrent.futures, copy, functools, importlib, itertools, operator
    import random, sys
    import other
    import torch
    from torch.utils.data import DataLoader, Subset

    table = [[1.0, 2.0], [3.0, 4.0]]
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def same(row):
        return row

    def change(row):
        row[0] *= 0.5

    def pick(i):
        return table[i]

    rows = dict(enumerate(table))
    first = table[0]
    other.row = first

    class Holder:
        row = table[0]

    holder = Holder()
    holder.own = table[1]

    def generated():
        for row in table:
            yield row

    def passed_on():
        yield from table

    def passed_on_lazily():
        yield from (r for r in table)

    class Rows:
        def __init__(self, rows):
            self.rows = rows

        def __iter__(self):
            return iter(self.rows)

    class Items(list):
        pass

    class Indexed:
        def __init__(self, rows):
            self.rows = rows

        def __len__(self):
            return len(self.rows)

        def __getitem__(self, index):
            return self.rows[index]

    class Collator:
        def __call__(self, batch):
            return batch[0]

    def pick_first(batch):
        return batch[0]

    def passes_on(function, *args, **kwargs):
        return function(*args, **kwargs)

    def holds_on(*args):
        return lambda function: function(*args)

    for epoch in range(3):
        model(torch.tensor(table)).sum().backward()
        optimizer.step()
    """
    lines = [dedent(text).rstrip(), *f"    {way}".replace("CHANGE", "row[0] *= 0.5").splitlines()]
    (tmp_path / "other.py").write_text("row = None\n")
    (tmp_path / "script.py").write_text("\n".join(lines) + "\n")
    plan = compile_project(tmp_path / "script.py", root=tmp_path).plan
    (loop,) = (loop for loop in plan.loops if loop.name == "epoch")
    names = {member.path.split(".")[0] for member in loop.state}
    # The row has other names.
    assert names & {"table", "rows", "Holder", "holder", "first", "other:row"}
