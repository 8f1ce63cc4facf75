"""The dictionary as it is read: what the traffic shows, with what people say of it.

Nothing is observed for it: types, shares and first and last sightings are those that `ingestion.quality` keeps of
every source, from a bounded sample of what the drain stores. The properties of identify events are people's traits.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Max, Min, Sum

from ingestion.dictionary.masking import Pii, default_class
from ingestion.dictionary.models import DictionaryEntry
from ingestion.messages import FIXED_NAMES
from ingestion.models import EventName, Source
from ingestion.quality.models import Property, Volume

VOLUME_SINCE = timedelta(days=30)
TYPES_SINCE = timedelta(days=2)
HISTORY_SINCE = timedelta(days=14)
IDENTIFY = FIXED_NAMES["identify"]
KINDS = ("trait", "event", "property")

Key = tuple[str, str, str]


@dataclass(slots=True)
class Line:
    """An event, property or trait. `volume` counts events of 30 days; `share` is of its event, of the last days."""

    kind: str
    event: str
    path: str
    description: str = ""
    owner: str = ""
    stated_type: str = ""
    pii: Pii = Pii.NONE
    pii_stated: bool = False
    first_seen: datetime | None = None
    last_seen: datetime | None = None
    volume: int = 0
    share: float | None = None
    types: dict[str, float] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)
    segments: list[tuple[str, str]] = field(default_factory=list)

    @property
    def key(self) -> Key:
        return self.kind, self.event, self.path

    @property
    def type(self) -> str:
        """What somebody says it is, else what it mostly is."""
        return self.stated_type or max(self.types, key=lambda name: self.types[name], default="")

    @property
    def is_mixed(self) -> bool:
        """Whether values of several types came, or of another than is stated."""
        return len(self.types) > 1 or bool(self.stated_type and self.types and self.stated_type not in self.types)

    @property
    def is_documented(self) -> bool:
        return bool(self.description)


def read_lines(*, now: datetime) -> dict[Key, Line]:
    """Every event, property and trait that was seen or described, by key; traits first, then events with theirs."""
    names = {row.pk: row for row in EventName.objects.all()}
    slugs = dict(Source.objects.values_list("pk", "slug"))
    lines: dict[Key, Line] = {}
    for row in names.values():
        lines["event", "", row.name] = Line("event", "", row.name, first_seen=row.first_seen_at)
    _add_sightings(lines, names, slugs)
    _add_volumes(lines, names, now=now)
    _add_types(lines, names, now=now)
    _add_words(lines)
    return dict(sorted(lines.items(), key=lambda pair: _order(pair[0])))


def find_line(*, key: Key, now: datetime) -> Line | None:
    return read_lines(now=now).get(key)


def descriptions(*, kind: str, events: Sequence[str]) -> dict[str, str]:
    """What is said of these: by path."""
    rows = DictionaryEntry.objects.filter(kind=kind, event__in=list(events)).exclude(description="")
    return dict(rows.values_list("path", "description"))


def type_history(*, line: Line, now: datetime) -> list[tuple[Any, dict[str, int]]]:
    """Per day of two weeks, the newest first: how many values of each type were looked at."""
    if line.kind == "event":
        return []
    name = IDENTIFY if line.kind == "trait" else line.event
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (h.hour AT TIME ZONE 'UTC')::date, t.key, sum(t.value::bigint)::bigint"
            " FROM quality_hour h JOIN event_name n ON n.id = h.name_id,"
            " jsonb_each_text(h.shape -> %s -> 2) AS t"
            " WHERE n.name = %s AND h.hour >= %s GROUP BY 1, 2 ORDER BY 1 DESC, 3 DESC",
            [line.path, name, now - HISTORY_SINCE],
        )
        days: dict[Any, dict[str, int]] = defaultdict(dict)
        for day, kind, count in cursor.fetchall():
            days[day][kind] = count
    return list(days.items())


def _order(key: Key) -> tuple[Any, ...]:
    """Traits, then every event followed by its properties."""
    kind, event, path = key
    return (kind != "trait", path if kind == "event" else event, kind != "event", path)


def _key_of(name: str, path: str) -> Key:
    if not path:
        return "event", "", name
    return ("trait", "", path) if name == IDENTIFY else ("property", name, path)


def _line(lines: dict[Key, Line], key: Key) -> Line:
    return lines.setdefault(key, Line(*key))


def _add_sightings(lines: dict[Key, Line], names: dict[int, EventName], slugs: dict[int, str]) -> None:
    seen = Property.objects.values("source_id", "name_id", "path")
    for row in seen.annotate(first=Min("first_seen_at"), last=Max("last_seen_at")).order_by("source_id"):
        name = names.get(row["name_id"])
        if name is None or row["source_id"] not in slugs:
            continue
        line = _line(lines, _key_of(name.name, row["path"]))
        line.first_seen = min(filter(None, (line.first_seen, row["first"])))
        line.last_seen = max(filter(None, (line.last_seen, row["last"])))
        line.sources.append(slugs[row["source_id"]])


def _add_volumes(lines: dict[Key, Line], names: dict[int, EventName], *, now: datetime) -> None:
    counted = Volume.objects.filter(hour__gte=now - VOLUME_SINCE).values_list("name_id")
    for name_id, total in counted.annotate(total=Sum("events")):
        if name_id in names:
            _line(lines, ("event", "", names[name_id].name)).volume = total


def _add_types(lines: dict[Key, Line], names: dict[int, EventName], *, now: datetime) -> None:
    """Shares of types and of presence; the volume of a property is estimated from its share of the events seen."""
    since = now - TYPES_SINCE
    with connection.cursor() as cursor:
        cursor.execute("SELECT name_id, sum(seen)::bigint FROM quality_hour WHERE hour >= %s GROUP BY 1", [since])
        looked_at = dict(cursor.fetchall())
        cursor.execute(
            "SELECT h.name_id, s.key, sum((s.value ->> 0)::bigint)::bigint"
            " FROM quality_hour h, jsonb_each(h.shape) AS s WHERE h.hour >= %s GROUP BY 1, 2",
            [since],
        )
        present = cursor.fetchall()
        cursor.execute(
            "SELECT h.name_id, s.key, t.key, sum(t.value::bigint)::bigint FROM quality_hour h,"
            " jsonb_each(h.shape) AS s, jsonb_each_text(s.value -> 2) AS t WHERE h.hour >= %s GROUP BY 1, 2, 3",
            [since],
        )
        typed = cursor.fetchall()
    for name_id, path, count in present:
        if name_id in names and looked_at.get(name_id):
            line = _line(lines, _key_of(names[name_id].name, path))
            line.share = count / looked_at[name_id]
            event = lines.get(("event", "", names[name_id].name))
            line.volume = round(line.share * event.volume) if event else 0
    for line, kinds in _by_line(lines, names, typed):
        total = sum(kinds.values())
        line.types = {kind: count / total for kind, count in sorted(kinds.items(), key=lambda pair: -pair[1])}


def _by_line(
    lines: dict[Key, Line], names: dict[int, EventName], typed: Iterable[tuple[int, str, str, int]]
) -> Iterable[tuple[Line, dict[str, int]]]:
    found: dict[Key, dict[str, int]] = defaultdict(dict)
    for name_id, path, kind, count in typed:
        if name_id in names:
            found[_key_of(names[name_id].name, path)][kind] = count
    return [(_line(lines, key), kinds) for key, kinds in found.items()]


def _add_words(lines: dict[Key, Line]) -> None:
    for row in DictionaryEntry.objects.all():
        line = _line(lines, (row.kind, row.event, row.path))
        line.description, line.owner, line.stated_type = row.description, row.owner, row.type
        line.pii_stated = bool(row.pii)
        line.pii = Pii(row.pii or Pii.NONE)
    for line in lines.values():
        if not line.pii_stated and line.kind != "event":
            line.pii = default_class(line.path, kind=line.kind)
