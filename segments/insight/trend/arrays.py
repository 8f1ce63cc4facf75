"""The past of a definition from packed arrays: an event is added where it enters the window, taken where it leaves it.

Every condition is kept up from one instant to the next; at each, the sets are combined and counted. Who is doubtful at
an instant (see `segments.columnar.measures`) is asked of SQL.
"""

from collections.abc import Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from segments.ast import Event, Trait
from segments.ast import Sequence as Steps
from segments.columnar.errors import DeclinedError
from segments.columnar.people import Flags
from segments.columnar.population import MOST_DOUBTFUL, Population, combined
from segments.columnar.reading import Readings, readings_of
from segments.engine import fetch
from segments.insight.trend.compile import compile_each, those
from segments.insight.trend.frame import Frame, Windowed
from segments.insight.trend.moving import Moving, measured
from segments.insight.trend.trails import following
from segments.plan import Followed, conditions


class Past(Population):
    """Of a plan in which each condition reads what is in its window at some instant (`trend.ask.lasting`)."""

    def counts(self, frame: Frame) -> list[int]:
        """How many are in at each instant.

        Raises:
            DeclinedError: SQL has to be asked.
        """
        root, listed = self.plan.root, list(dict.fromkeys(conditions(self.plan.root)))
        known = self._traits([one for one in listed if isinstance(one, Trait)])
        moving = {one: self._moving(one, frame) for one in listed if isinstance(one, Event | Steps)}
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

    def _moving(self, event: Event | Steps, frame: Frame) -> "Moving":
        readings, window = self._readings(event), Windowed(event.window, frame)
        followed = self.plan.behaviours[self.plan.place(event)]
        if isinstance(followed, Followed):
            return following(followed, readings, self.people, window, clock=self.plan.clock, pause=self.pause)
        (reading,) = readings
        return measured(reading, self.people, window, pause=self.pause)

    def _readings(self, event: Event | Steps) -> Readings:
        return self.readings.get(event) or readings_of(event, self.plan, self.dictionary, dated=True)

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
