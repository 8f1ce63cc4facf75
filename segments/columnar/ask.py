"""Whether a question about everybody is for arrays, and asking it. This module is light: NumPy comes when it is."""

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Self, TypeVar

from django.conf import settings

from identity.columns.wanted import packed_traits, want_trait
from ingestion.blocks.wanted import want
from segments.ast import Any, Condition, Event, Node, Trait
from segments.ast import Sequence as Steps
from segments.columnar.errors import DeclinedError
from segments.engine import after_snapshot, fetch, load_dictionary, plan_at, too_slow
from segments.plan import RELATIVE, Plan, conditions
from segments.sql import Sql
from segments.streams import Dictionary

if TYPE_CHECKING:
    from segments.columnar.population import Crowd, Population
    from segments.columnar.reading import Reading, Readings
    from segments.columnar.states import States

Asking = TypeVar("Asking", bound="Population")

_WORTH_IT = Sql(
    "SELECT current_setting('transaction_isolation') IN ('repeatable read', 'serializable'), greatest(reltuples, 0)"
    " FROM pg_class WHERE oid = 'profile'::regclass"
)


def ask(roots: Sequence[Node], *, now: datetime, seconds: float) -> "Crowd | None":
    """Who is in each of these expanded definitions; None where SQL is to be asked.

    That is where there are few profiles, where no condition is one that arrays answer or none of it is packed yet, and
    outside of a snapshot (`segments.engine.snapshot`), since arrays are read by more than one statement.

    Raises:
        QueryTooSlowError
    """
    if not worth_it():
        return None
    from segments.columnar.population import Population

    question = Question.about(roots[0] if len(roots) == 1 else Any(tuple(roots)), now=now)
    try:
        return question.of(Population, pause=deadline(seconds)).ask(roots) if question.covered else None
    except DeclinedError:
        return None


def ask_states(root: Node, *, now: datetime, pause: Callable[[], None]) -> "States | None":
    """Who is in an expanded definition, and when that can change; None as with `ask`. `pause` may end it."""
    if not worth_it():
        return None
    from segments.columnar.states import Timed

    question = Question.about(root, now=now, timed=True)
    if not question.covered or question.reads_rows_again():
        return None
    try:
        return question.of(Timed, pause=pause).states()
    except DeclinedError:
        return None


def worth_it() -> bool:
    ((snapshot, profiles),) = fetch(_WORTH_IT)
    return bool(snapshot) and profiles >= settings.SEGMENTS_COLUMNAR_FROM


def answers(condition: Condition, *, timed: bool = False) -> bool:
    """Whether arrays can: what runs through lists, or ties one event to another by a property, is asked of SQL.

    With `timed`, so is when the test of an event's date changes its answer.
    """
    match condition:
        case Trait(path):
            return path.single
        case Event(where=where, of=of, test=test, span=None):
            tested = all(each.property.single for each in where)
            relative = test.op in RELATIVE or any(each.test.op in RELATIVE for each in where)
            return tested and (of is None or (of.single and not of.of_time)) and not (timed and relative)
        case Steps(stages):
            tests = [where for stage in stages for where in stage.where]
            tied = any(stage.same for stage in stages)
            return not tied and all(one.property.single and one.test.op not in RELATIVE for one in tests)
        case _:
            return False


class Question:
    """A definition with the conditions that arrays answer now. What they lack they will have the next time."""

    def __init__(self, plan: Plan, dictionary: Dictionary, *, timed: bool = False, dated: bool = False) -> None:
        """`timed` and `dated` are as for a `Reading`."""
        self.plan, self.dictionary = plan, dictionary
        found = [one for one in dict.fromkeys(conditions(plan.root)) if answers(one, timed=timed)]
        self.traits = [one for one in found if isinstance(one, Trait)]
        packed = packed_traits({one.trait.text for one in self.traits})
        events = [one for one in found if isinstance(one, Event | Steps)]
        self.readings = self._readings(events, timed=timed, dated=dated)
        self.covered = frozenset[Condition](
            {one for one in self.traits if one.trait.text in packed}
            | {one for one, readings in self.readings.items() if all(reading.is_packed() for reading in readings)}
        )
        self._want(chain(*self.readings.values()))

    @classmethod
    def about(cls, root: Node, *, now: datetime, timed: bool = False) -> Self:
        return cls(plan_at(root, now=now), load_dictionary(root), timed=timed)

    def of(self, population: "type[Asking]", *, pause: Callable[[], None]) -> "Asking":
        return population(self.plan, self.dictionary, self.covered, pause=pause, readings=self.readings)

    def reads_rows_again(self) -> bool:
        """One query tests many traits in a row; condition by condition, each would read all rows once more."""
        return len([one for one in self.traits if one not in self.covered]) > 1

    def _readings(
        self, events: Sequence[Event | Steps], *, timed: bool, dated: bool
    ) -> "dict[Event | Steps, Readings]":
        from segments.columnar.reading import readings_of

        return {event: readings_of(event, self.plan, self.dictionary, timed=timed, dated=dated) for event in events}

    def _want(self, readings: "Iterable[Reading]") -> None:
        """So that there is a column the next time, however this ends."""
        for path in {one.trait.text for one in self.traits}:
            after_snapshot(partial(want_trait, path))
        for name, path in {(name, path) for each in readings for name in each.names for path in each.properties}:
            after_snapshot(partial(want, name, path))


def deadline(seconds: float) -> Callable[[], None]:
    end = time.monotonic() + seconds

    def pause() -> None:
        if time.monotonic() > end:
            raise too_slow(seconds)

    return pause
