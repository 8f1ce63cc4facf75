"""Measures over events in memory, exactly as `segments.streams` and `segments.compile` have them in SQL."""

from collections.abc import Callable, Mapping
from decimal import Decimal

import numpy as np

from segments.asking.arrays import NEVER, Flags, Ids, Instants, Numbers, instant, later, never
from segments.asking.streams import Events
from segments.ast import Measure, Op, Test
from segments.compile import FALLING
from segments.plan import RELATIVE, Clock, Measured, compare
from segments.streams import LARGEST_NUMBER, Dictionary

DAY = 86_400_000_000
# PostgreSQL keeps 15 digits of a float8 that becomes a number; farther than this apart, two have the same order.
NEAR = 1e-13
FEW = 100

Answer = tuple[Flags, Instants]
"""For each profile, whether a condition holds, and when that can change by time alone."""


def is_measurable(measured: Measured, dictionary: Dictionary, clock: Clock) -> bool:
    """Whether all that it asks of an event is its name, its time, its promoted value, and tests that do not move."""
    if measured.span or any(where.test.op in RELATIVE for where in measured.where):
        return False
    match measured.measure:
        case Measure.COUNT:
            return measured.of is None
        case Measure.DAYS:
            return measured.of is None and clock.zone == "UTC"
        case Measure.SUM | Measure.AVG | Measure.MIN | Measure.MAX:
            entries = [dictionary[name] for name in measured.names if name in dictionary]
            return measured.of is not None and all(entry.value_property == measured.of.text for entry in entries)
        case Measure.DISTINCT | Measure.FIRST | Measure.LAST:
            return False


def measure(measured: Measured, events: Events, *, clock: Clock, count: int) -> Answer:
    """The answers of `count` profiles."""
    now, extent = instant(clock.now), measured.extent
    if extent.since:
        events = events.only(events.at >= instant(extent.since))
    if extent.until and not extent.turns:
        events = events.only(events.at < instant(extent.until))
    counted = events.at <= now
    coming = never(count) if counted.all() else first_of(events.only(~counted), count)
    if extent.until and extent.turns:
        counted &= events.at < instant(extent.until)
    counting = events.only(counted)
    holds = _holds(measured, counting, count)
    due = coming
    if extent.turns:
        any_event = np.bincount(events.place, minlength=count) > 0
        due = np.minimum(due, np.where(any_event, instant(extent.turns), NEVER))
    if extent.slides:
        due = np.minimum(due, _leaves(measured, holds, later(first_of(counting, count), extent.slides)))
    return holds, due


def first_of(events: Events, count: int) -> Instants:
    return earliest(events.place, events.at, count)


def earliest(places: Ids, moments: Instants, count: int) -> Instants:
    """The earliest moment of every place."""
    found = never(count)
    np.minimum.at(found, places, moments)
    return found


def _leaves(measured: Measured, holds: Flags, leaves: Instants) -> Instants:
    """As `segments.compile` says it: a count can only fall when an event leaves the window."""
    if measured.measure in FALLING and measured.test.op in {Op.GT, Op.GTE}:
        return np.where(holds, leaves, NEVER)
    if measured.measure in FALLING and measured.test.op in {Op.LT, Op.LTE}:
        return np.where(holds, NEVER, leaves)
    return leaves


def _holds(measured: Measured, events: Events, count: int) -> Flags:
    if measured.measure is Measure.COUNT:
        return _passes_whole(np.bincount(events.place, minlength=count), measured.test)
    if measured.measure is Measure.DAYS:
        return _passes_whole(_days(events, count), measured.test)
    largest = float(LARGEST_NUMBER)
    numbers = events.only(np.abs(events.value) <= largest)  # what is none is NaN, and passes nothing
    known = np.bincount(numbers.place, minlength=count)
    found = _aggregate(measured.measure, numbers, known)
    holds = _passes(found, measured.test)
    return holds if measured.measure is Measure.SUM else holds & (known > 0)


def _days(events: Events, count: int) -> Instants:
    """In UTC."""
    days = events.at // DAY
    pairs = np.unique(np.stack((events.place, days)), axis=1)
    return np.bincount(pairs[0], minlength=count)


def _aggregate(measure_: Measure, numbers: Events, known: Instants) -> Numbers:
    """Of whom there is no number, something or other."""
    if measure_ in {Measure.SUM, Measure.AVG}:
        sums: Numbers = np.bincount(numbers.place, weights=numbers.value, minlength=len(known)).astype(np.float64)
        return sums if measure_ is Measure.SUM else sums / np.maximum(known, 1)
    found = np.zeros(len(known))
    lowest = measure_ is Measure.MIN
    found[:] = np.inf if lowest else -np.inf
    (np.minimum if lowest else np.maximum).at(found, numbers.place, numbers.value)
    return np.where(known > 0, found, 0.0)


def _passes_whole(numbers: Instants, test: Test) -> Flags:
    """There are few different ones, and Python compares each exactly with whatever was written."""
    most = int(numbers.max(initial=0))
    if most < FEW:
        return np.array([compare(number, test) for number in range(most + 1)], dtype=np.bool_)[numbers]
    different, which = np.unique(numbers, return_inverse=True)
    return np.array([compare(number, test) for number in different.tolist()], dtype=np.bool_)[which]


def _passes(numbers: Numbers, test: Test) -> Flags:
    if isinstance(test.value, tuple):
        low, high = test.value
        return (_order(numbers, low) >= 0) & (_order(numbers, high) <= 0)
    return _SIGNS[test.op](_order(numbers, test.value))


_SIGNS: Mapping[Op, Callable[[Numbers], Flags]] = {
    Op.EQ: lambda order: order == 0,
    Op.NEQ: lambda order: order != 0,
    Op.GT: lambda order: order > 0,
    Op.GTE: lambda order: order >= 0,
    Op.LT: lambda order: order < 0,
    Op.LTE: lambda order: order <= 0,
}


def _order(numbers: Numbers, wanted: object) -> Numbers:
    """Below 0, 0, above 0: less than wanted, equal, greater, where PostgreSQL compares decimal numbers."""
    if not isinstance(wanted, int | float):
        raise TypeError(wanted)
    limit = float(wanted)
    order = np.sign(numbers - limit)
    near = np.abs(numbers - limit) <= NEAR * np.maximum(np.abs(numbers), abs(limit))
    if near.any():
        different, which = np.unique(numbers[near], return_inverse=True)
        exact = Decimal(repr(wanted))
        compared = [float(Decimal(f"{number:.15g}").compare(exact)) for number in different.tolist()]
        order[near] = np.array(compared)[which]
    return order
