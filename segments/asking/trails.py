"""Sequences over events in memory, exactly as `segments.sequences` has them in SQL.

Every event gets a key, its person and its time in one number, so that "the last step before this one, of the same
person" is a search in a sorted array; see there for the steps. `segments.columnar` follows everybody the same way.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from segments.asking.arrays import NEVER, Flags, Ids, Instants, instant, later, never
from segments.asking.measures import Answer, earliest, first_of
from segments.asking.stacks import alike, instants, lengths, stack
from segments.asking.streams import Events, Reading, TooMuchError
from segments.plan import RELATIVE, Clock, Followed
from segments.sequences import Present, group

LARGEST_KEY = 2**62  # of 64 bits with a sign


def is_followable(followed: Followed) -> bool:
    """Whether all that it asks of an event is its name, its time, and tests that do not move."""
    return not any(stage.same or any(where.test.op in RELATIVE for where in stage.where) for stage in followed.stages)


def follow(asked: Sequence[Followed], reading: Reading, *, clock: Clock, count: int) -> list[Answer]:
    """For each sequence, the answers of `count` profiles."""
    events = [[reading.events(stage.events, stage.where) for stage in followed.stages] for followed in asked]
    sizes = [sum(len(each.at) for each in stages) for stages in events]
    found: dict[int, Answer] = {}
    for numbers in alike([_shape(followed) for followed in asked], sizes):
        some, theirs = [asked[number] for number in numbers], [events[number] for number in numbers]
        found |= zip(numbers, _follow_alike(some, theirs, clock, count), strict=True)
    return [found[number] for number in range(len(asked))]


def _shape(followed: Followed) -> Hashable:
    extent = followed.extent
    stages = tuple((stage.absent, stage.within is None) for stage in followed.stages)
    return stages, *(end is None for end in (extent.since, extent.until, extent.turns, extent.slides))


def _follow_alike(
    asked: Sequence[Followed], events: Sequence[Sequence[Events]], clock: Clock, count: int
) -> list[Answer]:
    try:
        return Trail(asked, [stack(stage, count) for stage in zip(*events, strict=True)], clock, count).answers()
    except TooMuchError:
        if len(asked) == 1:
            raise
    half = len(asked) // 2
    halves = (slice(None, half), slice(half, None))
    return [answer for some in halves for answer in _follow_alike(asked[some], events[some], clock, count)]


@dataclass(frozen=True)
class Times:
    """The events that can be one step, by now: sorted by person and time."""

    place: Ids
    at: Instants
    key: Ids

    def only(self, which: Flags) -> "Times":
        return Times(self.place[which], self.at[which], self.key[which])


class Trail:
    """Sequences of one shape, each with a block of places of its own."""

    def __init__(self, asked: Sequence[Followed], events: Sequence[Events], clock: Clock, count: int) -> None:
        self.asked = asked
        self.extents = [followed.extent for followed in asked]
        self.count = count
        self.places = len(asked) * count
        self.now = instant(clock.now)
        self.events = list(events)
        if self.extents[0].since:
            since = instants([extent.since for extent in self.extents])
            self.events = [each.only(each.at >= since[each.place // count]) for each in events]
        stages = zip(*(followed.stages for followed in asked), strict=True)
        self.within = [lengths([stage.within and stage.within.delta for stage in each]) for each in stages]
        known = [each.at for each in self.events if len(each.at)]
        self.start = int(min(at.min() for at in known)) if known else 0
        self.width = int(max(at.max() for at in known)) - self.start + 2 if known else 1
        if self.width * (self.places + 1) > LARGEST_KEY:
            raise TooMuchError
        self.times = [self._times(each) for each in self.events]

    def _times(self, events: Events) -> Times:
        past = events.only(events.at <= self.now)
        keys = np.sort(self._keys(past.place, past.at))
        place, since = np.divmod(keys, self.width)
        return Times(place, since + self.start, keys)

    def _keys(self, places: Ids, moments: Instants) -> Ids:
        """A moment after everything else there is counts as the one after it."""
        return places * self.width + np.minimum(moments, self.start + self.width - 1) - self.start

    def answers(self) -> list[Answer]:
        present = group(self.asked[0].stages)
        reached = self._first()
        oldest = earliest(reached.place, reached.at, self.places)
        for before, step in pairwise(present):
            follows, _ = self._follows(reached, before, step)
            reached = self.times[step.number].only(follows)
        holds, due = self._end(reached, present[-1], oldest)
        shape = len(self.asked), self.count
        return list(zip(holds.reshape(shape), due.reshape(shape), strict=True))

    def _first(self) -> Times:
        """The first steps, which alone have to be in the window."""
        reached = self.times[0]
        if not self.extents[0].until:
            return reached
        until = instants([extent.until for extent in self.extents])
        return reached.only(reached.at < until[reached.place // self.count])

    def _in_time(self, events: Times, number: int) -> Instants:
        """Until when this step, which has to come within some time of each of these events, may come."""
        return later(events.at, self.within[number][events.place // self.count])

    def _follows(self, reached: Times, before: Present, step: Present) -> tuple[Flags, Ids]:
        """Which events can be the next step: a time of some strictly earlier one has not run out before them.

        And for each event, which of those that were reached is the last before it.
        """
        candidates = self.times[step.number]
        if not len(reached.key) or not len(candidates.key):
            return np.zeros(len(candidates.key), dtype=np.bool_), np.zeros(len(candidates.key), dtype=np.int64)
        latest = np.maximum.accumulate(self._keys(reached.place, self._runs_out(reached, before, step)))
        last = np.searchsorted(reached.key, candidates.key, side="left") - 1
        known = last >= 0
        last = np.maximum(last, 0)
        return known & (reached.place[last] == candidates.place) & (latest[last] >= candidates.key), last

    def _runs_out(self, reached: Times, before: Present, following: Present) -> Instants:
        ends = never(len(reached.at))
        if following.stage.within:
            ends = self._in_time(reached, following.number)
        for number, stage in before.absent:
            coming = self._coming(reached, number)
            if stage.within:
                coming = np.where(coming <= self._in_time(reached, number), coming, NEVER)
            ends = np.minimum(ends, coming)
        return ends

    def _coming(self, reached: Times, number: int) -> Instants:
        """For each of these events, when the first that can be this step comes strictly after it."""
        times = self.times[number]
        if not len(times.key):
            return never(len(reached.at))
        following = np.searchsorted(times.key, reached.key, side="right")
        known = following < len(times.key)
        following = np.minimum(following, len(times.key) - 1)
        return np.where(known & (times.place[following] == reached.place), times.at[following], NEVER)

    def _absent(self, reached: Times, last: Present) -> tuple[Instants, Instants, Flags]:
        """By each last step: from when on it holds, from when on it does not any more, and whether it does at all.

        That goes by what must be absent after it.
        """
        holds, ends = reached.at, never(len(reached.at))
        missed = np.ones(len(reached.at), dtype=np.bool_)
        for number, stage in last.absent:
            coming = self._coming(reached, number)
            if stage.within:
                over = self._in_time(reached, number)
                holds = np.maximum(holds, over)
                missed &= coming > over
            else:
                ends = np.minimum(ends, coming)
        return holds, ends, missed

    def _end(self, reached: Times, last: Present, oldest: Instants) -> Answer:
        over, ends, missed = self._absent(reached, last)
        missed &= ends == NEVER
        holds = np.zeros(self.places, dtype=np.bool_)
        holds[reached.place[missed & (over <= self.now)]] = True
        waiting = missed & (over > self.now)
        due = earliest(reached.place[waiting], over[waiting], self.places)
        return holds, np.minimum(due, self._moves(holds, oldest))

    def _moves(self, holds: Flags, oldest: Instants) -> Instants:
        """When an event comes, the calendar turns, or the oldest first step of who is in leaves the window."""
        turns = np.repeat(instants([extent.turns for extent in self.extents]), self.count)
        due = never(self.places)
        for events in self.events:
            due = np.minimum(due, first_of(events.only(events.at > self.now), self.places))
            if len(turns):
                any_event = np.bincount(events.place, minlength=self.places) > 0
                due = np.minimum(due, np.where(any_event, turns, NEVER))
        if self.extents[0].slides:
            slides = np.repeat(lengths([extent.slides for extent in self.extents]), self.count)
            due = np.minimum(due, np.where(holds, later(oldest, slides), NEVER))
        return due
