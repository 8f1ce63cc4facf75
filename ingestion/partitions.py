"""Monthly partitions of the event log, weekly ones of the seen messages: made ahead, or when first needed."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta

from django.db import connection
from django.db.backends.utils import CursorWrapper

SEEN_DAYS = 7  # so long, at least, a message is recognised as a repetition: this week and all of the last

_known: set[str] = set()


def month_of(moment: datetime | date) -> date:
    return date(moment.year, moment.month, 1)


def next_month(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def week_of(day: date) -> date:
    """Its Monday."""
    return day - timedelta(days=day.weekday())


def ensure_event_partitions(months: Iterable[date]) -> None:
    """Create the monthly partitions that are missing. Call it outside of a chunk's transaction."""
    for month in sorted(set(months)):
        _ensure(_event_name(month), parent="event", start=month, end=next_month(month), options=_EVENT_OPTIONS)


def ensure_seen_partition(day: date) -> None:
    week = week_of(day)
    _ensure(_seen_name(week), parent="seen_message", start=week, end=week + timedelta(weeks=1))


def has_event_partitions(months: Iterable[date]) -> bool:
    """Whether this process knows the partitions of these months to exist; asks no database."""
    return all(_event_name(month) in _known for month in months)


def has_seen_partition(day: date) -> bool:
    return _seen_name(week_of(day)) in _known


def ensure_ahead(*, today: date) -> None:
    """The partitions that the next days will write to."""
    ensure_event_partitions([month_of(today), next_month(month_of(today))])
    for weeks in range(2):
        ensure_seen_partition(today + timedelta(weeks=weeks))


def drop_old_seen_partitions(*, today: date) -> list[str]:
    """Forget messages from before the last week; returns the names of the dropped partitions."""
    oldest = _seen_name(week_of(today - timedelta(weeks=1)))
    dropped = [name for name in _partitions_of("seen_message") if name < oldest]
    with connection.cursor() as cursor:
        for name in dropped:
            cursor.execute(f'DROP TABLE IF EXISTS "{name}"')
    _known.difference_update(dropped)
    return dropped


def forget_known_partitions() -> None:
    """For tests that roll back the creation of a partition."""
    _known.clear()


def _event_name(month: date) -> str:
    return f"event_{month:%Y_%m}"


def _seen_name(week: date) -> str:
    return f"seen_message_{week:%Y_%m_%d}"


_EVENT_OPTIONS = "WITH (autovacuum_vacuum_insert_scale_factor = 0.01)"


def _ensure(name: str, *, parent: str, start: date, end: date, options: str = "") -> None:
    """Attach rather than create as a partition: that takes no exclusive lock on the parent."""
    if name in _known:
        return
    with connection.cursor() as cursor:
        if not _is_attached(cursor, name):
            cursor.execute("SELECT pg_advisory_lock(hashtext(%s))", [name])
            try:
                cursor.execute(f'CREATE TABLE IF NOT EXISTS "{name}" (LIKE {parent} INCLUDING DEFAULTS) {options}')
                if not _is_attached(cursor, name):
                    cursor.execute(
                        f'ALTER TABLE {parent} ATTACH PARTITION "{name}" FOR VALUES FROM (%s) TO (%s)', [start, end]
                    )
            finally:
                cursor.execute("SELECT pg_advisory_unlock(hashtext(%s))", [name])
    _known.add(name)


def _is_attached(cursor: CursorWrapper, name: str) -> bool:
    """A table of the name is not enough: who made it may have been killed before attaching it."""
    cursor.execute("SELECT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass(%s))", [name])
    return bool(cursor.fetchone()[0])


def _partitions_of(parent: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = %s::regclass ORDER BY 1",
            [parent],
        )
        return [name for (name,) in cursor.fetchall()]
