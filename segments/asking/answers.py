"""Ask definitions about some profiles: who is in, and when that can change by time alone.

1. Every condition of all the definitions is asked once, about those profiles whose segments have it.
2. One statement reads what they need: the events of those that can be worked out in memory, each stretch once, and
   from all other conditions the answers themselves. So a definition is asked of one moment.
3. The conditions are put together as the definitions say.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import assert_never

import numpy as np

from segments.asking import measures, trails
from segments.asking.arrays import NEVER, Flags, Ids, Instants, instant, listed, never
from segments.asking.measures import Answer
from segments.asking.outline import Outline
from segments.asking.streams import Reading, TooMuchError
from segments.asking.table import Rows, read
from segments.ast import Account, All, Any, Condition, Consent, Event, Given, InSegment, Node, Not, Trait, Where
from segments.ast import Sequence as Steps
from segments.compile import HORIZON, compile_states_of
from segments.plan import Behaviour, Clock, Followed, Measured, UnexpandedError, behaviour_of, conditions, make_plan
from segments.sql import Sql, join, sql
from segments.streams import Dictionary

EVENTS_AT_ONCE = 1_000_000  # of 46 bytes each
TOLD_AT_ONCE = 40
EXISTS = -1


@dataclass(frozen=True)
class States:
    """For each definition a row, for each profile a column: in or out, and when that can change by time alone."""

    holds: Flags
    due: Instants

    @classmethod
    def of(cls, parts: Sequence["States"]) -> "States":
        """The definitions of these parts, which are about the same profiles, one after the other."""
        if len(parts) == 1:
            return parts[0]
        return cls(np.concatenate([part.holds for part in parts]), np.concatenate([part.due for part in parts]))

    def among(self, places: Ids, count: int) -> "States":
        """These profiles as those at these places of `count`; the others are out, as far as anybody knows."""
        holds = np.zeros((len(self.holds), count), dtype=np.bool_)
        due = np.full((len(self.holds), count), NEVER, dtype=np.int64)
        holds[:, places], due[:, places] = self.holds, self.due
        return States(holds, due)


def ask(outline: Outline, profiles: Ids, asked: Flags, *, clock: Clock, dictionary: Dictionary) -> States:
    """`asked` has a row per definition and a column per profile; what was not asked may have any answer.

    Where the events of all these people are too many to be held at once, of some of them after the other; where those
    of one person are, PostgreSQL works it out.
    """
    try:
        return _Asking(outline, profiles, asked, clock, dictionary).states()
    except TooMuchError:
        if len(profiles) == 1:
            return _Asking(outline, profiles, asked, clock, dictionary, in_memory=False).states()
    half = len(profiles) // 2
    parts = [
        ask(outline, profiles[some], asked[:, some], clock=clock, dictionary=dictionary)
        for some in (slice(None, half), slice(half, None))
    ]
    return States(
        np.concatenate([part.holds for part in parts], axis=1), np.concatenate([part.due for part in parts], axis=1)
    )


class _Asking:
    """One round of it."""

    def __init__(
        self,
        outline: Outline,
        profiles: Ids,
        asked: Flags,
        clock: Clock,
        dictionary: Dictionary,
        *,
        in_memory: bool = True,
    ) -> None:
        self.outline = outline
        self.profiles = profiles
        self.dictionary = dictionary
        self.clock = clock
        self.people: list[Flags] = [
            asked[numbers[0]] if len(numbers) == 1 else np.bitwise_or.reduce(asked[numbers])
            for numbers in outline.nodes_of
        ]
        self.counted: dict[int, Behaviour] = {}
        self.told: list[int] = []
        for place, condition in enumerate(outline.conditions):
            behaviour = behaviour_of(condition, clock) if in_memory and isinstance(condition, Event | Steps) else None
            if behaviour is not None and self._is_counted(behaviour):
                self.counted[place] = behaviour
            else:
                self.told.append(place)
        self.answers: dict[int, Answer] = {}

    def _is_counted(self, behaviour: Behaviour) -> bool:
        """Whether it is worked out here, from events."""
        if isinstance(behaviour, Followed):
            return trails.is_followable(behaviour)
        return measures.is_measurable(behaviour, self.dictionary, self.clock)

    def states(self) -> States:
        """Raises `TooMuchError`."""
        reading = self._reading()
        rows = read([self._existing(), *reading.parts(), *self._asked_of_the_database()])
        reading.take(rows.take(rows.what >= 0))
        self._work_out(reading)
        self._hear(rows.take(rows.what < EXISTS))
        exists = np.zeros(len(self.profiles), dtype=np.bool_)
        exists[self._places(rows.take(rows.what == EXISTS))] = True
        return self._put_together(exists)

    # --- What is read -------------------------------------------------------------------------------------------

    def _existing(self) -> Sql:
        return sql(
            "SELECT {what}::bigint AS what, p.id AS profile, {never}::timestamptz AS at, 0::float8 AS number"
            " FROM unnest({ids}::bigint[]) AS i(id) JOIN profile AS p ON p.id = i.id",
            what=EXISTS,
            never="infinity",
            ids=listed(self.profiles),
        )

    def _reading(self) -> Reading:
        reading = Reading(self.dictionary, self.clock, self.profiles, EVENTS_AT_ONCE)
        for place, behaviour in self.counted.items():
            for names, where in _looked_at(behaviour):
                reading.want(names, where, people=self.people[place], since=behaviour.extent.since)
        return reading

    def _asked_of_the_database(self) -> Iterator[Sql]:
        """A part for all conditions that are asked about the same people."""
        groups: defaultdict[bytes, list[int]] = defaultdict(list)
        for number, place in enumerate(self.told):
            groups[self.people[place].tobytes()].append(number)
        for numbers in groups.values():
            people = self.people[self.told[numbers[0]]]
            for start in range(0, len(numbers), TOLD_AT_ONCE):
                some = numbers[start : start + TOLD_AT_ONCE]
                yield self._part([self.outline.conditions[self.told[number]] for number in some], some, people)

    def _part(self, asked: Sequence[Condition], numbers: Sequence[int], people: Flags) -> Sql:
        plan = make_plan(Any(tuple(asked)), now=self.clock.now, zone=self.clock.zone)
        ids = self.profiles[people].tolist()
        columns = join(", ", (Sql(f"holds{place}, due{place}") for place in range(len(asked))))
        values = (
            sql(f"({{what}}::bigint, s.holds{place}, s.due{place})", what=EXISTS - 1 - number)
            for place, number in enumerate(numbers)
        )
        return sql(
            "SELECT v.what, s.profile_id, coalesce(v.due, 'infinity'), v.holds::int::float8"
            " FROM ({states}) AS s(profile_id, {columns})"
            " CROSS JOIN LATERAL (VALUES {values}) AS v(what, holds, due)",
            states=compile_states_of(plan, self.dictionary, asked, ids),
            columns=columns,
            values=join(", ", values),
        )

    # --- What comes of it ---------------------------------------------------------------------------------------

    def _work_out(self, reading: Reading) -> None:
        clock, count = self.clock, len(self.profiles)
        measured = {place: one for place, one in self.counted.items() if isinstance(one, Measured)}
        followed = {place: one for place, one in self.counted.items() if isinstance(one, Followed)}
        events = [(one, reading.events(one.names, one.where)) for one in measured.values()]
        self.answers |= zip(measured, measures.measure(events, clock=clock, count=count), strict=True)
        found = trails.follow(list(followed.values()), reading, clock=clock, count=count)
        self.answers |= zip(followed, found, strict=True)

    def _hear(self, rows: Rows) -> None:
        """The answers that the database gave."""
        numbers, places = EXISTS - 1 - rows.what, self._places(rows)
        order = np.argsort(numbers, kind="stable")
        stops = np.cumsum(np.bincount(numbers, minlength=len(self.told)))
        for place, which in zip(self.told, np.split(order, stops[:-1]), strict=False):
            holds, due = np.zeros(len(self.profiles), dtype=np.bool_), never(len(self.profiles))
            holds[places[which]] = rows.number[which] > 0
            due[places[which]] = rows.at[which]
            self.answers[place] = (holds, due)

    def _places(self, rows: Rows) -> Ids:
        return np.searchsorted(self.profiles, rows.profile)

    def _put_together(self, exists: Flags) -> States:
        horizon = instant(self.clock.now + HORIZON)
        nodes = self.outline.nodes
        holds = np.empty((len(nodes), len(self.profiles)), dtype=np.bool_)
        due = np.empty((len(nodes), len(self.profiles)), dtype=np.int64)
        for place, node in enumerate(nodes):
            moments = self._due(node)
            holds[place] = exists & self._holds(node)
            due[place] = np.where(exists & (moments < horizon), moments, NEVER)
        return States(holds, due)

    def _holds(self, node: Node) -> Flags:
        match node:
            case All(of):
                return reduce(np.logical_and, map(self._holds, of))
            case Any(of):
                return reduce(np.logical_or, map(self._holds, of))
            case Not(of):
                return np.logical_not(self._holds(of))
            case Trait() | Account() | Event() | Steps() | Given() | Consent():
                return self.answers[self.outline.places[id(node)]][0]
            case InSegment(slug):
                raise UnexpandedError(slug)
            case _:
                assert_never(node)

    def _due(self, node: Node) -> Instants:
        places = self.outline.places
        return reduce(np.minimum, (self.answers[places[id(condition)]][1] for condition in conditions(node)))


def _looked_at(behaviour: Behaviour) -> Iterator[tuple[tuple[str, ...], tuple[Where, ...]]]:
    if isinstance(behaviour, Followed):
        yield from ((stage.events, stage.where) for stage in behaviour.stages)
    else:
        yield behaviour.names, behaviour.where
