"""Monthly partitions of the event log, weekly ones of the seen messages: made ahead, or when first needed."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

WEEK = timedelta(weeks=1)
_LAST_WEEKS = "SELECT week FROM seen_week ORDER BY week DESC LIMIT 2"

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
        _ensure(
            _event_name(month),
            parent="event",
            start=month,
            end=next_month(month),
            options=_EVENT_OPTIONS,
            then=_EVENT_COLUMNS,
        )


def ensure_seen_partition(day: date) -> None:
    week = week_of(day)
    _ensure(_seen_name(week), parent="seen_message", start=week, end=week + WEEK, then=_SEEN_KEY)


def begin_seen_week(day: date) -> None:
    """From here on messages are remembered in the week of `day`, unless a later one has begun.

    Waits for every chunk under way, if it has not begun. Call it outside of a chunk's transaction.
    """
    ensure_seen_partition(day)
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM seen_week WHERE week >= %s LIMIT 1", [week_of(day)])
        if cursor.rowcount:
            return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE seen_week IN EXCLUSIVE MODE")
        cursor.execute(
            "INSERT INTO seen_week SELECT %(week)s WHERE NOT EXISTS (SELECT FROM seen_week WHERE week >= %(week)s)",
            {"week": week_of(day)},
        )


def hold_seen_weeks(day: date) -> tuple[date, date] | None:
    """The week that messages are remembered in now, and the one before; None where that of `day` has not begun.

    Until the caller's transaction ends no other week begins. So all workers agree, whatever their clocks say: two on
    either side of a week's change would each remember the same message in a week of its own. A clock that is set
    back changes nothing: weeks only ever advance.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE seen_week IN ROW SHARE MODE; {_LAST_WEEKS}")
        weeks = [week for (week,) in cursor.fetchall()]
    if not weeks or weeks[0] < week_of(day):
        return None
    return weeks[0], weeks[1] if len(weeks) > 1 else weeks[0] - WEEK


def has_event_partitions(months: Iterable[date]) -> bool:
    """Whether this process knows the partitions of these months to exist; asks no database."""
    return all(_event_name(month) in _known for month in months)


def ensure_ahead(*, today: date) -> None:
    """The partitions that the next days will write to."""
    ensure_event_partitions([month_of(today), next_month(month_of(today))])
    for weeks in range(2):
        ensure_seen_partition(today + weeks * WEEK)


def drop_old_seen_partitions() -> list[str]:
    """Forget messages from before the last week that had any; returns the names of the dropped partitions.

    The clock is not asked: one that jumps ahead must not make us forget what was received a moment ago.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LAST_WEEKS)
        weeks = [week for (week,) in cursor.fetchall()]
        if len(weeks) < 2:
            return []
        oldest = weeks[-1]
        dropped = [name for name in _partitions_of("seen_message") if name < _seen_name(oldest)]
        for name in dropped:
            cursor.execute(f'DROP TABLE IF EXISTS "{name}"')
        cursor.execute("DELETE FROM seen_week WHERE week < %s", [oldest])
    _known.difference_update(dropped)
    return dropped


def forget_dropped_partitions() -> None:
    """Another process may have dropped some that this one knew."""
    _known.intersection_update([*_partitions_of("event"), *_partitions_of("seen_message")])


def forget_known_partitions() -> None:
    """For tests that roll back the creation of a partition."""
    _known.clear()


def _event_name(month: date) -> str:
    return f"event_{month:%Y_%m}"


def _seen_name(week: date) -> str:
    return f"seen_message_{week:%Y_%m_%d}"


_EVENT_OPTIONS = "WITH (autovacuum_vacuum_insert_scale_factor = 0.01)"
# Nothing is planned by the statistics of whole JSON documents, and to gather them is most of what ANALYZE costs.
_EVENT_COLUMNS = 'ALTER TABLE "{0}" ALTER properties SET STATISTICS 0, ALTER context SET STATISTICS 0'
# A partition is a week, which its key therefore need not hold.
_SEEN_KEY = 'CREATE UNIQUE INDEX IF NOT EXISTS "{0}_id" ON "{0}" (id)'


def _ensure(name: str, *, parent: str, start: date, end: date, then: str, options: str = "") -> None:
    """Attach rather than create as a partition: that takes no exclusive lock on the parent.

    `then` is what such a table needs besides, and may be run again.
    """
    if name in _known:
        return
    with connection.cursor() as cursor:
        if not _is_attached(cursor, name):
            cursor.execute("SELECT pg_advisory_lock(hashtext(%s))", [name])
            try:
                cursor.execute(f'CREATE TABLE IF NOT EXISTS "{name}" (LIKE {parent} INCLUDING DEFAULTS) {options}')
                cursor.execute(then.format(name))
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
