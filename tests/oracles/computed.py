"""Computed traits worked out slowly and obviously, over plain lists, straight from the JSON."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from tests.oracles.segments import (
    Happening,
    Instant,
    Person,
    canonical,
    chosen,
    duration,
    exact,
    is_number,
    measured,
    values_at,
    window,
)

Bounds = Mapping[str, Sequence[float]]


def value_of(
    definition: dict[str, Any], person: Person, now: datetime, zone: str, *, bounds: Bounds | None = None
) -> Any:
    """What a person has of this trait at `now`; None for nothing."""
    at = Instant(now, zone, {})
    if definition["kind"] == "tiers":
        return tier(definition, person)
    in_window = window(definition.get("window"), at)
    counted = [event for event in chosen(definition, person, at) if in_window(event.ts)]
    if definition.get("of") and "[]" in definition["of"]:
        counted = [event for event in counted if has_items(definition["of"], event)]
    if not counted:
        return None
    match definition["kind"]:
        case "measure":
            return measure(definition["measure"], counted, definition.get("of"), at)
        case "rfm":
            return rfm(counted, definition["of"], at, bounds or {})
        case "lifecycle":
            return stage(definition, counted[0].ts, counted[-1].ts, now)
    raise AssertionError(definition)


def has_items(path: str, event: Happening) -> bool:
    """Whether there is any element at a path through lists, be it null."""
    head, _, _ = path.rpartition("[]")
    inside = head.startswith("context.")
    lists = values_at(head.removeprefix("context."), event.context if inside else event.properties)
    return any(isinstance(items, list) and items for items in lists)


def measure(name: str, counted: list[Happening], of: str | None, at: Instant) -> Any:
    match name:
        case "first_at" | "last_at":
            return stamp(counted[0 if name == "first_at" else -1].ts)
        case "first" | "last":
            values = [value for event in counted for value in event.values_at(of or "", at.zone)]
            return [values[0] if name == "first" else values[-1]] if values else None
        case "most_frequent":
            return most_frequent(counted, of or "", at)
        case "avg":
            found = measured("avg", counted, of, at)
            return None if found is None else rounded(found)
    found = measured(name, counted, of, at)
    return None if found is None else found


def most_frequent(counted: list[Happening], of: str, at: Instant) -> Any:
    """Of those that came equally often the one that came last; within one event, the first by its text."""
    told = [(value, event.ts) for event in counted for value in event.values_at(of, at.zone)]
    by_text: dict[str, list[Any]] = {}
    for value, ts in told:
        by_text.setdefault(canonical(value), []).append((value, ts))
    if not by_text:
        return None
    most = max(len(found) for found in by_text.values())
    often = {text: found for text, found in by_text.items() if len(found) == most}
    last = max(ts for found in often.values() for _, ts in found)
    return [found[0][0] for text, found in sorted(often.items()) if max(ts for _, ts in found) == last]


def rfm(counted: list[Happening], of: str, at: Instant, bounds: Bounds) -> dict[str, Any]:
    last = counted[-1].ts
    spent = measured("sum", counted, of, at) or Fraction(0)
    scores = {
        "recency": 5 - sum(last + timedelta(seconds=bound) <= at.now for bound in bounds.get("recency", ())),
        "frequency": 1 + sum(len(counted) > bound for bound in bounds.get("frequency", ())),
        "monetary": 1 + sum(spent > Fraction(Decimal(str(bound))) for bound in bounds.get("monetary", ())),
    }
    return scores | {"score": "".join(str(score) for score in scores.values())}


def stage(definition: dict[str, Any], first: datetime, last: datetime, now: datetime) -> str:
    if now < first + duration(definition["new"]):
        return "new"
    if now < last + duration(definition["active"]):
        return "active"
    return "dormant" if now < last + duration(definition["dormant"]) else "churned"


def tier(definition: dict[str, Any], person: Person) -> str | None:
    found = values_at(definition["trait"], person.traits)
    if not found or not is_number(found[0]):
        return None
    reached = [one for one in definition["tiers"] if exact(found[0]) >= exact(one["from"])]
    return max(reached, key=lambda one: exact(one["from"]))["label"] if reached else definition.get("otherwise")


def stamp(moment: datetime) -> str:
    return moment.astimezone(ZoneInfo("UTC")).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def rounded(number: Fraction) -> Fraction:
    whole = abs(number) * 1_000_000 + Fraction(1, 2)
    return Fraction(whole.numerator // whole.denominator, 1_000_000) * (-1 if number < 0 else 1)


def agrees(expected: Any, found: Any) -> bool:
    """Sums of floating point numbers may differ in their last digits; of values that tie by time, any will do."""
    if isinstance(expected, Fraction):
        return is_number(found) and abs(exact(found) - expected) <= max(abs(expected), 1) / 10**9
    if isinstance(expected, list):
        return any(canonical(one) == canonical(found) for one in expected)
    return canonical(expected) == canonical(found)
