"""Which events a condition reads, and what of each."""

from collections.abc import Iterator
from datetime import datetime

from ingestion.blocks.contracts import Rows
from ingestion.blocks.read import Held, find
from segments.ast import Event, Measure, Op, Path, Sequence, Test, Where
from segments.ast.times import MICROSECOND
from segments.plan import Clock, Extent, Measured, Plan
from segments.predicates import COMPARISONS
from segments.streams import VALUE_MEASURES, Dictionary, Selected

_BY_TIME = frozenset({Measure.DAYS, Measure.FIRST, Measure.LAST})


Readings = tuple["Reading", ...]
"""One for each stage of a sequence, else a single one."""

_ANY = Test(Op.GTE, 1)


def readings_of(
    condition: Event | Sequence, plan: Plan, dictionary: Dictionary, *, timed: bool = False, dated: bool = False
) -> Readings:
    """Of a condition that `segments.columnar.ask` says arrays answer."""
    behaviour = plan.behaviours[plan.place(condition)]
    if isinstance(behaviour, Measured):
        return (Reading(behaviour, dictionary, plan.clock, timed=timed, dated=dated),)
    extent = Extent(since=behaviour.extent.since)  # the first step alone has to come before the end of the window
    stages = (Measured(stage.events, stage.where, Measure.COUNT, None, _ANY, extent) for stage in behaviour.stages)
    return tuple(Reading(stage, dictionary, plan.clock, timed=timed, dated=True) for stage in stages)


class Reading:
    """With `timed`, also those that will come into its window; with `dated`, with the time of each.

    Of one transaction, which looks for them once.
    """

    def __init__(
        self,
        measured: Measured,
        dictionary: Dictionary,
        clock: Clock,
        *,
        timed: bool = False,
        dated: bool = False,
    ) -> None:
        self.measured, self.clock, self.timed, self.dated = measured, clock, timed, dated
        self.names = [name for name in measured.names if name in dictionary]
        self._selected = Selected(measured.names, (), dictionary, clock)
        self._found: dict[str, Held | None] = {}

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
        """Whether somebody looks at when something happened."""
        return self.dated or self.measured.measure in _BY_TIME

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
        found = (self._held(name) for name in self.names)
        return self._is_empty or all(held is not None and held.is_packed() for held in found)

    def rows(self, name: str) -> Iterator[Rows]:
        held = None if self._is_empty else self._held(name)
        if held is None:
            return iter(())
        values = self.rounded or any(self.by_value(where) for where in self.measured.where)
        times = self.timed or self.by_time or any(path.of_time for path in self._paths)
        return held.rows(times=times, values=values)

    def _held(self, name: str) -> Held | None:
        if name not in self._found:
            since, until = self.window
            self._found[name] = find(name=name, since=since, until=until, properties=set(self.properties))
        return self._found[name]

    @property
    def _is_empty(self) -> bool:
        since, until = self.window
        return bool(since and until and since >= until)
