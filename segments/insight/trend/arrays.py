"""The past of a definition from packed arrays: an event is added where it enters the window, taken where it leaves it.

Every condition is kept up from one instant to the next; at each, the sets are combined and counted. Who is doubtful at
an instant (see `segments.columnar.measures`) is asked of SQL.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cdp.kernel.copy import timestamp_micros
from segments.ast import Event, Measure, Trait
from segments.columnar import sliding
from segments.columnar.bounds import bounds_of
from segments.columnar.errors import DeclinedError
from segments.columnar.gather import Condition
from segments.columnar.measures import Batch, Verdict
from segments.columnar.people import Flags, People
from segments.columnar.population import MOST_DOUBTFUL, Population, combined
from segments.columnar.reading import Reading, reading_of
from segments.engine import fetch
from segments.insight.trend.compile import compile_each, those
from segments.insight.trend.frame import Frame, Windowed
from segments.plan import conditions

MOST_EVENTS = 30_000_000
"""Four bytes of memory each, and eight more where they are added up."""

_Kept = tuple[NDArray[np.int32], NDArray[Any] | None]
"""The places of some events, and what is added up of them."""


class Past(Population):
    """Of a plan in which each condition reads what is in its window at some instant (`trend.ask.lasting`)."""

    def counts(self, frame: Frame) -> list[int]:
        """How many are in at each instant.

        Raises:
            DeclinedError: SQL has to be asked.
        """
        root, listed = self.plan.root, list(dict.fromkeys(conditions(self.plan.root)))
        known = self._traits([one for one in listed if isinstance(one, Trait)])
        moving = {one: self._moving(one, frame) for one in listed if isinstance(one, Event)}
        if len(known) + len(moving) < len(listed):
            raise DeclinedError
        found: list[int] = []
        doubtful: list[NDArray[np.int64]] = []
        for number in range(frame.size):
            self.pause()
            verdicts = {event: one.at(number) for event, one in moving.items()}
            inside = combined(root, known | {event: self._everybody(one.holds) for event, one in verdicts.items()})
            unsure = [self._everybody(one.doubtful) for one in verdicts.values() if one.doubtful is not None]
            places = np.flatnonzero(reduce(np.logical_or, unsure)) if unsure else np.empty(0, np.intp)
            inside[places] = False
            found.append(int(np.count_nonzero(inside)))
            doubtful.append(self.people.ids[places])
        return self._settled_past(found, doubtful, frame)

    def _moving(self, event: Event, frame: Frame) -> "Moving":
        reading = self.readings.get(event) or self._reading(event)
        return Moving(reading, self.people, Windowed(event.window, frame), pause=self.pause)

    def _reading(self, event: Event) -> Reading:
        return reading_of(event, self.plan, self.dictionary, dated=True)

    def _everybody(self, gathered: Flags) -> Flags:
        return self.people.everybody(gathered)

    def _settled_past(self, found: list[int], doubtful: Sequence[NDArray[np.int64]], frame: Frame) -> list[int]:
        """With those among the doubtful who are in at an instant at which they were."""
        ids = np.unique(np.concatenate(doubtful)).tolist()
        if not ids:
            return found
        if len(ids) > MOST_DOUBTFUL:
            raise DeclinedError
        told = dict(fetch(compile_each(self.plan.root, frame, self.dictionary, of=those(ids))))
        among = [sum(told[id_][number] == "1" for id_ in some.tolist()) for number, some in enumerate(doubtful)]
        return [certain + more for certain, more in zip(found, among, strict=True)]


class Moving(Condition):
    """One condition, at one instant after the other."""

    gathering: sliding.Sliding

    def __init__(self, reading: Reading, people: People, window: Windowed, *, pause: Callable[[], None]) -> None:
        super().__init__(reading, people)
        self.bounds = Passed(window)
        self.entering: defaultdict[int, list[_Kept]] = defaultdict(list)
        self.leaving: defaultdict[int, list[_Kept]] = defaultdict(list)
        self.events = 0
        for batch in self.batches(pause=pause):
            self._sort(batch)

    def at(self, number: int) -> Verdict:
        """To be asked of each instant in turn."""
        for places, operand in self.leaving.pop(number, ()):
            self.gathering.take(Batch(places.astype(np.int64), operand=operand))
        for places, operand in self.entering.pop(number, ()):
            self.gathering.add(Batch(places.astype(np.int64), operand=operand))
        return self.gathering.verdict()

    def _gathering(self) -> sliding.Sliding:
        size, bounds = self.people.size, bounds_of(self.measured.test)
        if self.measured.measure is Measure.COUNT:
            return sliding.SlidingCount(size, bounds)
        summed = sliding.SlidingFloatSum if self.reading.rounded else sliding.SlidingExactSum
        return summed(size, bounds, average=self.measured.measure is Measure.AVG)

    def _sort(self, batch: Batch) -> None:
        """By the instants between which they are in the window: of a day's events, mostly the same ones."""
        if batch.times is None:
            raise TypeError(batch)
        self.events += len(batch.places)
        if self.events > MOST_EVENTS:
            raise DeclinedError
        ends = np.array([batch.times.min(), batch.times.max()])
        enters, leaves = self.bounds.enters(ends), self.bounds.leaves(ends)
        if enters[0] == enters[1] and leaves[0] == leaves[1]:
            self._put(int(enters[0]), int(leaves[0]), batch, None)
            return
        enters, leaves = self.bounds.enters(batch.times), self.bounds.leaves(batch.times)
        stretches = (enters * (self.bounds.size + 1) + leaves).astype(np.int32)
        order = np.argsort(stretches, kind="stable")
        ordered = stretches[order]
        for some in np.split(order, np.flatnonzero(ordered[1:] != ordered[:-1]) + 1):
            self._put(int(enters[some[0]]), int(leaves[some[0]]), batch, some)

    def _put(self, enters: int, leaves: int, batch: Batch, some: NDArray[np.intp] | None) -> None:
        if enters >= leaves:
            return
        places = batch.places if some is None else batch.places[some]
        operand = batch.operand if batch.operand is None or some is None else batch.operand[some]
        kept = places.astype(np.int32), operand
        self.entering[enters].append(kept)
        self.leaving[leaves].append(kept)


class Passed:
    """A window as `Windowed` has it: from which instant on, and until before which, it holds an event."""

    def __init__(self, window: Windowed) -> None:
        self.size = window.frame.size
        self.instants, self.since, self.until = map(_micros, (window.frame.instants, window.since, window.until))

    def enters(self, times: NDArray[np.int64]) -> NDArray[np.intp]:
        came = np.searchsorted(self.instants, times, side="left")
        return np.maximum(came, np.searchsorted(self.until, times, side="right")) if len(self.until) else came

    def leaves(self, times: NDArray[np.int64]) -> NDArray[np.intp]:
        if not len(self.since):
            return np.full(len(times), self.size)
        return np.searchsorted(self.since, times, side="right")


def _micros(moments: Sequence[datetime]) -> NDArray[np.int64]:
    return np.array([timestamp_micros(moment) for moment in moments], np.int64)
