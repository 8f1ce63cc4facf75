"""What values may be: rules per source, event and property, checked on every event that has one.

A value that breaks a rule is stored all the same. It is flagged, counted, and kept for a person to look at.
"""

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ingestion.checks import Check, Checks, Opened
from ingestion.contracts import Change, Incoming
from ingestion.quality.models import FlaggedValue, ValueRule
from ingestion.quality.summary import flatten

STAGE = "values"
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)

Problem = Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one rule says; `problem` is in words, and empty where a value keeps to it."""

    low: float | None = None
    high: float | None = None
    allowed: tuple[Any, ...] = ()
    shortest: int | None = None
    longest: int | None = None

    def problem(self, value: Any) -> str:
        if self.allowed and not any(_same(value, one) for one in self.allowed):
            return "not one of the allowed values"
        if isinstance(value, str):
            return self._length_problem(len(value))
        return self._number_problem(value)

    def _number_problem(self, value: Any) -> str:
        if self.low is None and self.high is None:
            return ""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return "not a number"
        if self.low is not None and value < self.low:
            return f"below {self.low:g}"
        return f"above {self.high:g}" if self.high is not None and value > self.high else ""

    def _length_problem(self, length: int) -> str:
        if self.shortest is not None and length < self.shortest:
            return f"shorter than {self.shortest} characters"
        if self.longest is not None and length > self.longest:
            return f"longer than {self.longest} characters"
        wants_number = self.low is not None or self.high is not None
        return "not a number" if wants_number and self.shortest is None and self.longest is None else ""


def limits_of(rule: ValueRule) -> Limits:
    return Limits(rule.low, rule.high, tuple(rule.allowed), rule.shortest, rule.longest)


def value_rules(source_id: int) -> Checks:
    """The stage of `ingestion.treatment`: one check per event name that has a rule."""
    by_event: dict[str, list[tuple[str, Limits]]] = {}
    for rule in ValueRule.objects.filter(source_id=source_id):
        by_event.setdefault(rule.event, []).append((rule.path, limits_of(rule)))
    return {event: _check_of(found) for event, found in by_event.items()}


def _check_of(found: Iterable[tuple[str, Limits]]) -> Check:
    plain = [(path, limits) for path, limits in found if "." not in path]
    nested = [(path, limits) for path, limits in found if "." in path]

    def check(opened: Opened) -> None:
        for path, limits in plain:
            if (value := opened.fields.get(path)) is not None and (problem := limits.problem(value)):
                opened.changes.append(Change(STAGE, path, problem, value, value))
        if nested:
            flat = flatten(opened.fields)
            for path, limits in nested:
                for value in flat.get(path, ()):
                    if value is not None and (problem := limits.problem(value)):
                        opened.changes.append(Change(STAGE, path, problem, value, value))

    return check


def flag_of(event: Incoming, change: Change, *, profile_id: int) -> FlaggedValue:
    return FlaggedValue(
        source_id=event.source_id,
        kind=FlaggedValue.Kind.RULE,
        event=event.name,
        path=change.path,
        value=change.before,
        why=change.what,
        profile_id=profile_id,
        event_id=uuid.UUID(bytes=event.id),
        happened_at=_EPOCH + timedelta(microseconds=event.ts),
        received_at=_EPOCH + timedelta(microseconds=event.received),
    )


def _same(value: Any, other: Any) -> bool:
    """Equal and of one type: `1`, `"1"` and `true` differ."""
    return isinstance(value, bool) == isinstance(other, bool) and value == other
