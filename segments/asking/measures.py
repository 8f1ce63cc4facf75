"""Measures over events in memory, exactly as `segments.streams` and `segments.compile` have them in SQL."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from decimal import Decimal

import numpy as np

from segments.asking.arrays import NEVER, Flags, Ids, Instants, Numbers, instant, later, never
from segments.asking.stacks import alike, instants, lengths, stack
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


def measure(asked: Sequence[tuple[Measured, Events]], *, clock: Clock, count: int) -> list[Answer]:
    """For each condition, which looks at these events, the answers of `count` profiles."""
    found: dict[int, Answer] = {}
    sizes = [len(events.at) for _, events in asked]
    for numbers in alike([_shape(measured) for measured, _ in asked], sizes):
        some = [asked[number][0] for number in numbers]
        events = stack([asked[number][1] for number in numbers], count)
        found |= zip(numbers, _measure_alike(some, events, clock=clock, count=count), strict=True)
    return [found[number] for number in range(len(asked))]


def _shape(measured: Measured) -> Hashable:
    extent = measured.extent
    return measured.measure, *(end is None for end in (extent.since, extent.until, extent.turns, extent.slides))


def _measure_alike(asked: Sequence[Measured], events: Events, *, clock: Clock, count: int) -> Iterable[Answer]:
    extents = [measured.extent for measured in asked]
    now, size = instant(clock.now), len(asked) * count
    until, turns = (instants([getattr(each, end) for each in extents]) for end in ("until", "turns"))
    if extents[0].since:
        since = instants([each.since for each in extents])
        events = events.only(events.at >= since[events.place // count])
    if len(until) and not len(turns):
        events = events.only(events.at < until[events.place // count])
    counted = events.at <= now
    due = never(size) if counted.all() else first_of(events.only(~counted), size)
    if len(until) and len(turns):
        counted &= events.at < until[events.place // count]
    counting = events.only(counted)
    holds = _holds(asked, counting, count)
    if len(turns):
        any_event = np.bincount(events.place, minlength=size) > 0
        due = np.minimum(due, np.where(any_event, np.repeat(turns, count), NEVER))
    due = due.reshape(len(asked), count)
    if extents[0].slides:
        slides = lengths([each.slides for each in extents])
        leaves = later(first_of(counting, size), np.repeat(slides, count)).reshape(len(asked), count)
        due = np.minimum(due, _leaves(asked, holds, leaves))
    return zip(holds, due, strict=True)


def first_of(events: Events, count: int) -> Instants:
    return earliest(events.place, events.at, count)


def earliest(places: Ids, moments: Instants, count: int) -> Instants:
    """The earliest moment of every place."""
    found = never(count)
    np.minimum.at(found, places, moments)
    return found


def _leaves(asked: Sequence[Measured], holds: Flags, leaves: Instants) -> Instants:
    """As `segments.compile` says it: a count can only fall when an event leaves the window."""
    if asked[0].measure not in FALLING:
        return leaves
    more = np.array([[each.test.op in {Op.GT, Op.GTE}] for each in asked])
    fewer = np.array([[each.test.op in {Op.LT, Op.LTE}] for each in asked])
    return np.where((more & ~holds) | (fewer & holds), NEVER, leaves)


def _holds(asked: Sequence[Measured], events: Events, count: int) -> Flags:
    """A row for each condition."""
    size, what = len(asked) * count, asked[0].measure
    if what in {Measure.COUNT, Measure.DAYS}:
        whole = np.bincount(events.place, minlength=size) if what is Measure.COUNT else _days(events, size)
        rows = zip(whole.reshape(len(asked), count), asked, strict=True)
        return np.array([_passes_whole(row, each.test) for row, each in rows])
    largest = float(LARGEST_NUMBER)
    numbers = events.only(np.abs(events.value) <= largest)  # what is none is NaN, and passes nothing
    known = np.bincount(numbers.place, minlength=size)
    found = _aggregate(what, numbers, known).reshape(len(asked), count)
    holds = np.array([_passes(row, each.test) for row, each in zip(found, asked, strict=True)])
    return holds if what is Measure.SUM else holds & (known > 0).reshape(len(asked), count)


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
