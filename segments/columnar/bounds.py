"""Numeric tests as cuts: a number passes when it has reached one bound and not the other.

A cut does not care how a number is kept: as an integer, as a float that PostgreSQL rounds, or exactly.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from segments.ast import Op, Test

_SIGN = 1 << 63


@dataclass(frozen=True)
class Cut:
    """The numbers from `value` on; `beyond`: without itself."""

    value: Decimal
    beyond: bool = False

    def reached_by(self, number: Decimal) -> bool:
        return number > self.value if self.beyond else number >= self.value

    def first_whole(self) -> int:
        """The least whole number that reaches it."""
        if self.beyond:
            return int(self.value.to_integral_value(ROUND_FLOOR)) + 1
        return int(self.value.to_integral_value(ROUND_CEILING))

    def first_rounded(self) -> float:
        """The least float that reaches it once PostgreSQL has cast it to numeric, which keeps 15 digits."""
        return _least_float(lambda number: self.reached_by(Decimal(f"{number:.15g}")))


@dataclass(frozen=True)
class Bounds:
    """Passed by what has reached `lower` and not `upper`, or with `outside` by everything else."""

    lower: Cut | None
    upper: Cut | None
    outside: bool = False

    @property
    def cuts(self) -> list[Cut]:
        return [cut for cut in (self.lower, self.upper) if cut]


def bounds_of(test: Test) -> Bounds:
    """Of a test that compares numbers."""
    if isinstance(test.value, tuple):
        low, high = test.value
        return Bounds(Cut(exact(low)), Cut(exact(high), beyond=True))
    reached, passed = Cut(exact(test.value)), Cut(exact(test.value), beyond=True)
    return {
        Op.GTE: Bounds(reached, None),
        Op.GT: Bounds(passed, None),
        Op.LT: Bounds(None, reached),
        Op.LTE: Bounds(None, passed),
        Op.EQ: Bounds(reached, passed),
        Op.NEQ: Bounds(reached, passed, outside=True),
    }[test.op]


def exact(number: object) -> Decimal:
    """As it is written, which is how PostgreSQL is told it."""
    if isinstance(number, bool) or not isinstance(number, int | float | Decimal):
        raise TypeError(number)
    return Decimal(repr(number)) if isinstance(number, float) else Decimal(number)


def _least_float(reaches: Callable[[float], bool]) -> float:
    """By halving; floats are in the order of their bits, once those of negative ones are turned round."""
    low, high = _place(float("-inf")) + 1, _place(float("inf"))
    while low < high:
        middle = (low + high) // 2
        if reaches(_at(middle)):
            high = middle
        else:
            low = middle + 1
    return _at(low)


def _place(number: float) -> int:
    bits: int = struct.unpack("<Q", struct.pack("<d", number))[0]
    return (_SIGN - 1) - (bits - _SIGN) if bits & _SIGN else bits + _SIGN


def _at(place: int) -> float:
    bits = place - _SIGN if place >= _SIGN else (_SIGN - 1) - place + _SIGN
    (number,) = struct.unpack("<d", struct.pack("<Q", bits))
    return float(number)
