"""The codes: documented, stable, used."""

from __future__ import annotations

import re
from pathlib import Path

from florc.codes import CODES

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "codes.md").read_text(encoding="utf-8")


def test_every_code_is_documented_and_every_documented_code_exists() -> None:
    sections = re.findall(r"^## (FLR\d{3}): (.+)$", DOCUMENT, re.MULTILINE)
    assert sections == [(code.code, code.title) for code in CODES.values()]
    assert set(re.findall(r"FLR\d{3}", DOCUMENT)) == set(CODES)


def test_the_document_says_what_the_table_says() -> None:
    flat = " ".join(DOCUMENT.split())
    for code in CODES.values():
        assert f"*{code.severity}* {code.explanation} **What to do.** {code.action}" in flat


def test_codes_are_well_formed_and_in_order() -> None:
    assert list(CODES) == sorted(CODES)
    for name, code in CODES.items():
        assert re.fullmatch(r"FLR\d{3}", name) and name == code.code
        assert code.severity in {"error", "warning", "note"}
        assert code.title and code.explanation.endswith(".") and code.action.endswith(".")


def test_codes_that_the_sources_name_exist() -> None:
    for folder in ("florc", "runtime"):
        for path in (ROOT / folder).rglob("*.py"):
            named = set(re.findall(r"\bFLR\d{3}\b", path.read_text(encoding="utf-8")))
            assert named <= set(CODES), path
