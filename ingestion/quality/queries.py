"""Reads of this room: profiles, balances, freshness, loads."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
from django.conf import settings as deployment
from django.db import connection
from django.db.models import Sum

from cdp.kernel.ids import message_uuid
from ingestion.models import EventName, HourlyCount, Source
from ingestion.quality import summary
from ingestion.quality.contracts import EventProfile, Freshness, HourBalance, LoadCheck, PropertyProfile
from ingestion.quality.judge import OpeningHours, silent_for
from ingestion.quality.models import (
    DaySummary,
    DuplicateScan,
    HourShape,
    Load,
    LoadTally,
    Property,
    QualityScore,
    Receipt,
    Volume,
)
from ingestion.quality.settings import QualitySettings
from ingestion.quality.summary import EventSummary, PropertySummary
from ingestion.settings import settings_of

PROFILE_DAYS = 7
NEW_FOR = timedelta(days=2)
"""So long a property or an event is called new, if its source is older than that."""
GONE_AFTER = timedelta(days=1)
"""A property that used to be there and was in none of the events of so long has vanished."""
GONE_EVENTS = 20
QUANTILES = (("5%", 0.05), ("25%", 0.25), ("median", 0.5), ("75%", 0.75), ("95%", 0.95))
_HOUR = timedelta(hours=1)


def whole_hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def quality_settings(source: Source) -> QualitySettings:
    return settings_of(source.settings).quality


# --- Profiles -----------------------------------------------------------------------------------------------


def event_profiles(*, source_id: int, now: datetime, days: int = PROFILE_DAYS) -> list[EventProfile]:
    """Every event of a source that came in the last days, the most frequent first."""
    today = now.astimezone(UTC).date()
    window = [today - timedelta(days=back) for back in reversed(range(days))]
    volumes = _daily_volumes(source_id, window[0])
    summaries = _daily_summaries(source_id, window[0])
    seen_since = _property_times(source_id)
    began = min((times[0] for times in seen_since.values()), default=now)
    names = dict(EventName.objects.filter(pk__in=volumes.keys() | summaries.keys()).values_list("pk", "name"))
    recent = _recent_shapes(source_id, now)
    found = []
    for name_id, name in names.items():
        by_day = summaries.get(name_id, {})
        whole = sum(by_day.values(), summary.NOTHING)
        counts = volumes.get(name_id, {})
        times = {path: seen for (id_, path), seen in seen_since.items() if id_ == name_id}
        event_times = times.get("")
        found.append(
            EventProfile(
                name=name,
                events=sum(events for events, _ in counts.values()),
                flagged=sum(flagged for _, flagged in counts.values()),
                seen=whole.seen,
                last_seen_at=event_times[1] if event_times else None,
                badges=_event_badges(event_times, began=began, now=now),
                per_day=[counts.get(day, (0, 0))[0] for day in window],
                properties=_properties(whole, by_day, window, times, recent.get(name_id, []), now=now),
            )
        )
    return sorted(found, key=lambda one: (-one.events, one.name))


def _daily_volumes(source_id: int, since: date) -> dict[int, dict[date, tuple[int, int]]]:
    rows = Volume.objects.filter(
        source_id=source_id, hour__gte=datetime(since.year, since.month, since.day, tzinfo=UTC)
    )
    found: dict[int, dict[date, tuple[int, int]]] = defaultdict(dict)
    for name_id, hour, events, flagged in rows.values_list("name_id", "hour", "events", "flagged"):
        day = hour.astimezone(UTC).date()
        old = found[name_id].get(day, (0, 0))
        found[name_id][day] = (old[0] + events, old[1] + flagged)
    return found


def _daily_summaries(source_id: int, since: date) -> dict[int, dict[date, EventSummary]]:
    found: dict[int, dict[date, EventSummary]] = defaultdict(dict)
    rows = DaySummary.objects.filter(source_id=source_id, day__gte=since)
    for name_id, day, data in rows.values_list("name_id", "day", "data"):
        found[name_id][day] = summary.decode(bytes(data))
    return found


def _property_times(source_id: int) -> dict[tuple[int, str], tuple[datetime, datetime]]:
    rows = Property.objects.filter(source_id=source_id)
    return {
        (name_id, path): (first, last)
        for name_id, path, first, last in rows.values_list("name_id", "path", "first_seen_at", "last_seen_at")
    }


def _recent_shapes(source_id: int, now: datetime) -> dict[int, list[tuple[int, dict[str, list[Any]]]]]:
    """By event, `(events looked at, shape)` of the hours of the last day."""
    found: dict[int, list[tuple[int, dict[str, list[Any]]]]] = defaultdict(list)
    rows = HourShape.objects.filter(source_id=source_id, hour__gt=now - GONE_AFTER)
    for name_id, seen, shape in rows.values_list("name_id", "seen", "shape"):
        found[name_id].append((seen, shape))
    return found


def _event_badges(times: tuple[datetime, datetime] | None, *, began: datetime, now: datetime) -> list[str]:
    if times is None:
        return []
    if now - times[0] < NEW_FOR and times[0] - began > NEW_FOR:
        return ["new"]
    return ["vanished"] if now - times[1] > GONE_AFTER else []


def _properties(
    whole: EventSummary,
    by_day: Mapping[date, EventSummary],
    window: Sequence[date],
    times: Mapping[str, tuple[datetime, datetime]],
    recent: Sequence[tuple[int, Mapping[str, list[Any]]]],
    *,
    now: datetime,
) -> list[PropertyProfile]:
    began = times[""][0] if "" in times else now
    lately = sum(seen for seen, _ in recent)
    found = []
    for path, one in whole.properties.items():
        kinds: dict[str, int] = defaultdict(int)
        for _, shape in recent:
            for kind, count in shape.get(path, [0, 0, {}])[2].items():
                kinds[kind] += count
        badges = []
        first = times[path][0] if path in times else now
        if now - first < NEW_FOR and first - began > NEW_FOR:
            badges.append("new")
        if lately >= GONE_EVENTS and not kinds and one.present > whole.seen / 10:
            badges.append("vanished")
        if kinds and max(kinds, key=lambda kind: kinds[kind]) != one.main_type:
            badges.append("changed")
        fill = [_fill_rate(by_day.get(day, summary.NOTHING), path) for day in window]
        found.append(_property(path, one, seen=whole.seen, times=times.get(path), badges=badges, fill=fill))
    return sorted(found, key=lambda each: (each.null_rate, each.path))


def _fill_rate(day: EventSummary, path: str) -> float:
    return day.properties[path].present / day.seen if path in day.properties else 0.0


def _property(
    path: str,
    one: PropertySummary,
    *,
    seen: int,
    times: tuple[datetime, datetime] | None,
    badges: list[str],
    fill: list[float],
) -> PropertyProfile:
    numbers = one.numbers
    known = numbers.count > 0
    top = sorted(one.top.counts.items(), key=lambda pair: (-pair[1], pair[0]))[:12]
    return PropertyProfile(
        path=path,
        type=one.main_type,
        types=dict(one.types),
        present=one.present,
        null_rate=1 - one.present / seen if seen else 0.0,
        distinct=one.distinct.estimate(),
        distinct_is_exact=one.distinct.is_exact,
        top=[(msgspec.json.decode(text), count) for text, count in top],
        low=numbers.low if known else None,
        high=numbers.high if known else None,
        mean=numbers.mean if known else None,
        deviation=numbers.deviation if known else None,
        quantiles={label: numbers.quantile(share) or 0.0 for label, share in QUANTILES} if known else {},
        shortest=one.texts.shortest,
        longest=one.texts.longest if one.texts.count else None,
        first_seen_at=times[0] if times else None,
        last_seen_at=times[1] if times else None,
        badges=badges,
        fill=fill,
    )


def hourly_volumes(*, source_id: int, since: datetime) -> dict[str, dict[datetime, tuple[int, int]]]:
    """By event name and hour of arrival: how many events, and how many of them broke a rule. Exact."""
    found: dict[str, dict[datetime, tuple[int, int]]] = defaultdict(dict)
    rows = Volume.objects.filter(source_id=source_id, hour__gte=whole_hour(since)).order_by("hour")
    names = dict(EventName.objects.values_list("pk", "name"))
    for name_id, hour, events, flagged in rows.values_list("name_id", "hour", "events", "flagged"):
        found[names.get(name_id, "?")][hour] = (events, flagged)
    return found


# --- Freshness and balance ----------------------------------------------------------------------------------


def opening_hours(wanted: QualitySettings) -> OpeningHours:
    days = frozenset(range(5)) if wanted.weekdays_only else frozenset(range(7))
    return OpeningHours(days, wanted.open_from, wanted.open_until, deployment.TIME_ZONE)


def freshness(*, source: Source, now: datetime) -> Freshness:
    """A source that has never sent is overdue from its creation on."""
    wanted = quality_settings(source)
    last = Receipt.objects.filter(source=source).order_by("-hour").values_list("last_at", flat=True).first()
    waiting = _newest_waiting(source.pk)
    known = [moment for moment in (last, waiting) if moment is not None]
    last = max(known, default=None)
    if wanted.expected_minutes is None:
        return Freshness(last, None, None if last is None else max(now - last, timedelta()), overdue=False)
    silent = silent_for(last=last or source.created_at, now=now, hours=opening_hours(wanted))
    paused = source.state == Source.State.PAUSED
    late = silent > timedelta(minutes=wanted.expected_minutes) and not paused
    return Freshness(last, wanted.expected_minutes, silent, overdue=late)


def _newest_waiting(source_id: int) -> datetime | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(received_at) FROM inbox WHERE source_id = %s", [source_id])
        moment: datetime | None = cursor.fetchone()[0]
    return moment


def is_waiting(*, source_id: int, before: datetime) -> bool:
    """Whether the inbox still holds requests of the source from before then."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM inbox WHERE source_id = %s AND received_at < %s)", [source_id, before]
        )
        return bool(cursor.fetchone()[0])


def balance(*, source_id: int, since: datetime) -> list[HourBalance]:
    """By hour of arrival: acknowledged, still waiting, and the outcomes, which add up unless something is wrong.

    One statement, so that a chunk drained in between is not seen by half.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 'drained', hour, '', events FROM quality_receipt WHERE source_id = %(id)s AND hour >= %(since)s"
            " UNION ALL SELECT 'waiting', date_trunc('hour', received_at, 'UTC'), '', sum(events)::bigint FROM inbox"
            "   WHERE source_id = %(id)s AND received_at >= %(since)s GROUP BY 2"
            " UNION ALL SELECT 'outcome', hour, outcome, events FROM hourly_count"
            "   WHERE source_id = %(id)s AND hour >= %(since)s",
            {"id": source_id, "since": whole_hour(since)},
        )
        rows = cursor.fetchall()
    drained: dict[datetime, int] = defaultdict(int)
    waiting: dict[datetime, int] = defaultdict(int)
    outcomes: dict[datetime, dict[str, int]] = defaultdict(dict)
    for what, hour, outcome, events in rows:
        if what == "outcome":
            outcomes[hour][outcome] = events
        else:
            (drained if what == "drained" else waiting)[hour] += events
    hours = sorted(drained.keys() | waiting.keys() | outcomes.keys(), reverse=True)
    return [HourBalance(hour, drained[hour] + waiting[hour], waiting[hour], outcomes[hour]) for hour in hours]


def counted_since(*, source_id: int) -> datetime | None:
    """The first hour that the door's count covers; what came before cannot be balanced."""
    return Receipt.objects.filter(source_id=source_id).order_by("hour").values_list("hour", flat=True).first()


def outcome_totals(*, source_id: int, since: datetime) -> dict[str, int]:
    rows = HourlyCount.objects.filter(source_id=source_id, hour__gte=whole_hour(since)).values_list("outcome")
    return dict(rows.annotate(total=Sum("events")))


def near_duplicates(*, source_id: int, since: datetime) -> tuple[int, int, list[dict[str, Any]]]:
    """Events scanned, near-duplicates among them, and the newest examples."""
    rows = list(DuplicateScan.objects.filter(source_id=source_id, at__gte=since).order_by("-at"))
    examples = [example for row in rows for example in row.examples][:5]
    return sum(row.scanned for row in rows), sum(row.found for row in rows), examples


def newest_scores(*, source_ids: Iterable[int]) -> dict[int, QualityScore]:
    rows = QualityScore.objects.filter(source_id__in=list(source_ids)).order_by("source_id", "-day")
    return {row.source_id: row for row in rows.distinct("source_id")}


# --- Loads --------------------------------------------------------------------------------------------------


def check_load(load: Load) -> LoadCheck:
    """Compare what a sender announced with what is stored under the load's id."""
    tally = LoadTally.objects.filter(source_id=load.source_id, key=load.key).first()
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(sum(events), 0) FROM inbox WHERE source_id = %s", [load.source_id])
        waiting = int(cursor.fetchone()[0])
    stored = tally.stored if tally else 0
    matches = None
    if load.checksum:
        matches = load.checksum == checksum_text(tally.checksum if tally else 0)
    complete = stored == load.count and matches is not False
    state = "complete" if complete else "waiting" if waiting else "incomplete"
    return LoadCheck(load.key, load.count, stored, max(load.count - stored, 0), matches, waiting, state)


def checksum_text(checksum: int) -> str:
    """As 16 hexadecimal digits."""
    return f"{checksum & 0xFFFFFFFFFFFFFFFF:016x}"


def unknown_messages(*, source_id: int, message_ids: Sequence[str]) -> list[str]:
    """Those that were not stored since the week before last, as far as the memory of messages reaches."""
    by_id = {str(message_uuid(source_id=source_id, message_id=text)): text for text in message_ids}
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT id::text FROM seen_message WHERE id = ANY(%s::uuid[])", [sorted(by_id)])
        known = {id_ for (id_,) in cursor.fetchall()}
    return [text for id_, text in by_id.items() if id_ not in known]


def hourly_missing(
    *, source_id: int, since: datetime, usual: Mapping[str, Sequence[str]]
) -> dict[str, dict[datetime, float]]:
    """By event and hour, the share of values that are missing among the properties that it usually brings."""
    found: dict[str, dict[datetime, float]] = defaultdict(dict)
    rows = HourShape.objects.filter(source_id=source_id, hour__gte=whole_hour(since), seen__gt=0)
    for name, hour, seen, shape in rows.values_list("name__name", "hour", "seen", "shape"):
        paths = usual.get(name)
        if paths:
            present = sum(shape.get(path, [0])[0] for path in paths)
            found[name][hour] = 1 - present / (seen * len(paths))
    return found
