"""Definitions over everybody: a set of people for each condition, combined as the definition says.

1. What arrays cover is gathered from traits and events; the rest is asked of SQL, condition by condition.
2. All, any and not combine the sets.
3. Who is doubtful in some condition is asked of SQL about the whole definitions.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from cdp.kernel.copy import read_rows as copy_out
from identity.columns.contracts import TraitColumn
from identity.columns.queries import read_profiles, read_traits
from segments.ast import NEGATIVE, All, Event, InSegment, Node, Not, Trait
from segments.ast import Any as AnyOf
from segments.ast import Condition as AnyCondition
from segments.ast import Sequence as Steps
from segments.columnar.errors import DeclinedError
from segments.columnar.gather import Condition
from segments.columnar.measures import Verdict
from segments.columnar.people import Flags, People
from segments.columnar.reading import Reading, Readings, readings_of
from segments.columnar.sequences import follow
from segments.columnar.timing import Moments
from segments.columnar.values import Coded, judge_of
from segments.compile import compile_sets, compile_states_of
from segments.engine import fetch
from segments.plan import Followed, Plan, UnexpandedError, conditions, holds_when_empty, make_plan
from segments.streams import Dictionary

MOST_DOUBTFUL = 5_000

Pause = Callable[[], None]


@dataclass(frozen=True)
class Crowd:
    """All ids, ascending, and for each definition which of them are in."""

    ids: NDArray[np.int64]
    inside: list[Flags]

    def counts(self) -> list[int]:
        return [int(np.count_nonzero(flags)) for flags in self.inside]

    def written(self, *, of: int) -> str:
        """The ids of one of the definitions, as PostgreSQL writes an array."""
        return f"{{{','.join(map(str, self.ids[self.inside[of]].tolist()))}}}"

    def some(self, *, of: int, limit: int) -> tuple[int, ...]:
        """The first few ids of one of the definitions."""
        return tuple(self.ids[np.flatnonzero(self.inside[of])[:limit]].tolist())


class Population:
    """One question about everybody, in one snapshot."""

    timed: ClassVar[bool] = False

    def __init__(
        self,
        plan: Plan,
        dictionary: Dictionary,
        covered: frozenset[AnyCondition],
        *,
        pause: Pause,
        readings: Mapping[Event | Steps, Readings] = MappingProxyType({}),
    ) -> None:
        """`covered` are the conditions that are answered from arrays; `pause` is called now and then.

        `readings` are those that the caller has made already.
        """
        self.plan, self.dictionary, self.covered, self.pause = plan, dictionary, covered, pause
        self.readings = readings
        paths = {one.trait.text for one in covered if isinstance(one, Trait)}
        self.columns = read_traits(paths) if paths else {}
        ids = [column.profiles for column in self.columns.values()]
        self.people = People(ids[0] if ids else read_profiles())
        self.doubtful = np.zeros(self.people.count, bool)

    def ask(self, roots: Sequence[Node]) -> Crowd:
        """`roots` are made of conditions of the plan.

        Raises:
            DeclinedError: SQL has to be asked.
        """
        listed = list(dict.fromkeys(conditions(self.plan.root)))
        known: dict[Node, Flags] = self._traits(
            [one for one in listed if isinstance(one, Trait) and one in self.covered]
        )
        known |= self._events([one for one in listed if isinstance(one, Event | Steps) and one in self.covered])
        known |= self._asked([one for one in listed if one not in known])
        inside = [combined(root, known) for root in roots]
        self._settle(roots, inside)
        return Crowd(self.people.ids, inside)

    def _events(self, found: Sequence[Event | Steps]) -> dict[Node, Flags]:
        """Without those that turn out to be too much for arrays."""
        sets: dict[Node, Flags] = {}
        for event in found:
            self.pause()
            with suppress(DeclinedError):
                readings = self._readings(event)
                verdict = self._followed(event, readings) if isinstance(event, Steps) else self._gathered(*readings)
                if verdict.doubtful is not None:
                    self.doubtful |= self.people.everybody(verdict.doubtful)
                sets[event] = self.people.everybody(verdict.holds)
        return sets

    def _readings(self, event: Event | Steps) -> Readings:
        return self.readings.get(event) or readings_of(event, self.plan, self.dictionary, timed=self.timed)

    def _gathered(self, reading: Reading) -> Verdict:
        return Condition(reading, self.people).gather(pause=self.pause)

    def _followed(self, steps: Steps, readings: Readings) -> Verdict:
        return Verdict(self._trails(steps, readings)[0])

    def _trails(self, steps: Steps, readings: Readings) -> tuple[Flags, Moments]:
        followed = self.plan.behaviours[self.plan.place(steps)]
        if not isinstance(followed, Followed):
            raise TypeError(followed)
        return follow(followed, readings, self.people, clock=self.plan.clock, pause=self.pause)

    def _traits(self, found: Sequence[Trait]) -> dict[Node, Flags]:
        sets: dict[Node, Flags] = {}
        for trait in found:
            with suppress(DeclinedError):
                sets[trait] = self._trait(trait, self.columns[trait.trait.text])
        return sets

    def _trait(self, trait: Trait, column: TraitColumn) -> Flags:
        coded = Coded(judge_of(trait.test, self.plan.clock), trait.test.op in NEGATIVE)
        return coded.of(column.codes, column.values)

    def _asked(self, found: Sequence[AnyCondition]) -> dict[Node, Flags]:
        """By one query, as sets of ids; of those who fail a condition, where most pass it."""
        if not found:
            return {}
        clock = self.plan.clock
        turned = [holds_when_empty(condition) for condition in found]
        nodes = [Not(one) if turn else one for one, turn in zip(found, turned, strict=True)]
        plan = make_plan(AnyOf(tuple(nodes)), now=clock.now, zone=clock.zone)
        query = compile_sets(plan, self.dictionary, nodes)
        (packed,) = copy_out(query.text, query.params)
        sets = zip(found, packed, turned, strict=True)
        return {condition: self._flags(ids) ^ turn for condition, ids, turn in sets}

    def _flags(self, packed: memoryview | None) -> Flags:
        flags = np.zeros(self.people.count, bool)
        flags[np.searchsorted(self.people.ids, unpacked(packed))] = True
        return flags

    def _settle(self, roots: Sequence[Node], inside: list[Flags]) -> None:
        places = np.flatnonzero(self.doubtful)
        if not len(places):
            return
        if len(places) > MOST_DOUBTFUL:
            raise DeclinedError
        self._settled(places, roots, inside)

    def _settled(self, places: NDArray[np.intp], roots: Sequence[Node], inside: list[Flags]) -> None:
        for id_, *answers in self._asked_about(places, roots):
            place = np.searchsorted(self.people.ids, id_)
            for flags, holds in zip(inside, answers[::2], strict=True):
                flags[place] = holds

    def _asked_about(self, places: NDArray[np.intp], roots: Sequence[Node]) -> list[tuple[Any, ...]]:
        ids = self.people.ids[places].tolist()
        return fetch(compile_states_of(self.plan, self.dictionary, roots, ids))


def unpacked(packed: memoryview | None) -> NDArray[np.int64]:
    """64-bit integers as PostgreSQL sends them."""
    return np.frombuffer(packed or b"", ">i8").astype(np.int64)


def combined(node: Node, known: dict[Node, Flags]) -> Flags:
    """A set of its own: it may be written to."""
    match node:
        case All(of):
            found = combined(of[0], known)
            for part in of[1:]:
                found &= combined(part, known)
            return found
        case AnyOf(of):
            found = combined(of[0], known)
            for part in of[1:]:
                found |= combined(part, known)
            return found
        case Not(of):
            return ~combined(of, known)
        case InSegment(slug):
            raise UnexpandedError(slug)
        case _:
            return known[node].copy()
