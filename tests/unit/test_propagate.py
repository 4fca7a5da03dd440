"""Log statements of one version in another: what is placed, there, or refused."""

# ruff: noqa: E501  (programs in strings)
from __future__ import annotations

import ast
import textwrap

import pytest

from florc.propagate.added import compare
from florc.propagate.choice import At
from florc.propagate.propagation import Outcome, Propagation, propagate

OLD = """\
    import torch
    from torch import nn

    def evaluate(model, loader):
        model.eval()
        hits = 0
        with torch.no_grad():
            for x, y in loader:
                scores = model(x)
                hits += (scores.argmax(1) == y).sum().item()
        return hits / len(loader)

    def train(model, loader, optimizer, epoch):
        model.train()
        for step, (x, y) in enumerate(loader):
            optimizer.zero_grad()
            scores = model(x)
            loss = nn.functional.cross_entropy(scores, y)
            loss.backward()
            optimizer.step()
        return loss

    def main(args):
        model = nn.Linear(4, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
        for epoch in range(args.epochs):
            train(model, args.loader, optimizer, epoch)
            accuracy = evaluate(model, args.loader)
            print(epoch, accuracy)
"""
STEP = "        optimizer.step()\n"


def text(code: str) -> str:
    return textwrap.dedent(code)


def edited(*changes: tuple[str, str], base: str = "") -> str:
    found = base or text(OLD)
    for old, new in changes:
        assert found.count(old) == 1, (old, found.count(old))
        found = found.replace(old, new)
    return found


def with_log(log: str, after: str = STEP, base: str = "", imports: str = "import flor\n") -> str:
    """The base with lines after one of its own, at its indentation."""
    base = base or text(OLD)
    indent = after[: len(after) - len(after.lstrip())]
    lines = textwrap.indent(textwrap.dedent(log).strip("\n"), indent) + "\n"
    return imports + edited((after, after + lines), base=base)


def put(new: str, old: str, **options: object) -> Propagation:
    return propagate({"t.py": new}, {"t.py": old}, **options)  # type: ignore[arg-type]


def one(new: str, old: str, **options: object) -> tuple[Outcome, str]:
    done = put(new, old, **options)
    assert len(done.outcomes) == 1, done.outcomes
    return done.outcomes[0], done.texts["t.py"]


def log_lines(code: str) -> list[str]:
    return [line.strip() for line in code.splitlines() if "flor" in line]


# -- placed where it was --------------------------------------------------------------------------


SIMPLE = [
    line
    for line in text(OLD).splitlines(keepends=True)
    if line.startswith("    ")
    and text(OLD).count(line) == 1
    and not line.strip().startswith(("return", "for", "with"))
]


@pytest.mark.parametrize("after", SIMPLE)
def test_a_version_that_differs_by_the_log_only_gets_it_in_place(after: str) -> None:
    base = text(OLD)
    lines = base.splitlines(keepends=True)
    new = base.replace(after, after + after[: -len(after.lstrip())] + 'flor.log("a", 1)\n')
    new = new.replace("from torch import nn\n", "from torch import nn\nimport flor\n")
    outcome, got = one(new, base)
    assert (outcome.kind, outcome.line) == ("placed", lines.index(after) + 2)
    assert got == new


def test_what_is_there_already_is_said_to_be() -> None:
    new = with_log('flor.log("loss", loss.item())')
    outcome, got = one(new, new)
    assert (outcome.kind, outcome.line, got) == ("there", 22, new)


def test_putting_it_there_twice_changes_nothing() -> None:
    new = with_log('if step % 10 == 0:\n    flor.log("loss", loss.item())')
    first = put(new, text(OLD)).texts
    again = propagate({"t.py": new}, first)
    assert [o.kind for o in again.outcomes] == ["there"] and again.texts == first


def test_another_value_under_the_name_at_the_place_counts_as_there() -> None:
    old = with_log('flor.log("loss", float(loss))')
    outcome, got = one(with_log('flor.log("loss", loss.item())'), old)
    assert outcome.kind == "there" and "another value" in outcome.reason and got == old


def test_equal_statements_in_two_places_are_told_apart() -> None:
    log = 'flor.log("x", x.mean())'
    old = with_log(log, after="            scores = model(x)\n")
    twice = with_log(log, after="        optimizer.zero_grad()\n", base=old, imports="")
    outcomes = put(twice, old).outcomes
    assert [o.kind for o in outcomes] == ["there", "placed"]


# -- names ----------------------------------------------------------------------------------------


def test_a_renamed_variable_is_renamed() -> None:
    old = text(OLD).replace("loss", "cost").replace("scores", "logits")
    outcome, got = one(with_log('flor.log("l", (loss.item(), scores))'), old)
    assert outcome.renames == {"loss": "cost", "scores": "logits"}
    assert 'flor.log("l", (cost.item(), logits))' in got


def test_a_name_that_is_bound_is_not_renamed() -> None:
    old = edited(
        ("        loss.backward()\n", "        cost = loss * 2\n        cost.backward()\n")
    )
    outcome, got = one(with_log('flor.log("l", loss)'), old)
    assert outcome.renames == {} and 'flor.log("l", loss)' in got


def test_a_name_that_the_old_version_lacks_is_refused() -> None:
    new = edited((STEP, "        norm = clip(model)\n" + STEP))
    outcome, got = one(with_log('flor.log("n", norm)', base=new), text(OLD))
    assert (outcome.kind, outcome.reason) == ("refused", "`norm` is not bound here")
    assert got == text(OLD)


def test_swapped_variables_are_not_confused() -> None:
    new = with_log('flor.log("s", scores)')
    old = text(OLD).replace(
        "        scores = model(x)\n        loss", "        loss = model(x)\n        scores"
    )
    old = old.replace(
        "cross_entropy(scores, y)\n        loss.b", "cross_entropy(loss, y)\n        scores.b"
    )
    outcome, _ = one(new, old)
    assert outcome.kind == "refused" or outcome.renames == {"scores": "loss"}


def test_an_attribute_that_only_the_new_version_sets_is_refused() -> None:
    new = "class A:\n    def f(self):\n        self.ema = 1\n        flor.log('e', self.ema)\n        self.g()\n"
    old = "class A:\n    def f(self):\n        self.g()\n"
    outcome, _ = one("import flor\n" + new, old)
    assert (outcome.kind, outcome.reason) == ("refused", "`self.ema` is not bound here")


def test_a_name_bound_only_after_the_place_is_not_bound() -> None:
    new = "import flor\na = f()\nb = g(a)\nflor.log('b', b)\nh(a)\n"
    old = "a = f()\nh(a)\nb = g(a)\n"
    done = put(new, old)
    assert "flor.log('b', b)" not in done.texts["t.py"].partition("b = g")[0]


def test_one_refusal_stops_no_other() -> None:
    new = with_log(
        'flor.log("n", norm)\nflor.log("l", loss)',
        base=edited((STEP, "        norm = c()\n" + STEP)),
    )
    done = put(new, text(OLD))
    assert [o.kind for o in done.outcomes] == ["refused", "placed"]
    assert log_lines(done.texts["t.py"]) == ["import flor", 'flor.log("l", loss)']


# -- slices ---------------------------------------------------------------------------------------


def test_the_guard_goes_along() -> None:
    new = with_log('if step % 10 == 0:\n    flor.log("l", loss)  # now and then')
    outcome, got = one(new, text(OLD))
    assert outcome.slice.guard == "if step % 10 == 0"
    assert '        if step % 10 == 0:\n            flor.log("l", loss)  # now and then\n' in got


def test_a_guard_with_an_unknown_call_goes_along_if_it_is_not_there() -> None:
    new = with_log('if is_main_process():\n    flor.log("l", loss)',
                   base="from ranks import is_main_process\n" + text(OLD))  # fmt: skip
    outcome, got = one(new, "from ranks import is_main_process\n" + text(OLD))
    assert outcome.kind == "placed" and "        if is_main_process():\n            flor.log" in got


def test_a_guard_that_may_have_effects_does_not() -> None:
    new = with_log(
        'if next(things):\n    flor.log("l", loss)', base="things = iter(f())\n" + text(OLD)
    )
    outcome, got = one(new, "things = iter(f())\n" + text(OLD))
    assert outcome.kind == "refused" and "next" not in got


def test_of_a_guard_only_what_is_asked_for_goes_along() -> None:
    new = with_log('if step % 10 == 0:\n    flor.log("l", loss)\n    flor.log("x", x)')
    done = put(new, text(OLD), names={"x"})
    assert [o.slice.names for o in done.outcomes] == [("x",)]
    assert "flor.log('l'" not in done.texts["t.py"] and "flor.log('x', x)" in done.texts["t.py"]


def test_helpers_go_along() -> None:
    new = with_log('share = loss.item() / len(x)\nflor.log("share", share)')
    outcome, got = one(new, text(OLD))
    assert outcome.slice.helpers == ("share = loss.item() / len(x)",)
    assert '        share = loss.item() / len(x)\n        flor.log("share", share)\n' in got


def test_a_helper_elsewhere_keeps_its_place() -> None:
    new = edited(
        (
            "        optimizer.zero_grad()\n",
            "        was = x.mean()\n        optimizer.zero_grad()\n",
        )
    )
    outcome, got = one(with_log('flor.log("d", x.mean() - was)', base=new), text(OLD))
    assert outcome.kind == "placed"
    assert got == with_log('flor.log("d", x.mean() - was)', base=new, imports="").replace(
        "from torch import nn\n", "from torch import nn\nimport flor\n"
    )


def test_a_helper_whose_name_is_taken_gets_another() -> None:
    new = with_log('n = loss.item() / 2\nflor.log("h", n)')
    old = edited(("    return loss\n", "    n = 3\n    return loss * n\n"))
    outcome, got = one(new, old)
    assert outcome.kind == "placed" and 'flor.log("h", n_)' in got and "n = 3" in got


def test_a_loop_of_log_statements_goes_along() -> None:
    new = with_log("for name, p in model.named_parameters():\n    flor.log(name, p.norm().item())")
    outcome, got = one(new, text(OLD))
    assert outcome.kind == "placed" and "        for name, p in model.named_parameters():\n" in got


def test_a_function_for_logging_goes_along() -> None:
    helper = "def norm_of(m):\n    return sum(p.norm().item() for p in m.parameters())\n\n"
    new = with_log('flor.log("n", norm_of(model))', base=helper + text(OLD))
    outcome, got = one(new, text(OLD))
    assert outcome.kind == "placed" and got.index("def norm_of") < got.index("def train")


def test_a_dictionary_is_split_by_its_keys() -> None:
    new = with_log('flor.log("m", {"loss": loss.item(), "norm": norm})',
                   base=edited((STEP, "        norm = c()\n" + STEP)))  # fmt: skip
    done = put(new, text(OLD))
    assert [(o.kind, o.slice.key) for o in done.outcomes] == [
        ("placed", "loss"),
        ("refused", "norm"),
    ]
    assert "flor.log('m', {'loss': loss.item()})" in done.texts["t.py"]


def test_a_log_call_in_an_assignment_follows_it() -> None:
    new = text(OLD).replace("loss = nn.functional.cross_entropy(scores, y)",
                            'loss = flor.log("loss", nn.functional.cross_entropy(scores, y))')  # fmt: skip
    outcome, got = one("import flor\n" + new, text(OLD))
    assert outcome.kind == "placed"
    assert "cross_entropy(scores, y)\n        flor.log('loss', loss)\n" in got


def test_a_log_call_in_an_assignment_brings_its_import() -> None:
    new = "from flor import log\na = f()\nb = log('b', g(a))\nh(b)\n"
    _, got = one(new, "log = 1\na = f()\nb = g(a)\nh(b)\n")
    assert "from flor import log as _flor_log\n" in got and "_flor_log('b', b)\n" in got


def test_an_else_that_held_log_statements_only_is_made() -> None:
    base = "a = f()\nif a:\n    b = g(a)\n    h(b)\n"
    outcome, got = one(
        "import flor\n" + base + "else:\n    flor.log('a', a)\nk(a)\n", base + "k(a)\n"
    )
    assert outcome.kind == "placed"
    assert got == "import flor\n" + base + "else:\n    flor.log('a', a)\nk(a)\n"


# -- imports --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("imports", "call"),
    [("import flor\n", "flor.log"), ("import flor as fl\n", "fl.log"),
     ("from flor import log\n", "log"), ("from flor import log as note\n", "note")],
)  # fmt: skip
def test_the_import_of_flor_goes_along_as_it_is(imports: str, call: str) -> None:
    new = with_log(f'{call}("l", loss)', imports=imports)
    _, got = one(new, text(OLD))
    assert f"from torch import nn\n{imports}" in got and f'        {call}("l", loss)\n' in got


def test_where_its_name_is_taken_flor_gets_another() -> None:
    old = "import logging\nlog = logging.getLogger()\n" + text(OLD)
    _, got = one(with_log('log("l", loss)', imports="from flor import log\n"), old)
    assert "from flor import log as _flor_log\n" in got and '_flor_log("l", loss)' in got


def test_an_import_that_only_logging_needs_is_added() -> None:
    new = with_log('flor.log("l", math.log(loss))', imports="import math\nimport flor\n")
    outcome, got = one(new, text(OLD))
    assert outcome.kind == "placed" and "import math\n" in got
    compile(got, "t.py", "exec")


def test_a_function_of_a_module_that_the_old_project_lacks_is_refused() -> None:
    new = {"t.py": with_log('flor.log("n", total(model))', imports="import flor\nfrom u import total\n"),
           "u.py": "def total(m):\n    return 1\n"}  # fmt: skip
    done = propagate(new, {"t.py": text(OLD)})
    assert [o.reason for o in done.outcomes] == ["`total` is not bound here"]
    done = propagate(new, {"t.py": text(OLD), "u.py": new["u.py"]})
    assert [o.kind for o in done.outcomes] == ["placed"]
    assert "from u import total\n" in done.texts["t.py"]


# -- units and files ------------------------------------------------------------------------------


def test_a_renamed_function() -> None:
    outcome, got = one(with_log('flor.log("l", loss)'), text(OLD).replace("train(", "fit("))
    assert outcome.kind == "placed" and '        flor.log("l", loss)\n    return loss' in got


def test_code_that_was_inlined_then() -> None:
    old = text("""\
        import torch
        from torch import nn

        def main(args):
            model = nn.Linear(4, 2)
            optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
            for epoch in range(args.epochs):
                model.train()
                for step, (x, y) in enumerate(args.loader):
                    optimizer.zero_grad()
                    scores = model(x)
                    loss = nn.functional.cross_entropy(scores, y)
                    loss.backward()
                    optimizer.step()
                print(epoch)
        """)
    outcome, got = one(with_log('flor.log("l", loss)', after="        loss.backward()\n"), old)
    assert outcome.kind == "placed"
    assert '            loss.backward()\n            flor.log("l", loss)\n' in got


def test_what_a_function_does_now_was_done_behind_its_call() -> None:
    """The old version replaces what the new one's `prepare` gives: that is the value's making."""
    old = text("""\
        class Trainer:
            def fit(self, samples):
                self.model.train()
                total = 0
                for sample in samples:
                    sample = self.prepare(sample)
                    if sample is None:
                        sample = self.prepare(self.dummy)
                        ignored = True
                    else:
                        if self.dummy == "DUMMY":
                            self.dummy = sample
                        ignored = False
                    total += self.step(sample, ignored)
                    self.count += 1
                return total

            def prepare(self, sample):
                if sample is None or len(sample) == 0:
                    return None
                sample = move_to_device(sample)
                return sample
    """)
    new = text("""\
        import flor
        class Trainer:
            def fit(self, samples):
                self.model.train()
                total = 0
                for sample in samples:
                    sample, ignored = self.prepare(sample)
                    flor.log("sample", len(sample))
                    total += self.step(sample, ignored)
                    self.count += 1
                return total

            def prepare(self, sample):
                if sample is None or len(sample) == 0:
                    sample, _ = self.prepare(self.dummy)
                    return sample, True
                sample = move_to_device(sample)
                if self.dummy == "DUMMY":
                    self.dummy = sample
                return sample, False
    """)
    outcome, got = one(new, old)
    assert outcome.kind == "placed"
    lines = got.splitlines()
    place = next(n for n, line in enumerate(lines) if "flor.log" in line)
    assert "total +=" in lines[place + 1]


def test_a_module_that_was_split_since() -> None:
    new = with_log(
        'flor.log("h", hits)', after="            hits += (scores.argmax(1) == y).sum().item()\n"
    )
    start, stop = new.index("def evaluate"), new.index("def train")
    files = {"evaluation.py": "import flor\nimport torch\n\n" + new[start:stop],
             "t.py": "from evaluation import evaluate\n" + new[:start] + new[stop:]}  # fmt: skip
    done = propagate(files, {"t.py": text(OLD)})
    assert [(o.kind, o.file) for o in done.outcomes] == [("placed", "t.py")]
    assert '                flor.log("h", hits)\n' in "".join(
        "    " + line for line in done.texts["t.py"].splitlines(keepends=True)
    )


def test_a_renamed_script() -> None:
    done = propagate({"new.py": with_log('flor.log("l", loss)')}, {"old.py": text(OLD)})
    assert [(o.kind, o.file) for o in done.outcomes] == [("placed", "old.py")]


# -- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("new", "old", "reason"),
    [
        (with_log('flor.log("l", loss)'), "import torch\n", "context deleted"),
        (
            "import flor\nfor e in range(3):\n    for s in range(4):\n        a = f(e)\n"
            "        b = g(s)\n        flor.log('s', e)\n        h(a, b)\n    k(e)\nend()\n",
            "for e in range(3):\n    k(e)\nend()\n",
            "loop level absent",
        ),
        (with_log('flor.log("l", loss)'), "def train(:\n", "does not parse"),
        (
            "import flor\na = f()\nb = g()\nflor.log('a', 1)\nc = h()\nd = k()\n",
            "x = 1\ny = 2\nz = 3\n",
            "context deleted",
        ),
    ],
)  # fmt: skip
def test_reasons(new: str, old: str, reason: str) -> None:
    outcome, got = one(new, old)
    assert outcome.kind == "refused" and outcome.reason.startswith(reason), outcome
    assert got == old


def test_two_places_are_told() -> None:
    new = "import flor\nm = f()\na(m)\nflor.log('m', m.norm())\nb(m)\n"
    outcome, _ = one(new, "m = f()\na(m)\nif late:\n    m.update()\nb(m)\n")
    assert outcome.reason == "ambiguous: line 3 or 5" or outcome.kind == "placed"


def test_a_new_file_that_does_not_parse_is_told() -> None:
    done = put("import flor\nflor.log('a', \n", text(OLD))
    assert [(o.kind, o.reason) for o in done.outcomes] == [
        ("refused", "does not parse: the new file can't be parsed")
    ]


# -- decisions ------------------------------------------------------------------------------------


def test_the_user_decides() -> None:
    new = with_log('flor.log("l", 1)')
    (outcome,) = put(new, "x = 1\ny = 2\n").outcomes
    assert outcome.kind == "refused"
    for at, wanted in (
        (At("t.py", 2), 'import flor\nx = 1\nflor.log("l", 1)\ny = 2\n'),
        (At("t.py", 2, True), 'import flor\nx = 1\ny = 2\nflor.log("l", 1)\n'),
        (At("t.py", 9), 'import flor\nx = 1\ny = 2\nflor.log("l", 1)\n'),
    ):
        decided, got = one(new, "x = 1\ny = 2\n", decisions={outcome.slice.id: at})
        assert (decided.kind, decided.confidence, got) == ("placed", 1.0, wanted)


def test_not_even_the_user_places_an_unbound_name() -> None:
    new = with_log('flor.log("l", loss)')
    (outcome,) = put(new, "x = 1\n").outcomes
    decided, _ = one(new, "x = 1\n", decisions={outcome.slice.id: At("t.py", 1)})
    assert (decided.kind, decided.reason) == ("refused", "`loss` is not bound here")


# -- text -----------------------------------------------------------------------------------------


def test_tabs_and_line_endings_of_the_old_file_stay() -> None:
    old = text(OLD).replace("    ", "\t").replace("\n", "\r\n")
    _, got = one(with_log('if step:\n    flor.log("l", loss)'), old)
    assert '\t\tif step:\r\n\t\t\tflor.log("l", loss)\r\n' in got
    assert got.replace("import flor\r\n", "").replace(
        '\t\tif step:\r\n\t\t\tflor.log("l", loss)\r\n', ""
    ) == old  # fmt: skip


def test_a_file_without_a_newline_at_its_end() -> None:
    old = "a = f()\nb = g(a)"
    _, got = one("import flor\na = f()\nb = g(a)\nflor.log('b', b)\n", old)
    assert got == "import flor\na = f()\nb = g(a)\nflor.log('b', b)"


def test_lines_within_strings_are_not_indented() -> None:
    log = 'flor.log("t", """\n  two\nlines""")'
    new = "import flor\na = f()\nif a:\n    b = g(a)\n    " + log + "\n    h(b)\n"
    old = "a = f()\nif a:\n  b = g(a)\n  h(b)\n"
    _, got = one(new, old)
    values = [n.value for n in ast.walk(ast.parse(got)) if isinstance(n, ast.Constant)]
    assert "\n  two\nlines" in values


def test_a_statement_over_several_lines_keeps_its_form() -> None:
    log = 'flor.log(\n    "l",  # the loss\n    loss.item(),\n)'
    _, got = one(with_log(log), text(OLD))
    assert textwrap.indent(log, "        ") in got


def test_blocks_on_one_line() -> None:
    new = "import flor\na = f()\nif a:\n    b = g(a)\n    flor.log('b', b)\nh(a)\n"
    _, got = one(new, "a = f()\nif a: b = g(a)\nh(a)\n")
    assert got == "import flor\na = f()\nif a: b = g(a); flor.log('b', b)\nh(a)\n"


def test_docstrings_and_future_imports_stay_first() -> None:
    old = '"""Doc."""\nfrom __future__ import annotations\na = f()\nb = g(a)\n'
    _, got = one("import flor\n" + "a = f()\nflor.log('a', a)\nb = g(a)\n", old)
    assert got.startswith('"""Doc."""\nfrom __future__ import annotations\nimport flor\n')
    compile(got, "t.py", "exec")


def test_the_result_differs_by_log_statements_only() -> None:
    new = with_log('if step % 10 == 0:\n    flor.log("l", loss.item())')
    old = edited(("loss.backward()", "loss.sum().backward()"))
    _, got = one(new, old)
    assert compare({"t.py": old}, {"t.py": got}).same
