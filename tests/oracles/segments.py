"""Segment definitions evaluated slowly and obviously, over plain lists, straight from the JSON.

Shares nothing with the product: no parser, no plan, no SQL. Definitions are taken to be valid.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400}
COMPLEMENTS = {"neq": "eq", "not_in": "in", "not_contains": "contains", "not_exists": "exists"}
LARGEST = Decimal(10) ** 100


@dataclass
class Happening:
    name: str
    ts: datetime
    id: int
    properties: dict[str, Any]
    context: dict[str, Any] = field(default_factory=dict)

    def values_at(self, path: str, zone: str) -> list[Any]:
        if path in {"event.hour", "event.weekday"}:
            local = self.ts.astimezone(ZoneInfo(zone))
            return [local.hour if path == "event.hour" else local.isoweekday()]
        if path.startswith("context."):
            return values_at(path.removeprefix("context."), self.context)
        return values_at(path, self.properties)


@dataclass(frozen=True)
class Chosen:
    """A choice in the ledger, about one identifier; the number says which was recorded last."""

    identifier: str
    purpose: str
    state: str
    at: datetime
    expires: datetime | None
    number: int


@dataclass
class Person:
    """`accounts` are the traits of each; `identifiers` say since when each is known as theirs."""

    traits: dict[str, Any] = field(default_factory=dict)
    events: list[Happening] = field(default_factory=list)
    given: set[str] = field(default_factory=set)
    """The manual segments that they were put into."""
    accounts: list[dict[str, Any]] = field(default_factory=list)
    identifiers: dict[str, datetime] = field(default_factory=dict)
    ledger: list[Chosen] = field(default_factory=list)


@dataclass(frozen=True)
class Instant:
    now: datetime
    zone: str
    segments: Mapping[str, dict[str, Any]]


def holds(
    node: dict[str, Any],
    person: Person,
    now: datetime,
    zone: str = "UTC",
    segments: Mapping[str, dict[str, Any]] = MappingProxyType({}),
) -> bool:
    """`segments` are the definitions that others may name, by their slugs."""
    return _holds(node, person, Instant(now, zone, segments))


def _holds(node: dict[str, Any], person: Person, at: Instant) -> bool:  # noqa: C901 - one case per kind of node
    match node["type"]:
        case "all":
            return all(_holds(part, person, at) for part in node["of"])
        case "any":
            return any(_holds(part, person, at) for part in node["of"])
        case "not":
            return not _holds(node["of"], person, at)
        case "trait":
            return passes_any(values_at(node["trait"], person.traits), node["op"], node.get("value"), at)
        case "account":
            values = [value for traits in person.accounts for value in values_at(node["trait"], traits)]
            return passes_any(values, node["op"], node.get("value"), at)
        case "consent":
            return standing(node["purpose"], person, at.now) == node["state"]
        case "event":
            return event_holds(node, person, at)
        case "sequence":
            return sequence_holds(node, person, at)
        case "segment":
            return _holds(at.segments[node["segment"]], person, at)
        case "given":
            return node["segment"] in person.given
    raise AssertionError(node)


# --- Consent ------------------------------------------------------------------------------------------------


def standing(purpose: str, person: Person, now: datetime) -> str:
    """A refusal holds until the person, known to be one, agrees again; consent wears out, a refusal does not."""
    latest = [
        max(choices, key=precedence)
        for identifier in person.identifiers
        if (choices := [each for each in person.ledger if (each.identifier, each.purpose) == (identifier, purpose)])
    ]
    grants = [each for each in latest if each.state == "granted" and (each.expires is None or each.expires > now)]
    for refusal in latest:
        if refusal.state in {"denied", "withdrawn"}:
            informed = [
                grant
                for grant in grants
                if grant.at > refusal.at
                and all(grant.at >= person.identifiers[one.identifier] for one in (grant, refusal))
            ]
            if not informed:
                return "denied"
    return "granted" if grants else "unknown"


def precedence(choice: Chosen) -> tuple[Any, ...]:
    """The newest; of one instant the strictest, then what ends first, then what was recorded last."""
    never = datetime.max.replace(tzinfo=UTC)
    strictness = {"granted": 0, "expired": 1, "denied": 2, "withdrawn": 2}[choice.state]
    return (choice.at, strictness, never - (choice.expires or never), choice.number)


# --- Values -------------------------------------------------------------------------------------------------


def values_at(path: str, data: Any) -> list[Any]:
    found = [data]
    for part in path.split("."):
        key = part.removesuffix("[]")
        found = [value[key] for value in found if isinstance(value, dict) and key in value]
        if part.endswith("[]"):
            found = [item for value in found if isinstance(value, list) for item in value]
    return [value for value in found if value is not None]


def passes_any(values: list[Any], op: str, wanted: Any, at: Instant) -> bool:
    if op in COMPLEMENTS:
        return not passes_any(values, COMPLEMENTS[op], wanted, at)
    return any(passes(value, op, wanted, at) for value in values)


def passes(value: Any, op: str, wanted: Any, at: Instant) -> bool:
    match op:
        case "exists":
            return True
        case "is_true":
            return value is True
        case "is_false":
            return value is False
        case "eq":
            return same(value, wanted)
        case "in":
            return any(same(value, each) for each in wanted)
        case "gt" | "gte" | "lt" | "lte" | "between":
            return is_number(value) and compares(exact(value), op, wanted)
        case "contains" | "starts_with" | "ends_with":
            return isinstance(value, str) and finds(lower(value), op, lower(wanted))
        case _:
            moment = instant(value, at.zone) if isinstance(value, str) else None
            return moment is not None and when(moment, op, wanted, at)


def same(value: Any, wanted: Any) -> bool:
    """Typed: "5" is not 5, and true is not 1."""
    if is_number(value) and is_number(wanted):
        return exact(value) == exact(wanted)
    return type(value) is type(wanted) and value == wanted


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def exact(number: Any) -> Fraction:
    return Fraction(Decimal(repr(number)))


def compares(number: Fraction, op: str, wanted: Any) -> bool:
    if op == "between":
        return exact(wanted[0]) <= number <= exact(wanted[1])
    other = exact(wanted)
    return {
        "eq": number == other,
        "neq": number != other,
        "gt": number > other,
        "gte": number >= other,
        "lt": number < other,
        "lte": number <= other,
    }[op]


def finds(text: str, op: str, wanted: str) -> bool:
    return {"contains": wanted in text, "starts_with": text.startswith(wanted), "ends_with": text.endswith(wanted)}[op]


def lower(text: str) -> str:
    """Letter by letter, as PostgreSQL's C.UTF-8 does: no final sigma, and one letter stays one letter."""
    return "".join("i" if letter == "İ" else letter.lower() for letter in text)


# --- Dates --------------------------------------------------------------------------------------------------


def instant(text: str, zone: str) -> datetime | None:
    """The documented formats, and days that exist."""
    found = re.fullmatch(
        r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
        r"(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?",
        text,
    )
    if not found:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    micros = int((found[7] or "0").ljust(6, "0")[:6])
    try:
        naive = datetime(year, month, day, hour, minute, second, micros)  # noqa: DTZ001 - the zone follows
    except ValueError:
        return None
    if not found[8]:
        return local_to_utc(naive, zone)
    shift = offset(found[8])
    return None if shift is None else (naive - shift).replace(tzinfo=UTC)


def offset(text: str) -> timedelta | None:
    if text == "Z":
        return timedelta()
    digits = text[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 14 or minutes > 59:
        return None
    return (-1 if text[0] == "-" else 1) * timedelta(hours=hours, minutes=minutes)


def local_to_utc(naive: datetime, zone: str) -> datetime:
    """An hour that does not exist counts from before the change, one that exists twice is the second."""
    first = naive.replace(tzinfo=ZoneInfo(zone))
    second = first.replace(fold=1)
    exists = first.astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None) == naive
    return (second if exists else first).astimezone(UTC)


def when(moment: datetime, op: str, wanted: str, at: Instant) -> bool:
    match op:
        case "before":
            return moment < required_instant(wanted, at.zone)
        case "after":
            return moment > required_instant(wanted, at.zone)
        case "within_last":
            return at.now - duration(wanted) < moment <= at.now
        case "within_next":
            return at.now < moment <= at.now + duration(wanted)
        case "anniversary_within":
            born = moment.astimezone(ZoneInfo(at.zone)).date()
            days = (local_day(at) + timedelta(days=n) for n in range(duration(wanted).days + 1))
            return any(is_anniversary(born, day) for day in days)
    raise AssertionError(op)


def is_anniversary(born: date, day: date) -> bool:
    if (born.month, born.day) == (2, 29) and not is_leap(day.year):
        return (day.month, day.day) == (2, 28)
    return (born.month, born.day) == (day.month, day.day)


def is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def required_instant(text: str, zone: str) -> datetime:
    found = instant(text, zone)
    assert found is not None, text
    return found


def duration(text: str) -> timedelta:
    return timedelta(seconds=int(text[:-1]) * UNITS[text[-1]])


def local_day(at: Instant) -> date:
    return at.now.astimezone(ZoneInfo(at.zone)).date()


# --- Events -------------------------------------------------------------------------------------------------


def event_holds(node: dict[str, Any], person: Person, at: Instant) -> bool:
    in_window = window(node.get("window"), at)
    counted = [event for event in chosen(node, person, at) if in_window(event.ts)]
    measure, op, wanted = node.get("measure", "count"), node.get("op", "gte"), node.get("value", 1)
    if measure in {"first", "last"}:
        values = [value for event in counted for value in event.values_at(node["of"], at.zone)]
        return bool(values) and passes_any([values[0 if measure == "first" else -1]], op, node.get("value"), at)
    if node.get("span"):
        return any(
            compares(measured(measure, stretch, node.get("of"), at) or Fraction(0), op, wanted)
            for stretch in stretches(counted, duration(node["span"]))
        )
    number = measured(measure, counted, node.get("of"), at)
    return number is not None and compares(number, op, wanted)


def chosen(node: dict[str, Any], person: Person, at: Instant) -> list[Happening]:
    """The events of these names that pass these tests, up to now."""
    names = node["event"] if isinstance(node["event"], list) else [node["event"]]
    return [
        event
        for event in sorted(person.events, key=lambda event: (event.ts, event.id))
        if event.name in names
        and event.ts <= at.now
        and all(
            passes_any(event.values_at(where["property"], at.zone), where["op"], where.get("value"), at)
            for where in node.get("where") or []
        )
    ]


def stretches(events: list[Happening], length: timedelta) -> list[list[Happening]]:
    """The events of every stretch of that length: it changes only where an event comes in or goes out."""
    moments = sorted({moment for event in events for moment in (event.ts, event.ts - length)})
    instant_after = [moment + timedelta(microseconds=1) for moment in moments]
    found = [[event for event in events if start <= event.ts <= start + length] for start in moments]
    # just after an instant, measured in time that is finer than a microsecond
    found += [[event for event in events if start <= event.ts < start + length] for start in instant_after]
    return [*found, []]


def sequence_holds(node: dict[str, Any], person: Person, at: Instant) -> bool:
    """Every way to choose the events is tried."""
    steps = node["steps"]
    in_window = window(node.get("window"), at)
    return any(
        rest_holds(steps[1:], event, [], person, at) for event in chosen(steps[0], person, at) if in_window(event.ts)
    )


def rest_holds(
    steps: list[dict[str, Any]], last: Happening, avoided: list[dict[str, Any]], person: Person, at: Instant
) -> bool:
    """Whether the other steps can follow `last`; `avoided` are absent steps seen since it."""
    if not steps:
        return all(stays_away(step, last, None, person, at) for step in avoided)
    step, others = steps[0], steps[1:]
    if step.get("absent"):
        return rest_holds(others, last, [*avoided, step], person, at)
    return any(
        all(stays_away(each, last, event, person, at) for each in avoided)
        and rest_holds(others, event, [], person, at)
        for event in followers(step, last, person, at)
    )


def followers(step: dict[str, Any], last: Happening, person: Person, at: Instant) -> list[Happening]:
    return [
        event
        for event in chosen(step, person, at)
        if event.ts > last.ts
        and (not step.get("within") or event.ts <= last.ts + duration(step["within"]))
        and (not step.get("same") or same_value(step["same"], last, event, at))
    ]


def same_value(path: str, one: Happening, other: Happening, at: Instant) -> bool:
    mine, theirs = one.values_at(path, at.zone), other.values_at(path, at.zone)
    return bool(mine) and bool(theirs) and canonical(mine[0]) == canonical(theirs[0])


def stays_away(
    step: dict[str, Any], last: Happening, following: Happening | None, person: Person, at: Instant
) -> bool:
    """Absent between two steps, or at the end: until its time has run out."""
    came = followers(step, last, person, at)
    if following is not None:
        return not any(event.ts < following.ts for event in came)
    return not came and (not step.get("within") or last.ts + duration(step["within"]) <= at.now)


def measured(measure: str, events: list[Happening], of: str | None, at: Instant) -> Fraction | None:
    if measure == "count":
        return Fraction(len(events))
    if measure == "days":
        return Fraction(len({event.ts.astimezone(ZoneInfo(at.zone)).date() for event in events}))
    values = [value for event in events for value in event.values_at(of or "", at.zone)]
    if measure == "distinct":
        return Fraction(len({canonical(value) for value in values}))
    numbers = [exact(value) for value in values if is_number(value) and abs(exact(value)) <= LARGEST]
    if measure == "sum":
        return sum(numbers, Fraction(0))
    if not numbers:
        return None
    return {"avg": sum(numbers) / len(numbers), "min": min(numbers), "max": max(numbers)}[measure]


def canonical(value: Any) -> str:
    """Equal for values that JSON holds to be equal: 1 and 1.0 are, 1 and "1" and true are not."""
    if is_number(value):
        return f"number {exact(value)}"
    if isinstance(value, list):
        return f"[{', '.join(map(canonical, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(sorted(f'{json.dumps(key)}: {canonical(item)}' for key, item in value.items()))}}}"
    return f"{type(value).__name__} {json.dumps(value)}"


def window(node: dict[str, Any] | None, at: Instant) -> Callable[[datetime], bool]:
    if not node:
        return lambda ts: True
    if "last" in node:
        return lambda ts: ts > at.now - duration(node["last"])
    if "calendar" in node:
        zone = node.get("tz") or at.zone
        today = at.now.astimezone(ZoneInfo(zone)).date()
        wanted = period(node["calendar"])
        return lambda ts: wanted(ts.astimezone(ZoneInfo(zone)).date(), today)
    after = required_instant(node["after"], at.zone) if node.get("after") else None
    before = required_instant(node["before"], at.zone) if node.get("before") else None
    return lambda ts: (after is None or ts >= after) and (before is None or ts < before)


def period(name: str) -> Callable[[date, date], bool]:
    """Whether a day lies in the period, seen from today."""
    week = lambda day: day.isocalendar()[:2]  # noqa: E731
    month = lambda day: (day.year, day.month)  # noqa: E731
    return {
        "today": lambda day, today: day == today,
        "yesterday": lambda day, today: day == today - timedelta(days=1),
        "this_week": lambda day, today: week(day) == week(today),
        "last_week": lambda day, today: week(day) == week(today - timedelta(days=7)),
        "this_month": lambda day, today: month(day) == month(today),
        "last_month": lambda day, today: month(day) == month(today.replace(day=1) - timedelta(days=1)),
    }[name]
