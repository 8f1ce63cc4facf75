"""Sequences over everybody: the events of each step from packed blocks, followed as those of changed people are.

See `segments.asking.trails`. It is done for some of the people after the other, so that what is worked out of their
events fits into memory, and a person and a time into one number.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from segments.asking.arrays import Flags, Instants, never
from segments.asking.streams import Events, TooMuchError
from segments.asking.trails import Trail
from segments.ast import Where
from segments.columnar.errors import DeclinedError
from segments.columnar.gather import Condition
from segments.columnar.people import People
from segments.columnar.reading import Reading
from segments.plan import Clock, Followed

MOST_EVENTS = 16_000_000
"""Of all steps together; each takes 12 bytes."""
AT_ONCE = 2_000_000
PEOPLE_BITS = 17

Pause = Callable[[], None]
Kind = TypeVar("Kind", bound=Trail)


@dataclass(frozen=True, slots=True)
class Step:
    """The events that can be a step, in no order."""

    places: NDArray[np.int32]
    times: Instants

    @classmethod
    def of(cls, some: Sequence["Step"]) -> "Step":
        if not some:
            return cls(np.empty(0, np.int32), np.empty(0, np.int64))
        return cls(np.concatenate([each.places for each in some]), np.concatenate([each.times for each in some]))

    def among(self, first: int, end: int) -> "Step":
        which = (self.places >= first) & (self.places < end)
        return Step(self.places[which], self.times[which])


@dataclass(frozen=True, slots=True)
class Part:
    """The people at the places from `first` until before `end`, and what they did of each step."""

    first: int
    end: int
    steps: Sequence[Step]

    def events(self) -> list[Events]:
        """With places from 0, and no values. Raises `TooMuchError`."""
        if sum(len(step.times) for step in self.steps) > AT_ONCE:
            raise TooMuchError
        return [
            Events(step.places.astype(np.int64) - self.first, step.times, np.broadcast_to(0.0, len(step.times)))
            for step in self.steps
        ]

    def halves(self) -> Iterator["Part"]:
        """Raises `DeclinedError` where this is one person."""
        middle = (self.first + self.end) // 2
        if middle == self.first:
            raise DeclinedError
        for first, end in ((self.first, middle), (middle, self.end)):
            yield Part(first, end, [step.among(first, end) for step in self.steps])


def follow(
    followed: Followed, readings: Sequence[Reading], people: People, *, clock: Clock, pause: Pause
) -> tuple[Flags, Instants]:
    """Who is in, by place, and when that can change by time alone; `readings` are those of the stages.

    Raises:
        DeclinedError: these are too many events.
    """
    holds, due = np.zeros(people.size, bool), never(people.size)
    for part, trail in trails_of(Trail, followed, readings, people, clock=clock, pause=pause):
        ((holds[part.first : part.end], due[part.first : part.end]),) = trail.answers()
    return holds, due


def trails_of(
    kind: type[Kind], followed: Followed, readings: Sequence[Reading], people: People, *, clock: Clock, pause: Pause
) -> Iterator[tuple[Part, Kind]]:
    """Some people after the other, with the trail of their events.

    Raises:
        DeclinedError: these are too many events.
    """
    for whole in _parts(readings, people, pause=pause):
        waiting = [whole]
        while waiting:
            pause()
            part = waiting.pop()
            try:
                yield part, kind([followed], part.events(), clock, part.end - part.first)
            except TooMuchError:
                waiting += part.halves()


def _parts(readings: Sequence[Reading], people: People, *, pause: Pause) -> Iterator[Part]:
    """By places; what is looked for twice is read once."""
    asked = [(reading.measured.names, reading.measured.where) for reading in readings]
    known: dict[tuple[tuple[str, ...], tuple[Where, ...]], list[list[Step]]] = {}
    left = MOST_EVENTS
    for key, reading in zip(asked, readings, strict=True):
        if key not in known:
            known[key] = _read(reading, people, most=left, pause=pause)
            left -= sum(len(each.times) for some in known[key] for each in some)
    for number, first in enumerate(range(0, people.size, 1 << PEOPLE_BITS)):
        end = min(first + (1 << PEOPLE_BITS), people.size)
        yield Part(first, end, [Step.of(known[key][number]) for key in asked])


def _read(reading: Reading, people: People, *, most: int, pause: Pause) -> list[list[Step]]:
    """For each part, the events of its people."""
    found: list[list[Step]] = [[] for _ in range(0, people.size, 1 << PEOPLE_BITS)]
    for batch in Condition(reading, people).batches(pause=pause):
        if batch.times is None:
            raise TypeError(batch)
        most -= len(batch.times)
        if most < 0:
            raise DeclinedError
        places, times = batch.places.astype(np.int32), batch.times
        parts = (places >> PEOPLE_BITS).astype(np.uint16)
        if len(found) > 1:
            order = np.argsort(parts, kind="stable")  # by radix, as sixteen bits allow
            places, times, parts = places[order], times[order], parts[order]
        ends = np.searchsorted(parts, np.arange(len(found)), side="right").tolist()
        for some, start, end in zip(found, [0, *ends], ends, strict=False):
            if end > start:
                some.append(Step(places[start:end], times[start:end]))
    return found
