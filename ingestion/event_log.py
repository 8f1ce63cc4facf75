"""The event log: which messages are new, and their rows, written by binary COPY in key order."""

import struct
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from operator import itemgetter
from types import MappingProxyType

from django.db import IntegrityError, connection, transaction

from cdp.kernel.copy import copy_rows
from ingestion.blocks import notes
from ingestion.contracts import Incoming
from ingestion.messages import MINUTE, NO_NUMBERS, VALUE_PROPERTIES
from ingestion.models import EventName
from ingestion.partitions import (
    begin_seen_week,
    ensure_event_partitions,
    has_event_partitions,
    hold_seen_weeks,
)

_COLUMNS = (
    "ts",
    "id",
    "profile_id",
    "name_id",
    "value",
    "properties",
    "context",
    "source_id",
    "received_at",
    "origin_id",
)
# up to the properties' bytes: value is NULL (its length is -1), or a float8
_HEAD = struct.Struct(">hiqi16siqiiiib").pack
_HEAD_WITH_VALUE = struct.Struct(">hiqi16siqiiidib").pack
# the origin is NULL, or an id
_TAIL = struct.Struct(">iqiqi").pack
_TAIL_WITH_ORIGIN = struct.Struct(">iqiqiq").pack
_JSON = struct.Struct(">ib").pack
_SEEN = struct.Struct(">hiii").pack
_first = itemgetter(0)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_DAY = 86_400_000_000
_LATEST = 2**63 - 1
NO_ORIGINS: Mapping[bytes, int] = MappingProxyType({})

# name -> (id, index into VALUE_PROPERTIES or None); only what is committed is remembered
_names: dict[str, tuple[int, int | None]] = {}

FEW = 500
"""Messages of a chunk up to which an INSERT costs less than a COPY with what it needs around it."""

_repeating = False  # whether the last chunk held messages that had been received before


class UnpreparedError(Exception):
    """A partition or a dictionary entry is missing: roll back, `prepare` outside the transaction, try again."""

    def __init__(self, events: Sequence[Incoming]) -> None:
        super().__init__("the event log lacks a partition or a name")
        self.events = events


class RepeatedError(Exception):
    """Another worker has received one of these messages while this one was at them: roll back and start over."""


def require_prepared(events: Sequence[Incoming]) -> None:
    """Check, without a query, that every partition and name that the rows will need is there and committed.

    Raises:
        UnpreparedError: otherwise.
    """
    if not has_event_partitions(_months(events)) or _unknown_names(events):
        raise UnpreparedError(events)


def prepare(events: Sequence[Incoming], *, now: datetime) -> None:
    """Make what the rows will need: partitions and dictionary entries, committed before any row needs them."""
    begin_seen_week(now.date())
    ensure_event_partitions(_months(events))
    _learn_names(events, now=now)


def recall_names(names: Iterable[str]) -> None:
    """Learn the ids of names that the log has, which a process that stores no messages may not know."""
    unknown = [name for name in names if name not in _names]
    for row in EventName.objects.filter(name__in=unknown) if unknown else ():
        _names[row.name] = _entry(row)


def forget_names() -> None:
    """For tests that roll the dictionary back."""
    _names.clear()


def keep_unseen(events: Sequence[Incoming], *, now: datetime) -> list[Incoming]:
    """Those messages that were never received before, each once; marks them as received.

    Guard 1, `(source, messageId)` in this week or the last, is a unique key: of two workers with the same message
    the second waits for the first. Guard 2, `(ts, id)` in the log itself, is asked only where guard 1
    cannot know: a message whose time is older than that, or lies in the future, could have been received before.

    Raises:
        UnpreparedError: when a new week has to begin first.
        RepeatedError: another worker has just received one of them; roll back and start over.
    """
    if (weeks := hold_seen_weeks(now.date())) is None:
        raise UnpreparedError(events)
    week, last = weeks
    first = {event.id: event for event in reversed(events)}
    if len(first) < len(events):
        events = [event for event in events if first[event.id] is event]
    mark = _mark_few if len(first) <= FEW else _mark_seen
    seen = mark(sorted(first), week=week, last=last)
    fresh = [event for event in events if event.id not in seen] if seen else list(events)
    known_since = _micros(datetime.combine(last, time(), UTC)) + MINUTE  # an event may be dated a minute after it came
    if not fresh or (
        min([event.ts for event in fresh]) >= known_since
        and max([event.ts for event in fresh]) <= min([event.received for event in fresh]) + MINUTE
    ):
        return fresh
    stored = _already_stored(
        [event for event in fresh if event.ts < known_since or event.ts > event.received + MINUTE]
    )
    return [event for event in fresh if event.id not in stored] if stored else fresh


def append(events: Sequence[tuple[Incoming, int]], *, origins: Mapping[bytes, int] = NO_ORIGINS) -> None:
    """Write `(event, profile id)` pairs to the log, sorted by profile and name as the index that most reads use is.

    `origins` are those of events whose origin is not the profile itself, by the event's id.
    """
    names = _names
    rows: list[tuple[int, bytes]] = []
    earliest = _LATEST
    for event, profile_id in events:
        name_id, column = names[event.name]
        ts, properties, context = event.ts, event.properties, event.context
        if ts < earliest:  # noqa: PLR1730 - a call for every event costs more
            earliest = ts
        value = None if column is None else event.numbers[column]
        if value is None:
            head = _HEAD(10, 8, ts, 16, event.id, 8, profile_id, 4, name_id, -1, len(properties) + 1, 1)
        else:
            head = _HEAD_WITH_VALUE(
                10, 8, ts, 16, event.id, 8, profile_id, 4, name_id, 8, value, len(properties) + 1, 1
            )
        if origins and (origin := origins.get(event.id)) is not None:
            tail = _TAIL_WITH_ORIGIN(8, event.source_id, 8, event.received, 8, origin)
        else:
            tail = _TAIL(8, event.source_id, 8, event.received, -1)
        row = b"".join((head, properties, _JSON(len(context) + 1, 1), context, tail))
        rows.append((profile_id << 32 | name_id, row))
    if rows:
        rows.sort(key=_first)
        copy_rows(table="event", columns=_COLUMNS, rows=[row for _, row in rows])
        _note_late(events, earliest=earliest)


def name_id(name: str) -> int:
    """The dictionary id of an event name that `prepare` has seen."""
    return _names[name][0]


def names_of(owned: Iterable[tuple[Incoming, int]]) -> Iterator[tuple[int, int]]:
    """For each event, its profile and the dictionary id of its name."""
    names = _names
    return ((profile_id, names[event.name][0]) for event, profile_id in owned)


def _note_late(events: Iterable[tuple[Incoming, int]], *, earliest: int) -> None:
    """Tell the columnar copy of the log what it may lack: events of a time that it holds."""
    noted_until = notes.hold_noted()
    if earliest < noted_until:
        late = [
            (_names[event.name][0], event.ts, profile_id) for event, profile_id in events if event.ts < noted_until
        ]
        notes.note_late(late, noted_until=noted_until)


def _mark_few(ids: list[bytes], *, week: date, last: date) -> set[bytes]:
    """As `_mark_seen` does for many, in one statement: of few messages its savepoint and look-up cost more."""
    with connection.cursor() as cursor:
        cursor.execute(_MARK_FEW, {"ids": _array(id_.hex() for id_ in ids), "week": week, "last": last})
        new = {bytes.fromhex(text.replace("-", "")) for (text,) in cursor.fetchall()}
    return new.symmetric_difference(ids)


_MARK_FEW = """
INSERT INTO seen_message (week, id) SELECT %(week)s, u.id FROM unnest(%(ids)s::uuid[]) AS u(id)
WHERE NOT EXISTS (SELECT FROM seen_message s WHERE s.week = %(last)s AND s.id = u.id)
ORDER BY u.id ON CONFLICT DO NOTHING RETURNING id::text
"""


def _mark_seen(ids: list[bytes], *, week: date, last: date) -> set[bytes]:
    """Mark these (sorted) ids as received; returns those that had been before.

    Those are few and come together, so this week's index is looked into only while they come: else its key tells.
    """
    global _repeating  # noqa: PLW0603 - how this process fares
    seen = _received(ids, (week, last) if _repeating else (last,))
    if not _repeating:
        try:
            with transaction.atomic():
                _write_seen(ids, seen, week=week)
        except IntegrityError:
            _repeating = True
            seen |= _received(ids, (week,))
        else:
            return seen
    _repeating = bool(seen)
    try:
        _write_seen(ids, seen, week=week)
    except IntegrityError:
        raise RepeatedError from None
    return seen


def _received(ids: Sequence[bytes], weeks: Sequence[date]) -> set[bytes]:
    """One walk through each week's index: `= ANY` of sorted ids costs three quarters of a probe for each."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id::text FROM seen_message WHERE week = ANY(%s) AND id = ANY(%s::uuid[])",
            [list(weeks), _array(id_.hex() for id_ in ids)],
        )
        return {bytes.fromhex(text.replace("-", "")) for (text,) in cursor.fetchall()}


def _write_seen(ids: Sequence[bytes], seen: Collection[bytes], *, week: date) -> None:
    new = [id_ for id_ in ids if id_ not in seen] if seen else ids
    head = _SEEN(2, 4, (week - _EPOCH.date()).days, 16)
    if new:
        copy_rows(table="seen_message", columns=("week", "id"), rows=b"".join([head + id_ for id_ in new]))


def _already_stored(events: Sequence[Incoming]) -> set[bytes]:
    """LATERAL with a limit keeps the plan at one index probe per message, in the partition of its month."""
    if not events:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT u.id::text FROM unnest(%s::bigint[], %s::uuid[]) AS u(us, id),"
            " LATERAL (SELECT FROM event e"
            " WHERE e.ts = timestamptz '2000-01-01 00:00:00+00'"
            "   + make_interval(days => (u.us / 86400000000)::int)"
            "   + (u.us %% 86400000000) * interval '1 microsecond'"
            " AND e.id = u.id LIMIT 1) AS found",
            [_array(str(event.ts) for event in events), _array(event.id.hex() for event in events)],
        )
        return {bytes.fromhex(text.replace("-", "")) for (text,) in cursor.fetchall()}


def _months(events: Iterable[Incoming]) -> set[date]:
    if not (times := [event.ts for event in events]):
        return set()
    first, last = min(times) // _DAY, max(times) // _DAY
    days = {at // _DAY for at in times} if last - first > 1 else {first, last}
    return {(_EPOCH + timedelta(days=day)).date().replace(day=1) for day in days}


def _learn_names(events: Iterable[Incoming], *, now: datetime) -> None:
    for name, (kind, index) in sorted(_unknown_names(events).items()):
        _names[name] = _register(name, kind, index, now=now)


def _unknown_names(events: Iterable[Incoming]) -> dict[str, tuple[str, int | None]]:
    """Names that are new, or whose `value_property` is open while a number for it has arrived."""
    wanted: dict[str, tuple[str, int | None]] = {}
    settled = {name for name, (_, index) in _names.items() if index is not None}
    for event in [event for event in events if event.name not in settled]:
        known = _names.get(event.name)
        if known is not None and event.numbers is NO_NUMBERS:
            continue
        number = _first_number(event)
        if known is not None and number is None:
            continue
        if event.name not in wanted or wanted[event.name][1] is None:
            wanted[event.name] = (event.type, number)
    return wanted


def _first_number(event: Incoming) -> int | None:
    return next((index for index, number in enumerate(event.numbers) if number is not None), None)


def _register(name: str, kind: str, index: int | None, *, now: datetime) -> tuple[int, int | None]:
    row, _ = EventName.objects.get_or_create(name=name, defaults={"type": kind, "first_seen_at": now})
    if index is not None and row.value_property is None:
        EventName.objects.filter(pk=row.pk, value_property=None).update(value_property=VALUE_PROPERTIES[index])
        row.refresh_from_db()
    return _entry(row)


def _entry(row: EventName) -> tuple[int, int | None]:
    return row.pk, None if row.value_property is None else VALUE_PROPERTIES.index(row.value_property)


def _micros(moment: datetime) -> int:
    return int((moment - _EPOCH) / timedelta(microseconds=1))


def _array(items: Iterable[str]) -> str:
    """A PostgreSQL array literal of items that need no quoting (numbers, hexadecimal)."""
    return "{" + ",".join(items) + "}"
