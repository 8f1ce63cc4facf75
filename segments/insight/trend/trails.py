"""The past of a sequence over arrays: every last step holds for a stretch of time, and somebody is in while one does.

A sequence that began with one event holds while that event is in the window, so each step carries its latest
beginning, which is that of the last step before it. Only where what must not come between two steps has a time of its
own, that one may have run out while an earlier one has not: such sequences are left to SQL.
"""

from itertools import pairwise

import numpy as np

from segments.asking.arrays import Instants
from segments.asking.trails import Times, Trail
from segments.ast import Op, Test
from segments.columnar.bounds import bounds_of
from segments.columnar.errors import DeclinedError
from segments.columnar.measures import Batch
from segments.columnar.people import People
from segments.columnar.reading import Readings
from segments.columnar.sequences import trails_of
from segments.columnar.sliding import SlidingCount
from segments.insight.trend.frame import Windowed
from segments.insight.trend.moving import Moving, Pause
from segments.plan import Clock, Followed
from segments.sequences import group

_ANY = bounds_of(Test(Op.GTE, 1))


def following(
    followed: Followed, readings: Readings, people: People, window: Windowed, *, clock: Clock, pause: Pause
) -> Moving:
    """`followed` is planned for the last instant, with all that is in the window at any; see `trend.ask.steps`.

    Raises:
        DeclinedError: these are too many events, or the end of the window moves.
    """
    if len(set(window.until)) > 1:
        raise DeclinedError
    moving = Moving(SlidingCount(people.size, _ANY), window)
    for part, trail in trails_of(PastTrail, followed, readings, people, clock=clock, pause=pause):
        last, begun, holds, ends = trail.stretches()
        enters = moving.passed.first_at(holds)
        leaves = np.minimum(moving.passed.leaves(begun), moving.passed.first_at(ends))
        moving.sort(Batch(last.place + part.first), enters, leaves)
    return moving


class PastTrail(Trail):
    def stretches(self) -> tuple[Times, Instants, Instants, Instants]:
        """The last steps; of each the latest beginning, from when on it holds, and from when on it does not."""
        present = group(self.asked[0].stages)
        reached = self._first()
        begun = reached.at
        for before, step in pairwise(present):
            follows, last = self._follows(reached, before, step)
            begun = begun[last[follows]]
            reached = self.times[step.number].only(follows)
        holds, ends, missed = self._absent(reached, present[-1])
        return reached.only(missed), begun[missed], holds[missed], ends[missed]
