"""The table `device_session`, and the rows of the event log that follow from it; set-wise, sorted by key.

Whoever adds events holds the lock of their profiles (see `identity.resolve`), so a device is with one worker at a
time. Rows are locked against the step that ends sessions, which skips what is locked.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from django.db import connection

from cdp.kernel.copy import NULL, copy_rows
from ingestion.blocks.notes import note_changed
from ingestion.sessions.tally import Tally
from ingestion.sessions.weave import Session, id_text

Device = tuple[int, bytes]
"""The profile and the device."""

LONGEST_TIMEOUT = 24 * 60 * 60_000_000  # what `SessionSettings` allows

_COLUMNS = ("profile_id", "device", "first", "first_id", "last", "due", "ended", "source_id", "origin_id", "state")
_ROW = struct.Struct(">hiqi16siqi16siqiqibiq").pack
_ID = struct.Struct(">iq").pack
_SIZE = struct.Struct(">i").pack
_decode = msgspec.json.Decoder(Tally).decode
_encode = msgspec.json.Encoder().encode

_AS_TIME = (
    "timestamptz '2000-01-01 00:00:00+00' + make_interval(days => ({us} / 86400000000)::int)"
    " + ({us} %% 86400000000) * interval '1 microsecond'"
)
_MICROS = "(extract(epoch FROM e.ts) * 1000000)::bigint - 946684800000000"


def read_near(spans: Sequence[tuple[Device, int, int]]) -> dict[Device, list[Session]]:
    """Lock and read the sessions of these devices that overlap the open span between the two times."""
    found: dict[Device, list[Session]] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT u.place, s.first, s.first_id::text, s.last, s.due, s.ended, s.source_id, s.origin_id, s.state"
            " FROM unnest(%s::bigint[], %s::uuid[], %s::bigint[], %s::bigint[]) WITH ORDINALITY"
            " AS u(profile_id, device, since, until, place)"
            " JOIN device_session s ON s.profile_id = u.profile_id AND s.device = u.device"
            " AND s.first < u.until AND s.last > u.since"
            " ORDER BY s.profile_id, s.device, s.first, s.first_id FOR UPDATE OF s",
            [
                _array(str(profile_id) for (profile_id, _), _, _ in spans),
                _array(device.hex() for (_, device), _, _ in spans),
                _array(str(since) for _, since, _ in spans),
                _array(str(until) for _, _, until in spans),
            ],
        )
        for place, *row in cursor.fetchall():
            device = spans[place - 1][0]
            found.setdefault(device, []).append(_session(*device, *row))
    return found


def read_all(profile_ids: Iterable[int]) -> list[Session]:
    """Lock and read every session of these profiles."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT profile_id, device::text, first, first_id::text, last, due, ended, source_id, origin_id, state"
            " FROM device_session WHERE profile_id = ANY(%s::bigint[])"
            " ORDER BY profile_id, device, first, first_id FOR UPDATE",
            [_array(map(str, sorted(profile_ids)))],
        )
        return [
            _session(profile_id, _bytes(device), first, first_id, *rest)
            for profile_id, device, first, first_id, *rest in cursor.fetchall()
        ]


def claim_due(*, until: int, limit: int) -> list[Session]:
    """Lock the sessions that are to be looked at again; those that somebody else holds are left to them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT profile_id, device::text, first, first_id::text, last, due, ended, source_id, origin_id, state"
            " FROM device_session WHERE due <= %s ORDER BY due LIMIT %s FOR UPDATE SKIP LOCKED",
            [until, limit],
        )
        return [
            _session(profile_id, _bytes(device), first, first_id, *rest)
            for profile_id, device, first, first_id, *rest in cursor.fetchall()
        ]


def met_by_merge(profile_ids: Iterable[int]) -> list[tuple[Device, int]]:
    """Devices, with their sources, that have sessions of two profiles since these absorbed others."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT profile_id, device::text, source_id FROM ("
            " SELECT profile_id, device, source_id, first, lag(last) OVER (PARTITION BY profile_id, device"
            "   ORDER BY first, first_id) AS before"
            " FROM device_session WHERE profile_id = ANY(%s::bigint[])"
            ") AS s WHERE first - before < %s",
            [_array(map(str, sorted(profile_ids))), LONGEST_TIMEOUT],
        )
        return [((profile_id, _bytes(device)), source_id) for profile_id, device, source_id in cursor.fetchall()]


def insert(sessions: Iterable[Session]) -> None:
    rows = bytearray()
    for one in sorted(sessions, key=_key):
        state = _encode(one.tally)
        rows += _ROW(
            10, 8, one.profile_id, 16, one.device, 8, one.first, 16, one.first_id, 8, one.last, 8, one.due,
            1, one.ended, 8, one.source_id,
        )  # fmt: skip
        rows += NULL if one.origin is None else _ID(8, one.origin)
        rows += _SIZE(len(state)) + state
    if rows:
        copy_rows(table="device_session", columns=_COLUMNS, rows=rows)


def update(sessions: Iterable[Session]) -> None:
    """Write what changes of a row whose key stays."""
    changed = sorted(sessions, key=_key)
    if not changed:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE device_session s SET last = u.last, due = u.due, ended = u.ended, state = u.state"
            " FROM unnest(%s::bigint[], %s::uuid[], %s::bigint[], %s::uuid[], %s::bigint[], %s::bigint[],"
            " %s::boolean[], string_to_array(%s, E'\\x1f'))"
            " AS u(profile_id, device, first, first_id, last, due, ended, state)"
            " WHERE s.profile_id = u.profile_id AND s.device = u.device AND s.first = u.first"
            " AND s.first_id = u.first_id",
            [
                *_keys(changed),
                _array(str(one.last) for one in changed),
                _array(str(one.due) for one in changed),
                _array("t" if one.ended else "f" for one in changed),
                "\x1f".join(_encode(one.tally).decode() for one in changed),
            ],
        )


def delete(sessions: Iterable[Session]) -> None:
    gone = sorted(sessions, key=_key)
    if not gone:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM device_session s USING unnest(%s::bigint[], %s::uuid[], %s::bigint[], %s::uuid[])"
            " AS u(profile_id, device, first, first_id)"
            " WHERE s.profile_id = u.profile_id AND s.device = u.device AND s.first = u.first"
            " AND s.first_id = u.first_id",
            _keys(gone),
        )


def delete_events(keys: Iterable[tuple[int, int, bytes]]) -> None:
    """Take events out of the log, by `(profile, time, id)`: those that said what is true no more."""
    gone = sorted(keys)
    if not gone:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM event e USING unnest(%s::bigint[], %s::bigint[], %s::uuid[]) AS u(profile_id, us, id)"
            f" WHERE e.ts = {_AS_TIME.format(us='u.us')} AND e.id = u.id AND e.profile_id = u.profile_id"
            " RETURNING e.name_id, u.us, e.profile_id",
            [
                _array(str(profile_id) for profile_id, _, _ in gone),
                _array(str(ts) for _, ts, _ in gone),
                _array(id_.hex() for _, _, id_ in gone),
            ],
        )
        note_changed(cursor.fetchall())


def label_events(pairs: Iterable[tuple[Session, Sequence[bytes]]]) -> None:
    """Give stored events, by their ids, the id of the session that they make up."""
    for session, ids in pairs:
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE event e SET properties = e.properties || %s::jsonb WHERE e.profile_id = %s"
                f" AND e.ts >= {_AS_TIME.format(us='%s')} AND e.ts <= {_AS_TIME.format(us='%s')}"
                f" AND e.id = ANY(%s::uuid[]) RETURNING e.name_id, {_MICROS}, e.profile_id",
                [
                    _encode({"session_id": id_text(session.id)}).decode(),
                    session.profile_id,
                    *(session.first,) * 2,
                    *(session.last,) * 2,
                    _array(id_.hex() for id_ in ids),
                ],
            )
            note_changed(cursor.fetchall())


def relabel_events(moved: Iterable[tuple[Session, Session]]) -> list[tuple[int, int]]:
    """Give the stored events of swallowed sessions the id of the session that they belong to now.

    Returns `(profile, id of the event's name)`.
    """
    pairs = sorted(moved, key=lambda pair: _key(pair[0]))
    if not pairs:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE event e SET properties = e.properties || u.patch"
            " FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::jsonb[])"
            " AS u(profile_id, since, until, old, patch)"
            " WHERE e.profile_id = u.profile_id"
            f" AND e.ts >= {_AS_TIME.format(us='u.since')} AND e.ts <= {_AS_TIME.format(us='u.until')}"
            f" AND e.properties ->> 'session_id' = u.old RETURNING e.name_id, {_MICROS}, e.profile_id",
            [
                [old.profile_id for old, _ in pairs],
                [old.first for old, _ in pairs],
                [old.was_last for old, _ in pairs],
                [id_text(old.id) for old, _ in pairs],
                [_encode({"session_id": id_text(new.id)}).decode() for _, new in pairs],
            ],
        )
        changed = cursor.fetchall()
    note_changed(changed)
    return [(profile_id, name_id) for name_id, _, profile_id in changed]


def _session(profile_id: int, device: bytes, first: int, first_id: str, *rest: Any) -> Session:
    """From the columns of a row, in the order of the table."""
    last, due, ended, source_id, origin, state = rest
    return Session(
        profile_id=profile_id,
        device=device,
        source_id=source_id,
        first=first,
        first_id=_bytes(first_id),
        last=last,
        due=due,
        ended=ended,
        tally=_decode(state),
        origin=origin,
        was_last=last,
        was_ended=ended,
    )


def _key(one: Session) -> tuple[int, bytes, int, bytes]:
    return one.profile_id, one.device, one.first, one.first_id


def _keys(sessions: Sequence[Session]) -> list[str]:
    return [
        _array(str(one.profile_id) for one in sessions),
        _array(one.device.hex() for one in sessions),
        _array(str(one.first) for one in sessions),
        _array(one.first_id.hex() for one in sessions),
    ]


def _array(items: Iterable[str]) -> str:
    return "{" + ",".join(items) + "}"


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("-", ""))
