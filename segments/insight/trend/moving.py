"""Conditions kept up from one instant to the next: what comes into the window is added, what leaves it taken away."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cdp.kernel.copy import timestamp_micros
from segments.ast import Measure
from segments.columnar import sliding
from segments.columnar.bounds import bounds_of
from segments.columnar.errors import DeclinedError
from segments.columnar.gather import Condition
from segments.columnar.measures import Batch, Verdict
from segments.columnar.people import People
from segments.columnar.reading import Reading
from segments.insight.trend.frame import Windowed

MOST_EVENTS = 30_000_000
"""Four bytes of memory each, and eight more where they are added up."""

Pause = Callable[[], None]
_Kept = tuple[NDArray[np.int32], NDArray[Any] | None]
"""The places of some events, and what is added up of them."""


def measured(reading: Reading, people: People, window: Windowed, *, pause: Pause) -> "Moving":
    """A measure of the events in a window.

    Raises:
        DeclinedError: these are too many.
    """
    condition = Slid(reading, people)
    moving = Moving(condition.gathering, window)
    days = _Days(moving) if reading.measured.measure is Measure.DAYS else None
    for batch in condition.batches(pause=pause):
        if batch.times is None:
            raise TypeError(batch)
        ends = np.array([batch.times.min(), batch.times.max()])
        enters, leaves = moving.passed.enters(ends), moving.passed.leaves(ends)
        alike = enters[0] == enters[1] and leaves[0] == leaves[1]  # mostly so, for the events of a day
        if days is None and alike:
            moving.put(int(enters[0]), int(leaves[0]), batch)
        else:
            (days or moving).sort(batch, moving.passed.enters(batch.times), moving.passed.leaves(batch.times))
    if days:
        days.count()
    return moving


class Slid(Condition):
    gathering: sliding.Sliding

    def _gathering(self) -> sliding.Sliding:
        size, bounds = self.people.size, bounds_of(self.measured.test)
        match self.measured.measure:
            case Measure.COUNT | Measure.DAYS:
                return sliding.SlidingCount(size, bounds)
            case Measure.MIN | Measure.MAX:
                largest = self.measured.measure is Measure.MAX
                return sliding.SlidingExtreme(size, bounds, largest=largest, rounded=self.reading.rounded)
        summed = sliding.SlidingFloatSum if self.reading.rounded else sliding.SlidingExactSum
        return summed(size, bounds, average=self.measured.measure is Measure.AVG)


class Moving:
    """One condition, at one instant after the other."""

    def __init__(self, gathering: sliding.Sliding, window: Windowed) -> None:
        self.gathering = gathering
        self.passed = Passed(window)
        self.entering: defaultdict[int, list[_Kept]] = defaultdict(list)
        self.leaving: defaultdict[int, list[_Kept]] = defaultdict(list)
        self.events = 0

    def at(self, number: int) -> Verdict:
        """To be asked of each instant in turn."""
        for places, operand in self.leaving.pop(number, ()):
            self.gathering.take(Batch(places.astype(np.int64), operand=operand))
        for places, operand in self.entering.pop(number, ()):
            self.gathering.add(Batch(places.astype(np.int64), operand=operand))
        return self.gathering.verdict()

    def sort(self, batch: Batch, enters: NDArray[np.intp], leaves: NDArray[np.intp]) -> None:
        """By the instants between which they are in the window."""
        stretches = (enters * (self.passed.size + 1) + leaves).astype(np.int32)
        order = np.argsort(stretches, kind="stable")
        ordered = stretches[order]
        for some in np.split(order, np.flatnonzero(ordered[1:] != ordered[:-1]) + 1):
            if len(some):
                self.put(int(enters[some[0]]), int(leaves[some[0]]), batch, some)

    def put(self, enters: int, leaves: int, batch: Batch, some: NDArray[np.intp] | None = None) -> None:
        if enters >= leaves:
            return
        places = batch.places if some is None else batch.places[some]
        operand = batch.operand if batch.operand is None or some is None else batch.operand[some]
        self.events += len(places)
        if self.events > MOST_EVENTS:
            raise DeclinedError
        kept = places.astype(np.int32), operand
        self.entering[enters].append(kept)
        self.leaving[leaves].append(kept)


class _Days:
    """Each day of each person once: it is in the window from when the first of its events is until the last has left.

    In between it always is: what came on one day and is in the window at some instant comes into it at one, or, where
    a calendar's day begins at another hour, at two, and the first event outlasts the gap.
    """

    def __init__(self, moving: Moving) -> None:
        self.moving = moving
        self.bounds = moving.passed.size + 1
        self.known: list[NDArray[np.int64]] = []

    def sort(self, batch: Batch, enters: NDArray[np.intp], leaves: NDArray[np.intp]) -> None:
        if batch.days is None:
            raise TypeError(batch)
        held = np.flatnonzero(enters < leaves)
        days = batch.places[held] << _DAY_BITS | batch.days[held] + _OLDEST
        self.known.append(self._merged((days * self.bounds + enters[held]) * self.bounds + leaves[held]))
        if sum(map(len, self.known)) > MOST_DAYS:
            raise DeclinedError

    def _merged(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        if not len(keys):
            return keys
        keys = np.sort(keys)
        rest, leaves = np.divmod(keys, self.bounds)
        days = rest // self.bounds
        first = np.flatnonzero(np.diff(days, prepend=-1))
        return rest[first] * self.bounds + np.maximum.reduceat(leaves, first)

    def count(self) -> None:
        """Every day as an event."""
        if not self.known:
            return
        rest, leaves = np.divmod(self._merged(np.concatenate(self.known)), self.bounds)
        days, enters = np.divmod(rest, self.bounds)
        self.moving.sort(Batch(days >> _DAY_BITS), enters, leaves)


_DAY_BITS, _OLDEST = 17, 1 << 16
MOST_DAYS = 12_000_000


class Passed:
    """A window as `Windowed` has it: from which instant on, and until before which, it holds an event."""

    def __init__(self, window: Windowed) -> None:
        self.size = window.frame.size
        self.instants, self.since, self.until = map(_micros, (window.frame.instants, window.since, window.until))

    def first_at(self, times: NDArray[np.int64]) -> NDArray[np.intp]:
        """The number of the first instant at or after each; `size` where there is none."""
        return np.searchsorted(self.instants, times, side="left")

    def enters(self, times: NDArray[np.int64]) -> NDArray[np.intp]:
        came = self.first_at(times)
        return np.maximum(came, np.searchsorted(self.until, times, side="right")) if len(self.until) else came

    def leaves(self, times: NDArray[np.int64]) -> NDArray[np.intp]:
        if not len(self.since):
            return np.full(len(times), self.size)
        return np.searchsorted(self.since, times, side="right")


def _micros(moments: Sequence[datetime]) -> NDArray[np.int64]:
    return np.array([timestamp_micros(moment) for moment in moments], np.int64)
