"""What is odd about a definition before anybody is counted: parts that rule each other out, or that always hold.

Only what follows from the definition alone; a definition without a warning may still match nobody.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TypeAlias

from segments.ast import NEGATIVE, All, Any, Event, Measure, Node, Not, Op, Scalar, Test, Trait
from segments.plan import conditions
from segments.sentence import phrase

WHOLE = frozenset({Measure.COUNT, Measure.DISTINCT, Measure.DAYS})
ANYTHING = Test(Op.EXISTS)


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`; an end that is open is not one of them."""

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def meets(self, other: "Range") -> bool:
        low, low_open = max((self.low, self.low_open), (other.low, other.low_open))
        high, high_closed = min((self.high, not self.high_open), (other.high, not other.high_open))
        return low < high or (low == high and not low_open and high_closed)


Allowed: TypeAlias = Range | frozenset[tuple[bool, Scalar]]
"""The values that a test lets through."""


def warnings(node: Node) -> list[str]:
    """In words, the most telling first."""
    return list(dict.fromkeys([*_contradictions(node), *_always(node)]))


def _contradictions(node: Node) -> Iterator[str]:
    for group in _groups(node):
        if isinstance(group, All):
            for one, other in combinations(_flat(group), 2):
                if _rule_out(one, other):
                    yield f"“{phrase(one)}” and “{phrase(other)}” rule each other out: both together can never match."
    for part in conditions(node):
        if isinstance(part, Event) and not _measurable(part):
            yield f"“{phrase(part)}” can never match: a count is never below 0."


def _always(node: Node) -> Iterator[str]:
    for group in _groups(node):
        if isinstance(group, Any):
            for one, other in combinations(group.of, 2):
                if one == Not(other) or other == Not(one):
                    yield f"“{phrase(one)}” or “{phrase(other)}” matches everyone."
    for part in conditions(node):
        if isinstance(part, Event) and _holds_always(part):
            yield f"“{phrase(part)}” matches everyone: a count is never below 0."


def _groups(node: Node) -> Iterator[All | Any]:
    match node:
        case All(of) | Any(of):
            yield node
            for part in of:
                yield from _groups(part)
        case Not(of):
            yield from _groups(of)
        case _:
            return


def _flat(group: All) -> list[Node]:
    """The parts of a group and of the groups of the same kind inside."""
    return [inner for part in group.of for inner in (_flat(part) if isinstance(part, All) else [part])]


def _rule_out(one: Node, other: Node) -> bool:
    if one == Not(other) or other == Not(one):
        return True
    if isinstance(one, Trait) and isinstance(other, Trait):
        return one.trait == other.trait and one.trait.single and _apart(one.test, other.test)
    if isinstance(one, Event) and isinstance(other, Event):
        alike = replace(one, test=ANYTHING) == replace(other, test=ANYTHING)
        return alike and _apart(one.test, other.test)
    return False


def _apart(one: Test, other: Test) -> bool:
    """Whether no value passes both."""
    for test, against in ((one, other), (other, one)):
        if test.op in NEGATIVE and Test(NEGATIVE[test.op], test.value) == against:
            return True
    mine, yours = _allowed(one), _allowed(other)
    if mine is None or yours is None:
        return False
    if isinstance(mine, frozenset) and isinstance(yours, frozenset):
        return not mine & yours
    return not any(a.meets(b) for a in _ranges(mine) for b in _ranges(yours))


def _allowed(test: Test) -> Allowed | None:  # noqa: PLR0911 - one return per kind of operator
    """None where that cannot be told, or depends on when it is asked."""
    value = test.value
    match test.op:
        case Op.EQ if isinstance(value, str | bool | int | float):
            return frozenset({_typed(value)})
        case Op.IN if isinstance(value, tuple):
            return frozenset(_typed(each) for each in value)
        case Op.IS_TRUE | Op.IS_FALSE:
            return frozenset({_typed(test.op is Op.IS_TRUE)})
        case Op.GT | Op.GTE if isinstance(value, int | float):
            return Range(low=value, low_open=test.op is Op.GT)
        case Op.LT | Op.LTE if isinstance(value, int | float):
            return Range(high=value, high_open=test.op is Op.LT)
        case Op.BETWEEN if isinstance(value, tuple):
            low, high = value
            return (
                Range(low=low, high=high) if isinstance(low, int | float) and isinstance(high, int | float) else None
            )
        case _:
            return None


def _typed(value: Scalar) -> tuple[bool, Scalar]:
    """Python takes True for 1, the language does not."""
    return (isinstance(value, bool), value)


def _ranges(allowed: Allowed) -> list[Range]:
    if isinstance(allowed, Range):
        return [allowed]
    return [
        Range(low=value, high=value) for is_bool, value in allowed if not is_bool and isinstance(value, int | float)
    ]


def _measurable(event: Event) -> bool:
    allowed = _allowed(event.test)
    if event.measure not in WHOLE or allowed is None:
        return True
    return any(Range(low=0).meets(one) for one in _ranges(allowed))


def _holds_always(event: Event) -> bool:
    allowed = _allowed(event.test)
    if event.measure not in WHOLE or not isinstance(allowed, Range) or allowed.high < math.inf:
        return False
    return allowed.low < 0 or (allowed.low == 0 and not allowed.low_open)
