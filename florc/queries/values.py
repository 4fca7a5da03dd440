"""What is known of an expression before everything is replayed.

A *cell* is a hindsight column of one use of a scan.  A Value has SQL that gives its value where
`unknown` is false.  A Truth says of a condition what it may be and what it must be.  Both tell by
which cells they may change: their *influence*.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .guards import guarded


@dataclass(frozen=True)
class Flag:
    """A condition in SQL that is never NULL, and the items that it reads."""

    sql: str
    aliases: frozenset[str] = frozenset()
    equal: tuple[Value, Value] | None = field(default=None, compare=False)  # it says these are


NO, YES = Flag("0"), Flag("1")
Cell = tuple[str, str]
"""The alias of an item and a column; ("#3", "") is everything inside of subquery 3."""
Influence = Mapping[Cell, Flag]


def both(*flags: Flag) -> Flag:
    """AND."""
    kept = list(dict.fromkeys(flag for flag in flags if flag.sql != "1"))
    if any(flag.sql == "0" for flag in kept):
        return NO
    return _joined(" AND ", kept) if kept else YES


def either(*flags: Flag) -> Flag:
    """OR."""
    kept = list(dict.fromkeys(flag for flag in flags if flag.sql != "0"))
    if any(flag.sql == "1" for flag in kept):
        return YES
    return _joined(" OR ", kept) if kept else NO


def negated(flag: Flag) -> Flag:
    """NOT."""
    if flag.sql in ("0", "1"):
        return YES if flag.sql == "0" else NO
    if flag.sql.startswith("NOT "):  # only here is anything left without parentheses
        return Flag(flag.sql[4:], flag.aliases)
    return Flag(f"NOT {flag.sql}", flag.aliases)


def _joined(word: str, flags: list[Flag]) -> Flag:
    if len(flags) == 1:
        return flags[0]
    aliases = frozenset[str]().union(*(flag.aliases for flag in flags))
    return Flag(f"({word.join(flag.sql for flag in flags)})", aliases)


def merged(*parts: Influence) -> dict[Cell, Flag]:
    """By cell: by any of the parts."""
    found: dict[Cell, Flag] = {}
    for part in parts:
        for cell, flag in part.items():
            found[cell] = either(found[cell], flag) if cell in found else flag
    return found


def limited(influence: Influence, by: Flag) -> dict[Cell, Flag]:
    """As far as `by` is true."""
    return {cell: both(flag, by) for cell, flag in influence.items()}


@dataclass(frozen=True)
class Value:
    """An expression."""

    sql: str
    unknown: Flag = NO
    influence: Influence = field(default_factory=dict)
    aliases: frozenset[str] = frozenset()
    loose: bool = False  # only equal to the real value, as 1 is to 1.0
    approximate: bool = False  # but for the last digits
    kind: str = ""  # of a plain column: what SQLite makes of it in comparisons
    equal: tuple[Value, Value] | None = field(default=None, compare=False)  # it says these are

    @property
    def known(self) -> Flag:
        """Whether it is."""
        return negated(self.unknown)


NULL = Value("NULL")
CONSTANTS = {
    "1": (YES, NO),
    "TRUE": (YES, NO),
    "0": (NO, YES),
    "FALSE": (NO, YES),
    "NULL": (NO, NO),
}


def unknowable(*parts: Influence) -> Value:
    """A value of which nothing is known but what may change it."""
    return Value("NULL", YES, merged(*parts))


@dataclass(frozen=True)
class Truth:
    """A condition: what it may be, what it must be, and what may change it."""

    may: Flag  # be true
    may_not: Flag  # be false
    must: Flag
    must_not: Flag
    influence: Influence = field(default_factory=dict)


def truth_of(value: Value) -> Truth:
    """A value as a condition."""
    if value.unknown.sql == "1" and guarded("unknown-leaf"):
        return Truth(YES, YES, NO, NO, value.influence)
    if value.sql in CONSTANTS and value.unknown == NO:
        true, false = CONSTANTS[value.sql]
        return Truth(true, false, true, false, value.influence)
    holds = Flag(f"({value.sql} IS TRUE)", value.aliases, value.equal)
    fails = Flag(f"({value.sql} IS FALSE)", value.aliases)
    if not guarded("unknown-leaf"):
        return Truth(holds, fails, holds, fails, value.influence)
    return Truth(
        either(value.unknown, holds),
        either(value.unknown, fails),
        both(value.known, holds),
        both(value.known, fails),
        value.influence,
    )


def not_(one: Truth) -> Truth:
    """NOT."""
    if not guarded("negation"):
        return Truth(negated(one.may), negated(one.may_not), NO, NO, one.influence)
    return Truth(one.may_not, one.may, one.must_not, one.must, one.influence)


def and_(one: Truth, other: Truth) -> Truth:
    """AND."""
    relevant, also = negated(other.must_not), negated(one.must_not)
    if not guarded("influence-and"):
        relevant, also = other.must, one.must
    return Truth(
        both(one.may, other.may),
        either(one.may_not, other.may_not),
        both(one.must, other.must),
        either(one.must_not, other.must_not),
        merged(limited(one.influence, relevant), limited(other.influence, also)),
    )


def or_(one: Truth, other: Truth) -> Truth:
    """OR."""
    relevant, also = negated(other.must), negated(one.must)
    if not guarded("influence-or"):
        relevant, also = negated(other.may), negated(one.may)
    may = either(one.may, other.may)
    if not guarded("disjunction"):
        may = both(one.may, other.may)
    return Truth(
        may,
        both(one.may_not, other.may_not),
        either(one.must, other.must),
        both(one.must_not, other.must_not),
        merged(limited(one.influence, relevant), limited(other.influence, also)),
    )


def all_known(values: Iterable[Value]) -> Flag:
    """Whether all are."""
    return both(*(value.known for value in values))
