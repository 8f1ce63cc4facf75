"""What events come to for each person, gathered from arrays of events in any order; and who passes the test of it.

Where the arrays do not tell for certain what PostgreSQL would say (a sum of floats depends on their order), the person
is doubtful, and somebody asks PostgreSQL about them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from segments.columnar.bounds import Bounds, Cut, exact
from segments.columnar.errors import DeclinedError
from segments.columnar.people import Flags, Places

LARGEST = Decimal("1e100")
MOST_PAIRS = 12_000_000
MOST_OCTETS = 128
_ONE = np.int32(1)
_ROUNDING = 2.0**-53
_WHOLE = 2.0**53
_SCALE = 10_000
_LONG_AGO = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class Batch:
    """Some events that count. `operand` is what the measure made of the values that it is taken of."""

    places: Places
    times: NDArray[np.int64] | None = None
    days: NDArray[np.int64] | None = None
    operand: NDArray[Any] | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """By place."""

    holds: Flags
    doubtful: Flags | None = None


class Gathering(ABC):
    missing: ClassVar[Any] = None
    """The operand where an event lacks the property."""

    def derive(self, values: Sequence[Any]) -> NDArray[Any]:
        """The operand of each value that the property can have."""
        raise TypeError(values)

    @abstractmethod
    def add(self, batch: Batch) -> None: ...

    @abstractmethod
    def verdict(self) -> Verdict: ...


def within(bounds: Bounds, reached: Callable[[Cut], Flags], size: int) -> Flags:
    passed = reached(bounds.lower).copy() if bounds.lower else np.ones(size, bool)
    if bounds.upper:
        passed &= ~reached(bounds.upper)
    return ~passed if bounds.outside else passed


# --- How many -----------------------------------------------------------------------------------------------


class Counted(Gathering):
    def __init__(self, size: int, bounds: Bounds) -> None:
        self.bounds = bounds
        self.counts = np.zeros(size, np.int32)

    def add(self, batch: Batch) -> None:
        np.add.at(self.counts, batch.places, _ONE)

    def verdict(self) -> Verdict:
        reached = lambda cut: self.counts >= cut.first_whole()  # noqa: E731
        return Verdict(within(self.bounds, reached, len(self.counts)))


class Seen(Gathering):
    """For tests that only ask whether there is any."""

    def __init__(self, size: int, bounds: Bounds) -> None:
        self.bounds = bounds
        self.seen = np.zeros(size, bool)

    def add(self, batch: Batch) -> None:
        self.seen[batch.places] = True

    def verdict(self) -> Verdict:
        always, none = np.ones(len(self.seen), bool), np.zeros(len(self.seen), bool)

        def reached(cut: Cut) -> Flags:
            return always if cut.first_whole() <= 0 else self.seen if cut.first_whole() == 1 else none

        return Verdict(within(self.bounds, reached, len(self.seen)))


def counted(size: int, bounds: Bounds) -> Gathering:
    any_will_do = all(cut.first_whole() <= 1 for cut in bounds.cuts)
    return Seen(size, bounds) if any_will_do else Counted(size, bounds)


class Days(Gathering):
    """A bit for each day of each person."""

    def __init__(self, size: int, bounds: Bounds) -> None:
        self.size, self.bounds = size, bounds
        self.octets: dict[int, NDArray[np.uint8]] = {}

    def add(self, batch: Batch) -> None:
        if batch.days is None:
            raise TypeError(batch)
        days, places = batch.days, batch.places
        if (days[1:] < days[:-1]).any():
            order = np.argsort(days, kind="stable")
            days, places = days[order], places[order]
        ends = [*(np.flatnonzero(days[1:] != days[:-1]) + 1), len(days)]
        start = 0
        for end in ends:
            if end > start:
                octet, bit = divmod(int(days[start]), 8)
                self._octet(octet)[places[start:end]] |= np.uint8(1 << bit)
            start = end

    def _octet(self, number: int) -> NDArray[np.uint8]:
        if number not in self.octets:
            if len(self.octets) == MOST_OCTETS:
                raise DeclinedError
            self.octets[number] = np.zeros(self.size, np.uint8)
        return self.octets[number]

    def verdict(self) -> Verdict:
        counts = np.zeros(self.size, np.int32)
        for octet in self.octets.values():
            counts += np.bitwise_count(octet)
        return Verdict(within(self.bounds, lambda cut: counts >= cut.first_whole(), self.size))


class Distinct(Gathering):
    """Each pair of a person and a value once."""

    missing = -1

    def __init__(self, size: int, bounds: Bounds) -> None:
        self.size, self.bounds = size, bounds
        self.known: dict[Any, int] = {}
        self.pairs = np.empty(0, np.int64)
        self.waiting: list[NDArray[np.int64]] = []
        self.waits = 0

    def derive(self, values: Sequence[Any]) -> NDArray[Any]:
        numbers = (
            -1 if value is None else self.known.setdefault(canonical(value), len(self.known)) for value in values
        )
        return np.fromiter(numbers, np.int64, len(values))

    def add(self, batch: Batch) -> None:
        if batch.operand is None:
            raise TypeError(batch)
        there = batch.operand >= 0
        self.waiting.append(batch.operand[there] << 32 | batch.places[there])
        self.waits += len(self.waiting[-1])
        if self.waits > len(self.pairs) + 1_000_000:
            self._fold()

    def _fold(self) -> None:
        pairs = np.sort(np.concatenate([self.pairs, *self.waiting]))
        first = np.ones(len(pairs), bool)
        first[1:] = pairs[1:] != pairs[:-1]
        self.pairs, self.waiting, self.waits = pairs[first], [], 0
        if len(self.pairs) > MOST_PAIRS:
            raise DeclinedError

    def verdict(self) -> Verdict:
        self._fold()
        counts = np.bincount(self.pairs & 0xFFFFFFFF, minlength=self.size)
        return Verdict(within(self.bounds, lambda cut: counts >= cut.first_whole(), self.size))


def canonical(value: Any) -> Any:
    """Equal, and of equal hash, where PostgreSQL takes JSON values for equal: 1 and 1.0 are, 1 and true are not."""
    match value:
        case None | bool():
            return ("constant", value)
        case int() | float() | Decimal():
            return ("number", exact(value))
        case list():
            return ("list", tuple(canonical(item) for item in value))
        case dict():
            return ("object", frozenset((key, canonical(item)) for key, item in value.items()))
        case _:
            return value


# --- Numbers ------------------------------------------------------------------------------------------------


def number_of(value: Any) -> Decimal | None:
    """A JSON value as a number that measures take; None where it is none, or too large."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    number = exact(value)
    return number if abs(number) <= LARGEST else None


class Numbers(Gathering):
    """Sums of `operand`, with how many numbers there were, and how large all of them are together."""

    missing = np.nan

    def __init__(self, size: int, bounds: Bounds, *, average: bool = False) -> None:
        self.bounds, self.average = bounds, average
        self.sums = np.zeros(size)
        self.counts = np.zeros(size, np.int32)
        self.sizes: NDArray[np.float64] | None = None
        self.whole = True

    def add(self, batch: Batch) -> None:
        if batch.operand is None:
            raise TypeError(batch)
        usable = self._usable(batch.operand)
        places, numbers = (
            (batch.places, batch.operand) if usable.all() else (batch.places[usable], batch.operand[usable])
        )
        if not len(numbers):
            return
        if self.sizes is None and numbers.min() < 0:
            self.sizes = self.sums.copy()  # none was negative so far
        self.whole = self.whole and bool((numbers == np.floor(numbers)).all())
        np.add.at(self.sums, places, numbers)
        np.add.at(self.counts, places, _ONE)
        if self.sizes is not None:
            np.add.at(self.sizes, places, np.abs(numbers))

    def _usable(self, numbers: NDArray[Any]) -> Flags:
        usable: Flags = ~np.isnan(numbers)
        return usable

    def _size(self) -> NDArray[np.float64]:
        return self.sums if self.sizes is None else self.sizes

    def _terms(self) -> NDArray[np.int32]:
        """How many numbers were added up, each of which may have been rounded."""
        return self.counts


class FloatSum(Numbers):
    """Of `event.value`, as `sum(float8)::numeric` or `avg(float8)::numeric` have it.

    Two orders of adding differ by less than 2 (n - 1) u S, u being 2^-53 and S the sum of the sizes (Higham, Accuracy
    and Stability of Numerical Algorithms, 4.2): who is nearer than that to a bound is doubtful.
    """

    def _usable(self, numbers: NDArray[Any]) -> Flags:
        usable: Flags = np.abs(numbers) <= float(LARGEST)  # not so for NaN
        return usable

    def verdict(self) -> Verdict:
        sums = self.sums / np.maximum(self.counts, 1) if self.average else self.sums
        firsts = {cut: cut.first_rounded() for cut in self.bounds.cuts}
        holds = within(self.bounds, lambda cut: sums >= firsts[cut], len(sums))
        doubtful = np.zeros(len(sums), bool)
        most = self._largest_error()
        for first in firsts.values():
            near = np.flatnonzero(np.abs(sums - first) <= most)
            doubtful[near] |= np.abs(sums[near] - first) <= self._error(near)
        if self.average:
            holds &= self.counts > 0
        return Verdict(holds, doubtful)

    def _largest_error(self) -> float:
        """Of anybody: there are few people within it, whose own is looked at."""
        size = float(self._size().max(initial=0))
        return 3 * _ROUNDING * size * (float(self._terms().max(initial=0)) + 2)

    def _error(self, places: NDArray[np.intp]) -> NDArray[np.float64]:
        """Less than nothing for those whose sum is what it is."""
        size, counts, terms = self._size()[places], self.counts[places], self._terms()[places]
        error = 2.1 * _ROUNDING * size * (terms - 1)
        if self.average:
            error = error / np.maximum(counts, 1) + 4 * _ROUNDING * size
        certain = (terms < 3) | (counts == 0)
        if self.whole:
            certain |= size < _WHOLE
        error[certain] = -1
        return error


class ExactSum(Numbers):
    """Of a property, as `sum(numeric)` or `avg(numeric)` have it: in ten-thousandths, which are whole numbers mostly.

    Whole numbers add up exactly in any order, up to 2^53. Who has another number, or more than that, is doubtful near
    a bound. So is an average, whose last digits PostgreSQL rounds, unless it is the bound itself.
    """

    def __init__(self, size: int, bounds: Bounds, *, average: bool = False) -> None:
        super().__init__(size, bounds, average=average)
        self.inexact = np.zeros(size, bool)

    def derive(self, values: Sequence[Any]) -> NDArray[Any]:
        numbers = (number_of(value) for value in values)
        scaled = (np.nan if number is None else _scaled(number) for number in numbers)
        return np.fromiter(scaled, np.float64, len(values))

    def add(self, batch: Batch) -> None:
        super().add(batch)
        if batch.operand is None:
            raise TypeError(batch)
        broken = (batch.operand != np.floor(batch.operand)) & ~np.isnan(batch.operand)
        if broken.any():
            self.inexact[batch.places[broken]] = True

    def verdict(self) -> Verdict:
        size = self._size()
        inexact = self.inexact | (size >= _WHOLE)
        error = (self._terms() + 2.0) * 2.1 * _ROUNDING * size + 1
        reached: dict[Cut, Flags] = {}
        doubtful = np.zeros(len(self.sums), bool)
        for cut in self.bounds.cuts:
            reached[cut], unsure = self._average(cut) if self.average else self._sum(cut, inexact, error)
            doubtful |= unsure
        holds = within(self.bounds, lambda cut: reached[cut], len(self.sums))
        if self.average:
            holds, doubtful = holds & (self.counts > 0), doubtful & (self.counts > 0)
        return Verdict(holds, doubtful)

    def _sum(self, cut: Cut, inexact: Flags, error: NDArray[np.float64]) -> tuple[Flags, Flags]:
        first = float(Cut(cut.value * _SCALE, cut.beyond).first_whole())
        return self.sums >= first, inexact & (np.abs(self.sums - first) <= error)

    def _average(self, cut: Cut) -> tuple[Flags, Flags]:
        """Multiplied rather than divided."""
        bound = float(cut.value * _SCALE) * self.counts
        whole = float(cut.value * _SCALE).is_integer() and cut.value * _SCALE == Decimal(float(cut.value * _SCALE))
        certain = whole & (np.abs(bound) < _WHOLE) & ~self.inexact & (self._size() < _WHOLE)
        equal = certain & (self.sums == bound)
        reached = (self.sums > bound) | (equal & (not cut.beyond))
        error = (self._terms() + 4.0) * 4 * _ROUNDING * (self._size() + np.abs(bound)) + self.counts * 1e-11
        return reached, ~equal & (np.abs(self.sums - bound) <= error)


def _scaled(number: Decimal) -> float:
    """In ten-thousandths; what is no whole number of them does not look like one either."""
    top, bottom = number.as_integer_ratio()
    scaled = top * _SCALE / bottom
    if top * _SCALE % bottom and scaled.is_integer():
        scaled = float(np.nextafter(scaled, np.inf))
    return scaled


class Extreme(Gathering):
    """The largest reaches a cut when any number does; the least, when every number does."""

    missing = np.nan

    def __init__(self, size: int, bounds: Bounds, *, largest: bool, rounded: bool) -> None:
        """`rounded`: numbers are floats of `event.value`; else how many cuts a value of the property has reached."""
        self.bounds, self.largest, self.rounded = bounds, largest, rounded
        self.seen = np.zeros(size, bool)
        self.telling = {cut: np.zeros(size, bool) for cut in bounds.cuts}
        self.firsts = {cut: cut.first_rounded() for cut in bounds.cuts} if rounded else {}

    def derive(self, values: Sequence[Any]) -> NDArray[Any]:
        """A bit for each cut."""
        numbers = (number_of(value) for value in values)
        bits = (
            np.nan
            if number is None
            else sum(cut.reached_by(number) << place for place, cut in enumerate(self.bounds.cuts))
            for number in numbers
        )
        return np.fromiter(bits, np.float64, len(values))

    def add(self, batch: Batch) -> None:
        seen, telling = self.told(batch)
        self.seen[seen] = True
        for cut, places in telling.items():
            self.telling[cut][places] = True

    def told(self, batch: Batch) -> tuple[Places, dict[Cut, Places]]:
        """Of whom there is a number, and for each cut of whom there is one that tells."""
        if batch.operand is None:
            raise TypeError(batch)
        usable = np.abs(batch.operand) <= float(LARGEST)
        places, numbers = batch.places[usable], batch.operand[usable]
        telling = {}
        for place, cut in enumerate(self.bounds.cuts):
            reached = (
                numbers >= self.firsts[cut] if self.rounded else (numbers.astype(np.int8) >> place & 1).astype(bool)
            )
            telling[cut] = places[reached if self.largest else ~reached]
        return places, telling

    def verdict(self) -> Verdict:
        return self.verdict_of(self.seen, self.telling)

    def verdict_of(self, seen: Flags, telling: Mapping[Cut, Flags]) -> Verdict:
        reached = lambda cut: telling[cut] if self.largest else ~telling[cut]  # noqa: E731
        return Verdict(within(self.bounds, reached, len(seen)) & seen)


# --- First and last -----------------------------------------------------------------------------------------

_ABSENT, _FAILS, _PASSES = -1, 0, 1


class FirstOrLast(Gathering):
    """Whether the value of the earliest or latest event that has one passes; of one instant, only where all agree."""

    missing = _ABSENT

    def __init__(self, size: int, judge: Callable[[Sequence[Any]], Flags], *, last: bool) -> None:
        self.judge = judge
        self.sign = 1 if last else -1
        self.at = np.full(size, _LONG_AGO, np.int64)
        self.fails = np.zeros(size, bool)
        self.passes = np.zeros(size, bool)

    def derive(self, values: Sequence[Any]) -> NDArray[Any]:
        there = np.fromiter((value is not None for value in values), bool, len(values))
        return np.where(there, self.judge(values), _ABSENT).astype(np.int8)

    def add(self, batch: Batch) -> None:
        if batch.operand is None or batch.times is None:
            raise TypeError(batch)
        there = batch.operand != _ABSENT
        places, times, found = batch.places[there], self.sign * batch.times[there], batch.operand[there]
        before = self.at[places]
        np.maximum.at(self.at, places, times)
        newest = self.at[places]
        moved = places[newest > before]
        self.fails[moved] = self.passes[moved] = False
        among = times == newest
        self.fails[places[among & (found == _FAILS)]] = True
        self.passes[places[among & (found == _PASSES)]] = True

    def verdict(self) -> Verdict:
        return Verdict(self.passes, self.passes & self.fails)
