"""One condition about events, gathered over everybody from packed events."""

from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from ingestion.blocks.contracts import Column, Rows
from segments.ast import NEGATIVE, Measure, Path, Where
from segments.columnar import measures
from segments.columnar.bounds import bounds_of, exact
from segments.columnar.clocks import DAY, LocalTime
from segments.columnar.measures import Batch, Gathering, Verdict
from segments.columnar.people import Flags, People, Places
from segments.columnar.reading import Reading
from segments.columnar.timing import Timing
from segments.columnar.values import Coded, judge_of
from segments.plan import Clock
from segments.predicates import COMPARISONS

Test = Callable[[Rows], Flags]
Operand = Callable[[Rows, Places | None], NDArray[Any] | None]
Some = TypeVar("Some", bound=np.generic)

_COMPARED = {">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal}


class Condition:
    """A measured condition over `people`, asked at `clock`."""

    def __init__(self, reading: Reading, people: People, *, timing: Timing | None = None) -> None:
        """`timing` is told of what happens after now too, which `reading` has to read."""
        self.reading, self.people, self.timing = reading, people, timing
        self.measured, self.clock = reading.measured, reading.clock
        self.gathering = self._gathering()
        self.days = LocalTime(DAY, self.clock.zone)

    def gather(self, *, pause: Callable[[], None]) -> Verdict:
        """`pause` is called between batches, and may end it."""
        for batch in self.batches(pause=pause):
            self.gathering.add(batch)
        return self.gathering.verdict()

    def batches(self, *, pause: Callable[[], None]) -> Iterator[Batch]:
        """The events that pass its tests."""
        for name in self.reading.names:
            tests, operand = self._tests(), self._operand()
            for rows in self.reading.rows(name):
                pause()
                batch = self._batch(rows, tests, operand)
                if len(batch.places):
                    yield batch

    def _gathering(self) -> Gathering:
        measured, size = self.measured, self.people.size
        match measured.measure:
            case Measure.COUNT:
                return measures.counted(size, bounds_of(measured.test))
            case Measure.DAYS:
                return measures.Days(size, bounds_of(measured.test))
            case Measure.DISTINCT:
                return measures.Distinct(size, bounds_of(measured.test))
            case Measure.SUM | Measure.AVG:
                summed = measures.FloatSum if self.reading.rounded else measures.ExactSum
                return summed(size, bounds_of(measured.test), average=measured.measure is Measure.AVG)
            case Measure.MIN | Measure.MAX:
                largest = measured.measure is Measure.MAX
                return measures.Extreme(size, bounds_of(measured.test), largest=largest, rounded=self.reading.rounded)
            case Measure.FIRST | Measure.LAST:
                judge = judge_of(measured.test, self.clock)
                return measures.FirstOrLast(size, judge, last=measured.measure is Measure.LAST)

    def _operand(self) -> Operand:
        """Of one reading, whose columns share their values."""
        of = self.measured.of
        if of is None or self.reading.rounded:
            return lambda rows, at: _only(rows.values, at) if self.reading.rounded else None
        coded = Coded(self.gathering.derive, self.gathering.missing)
        return lambda rows, at: _told(coded, rows.columns[of.text], at)

    def _tests(self) -> list[Test]:
        return [self._test(where) for where in self.measured.where]

    def _test(self, where: Where) -> Test:
        if self.reading.by_value(where):
            compared = _COMPARED[COMPARISONS[where.test.op]]
            wanted = float(exact(where.test.value))
            return lambda rows: compared(_values(rows), wanted)
        coded = Coded(judge_of(where.test, self.clock), where.test.op in NEGATIVE)
        if where.property.of_time:
            column = _time_column(where.property, self.clock)
            return lambda rows: _told(coded, column(rows))
        return lambda rows: _told(coded, rows.columns[where.property.text])

    def _batch(self, rows: Rows, tests: list[Test], operand: Operand) -> Batch:
        """Tests come first: where few events pass, the rest is done for few."""
        at = _where([test(rows) for test in tests])
        places, there = self.people.locate(_only(rows.profiles, at))
        times = _only(rows.times, at) if self.timing or self.reading.by_time else None
        values = operand(rows, at)
        if self.timing:
            there = self.timing.add(places, times, there)
        if there is not None:
            kept = np.flatnonzero(there)
            places, times, values = _only(places, kept), _only(times, kept), _only(values, kept)
        days = self.days.of(times) if times is not None and self.measured.measure is Measure.DAYS else None
        return Batch(places, times, days, values)


def _where(passed: list[Flags]) -> Places | None:
    """The places of what has passed all tests; None where there are none."""
    return np.flatnonzero(reduce(np.logical_and, passed)) if passed else None


@overload
def _only(column: None, at: Places | None) -> None: ...
@overload
def _only(column: NDArray[Some], at: Places | None) -> NDArray[Some]: ...
def _only(column: NDArray[Some] | None, at: Places | None) -> NDArray[Some] | None:
    return column if column is None or at is None else column.take(at)


def _told(coded: Coded, column: Column, at: Places | None = None) -> NDArray[Any]:
    return coded.of(_only(column.codes, at), column.values)


def _values(rows: Rows) -> NDArray[np.float64]:
    if rows.values is None:
        raise TypeError(rows)
    return rows.values


def _time_column(path: Path, clock: Clock) -> Callable[[Rows], Column]:
    """The hour or the weekday of each event, as if it were a property."""
    local = LocalTime(str(path.of_time), clock.zone)
    numbers = range(24)

    def column(rows: Rows) -> Column:
        if rows.times is None:
            raise TypeError(rows)
        return Column(local.of(rows.times).astype(np.int32), numbers)

    return column
