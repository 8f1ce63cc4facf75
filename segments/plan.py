"""The stage between a definition and an engine: conditions as measures over named event streams, at an instant.

Nothing here is SQL, so that another engine can execute the same plan.
"""

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import ClassVar, TypeAlias, assert_never

from segments.ast import (
    NEGATIVE,
    Account,
    All,
    Any,
    Between,
    Calendar,
    Condition,
    Consent,
    Event,
    Given,
    InSegment,
    Last,
    Measure,
    Node,
    Not,
    Op,
    Path,
    Sequence,
    Stage,
    Standing,
    Test,
    Trait,
    Where,
    Window,
)
from segments.ast.times import MICROSECOND, local_day, period_days, start_of

# Tests whose answer for one and the same value changes as time passes.
RELATIVE = frozenset({Op.WITHIN_LAST, Op.WITHIN_NEXT, Op.ANNIVERSARY_WITHIN})
ZERO_WHEN_EMPTY = frozenset({Measure.COUNT, Measure.SUM, Measure.DISTINCT, Measure.DAYS})


class UnexpandedError(Exception):
    """A definition is planned by what the segments in it mean (`segments.references.expand`), not by their names."""


@dataclass(frozen=True)
class Clock:
    """The instant of an evaluation, and the zone in which days begin."""

    now: datetime
    zone: str

    @property
    def today(self) -> date:
        return local_day(self.now, self.zone)


@dataclass(frozen=True)
class Extent:
    """The stretch of time a window covers at one instant: `since <= ts < until`, and how it moves on."""

    since: datetime | None = None
    until: datetime | None = None
    slides: timedelta | None = None
    turns: datetime | None = None


@dataclass(frozen=True)
class Measured:
    """One condition: a measure over the events of these names that pass `where`, within `extent`."""

    names: tuple[str, ...]
    where: tuple[Where, ...]
    measure: Measure
    of: Path | None
    test: Test
    extent: Extent
    span: timedelta | None = None

    @property
    def holds_when_empty(self) -> bool:
        return self.measure in ZERO_WHEN_EMPTY and compare(0, self.test)


@dataclass(frozen=True)
class Followed:
    """Another condition: these stages one after the other, the first of them within `extent`."""

    stages: tuple[Stage, ...]
    extent: Extent

    holds_when_empty: ClassVar[bool] = False


Behaviour: TypeAlias = Measured | Followed


@dataclass(frozen=True)
class Plan:
    """`accounts` are the tests of account traits, as positive ones; `purposes` those whose consent is asked about."""

    root: Node
    clock: Clock
    behaviours: tuple[Behaviour, ...]
    places: Mapping[Event | Sequence, int]
    given: tuple[str, ...] = ()
    """The manual segments whose members it asks about, by their slugs."""
    accounts: tuple[Account, ...] = ()
    purposes: tuple[str, ...] = ()

    def place(self, condition: Event | Sequence) -> int:
        return self.places[condition]


def make_plan(root: Node, *, now: datetime, zone: str) -> Plan:
    """Resolve the windows of a definition at `now`; equal conditions are measured once."""
    clock = Clock(now, zone)
    listed = list(dict.fromkeys(conditions(root)))
    found = [one for one in listed if isinstance(one, Event | Sequence)]
    return Plan(
        root,
        clock,
        behaviours=tuple(behaviour_of(condition, clock) for condition in found),
        places={condition: place for place, condition in enumerate(found)},
        given=tuple(one.slug for one in listed if isinstance(one, Given)),
        accounts=tuple(dict.fromkeys(positive(one) for one in listed if isinstance(one, Account))),
        purposes=tuple(dict.fromkeys(one.purpose for one in listed if isinstance(one, Consent))),
    )


def positive(account: Account) -> Account:
    """The condition of which this one is the complement, or itself."""
    return Account(account.trait, Test(NEGATIVE.get(account.test.op, account.test.op), account.test.value))


def behaviour_of(condition: Event | Sequence, clock: Clock) -> Behaviour:
    extent = extent_of(condition.window, clock)
    if isinstance(condition, Sequence):
        return Followed(condition.stages, extent)
    return Measured(
        names=condition.events,
        where=condition.where,
        measure=condition.measure,
        of=condition.of,
        test=condition.test,
        extent=extent,
        span=condition.span.delta if condition.span else None,
    )


def conditions(node: Node) -> Iterator[Condition]:
    match node:
        case All(of) | Any(of):
            for part in of:
                yield from conditions(part)
        case Not(of):
            yield from conditions(of)
        case Trait() | Account() | Event() | Sequence() | InSegment() | Given() | Consent():
            yield node
        case _:
            assert_never(node)


def extent_of(window: Window | None, clock: Clock) -> Extent:
    match window:
        case None:
            return Extent()
        case Last(duration):
            # now - D < ts, and timestamps count in microseconds
            return Extent(since=clock.now - duration.delta + MICROSECOND, slides=duration.delta)
        case Between(after, before):
            return Extent(
                since=after.instant(clock.zone) if after else None,
                until=before.instant(clock.zone) if before else None,
            )
        case Calendar(period, tz):
            zone = tz or clock.zone
            first, end, turn = period_days(period, local_day(clock.now, zone))
            return Extent(since=start_of(first, zone), until=start_of(end, zone), turns=start_of(turn, zone))
        case _:
            assert_never(window)


def holds_when_empty(node: Node) -> bool:  # noqa: PLR0911 - one return per kind of node
    """Whether a profile without traits and events is in."""
    match node:
        case All(of):
            return all(holds_when_empty(part) for part in of)
        case Any(of):
            return any(holds_when_empty(part) for part in of)
        case Not(of):
            return not holds_when_empty(of)
        case Trait(_, test) | Account(_, test):
            return test.op in NEGATIVE
        case Consent():
            return node.state is Standing.UNKNOWN
        case Event():
            return node.measure in ZERO_WHEN_EMPTY and compare(0, node.test)
        case Sequence() | Given():
            return False
        case InSegment(slug):
            raise UnexpandedError(slug)
        case _:
            assert_never(node)


def compare(number: float, test: Test) -> bool:
    """A numeric test, for the numbers that are known without asking the database."""
    if isinstance(test.value, tuple):
        low, high = test.value
        return _number(low) <= number <= _number(high)
    return _COMPARED[test.op](number, _number(test.value))


_COMPARED: Mapping[Op, Callable[[float, float], bool]] = {
    Op.EQ: operator.eq,
    Op.NEQ: operator.ne,
    Op.GT: operator.gt,
    Op.GTE: operator.ge,
    Op.LT: operator.lt,
    Op.LTE: operator.le,
}


def _number(value: object) -> float:
    if not isinstance(value, int | float):
        raise TypeError(value)
    return value
