"""From samples to profiles: a scheduled step that adds what the drain sampled to the rows of its hour and day.

One worker at a time does it, by an advisory lock of the transaction: claim samples, add them up in Python, write the
sums, remove the samples. A run that is killed has not happened.
"""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
from django.db import connection, transaction

from ingestion.models import EventName, Source
from ingestion.quality import summary
from ingestion.quality.judge import find_oddity
from ingestion.quality.models import DaySummary, FlaggedValue, HourShape, ValueRule
from ingestion.quality.rules import limits_of
from ingestion.quality.settings import QualitySettings
from ingestion.quality.summary import EventSummary, Numbers, Seen, summarise_events
from ingestion.settings import settings_of

BATCH = 2_000
LATE = timedelta(hours=1)
"""An event that arrives so long after it happened came late."""
HISTORY_DAYS = 14
MAX_OUTLIERS = 10
"""Outliers of one property that are kept for review from one batch."""

_LOCK = 7_340_021

Key = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Taken:
    """A sample that was claimed."""

    source_id: int
    name_id: int
    profile_id: int
    event_id: uuid.UUID
    ts: datetime
    received_at: datetime
    properties: dict[str, Any]

    @property
    def hour(self) -> datetime:
        return self.received_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)

    @property
    def seen(self) -> Seen:
        return Seen(self.properties, late=self.received_at - self.ts > LATE)


def fold_samples(*, limit: int = BATCH) -> int:
    """Add the oldest samples to the profiles; returns how many, 0 also while another worker is at it."""
    with transaction.atomic():
        if not _lock():
            return 0
        ids, taken = _claim(limit)
        for key, samples in _grouped(taken, lambda one: (one.source_id, one.name_id)).items():
            _flag_outliers(key, samples)
            _add_to_hours(key, samples)
            _add_to_days(key, samples)
            _note_properties(key, samples)
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM quality_sample WHERE id = ANY(%s)", [ids])
    return len(ids)


def _lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        return bool(cursor.fetchone()[0])


def _claim(limit: int) -> tuple[list[int], list[_Taken]]:
    """The ids of what was claimed, and the samples whose source is there and that Python can read."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT s.id, s.source_id, s.name_id, s.profile_id, s.event_id::text, s.ts, s.received_at, s.properties"
            " FROM quality_sample s ORDER BY s.id LIMIT %s",
            [limit],
        )
        found = cursor.fetchall()
    sources = set(Source.objects.filter(pk__in={row[1] for row in found}).values_list("pk", flat=True))
    taken = [
        _Taken(source_id, name_id, profile_id, uuid.UUID(event_id), ts, received_at, properties)
        for _, source_id, name_id, profile_id, event_id, ts, received_at, data in found
        if source_id in sources and (properties := _read(bytes(data))) is not None
    ]
    return [row[0] for row in found], taken


def _read(data: bytes) -> dict[str, Any] | None:
    """None where only jsonb can hold it, such as 1e400."""
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (ValueError, RecursionError):
        return None


def _grouped(samples: Iterable[_Taken], key: Any) -> dict[Any, list[_Taken]]:
    groups: dict[Any, list[_Taken]] = defaultdict(list)
    for sample in samples:
        groups[key(sample)].append(sample)
    return groups


def _add_to_hours(key: Key, samples: Sequence[_Taken]) -> None:
    for hour, theirs in _grouped(samples, lambda one: one.hour).items():
        mine = summarise_events(one.seen for one in theirs)
        row = HourShape.objects.filter(pk=(*key, hour)).first()
        shape = merge_shapes(row.shape if row else {}, shape_of(mine))
        seen, late = (row.seen, row.late) if row else (0, 0)
        values = {"seen": seen + mine.seen, "late": late + mine.late, "shape": shape}
        _write(HourShape, key, {"hour": hour}, values, exists=row is not None)


def _add_to_days(key: Key, samples: Sequence[_Taken]) -> None:
    for day, theirs in _grouped(samples, lambda one: one.hour.date()).items():
        mine = summarise_events(one.seen for one in theirs)
        row = DaySummary.objects.filter(pk=(*key, day)).first()
        whole = summary.decode(bytes(row.data)) + mine if row else mine
        _write(DaySummary, key, {"day": day}, {"data": summary.encode(whole)}, exists=row is not None)


def _write(model: Any, key: Key, place: Mapping[str, Any], values: Mapping[str, Any], *, exists: bool) -> None:
    where = {"source_id": key[0], "name_id": key[1], **place}
    if exists:
        model.objects.filter(**where).update(**values)
    else:
        model.objects.create(**where, **values)


def shape_of(whole: EventSummary) -> dict[str, list[Any]]:
    return {path: [one.present, one.nulls, dict(one.types)] for path, one in whole.properties.items()}


def merge_shapes(mine: Mapping[str, list[Any]], theirs: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    merged = dict(mine)
    for path, (present, nulls, types) in theirs.items():
        old = merged.get(path, [0, 0, {}])
        kinds = {kind: old[2].get(kind, 0) + types.get(kind, 0) for kind in sorted(old[2].keys() | types.keys())}
        merged[path] = [old[0] + present, old[1] + nulls, kinds]
    return merged


def _note_properties(key: Key, samples: Sequence[_Taken]) -> None:
    """When each property was first and last seen; the empty path stands for the event."""
    found: dict[str, tuple[datetime, datetime]] = {}
    for sample in samples:
        at = sample.received_at
        paths = [
            path for path, values in summary.flatten(sample.properties).items() if any(v is not None for v in values)
        ]
        for path in ["", *paths]:
            first, last = found.get(path, (at, at))
            found[path] = (min(first, at), max(last, at))
    lines = sorted((path, first, last) for path, (first, last) in found.items())[: summary.MAX_PATHS + 1]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO quality_property AS old (source_id, name_id, path, first_seen_at, last_seen_at)"
            " SELECT %s, %s, * FROM unnest(%s::text[], %s::timestamptz[], %s::timestamptz[])"
            " ON CONFLICT (source_id, name_id, path) DO UPDATE SET"
            " first_seen_at = least(old.first_seen_at, EXCLUDED.first_seen_at),"
            " last_seen_at = greatest(old.last_seen_at, EXCLUDED.last_seen_at)",
            [*key, *(list(column) for column in zip(*lines, strict=True))],
        )


# --- Outliers -----------------------------------------------------------------------------------------------


def history_of(*, source_id: int, name_id: int, until: date, days: int = HISTORY_DAYS) -> EventSummary:
    """The statistics of the last days, the one named included."""
    rows = DaySummary.objects.filter(
        source_id=source_id, name_id=name_id, day__gt=until - timedelta(days=days), day__lte=until
    )
    return sum((summary.decode(bytes(row.data)) for row in rows), summary.NOTHING)


def _flag_outliers(key: Key, samples: Sequence[_Taken]) -> None:
    """Compare each number with what was seen before it; a property with a rule has had a person's word already."""
    source_id, name_id = key
    wanted = settings_of(Source.objects.get(pk=source_id).settings).quality
    if wanted.outliers == "off":
        return
    history = history_of(source_id=source_id, name_id=name_id, until=max(one.hour for one in samples).date())
    event = EventName.objects.filter(pk=name_id).values_list("name", flat=True).first() or ""
    ruled = {
        rule.path
        for rule in ValueRule.objects.filter(source_id=source_id, event=event)
        if limits_of(rule).low is not None or limits_of(rule).high is not None or rule.allowed
    }
    past = {path: one.numbers for path, one in history.properties.items() if path not in ruled and one.numbers.count}
    flags = [flag for sample in samples for flag in _odd_values(sample, event, past, wanted)]
    FlaggedValue.objects.bulk_create(_first_of_each(flags, MAX_OUTLIERS))


def _odd_values(
    sample: _Taken, event: str, past: Mapping[str, Numbers], wanted: QualitySettings
) -> Iterable[FlaggedValue]:
    for path, values in summary.flatten(sample.properties).items():
        if path not in past:
            continue
        for value in values:
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            number = max(min(value, 1e150), -1e150)
            oddity = find_oddity(number, past[path], max_z=wanted.max_z, fence=wanted.fence, needs=wanted.outliers)
            if oddity is not None:
                yield FlaggedValue(
                    source_id=sample.source_id,
                    kind=FlaggedValue.Kind.OUTLIER,
                    event=event,
                    path=path,
                    value=value,
                    why=oddity.text[:300],
                    profile_id=sample.profile_id,
                    event_id=sample.event_id,
                    happened_at=sample.ts,
                    received_at=sample.received_at,
                )


def _first_of_each(flags: Iterable[FlaggedValue], limit: int) -> list[FlaggedValue]:
    kept: dict[str, list[FlaggedValue]] = defaultdict(list)
    for flag in flags:
        if len(kept[flag.path]) < limit:
            kept[flag.path].append(flag)
    return [flag for theirs in kept.values() for flag in theirs]
