"""Which events a measured condition reads, and what of each."""

from collections.abc import Iterator
from datetime import datetime

from ingestion.blocks.contracts import Rows
from ingestion.blocks.read import is_packed, read_rows
from segments.ast import Measure, Path, Where
from segments.ast.times import MICROSECOND
from segments.plan import Clock, Measured
from segments.predicates import COMPARISONS
from segments.streams import VALUE_MEASURES, Dictionary, Selected

_BY_TIME = frozenset({Measure.DAYS, Measure.FIRST, Measure.LAST})


class Reading:
    """With `timed`, also those that will come into its window."""

    def __init__(self, measured: Measured, dictionary: Dictionary, clock: Clock, *, timed: bool = False) -> None:
        self.measured, self.clock, self.timed = measured, clock, timed
        self.names = [name for name in measured.names if name in dictionary]
        self._selected = Selected(measured.names, (), dictionary, clock)

    @property
    def rounded(self) -> bool:
        """Whether the measure is taken of `event.value`, a float."""
        of = self.measured.of
        return bool(of and self.measured.measure in VALUE_MEASURES and self._selected.promoted(of))

    def by_value(self, where: Where) -> bool:
        """Whether `event.value` has the number that is tested."""
        return where.test.op in COMPARISONS and self._selected.promoted(where.property)

    @property
    def by_time(self) -> bool:
        """Whether the measure looks at when something happened."""
        return self.measured.measure in _BY_TIME

    @property
    def window(self) -> tuple[datetime | None, datetime | None]:
        extent, soon = self.measured.extent, self.clock.now + MICROSECOND
        if self.timed:
            return extent.since, None if extent.turns else extent.until
        return extent.since, min(extent.until, soon) if extent.until else soon

    @property
    def _paths(self) -> list[Path]:
        paths = [where.property for where in self.measured.where if not self.by_value(where)]
        return [*paths, self.measured.of] if self.measured.of and not self.rounded else paths

    @property
    def properties(self) -> list[str]:
        """The hour and the weekday of an event are in its time."""
        return [path.text for path in self._paths if not path.of_time]

    def is_packed(self) -> bool:
        """Whether reading is quicker than SQL."""
        since, until = self.window
        return self._is_empty or all(
            is_packed(name=name, since=since, until=until, properties=self.properties) for name in self.names
        )

    def rows(self, name: str) -> Iterator[Rows]:
        if self._is_empty:
            return iter(())
        since, until = self.window
        values = self.rounded or any(self.by_value(where) for where in self.measured.where)
        times = self.timed or self.by_time or any(path.of_time for path in self._paths)
        return read_rows(
            name=name, since=since, until=until, times=times, values=values, properties=set(self.properties)
        )

    @property
    def _is_empty(self) -> bool:
        since, until = self.window
        return bool(since and until and since >= until)
