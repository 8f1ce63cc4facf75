"""Requests that were refused at the door: counted in Redis as they come, in rows within a minute.

Redis holds running totals of an hour, and a flush writes totals: doing it twice changes nothing.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import redis
import structlog
from django.db import connection

from cdp.kernel.wake import client
from ingestion.trace.models import RefusedRequests

UNKNOWN = 0
KEPT_HOURS = 48
RESTS_FOR = 5.0
MOST_KINDS = 5_000  # of source, status and code in an hour

_HOUR = timedelta(hours=1)
_rests_until = 0.0
log = structlog.get_logger(__name__)

Counted = tuple[int, datetime, int, str, int]


def note(*, source_id: int, status: int, code: str, now: datetime) -> None:
    """Count one. Never fails, and waits for no Redis that is down."""
    global _rests_until  # noqa: PLW0603 - one circuit breaker for the process
    if time.monotonic() < _rests_until:
        return
    name = _key(_hour(now))
    pipe = client().pipeline(transaction=False)
    pipe.hincrby(name, f"{source_id}:{status}:{code}", 1)
    pipe.expire(name, KEPT_HOURS * 3_600)
    try:
        pipe.execute()
    except redis.RedisError as error:
        _rests_until = time.monotonic() + RESTS_FOR
        log.warning("refusals_uncounted", error=str(error))


def flush(*, now: datetime) -> int:
    """Write what Redis has counted in this hour and the one before; returns how many rows."""
    counts = sorted(counted for hour in (_hour(now) - _HOUR, _hour(now)) for counted in _counted(hour))[:MOST_KINDS]
    if not counts:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO refused_requests AS r (source_id, hour, status, code, requests)"
            " SELECT * FROM unnest(%s::bigint[], %s::timestamptz[], %s::smallint[], %s::text[], %s::bigint[])"
            " ON CONFLICT (source_id, hour, status, code)"
            " DO UPDATE SET requests = greatest(r.requests, EXCLUDED.requests)",
            [list(column) for column in zip(*counts, strict=True)],
        )
    return len(counts)


def refused_since(*, since: datetime, source_id: int | None = None) -> list[RefusedRequests]:
    """By hour, the newest first: those of a source and those whose key was unknown, which may be anybody's."""
    rows = RefusedRequests.objects.filter(hour__gte=_hour(since)).order_by("-hour", "source_id", "status", "code")
    return list(rows if source_id is None else rows.filter(source_id__in=[source_id, UNKNOWN]))


def _counted(hour: datetime) -> Iterator[Counted]:
    try:
        found: Any = client().hgetall(_key(hour))
    except redis.RedisError as error:
        log.warning("refusals_unread", error=str(error))
        return
    for kind, number in found.items():
        source_id, status, code = kind.decode().split(":", 2)
        yield int(source_id), hour, int(status), code[:40], int(number)


def _hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _key(hour: datetime) -> str:
    return f"cdp:refused:{hour:%Y-%m-%dT%H}"
