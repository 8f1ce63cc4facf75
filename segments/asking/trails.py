"""Sequences over events in memory, exactly as `segments.sequences` has them in SQL.

Every event gets a key, its person and its time in one number, so that "the last step before this one, of the same
person" is a search in a sorted array; see there for the steps.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from segments.asking.arrays import NEVER, Flags, Ids, Instants, instant, later, never
from segments.asking.measures import Answer, earliest, first_of
from segments.asking.streams import Events, Reading, TooMuchError
from segments.ast import Stage
from segments.plan import RELATIVE, Clock, Followed
from segments.sequences import Present, group

LARGEST_KEY = 2**62  # of 64 bits with a sign


def is_followable(followed: Followed) -> bool:
    """Whether all that it asks of an event is its name, its time, and tests that do not move."""
    return not any(stage.same or any(where.test.op in RELATIVE for where in stage.where) for stage in followed.stages)


def follow(followed: Followed, reading: Reading, *, clock: Clock, count: int) -> Answer:
    """The answers of `count` profiles."""
    trail = _Trail(followed, [reading.events(stage.events, stage.where) for stage in followed.stages], clock, count)
    return trail.answer()


@dataclass(frozen=True)
class _Times:
    """The events that can be one step, by now: sorted by person and time."""

    place: Ids
    at: Instants
    key: Ids

    def only(self, which: Flags) -> "_Times":
        return _Times(self.place[which], self.at[which], self.key[which])


class _Trail:
    def __init__(self, followed: Followed, events: list[Events], clock: Clock, count: int) -> None:
        self.followed = followed
        self.count = count
        self.now = instant(clock.now)
        since = followed.extent.since
        self.events = [each.only(each.at >= instant(since)) for each in events] if since else events
        known = [each.at for each in self.events if len(each.at)]
        self.start = int(min(at.min() for at in known)) if known else 0
        self.width = int(max(at.max() for at in known)) - self.start + 2 if known else 1
        if self.width * (count + 1) > LARGEST_KEY:
            raise TooMuchError
        self.times = [self._times(each) for each in self.events]

    def _times(self, events: Events) -> _Times:
        past = events.only(events.at <= self.now)
        keys = self._keys(past.place, past.at)
        order = np.argsort(keys, kind="stable")
        return _Times(past.place[order], past.at[order], keys[order])

    def _keys(self, places: Ids, moments: Instants) -> Ids:
        """A moment after everything else there is counts as the one after it."""
        return places * self.width + np.minimum(moments, self.start + self.width - 1) - self.start

    def answer(self) -> Answer:
        present = group(self.followed.stages)
        reached = self.times[0]
        until = self.followed.extent.until
        if until:
            reached = reached.only(reached.at < instant(until))
        oldest = earliest(reached.place, reached.at, self.count)
        for before, step in pairwise(present):
            reached = self._next(reached, before, step)
        return self._end(reached, present[-1], oldest)

    def _next(self, reached: _Times, before: Present, step: Present) -> _Times:
        """Those that can be the next step: a time of some strictly earlier one has not run out before them."""
        candidates = self.times[step.number]
        if not len(reached.key) or not len(candidates.key):
            return candidates.only(np.zeros(len(candidates.key), dtype=np.bool_))
        latest = np.maximum.accumulate(self._keys(reached.place, self._runs_out(reached, before, step.stage)))
        last = np.searchsorted(reached.key, candidates.key, side="left") - 1
        known = last >= 0
        last = np.maximum(last, 0)
        return candidates.only(known & (reached.place[last] == candidates.place) & (latest[last] >= candidates.key))

    def _runs_out(self, reached: _Times, before: Present, following: Stage) -> Instants:
        ends = never(len(reached.at))
        if following.within:
            ends = later(reached.at, following.within.delta)
        for number, stage in before.absent:
            coming = self._coming(reached, number)
            if stage.within:
                coming = np.where(coming <= later(reached.at, stage.within.delta), coming, NEVER)
            ends = np.minimum(ends, coming)
        return ends

    def _coming(self, reached: _Times, number: int) -> Instants:
        """For each of these events, when the first that can be this step comes strictly after it."""
        times = self.times[number]
        if not len(times.key):
            return never(len(reached.at))
        following = np.searchsorted(times.key, reached.key, side="right")
        known = following < len(times.key)
        following = np.minimum(following, len(times.key) - 1)
        return np.where(known & (times.place[following] == reached.place), times.at[following], NEVER)

    def _end(self, reached: _Times, last: Present, oldest: Instants) -> Answer:
        over = np.full(len(reached.at), np.iinfo(np.int64).min)
        missed = np.ones(len(reached.at), dtype=np.bool_)
        for number, stage in last.absent:
            coming = self._coming(reached, number)
            if stage.within:
                ends = later(reached.at, stage.within.delta)
                over = np.maximum(over, ends)
                missed &= coming > ends
            else:
                missed &= coming == NEVER
        holds = np.zeros(self.count, dtype=np.bool_)
        holds[reached.place[missed & (over <= self.now)]] = True
        waiting = missed & (over > self.now)
        due = earliest(reached.place[waiting], over[waiting], self.count)
        return holds, np.minimum(due, self._moves(holds, oldest))

    def _moves(self, holds: Flags, oldest: Instants) -> Instants:
        """When an event comes, the calendar turns, or the oldest first step of who is in leaves the window."""
        extent = self.followed.extent
        due = never(self.count)
        for events in self.events:
            due = np.minimum(due, first_of(events.only(events.at > self.now), self.count))
            if extent.turns:
                any_event = np.bincount(events.place, minlength=self.count) > 0
                due = np.minimum(due, np.where(any_event, instant(extent.turns), NEVER))
        if extent.slides:
            due = np.minimum(due, np.where(holds, later(oldest, extent.slides), NEVER))
        return due
