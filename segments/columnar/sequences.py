"""Sequences over everybody: the events of each step from packed blocks, followed as those of changed people are.

See `segments.asking.trails`. It is done for some of the people after the other, so that what is worked out of their
events fits into memory, and a person and a time into one number. Where not even the events of everybody do, blocks are
read again for those whose events were left out.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
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

MOST_EVENTS = 8_000_000
"""That are held, of all steps together; each takes 12 bytes."""
AT_ONCE = 2_000_000
PEOPLE_BITS = 17
"""A part has so many places, as a power of two."""

Pause = Callable[[], None]
Kind = TypeVar("Kind", bound=Trail)
_Asked = tuple[tuple[str, ...], tuple[Where, ...]]


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
    parts, first = _number_of(people.size - 1) + 1, 0
    while first < parts:
        held = _Held(first, parts)
        for reading in readings:
            held.read(reading, people, pause=pause)
        for number in range(first, held.end):
            waiting = [held.part(number, readings, people)]
            while waiting:
                pause()
                part = waiting.pop()
                try:
                    yield part, kind([followed], part.events(), clock, part.end - part.first)
                except TooMuchError:
                    waiting += part.halves()
        first = held.end


def _number_of(place: int) -> int:
    return place >> PEOPLE_BITS


class _Held:
    """The events of the parts from number `first` on, until before `end`: as many as may be held, of one at least."""

    def __init__(self, first: int, end: int) -> None:
        self.first, self.end = first, end
        self.found: dict[_Asked, list[list[Step]]] = {}

    def read(self, reading: Reading, people: People, *, pause: Pause) -> None:
        """What is looked for twice is read once.

        Raises:
            DeclinedError: one part has too many.
        """
        asked = _asked_of(reading)
        if asked in self.found:
            return
        self.found[asked] = [[] for _ in range(self.first, self.end)]
        for batch in Condition(reading, people).batches(pause=pause):
            if batch.times is None:
                raise TypeError(batch)
            self._sort(batch.places.astype(np.int32), batch.times, self.found[asked])
            while self._size() > MOST_EVENTS:
                self._drop()

    def part(self, number: int, readings: Sequence[Reading], people: People) -> Part:
        first = number << PEOPLE_BITS
        steps = [Step.of(self.found[_asked_of(reading)][number - self.first]) for reading in readings]
        return Part(first, min(first + (1 << PEOPLE_BITS), people.size), steps)

    def _sort(self, places: NDArray[np.int32], times: Instants, found: list[list[Step]]) -> None:
        numbers = (places >> PEOPLE_BITS).astype(np.uint16)
        if (numbers[1:] < numbers[:-1]).any():
            order = np.argsort(numbers, kind="stable")  # by radix, as sixteen bits allow
            places, times, numbers = places[order], times[order], numbers[order]
        bounds = np.searchsorted(numbers, np.arange(self.first, self.end + 1)).tolist()
        for some, (start, end) in zip(found, pairwise(bounds), strict=True):
            if end > start:
                some.append(Step(places[start:end].copy(), times[start:end].copy()))

    def _size(self) -> int:
        return sum(len(step.times) for found in self.found.values() for some in found for step in some)

    def _drop(self) -> None:
        """The second half is read later."""
        kept = (self.end - self.first) // 2
        if not kept:
            raise DeclinedError
        self.end = self.first + kept
        for found in self.found.values():
            del found[kept:]


def _asked_of(reading: Reading) -> _Asked:
    return reading.measured.names, reading.measured.where
