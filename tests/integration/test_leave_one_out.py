"""benchmarks/leave_one_out.py on a small script: what it finds, and what it must not overlook."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"

SCRIPT = '''"""Trains a line."""
import torch

torch.manual_seed(0)
x = torch.randn(16, 2)
model = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
total = 0.0
for epoch in range(4):
    noise = torch.randn(16, 1)
    loss = ((model(x) - x.sum(1, keepdim=True) - noise) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    if epoch != 9:
        total += loss.item()
    print(epoch, f"{loss.item():.4f} {total:.4f}")
'''


@pytest.fixture
def ablation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmark's modules can be imported."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def experiment(tmp_path: Path, expr: str) -> object:
    """What the benchmark finds out about SCRIPT with `expr` logged behind the scheduler's step."""
    from ablation.cases import Case, Insert
    from ablation.experiment import Experiment

    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.py").write_text(SCRIPT)
    logs = (
        Insert("train.py", "scheduler.step()", expr, "value"),
        Insert("train.py", "11", "noise.sum().item()", "noise"),
    )
    root = str(BENCHMARKS.parent)
    path = (Path(root), Path(root, "runtime"))
    case = Case("line", folder, ("train.py",), logs, overlay=path)
    return Experiment(case, tmp_path / "runs", drops=1).run()


def test_log_statements_are_inserted_behind_statements(ablation: None) -> None:
    """By number or text, with the indentation of the place; `import flor` behind the docstring."""
    from ablation.cases import Insert, with_logs

    inserts = [
        Insert("f", "for epoch in range(4):", "total", "end"),
        Insert("f", "18", "total", "b"),
    ]
    lines = with_logs(SCRIPT, inserts).splitlines()
    assert lines[1] == "import flor"
    assert lines[-1] == "flor.log('end', total)"
    assert lines[lines.index("        total += loss.item()") + 1] == "        flor.log('b', total)"
    with pytest.raises(ValueError, match="no statement begins there"):
        with_logs(SCRIPT, [Insert("f", "9999", "total", "b")])
    with pytest.raises(ValueError, match="0 lines read 'total = 3'"):
        with_logs(SCRIPT, [Insert("f", "total = 3", "total", "b")])


@pytest.mark.slow
def test_every_member_of_a_minimal_set_is_missed(tmp_path: Path, ablation: None) -> None:
    """Replays are exact from all heads; leaving out what training needs is seen and caught."""
    found = experiment(tmp_path, "(loss.item(), [p.tolist() for p in model.parameters()])")
    assert not found.error  # type: ignore[attr-defined]
    assert found.record_same, found.record_why  # type: ignore[attr-defined]
    assert (found.exact, found.replayed) == (6, 6), found.inexact  # type: ignore[attr-defined]
    assert not found.false_alarms  # type: ignore[attr-defined]
    verdicts = {v.member: v for v in found.members}  # type: ignore[attr-defined]
    for member in ("model", "optimizer", "total", "rng:torch"):
        assert verdicts[member].changed, member
        assert verdicts[member].caught, member
    # The factor is applied to the optimizer's own rate: the scheduler's count has no influence.
    assert not verdicts["scheduler"].changed


@pytest.mark.slow
def test_a_value_that_cannot_be_repeated_is_told(tmp_path: Path, ablation: None) -> None:
    """The benchmark can fail."""
    found = experiment(tmp_path, "__import__('time').time_ns()")
    assert found.inexact or found.error  # type: ignore[attr-defined]
