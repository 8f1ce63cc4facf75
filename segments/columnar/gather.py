"""One condition about events, gathered over everybody from packed events."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingestion.blocks.contracts import Column, Rows
from ingestion.blocks.read import read_rows
from segments.ast import NEGATIVE, Measure, Path, Where
from segments.ast.times import MICROSECOND
from segments.columnar import measures
from segments.columnar.bounds import bounds_of, exact
from segments.columnar.clocks import DAY, LocalTime
from segments.columnar.measures import Batch, Gathering, Verdict
from segments.columnar.people import Flags, People
from segments.columnar.timing import Timing
from segments.columnar.values import Coded, judge_of
from segments.plan import Clock, Measured
from segments.predicates import COMPARISONS
from segments.streams import VALUE_MEASURES, Dictionary, Selected

Test = Callable[[Rows], Flags]

_COMPARED = {">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal}


@dataclass(frozen=True)
class Asked:
    """What one name's events are read with."""

    values: bool
    times: bool
    properties: frozenset[str]


class Condition:
    """A measured condition over `people`, asked at `clock`."""

    def __init__(
        self,
        measured: Measured,
        people: People,
        dictionary: Dictionary,
        clock: Clock,
        *,
        timing: Timing | None = None,
    ) -> None:
        """With `timing`, events to come are read too, and told to it."""
        self.measured, self.people, self.clock, self.timing = measured, people, clock, timing
        self.selected = Selected(measured.names, (), dictionary, clock)
        self.names = {name: dictionary[name] for name in measured.names if name in dictionary}
        of = measured.of
        self.rounded = bool(of and measured.measure in VALUE_MEASURES and self.selected.promoted(of))
        self.gathering = self._gathering()
        self.days = LocalTime(DAY, clock.zone)

    def gather(self, *, pause: Callable[[], None]) -> Verdict:
        """`pause` is called between batches, and may end it."""
        for name in self.names:
            tests, operand = self._tests(), self._operand()
            for rows in self._rows(name):
                pause()
                batch = self._batch(rows, tests, operand)
                if len(batch.places):
                    self.gathering.add(batch)
        return self.gathering.verdict()

    def asked(self) -> Asked:
        """Tests of numbers that `event.value` holds need no property; the hour of an event is in its time."""
        measured = self.measured
        paths = [where.property for where in measured.where if not self._by_value(where)]
        if measured.of and not self.rounded:
            paths.append(measured.of)
        by_time = self.gathering.by_time or any(path.of_time for path in paths)
        return Asked(
            values=self.rounded or any(self._by_value(where) for where in measured.where),
            times=by_time or self.timing is not None,
            properties=frozenset(path.text for path in paths if not path.of_time),
        )

    def window(self) -> tuple[datetime | None, datetime | None]:
        """What is later than now does not count yet."""
        if self.timing:
            return self.timing.window
        extent, soon = self.measured.extent, self.clock.now + MICROSECOND
        return extent.since, min(extent.until, soon) if extent.until else soon

    def _rows(self, name: str) -> Iterator[Rows]:
        since, until = self.window()
        if since and until and since >= until:
            return iter(())
        asked = self.asked()
        return read_rows(
            name=name,
            since=since,
            until=until,
            times=asked.times,
            values=asked.values,
            properties=asked.properties,
        )

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
                summed = measures.FloatSum if self.rounded else measures.ExactSum
                return summed(size, bounds_of(measured.test), average=measured.measure is Measure.AVG)
            case Measure.MIN | Measure.MAX:
                largest = measured.measure is Measure.MAX
                return measures.Extreme(size, bounds_of(measured.test), largest=largest, rounded=self.rounded)
            case Measure.FIRST | Measure.LAST:
                judge = judge_of(measured.test, self.clock)
                return measures.FirstOrLast(size, judge, last=measured.measure is Measure.LAST)

    def _operand(self) -> Callable[[Rows], NDArray[Any] | None]:
        """Of one reading, whose columns share their values."""
        of = self.measured.of
        if of is None or self.rounded:
            return lambda rows: rows.values if self.rounded else None
        coded = Coded(self.gathering.derive, self.gathering.missing)
        return lambda rows: _told(coded, rows.columns[of.text])

    def _tests(self) -> list[Test]:
        return [self._test(where) for where in self.measured.where]

    def _test(self, where: Where) -> Test:
        if self._by_value(where):
            compared = _COMPARED[COMPARISONS[where.test.op]]
            wanted = float(exact(where.test.value))
            return lambda rows: compared(_values(rows), wanted)
        coded = Coded(judge_of(where.test, self.clock), where.test.op in NEGATIVE)
        if where.property.of_time:
            column = _time_column(where.property, self.clock)
            return lambda rows: _told(coded, column(rows))
        return lambda rows: _told(coded, rows.columns[where.property.text])

    def _by_value(self, where: Where) -> bool:
        return where.test.op in COMPARISONS and self.selected.promoted(where.property)

    def _batch(self, rows: Rows, tests: list[Test], operand: Callable[[Rows], NDArray[Any] | None]) -> Batch:
        places, kept = self.people.locate(rows.profiles)
        for test in tests:
            passed = test(rows)
            kept = passed if kept is None else kept & passed
        if self.timing:
            kept = self.timing.add(places, rows, kept)
        times = rows.times if self.gathering.by_time else None
        values = operand(rows)
        if kept is not None:
            at = np.flatnonzero(kept)
            places = places[at]
            times = None if times is None else times[at]
            values = None if values is None else values[at]
        days = self.days.of(times) if times is not None and self.measured.measure is Measure.DAYS else None
        return Batch(places, times, days, values)


def _told(coded: Coded, column: Column) -> NDArray[Any]:
    return coded.of(column.codes, column.values)


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
