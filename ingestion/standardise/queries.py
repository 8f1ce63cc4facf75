"""Reads: the rules of a source, the fields that its events really have, and what a rule would do to them."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from dataclasses import field as factory
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from ingestion.models import Source
from ingestion.standardise import paths
from ingestion.standardise.models import StandardRule
from ingestion.standardise.rules import MOVES, RuleSpec, compile_rule
from ingestion.standardise.suggest import Suggestion, suggest
from ingestion.standardise.values import Unreadable, make_standardiser

SAMPLE = 500
SINCE = timedelta(days=30)
MOST_FIELDS = 300
MOST_VALUES_KEPT = 500
SHOWN = 12

TryOut = Callable[[dict[str, Any]], list[tuple[Any, Any]]]
"""From the fields of a message to pairs of a value before and after."""


@dataclass(slots=True)
class SeenField:
    """A field of recent events: in how many it was, and its values by how often they came."""

    of: str
    event: str
    field: str
    seen: int = 0
    values: Counter[Any] = factory(default_factory=Counter)
    suggestion: Suggestion | None = None

    @property
    def shown(self) -> list[tuple[Any, int]]:
        """The commonest values; `true` and 1 are told apart by the type that the counter keeps with them."""
        return [(value, count) for (_, value), count in self.values.most_common(3)]


@dataclass(frozen=True, slots=True)
class Example:
    before: Any
    after: Any
    count: int
    problem: str = ""


@dataclass(slots=True)
class Preview:
    """What a rule does to the last events: how many values change, stay, cannot be read; how many lack the field."""

    events: int = 0
    absent: int = 0
    changed: int = 0
    same: int = 0
    failed: int = 0
    examples: list[Example] = factory(default_factory=list)
    failures: list[Example] = factory(default_factory=list)


def rules_of(source: Source) -> list[StandardRule]:
    return list(StandardRule.objects.filter(source=source, deleted_at=None))


def seen_fields(*, source: Source, now: datetime) -> list[SeenField]:
    """Traits first, then properties by event; the most frequent first. Each with a suggestion where one helps."""
    found: dict[tuple[str, str, str], SeenField] = {}
    for name, type_, fields in _recent(source, now=now):
        of, event = ("traits", "") if type_ == "identify" else ("properties", name)
        places: set[str] = set()
        for path, value in paths.flatten(fields):
            seen = found.get((of, event, path))
            if seen is None:
                if len(found) >= MOST_FIELDS:
                    continue
                seen = found[of, event, path] = SeenField(of, event, path)
            if path not in places:
                places.add(path)
                seen.seen += 1
            if value is not None and len(seen.values) < MOST_VALUES_KEPT:
                seen.values[type(value).__name__, value] += 1
    for seen in found.values():
        seen.suggestion = suggest(seen.field, {value: count for (_, value), count in seen.values.items()})
    return sorted(found.values(), key=lambda seen: (seen.of != "traits", seen.event, -seen.seen, seen.field))


def event_names_of(*, source: Source, now: datetime) -> list[str]:
    return sorted({name for name, type_, _ in _recent(source, now=now) if type_ != "identify"})


def preview(*, source: Source, rule: RuleSpec, now: datetime, sample: int = SAMPLE) -> Preview:
    """Apply a rule to the last events as they are stored, and change none of them.

    Raises:
        BadOptionsError: for a rule that makes no sense.
    """
    result = Preview()
    examples: Counter[tuple[str, str]] = Counter()
    failures: Counter[tuple[str, str]] = Counter()
    try_out = _moves(rule) if rule.kind in MOVES else _values(rule)
    for fields in _of_rule(source, rule, now=now, limit=sample):
        result.events += 1
        tried = try_out(fields)
        result.absent += not tried
        for before, after in tried:
            if isinstance(after, Unreadable):
                result.failed += 1
                failures[json.dumps(before), after.reason] += 1
            elif after == before and type(after) is type(before):
                result.same += 1
            else:
                result.changed += 1
                examples[json.dumps(before), json.dumps(after)] += 1
    result.examples = [Example(json.loads(old), json.loads(new), n) for (old, new), n in examples.most_common(SHOWN)]
    result.failures = [Example(json.loads(old), None, n, why) for (old, why), n in failures.most_common(SHOWN)]
    return result


def _values(rule: RuleSpec) -> TryOut:
    """Every value of the field in a message, with what the rule makes of it."""
    compile_rule(rule)
    standardise, find = make_standardiser(rule.kind, rule.options), paths.finder(rule.field)

    def try_out(fields: dict[str, Any]) -> list[tuple[Any, Any]]:
        values = [slot.holder[slot.key] for slot in find(fields)]
        return [
            (value, Unreadable("not a single value") if isinstance(value, dict | list) else standardise(value))
            for value in values
            if value is not None
        ]

    return try_out


def _moves(rule: RuleSpec) -> TryOut:
    """Every value that the rule moves or copies, or that is in the way."""
    step = compile_rule(rule)

    def try_out(fields: dict[str, Any]) -> list[tuple[Any, Any]]:
        report = _Report()
        step(fields, report)
        return report.moved

    return try_out


class _Report:
    """Remembers what a moving rule did to one message."""

    def __init__(self) -> None:
        self.moved: list[tuple[Any, Any]] = []

    def note(self, _stage: str, _path: str, _what: str, *, before: Any = None, after: Any = None) -> None:
        self.moved.append((before, after))

    def flag(self, _stage: str, path: str, what: str) -> None:
        self.moved.append((path, Unreadable(what)))


def unmapped_values(*, source: Source, rule: RuleSpec, now: datetime, limit: int = 100) -> list[tuple[str, int]]:
    """Values of the field in recent events that the table of a mapping does not have, with how often they came."""
    known = make_standardiser("mapping", rule.options | {"unknown": "flag"})
    counts: Counter[str] = Counter()
    find = paths.finder(rule.field)
    for fields in _of_rule(source, rule, now=now):
        for slot in find(fields):
            value = slot.holder[slot.key]
            if value is None or isinstance(value, dict | list) or not isinstance(known(value), Unreadable):
                continue
            counts[value if isinstance(value, str) else json.dumps(value)] += 1
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:limit]


def _of_rule(source: Source, rule: RuleSpec, *, now: datetime, limit: int = SAMPLE) -> Iterator[dict[str, Any]]:
    """The traits or properties that the rule looks at, the newest first."""
    found = _recent(source, event=rule.event, of=rule.of, now=now, limit=limit)
    return (fields for _, _, fields in found)


def _recent(
    source: Source, *, now: datetime, event: str = "", of: str = "", limit: int = SAMPLE
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Name, type and properties (or traits) of the newest events, not older than a month, of one name if given."""
    conditions = {"traits": " AND n.type = 'identify'", "properties": " AND n.type <> 'identify'"}.get(of, "")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT n.name, n.type, e.properties FROM event e JOIN event_name n ON n.id = e.name_id"
            f" WHERE e.source_id = %s AND e.ts >= %s AND (%s = '' OR n.name = %s){conditions}"
            " ORDER BY e.ts DESC LIMIT %s",
            [source.pk, now - SINCE, event, event, limit],
        )
        rows: Sequence[tuple[str, str, Any]] = cursor.fetchall()
    for name, type_, fields in rows:
        yield name, type_, json.loads(fields, parse_int=_integer) if isinstance(fields, str) else fields


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= 300 else digits
