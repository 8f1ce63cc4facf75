"""The inbox: an HTTP request is acknowledged once its row here is committed, and not before."""

import struct
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import zstandard
from django.db import connection

from cdp.kernel.copy import copy_rows, timestamp_micros
from cdp.kernel.prepared import COMMIT_SOON, Prepared, array, rows_after
from ingestion.contracts import InboxRow

_COLUMNS = ("source_id", "received_at", "kind", "events", "remote_addr", "body")
_local = threading.local()


def append(*, source_id: int, kind: str, events: int, body: bytes, remote_addr: str, now: datetime) -> None:
    """Keep one request. Durable when the surrounding transaction (or this statement) has committed."""
    row = packed_row(source_id, kind, events, body, remote_addr, received=timestamp_micros(now))
    append_packed([row])


def append_packed(rows: Sequence[bytes]) -> None:
    """Keep what `packed_row` has made of several, by one statement."""
    copy_rows(table="inbox", columns=_COLUMNS, rows=rows)


def packed_row(source_id: int, kind: str, events: int, body: bytes, remote_addr: str = "", *, received: int) -> bytes:
    """A request as binary COPY takes it; `received` in microseconds since 2000-01-01 UTC."""
    packed = _compressor().compress(body)
    kind_bytes, addr = kind.encode(), remote_addr.encode("ascii", "replace")
    return b"".join(
        (
            struct.pack(">hiqiqi", 6, 8, source_id, 8, received, len(kind_bytes)),
            kind_bytes,
            struct.pack(">iii", 4, events, len(addr)),
            addr,
            struct.pack(">i", len(packed)),
            packed,
        )
    )


def claim(*, max_events: int, backlogs: Sequence[int] = ()) -> list[InboxRow]:
    """Lock the oldest rows that nobody else is draining, about `max_events` messages in all.

    `backlogs` are larger numbers in rising order: where half as many as the next one wait behind what was taken, about
    so many are taken. The lock lasts as long as the caller's transaction: a killed worker's rows are free at once.
    That transaction is to remove them, and is committed without waiting for the disk: what a crash of PostgreSQL
    undoes of it, it puts back here.
    """
    claimed: list[InboxRow] = []
    events, last, step = 0, 0, 32
    while events < max_events:
        rows = _claim_after(last, limit=step)
        claimed += rows
        events += sum(row.events for row in rows)
        if len(rows) < step:
            break
        last = rows[-1].id
        if events >= max_events:
            larger = next((one for one in backlogs if one > events), 0)
            if larger and _waits(larger // 2, after=last):
                max_events = larger
        average = max(1, events // len(claimed))
        step = min(2_000, max(1, (max_events - events) // average))
    return claimed


def remove(ids: Collection[int]) -> None:
    _REMOVE.run(array(ids))


_REMOVE = Prepared("inbox_remove", ["bigint[]"], "DELETE FROM inbox WHERE id = ANY($1)")


def depth() -> tuple[int, datetime | None]:
    """How many requests wait, and since when the oldest does."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*), min(received_at) FROM inbox")
        count, oldest = cursor.fetchone()
    return count, oldest


def oldest() -> datetime | None:
    """When the request that has waited longest came."""
    rows = _OLDEST.rows()
    return rows[0][0] if rows else None


_OLDEST = Prepared("inbox_oldest", [], "SELECT received_at FROM inbox ORDER BY id LIMIT 1")


def _waits(events: int, *, after: int) -> bool:
    """Whether so many messages wait behind a row, as far as is committed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(events) >= %s FROM (SELECT events FROM inbox WHERE id > %s ORDER BY id LIMIT %s) AS waiting",
            [events, after, events],
        )
        return bool(cursor.fetchone()[0])


def _claim_after(last: int, *, limit: int) -> list[InboxRow]:
    return list(_unpacked(rows_after([COMMIT_SOON], _CLAIM.of(last, limit))))


_CLAIM = Prepared(
    "inbox_claim",
    ["bigint", "bigint"],
    "SELECT id, source_id, received_at, kind, events, remote_addr, body FROM inbox"
    " WHERE id > $1 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED",
)


def _unpacked(rows: Iterable[tuple[Any, ...]]) -> Iterator[InboxRow]:
    decompress = zstandard.ZstdDecompressor().decompress
    for id_, source_id, received_at, kind, events, remote_addr, body in rows:
        yield InboxRow(id_, source_id, received_at, kind, events, remote_addr, decompress(body))


def _compressor() -> zstandard.ZstdCompressor:
    """One per thread: a compressor must not be shared."""
    if not hasattr(_local, "compressor"):
        _local.compressor = zstandard.ZstdCompressor(level=1)
    return _local.compressor  # type: ignore[no-any-return]
