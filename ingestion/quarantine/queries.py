"""Reads of the quarantine."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import QuerySet, Sum

from ingestion.quarantine.contracts import Criteria, ReasonLine
from ingestion.quarantine.models import QuarantinedMessage, Reason, ReasonHour, Replay

_HOUR = timedelta(hours=1)
State = QuarantinedMessage.State


def matching(criteria: Criteria) -> QuerySet[QuarantinedMessage]:
    """The messages that are meant, in no order."""
    rows = QuarantinedMessage.objects.all()
    for field, value in (
        ("source__slug", criteria.source),
        ("pk__in", criteria.ids),
        ("reason_id", criteria.reason),
        ("state", criteria.state),
        ("code", criteria.code),
        ("reason__path", criteria.path),
        ("event", criteria.event),
        ("message_id", criteria.message_id),
        ("people__overlap", list(criteria.people)),
        ("received_at__gte", criteria.since),
        ("received_at__lt", criteria.until),
    ):
        if value:
            rows = rows.filter(**{field: value})
    if criteria.text:
        rows = rows.extra(where=["position(%s IN quarantined_message.payload) > 0"], params=[criteria.text.encode()])
    return rows


def reasons(
    *, source_id: int | None = None, ids: Sequence[int] = (), now: datetime, hours: int = 24, limit: int = 200
) -> list[ReasonLine]:
    """Reasons with what waits, those with most first; counts outlive the messages, so some have none waiting."""
    found = Reason.objects.select_related("source").order_by("-last_seen_at")
    if source_id is not None:
        found = found.filter(source_id=source_id)
    if ids:
        found = found.filter(pk__in=ids)
    rows = list(found[:limit])
    held = held_by_reason([row.pk for row in rows])
    lines = _lines_by_hour([row.pk for row in rows], now=now, hours=hours)
    listed = [
        ReasonLine(
            id=row.pk,
            source_slug=row.source.slug,
            source_name=row.source.name,
            code=row.code,
            path=row.path,
            event=row.event,
            message=row.message,
            first_seen_at=row.first_seen_at,
            last_seen_at=row.last_seen_at,
            times=row.times,
            held=held.get(row.pk, 0),
            hours=lines.get(row.pk, [0] * hours),
        )
        for row in rows
    ]
    return sorted(listed, key=lambda line: (-line.held, -line.last_seen_at.timestamp()))


def held_by_reason(ids: Sequence[int]) -> dict[int, int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT reason_id, count(*) FROM quarantined_message WHERE reason_id = ANY(%s) AND state = 'held'"
            " GROUP BY 1",
            [list(ids)],
        )
        return dict(cursor.fetchall())


def hourly(*, source_id: int, since: datetime) -> list[tuple[datetime, str, int]]:
    """`(hour, code, messages)` of a source, oldest first: what the chart is drawn from."""
    rows = ReasonHour.objects.filter(reason__source_id=source_id, hour__gte=since)
    totals = rows.values_list("hour", "reason__code").annotate(total=Sum("messages")).order_by("hour", "reason__code")
    return list(totals)


def hourly_of_reason(*, reason_id: int, since: datetime) -> dict[datetime, int]:
    return dict(ReasonHour.objects.filter(reason_id=reason_id, hour__gte=since).values_list("hour", "messages"))


def open_replays(*, source_id: int) -> list[Replay]:
    return list(Replay.objects.filter(source_id=source_id, finished_at=None).order_by("pk"))


def recent_replays(*, source_id: int, limit: int = 5) -> list[Replay]:
    return list(Replay.objects.filter(source_id=source_id).order_by("-pk")[:limit])


def _lines_by_hour(ids: Sequence[int], *, now: datetime, hours: int) -> dict[int, list[int]]:
    first = now.replace(minute=0, second=0, microsecond=0) - _HOUR * (hours - 1)
    found: dict[int, list[int]] = {}
    rows = ReasonHour.objects.filter(reason_id__in=ids, hour__gte=first)
    for reason_id, hour, messages in rows.values_list("reason_id", "hour", "messages"):
        found.setdefault(reason_id, [0] * hours)[min((hour - first) // _HOUR, hours - 1)] += messages
    return found
