"""A plan made from traffic: what the newest messages of each event have in common.

Types are those that were seen; required is what (nearly) every message brought; a text with few different values
becomes a choice; formats are named where every value has them. Ranges are noted under `x-seen`, which checks nothing.
"""

import json
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import connection

from ingestion.messages import FIXED_NAMES
from ingestion.plans.compile import build_validator
from ingestion.plans.contracts import Inferred
from ingestion.plans.document import empty_document
from ingestion.sessions.operations import ENDED, STARTED

DAYS = 7
REQUIRED_SHARE = 0.995
SAMPLE = 2_000
LEAST_SAMPLE = 100
SAMPLE_OF_ALL = 60_000
MAX_EVENTS = 500

MAX_DEPTH = 6
MAX_NAMES = 100
CHOICES = 12
CHOICE_REPEATS = 10
CHOICE_LENGTH = 60
ALL_WHOLE = 50

OWN_EVENTS = (STARTED, ENDED)
OWN_PROPERTY = "session_id"  # what sessions give to stored events: a message that comes need not have it
"""What we tell of a source's visitors ourselves, and nobody sends."""

_FORMATS = ("date-time", "date", "email", "phone", "uuid", "uri")
_FORMAT_CHECKS = {name: build_validator({"format": name}, "").is_valid for name in _FORMATS}


class Shape:
    """What was seen at one place of many messages."""

    def __init__(self, depth: int = 0) -> None:
        self.depth = depth
        self.seen = 0
        self.types: Counter[str] = Counter()
        self.texts: Counter[str] | None = Counter()
        self.formats = set(_FORMATS)
        self.low: float | None = None
        self.high: float | None = None
        self.fields: dict[str, Shape] | None = {}
        self.items: Shape | None = None

    def add(self, value: Any) -> None:
        self.seen += 1
        if value is None:
            self.types["null"] += 1
        elif isinstance(value, bool):
            self.types["boolean"] += 1
        elif isinstance(value, int | float):
            self.types["integer" if isinstance(value, int) else "number"] += 1
            self.low = value if self.low is None else min(self.low, value)
            self.high = value if self.high is None else max(self.high, value)
        elif isinstance(value, str):
            self.types["string"] += 1
            self._add_text(value)
        elif isinstance(value, list):
            self.types["array"] += 1
            self._add_items(value)
        else:
            self.types["object"] += 1
            self._add_fields(value)

    def _add_text(self, text: str) -> None:
        if self.formats:
            self.formats = {name for name in self.formats if _FORMAT_CHECKS[name](text)}
        if self.texts is None:
            return
        self.texts[text] += 1
        if len(self.texts) > CHOICES or len(text) > CHOICE_LENGTH:
            self.texts = None

    def _add_items(self, items: list[Any]) -> None:
        if self.depth >= MAX_DEPTH:
            return
        if self.items is None:
            self.items = Shape(self.depth + 1)
        for item in items:
            self.items.add(item)

    def _add_fields(self, fields: dict[str, Any]) -> None:
        """Names by the hundred are data, not names: then the object is left open."""
        if self.fields is None or self.depth >= MAX_DEPTH:
            self.fields = None
            return
        for name, value in fields.items():
            shape = self.fields.get(name)
            if shape is None:
                shape = self.fields[name] = Shape(self.depth + 1)
            shape.add(value)
        if len(self.fields) > MAX_NAMES:
            self.fields = None

    def schema(self, *, required_share: float = REQUIRED_SHARE) -> dict[str, Any]:
        found: dict[str, Any] = {}
        kinds = self._kinds()
        if kinds:
            found["type"] = kinds[0] if len(kinds) == 1 else kinds
        if self.types["string"]:
            found |= self._schema_of_text()
        if self.types["object"] and self.fields is not None:
            found |= self._schema_of_fields(required_share)
        if self.items is not None and self.items.seen:
            found["items"] = self.items.schema(required_share=required_share)
        if self.low is not None:
            found["x-seen"] = {"min": self.low, "max": self.high}
        return found

    def _kinds(self) -> list[str]:
        """A price may be whole by chance: a whole number is called one only after many of them."""
        kinds = {kind for kind, number in self.types.items() if number}
        if "integer" in kinds and ("number" in kinds or self.types["integer"] < ALL_WHOLE):
            kinds = (kinds - {"integer"}) | {"number"}
        return sorted(kinds, key=lambda kind: (kind == "null", kind))

    def _schema_of_text(self) -> dict[str, Any]:
        named = next((name for name in _FORMATS if name in self.formats), None)
        if named is not None:
            return {"format": named}
        if self.texts and self.types["string"] >= CHOICE_REPEATS * len(self.texts) and set(self.types) <= {"string"}:
            return {"enum": sorted(self.texts)}
        return {}

    def _schema_of_fields(self, required_share: float) -> dict[str, Any]:
        fields = self.fields or {}
        objects = self.types["object"]
        needed = [name for name, shape in fields.items() if shape.seen >= required_share * objects]
        schema: dict[str, Any] = {
            "properties": {name: shape.schema(required_share=required_share) for name, shape in fields.items()}
        }
        if needed:
            schema["required"] = needed
        return schema | {"additionalProperties": False}


def infer_schema(values: Iterable[Any], *, required_share: float = REQUIRED_SHARE) -> dict[str, Any]:
    """The schema that all of `values` fit; open where there are none."""
    shape = Shape()
    for value in values:
        shape.add(value)
    return shape.schema(required_share=required_share)


def infer_plan(
    *, source_id: int, since: datetime, until: datetime, required_share: float = REQUIRED_SHARE, sample: int = SAMPLE
) -> Inferred:
    """From the newest `sample` events of each name, fewer where there are many names; the most frequent first."""
    names = _names(source_id=source_id, since=since, until=until)
    each = max(LEAST_SAMPLE, min(sample, SAMPLE_OF_ALL // max(1, len(names))))
    document = empty_document()
    looked_at: dict[str, tuple[int, int]] = {}
    for name_id, name, total in names:
        found = _sample(source_id=source_id, name_id=name_id, since=since, until=until, limit=each)
        part = {"schema": infer_schema(found, required_share=required_share)}
        looked_at[name] = (len(found), total)
        if name == FIXED_NAMES["identify"]:
            document["traits"] = {"schema": _loosened(part["schema"])}
        elif name == FIXED_NAMES.get("group"):
            document["group_traits"] = {"schema": _loosened(part["schema"])}
        else:
            needed = [key for key in part["schema"].get("required", ()) if key != OWN_PROPERTY]
            if "required" in part["schema"]:
                part["schema"]["required"] = needed
            document["events"][name] = part
    return Inferred(document=document, since=since, events=looked_at)


def _loosened(schema: dict[str, Any]) -> dict[str, Any]:
    """Traits come a few at a time, and null deletes one: none of them is required, each may be empty."""
    properties = {name: _nullable(one) for name, one in schema.get("properties", {}).items()}
    return {key: value for key, value in schema.items() if key != "required"} | {"properties": properties}


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if not kinds or "null" in kinds:
        return schema
    widened = schema | {"type": [*kinds, "null"]}
    return widened | {"enum": [*schema["enum"], None]} if "enum" in schema else widened


def _names(*, source_id: int, since: datetime, until: datetime) -> list[tuple[int, str, int]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT n.id, n.name, c.number FROM (SELECT name_id, count(*) AS number FROM event"
            "   WHERE ts > %s AND ts <= %s AND source_id = %s GROUP BY 1) c"
            " JOIN event_name n ON n.id = c.name_id WHERE n.type <> 'alias' AND n.name <> ALL(%s)"
            " ORDER BY c.number DESC, n.name LIMIT %s",
            [since, until, source_id, list(OWN_EVENTS), MAX_EVENTS],
        )
        return list(cursor.fetchall())


def _sample(*, source_id: int, name_id: int, since: datetime, until: datetime, limit: int) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT properties FROM event WHERE name_id = %s AND source_id = %s AND ts > %s AND ts <= %s"
            " ORDER BY ts DESC LIMIT %s",
            [name_id, source_id, since, until, limit],
        )
        return [json.loads(text, parse_int=_whole) for (text,) in cursor.fetchall()]


def _whole(digits: str) -> float:
    """Jsonb keeps thousands of digits, which are no whole number to anybody."""
    return int(digits) if len(digits) < 300 else float("inf")
