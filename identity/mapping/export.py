"""The whole mapping as a file: written as it is read, so that millions of lines take no more memory than thousands.

Lines come from a server-side cursor over one snapshot: every identifier, then every id of an absorbed profile with the
one that leads now. With `changed_since`, those that were first seen or whose profile merged since.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from django.db import connection, transaction

from identity.mapping.contracts import ABSORBED, MappingFilter
from identity.mapping.queries import conditions

HEADINGS = ("kind", "value", "source", "profile_id", "first_seen_at", "last_seen_at")
BATCH = 5_000
ROW_GROUP = 50_000

Line = tuple[str, str, str | None, int, datetime, datetime | None]


def read_lines(narrowed: MappingFilter) -> Iterator[list[Line]]:
    """The lines in batches. The cursor lives as long as the reading goes on, in a transaction of its own."""
    where, values = conditions(narrowed)
    statement = (
        "SELECT p.kind, p.value, s.slug, p.profile_id, p.first_seen_at, coalesce(p.last_seen_at, p.first_seen_at)"
        f" FROM profile_identifier p LEFT JOIN ingestion_source s ON s.id = p.source_id WHERE {where}"
    )
    if not narrowed.source_id and (not narrowed.kinds or ABSORBED in narrowed.kinds):
        statement += (
            " UNION ALL SELECT %(absorbed)s, a.profile_id::text, NULL, a.canonical_id, a.merged_at, a.merged_at"
            " FROM profile_alias a"
        )
        statement += " WHERE a.merged_at >= %(since)s" if narrowed.changed_since else ""
    with transaction.atomic(), connection.chunked_cursor() as cursor:
        raw: Any = cursor
        raw.itersize = BATCH
        cursor.execute(statement, values | {"absorbed": ABSORBED})
        while batch := cursor.fetchmany(BATCH):
            yield batch


def as_csv(batches: Iterable[list[Line]]) -> Iterator[bytes]:
    """UTF-8 with a heading; times as ISO 8601 in UTC."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(HEADINGS)
    yield _take(buffer)
    for batch in batches:
        writer.writerows(
            (kind, safe(value), source or "", profile_id, _iso(first), _iso(last))
            for kind, value, source, profile_id, first, last in batch
        )
        yield _take(buffer)


def as_parquet(batches: Iterable[list[Line]]) -> Iterator[bytes]:
    """Row groups of `ROW_GROUP` lines, compressed with zstd; each is sent as soon as it is full."""
    import pyarrow as pa  # not at the start of every process
    import pyarrow.parquet as pq

    sink = _Pipe()
    schema = pa.schema(
        [
            ("kind", pa.string()),
            ("value", pa.string()),
            ("source", pa.string()),
            ("profile_id", pa.int64()),
            ("first_seen_at", pa.timestamp("us", tz="UTC")),
            ("last_seen_at", pa.timestamp("us", tz="UTC")),
        ]
    )
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        lines = (line for batch in batches for line in batch)
        while group := list(islice(lines, ROW_GROUP)):
            columns = [list(column) for column in zip(*group, strict=True)]
            writer.write_table(pa.table(columns, schema=schema))
            yield sink.take()
    yield sink.take()


FORMATS = {"csv": (as_csv, "text/csv; charset=utf-8"), "parquet": (as_parquet, "application/vnd.apache.parquet")}


class _Pipe(io.RawIOBase):
    """A file that is written by Parquet and emptied by the response."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._place = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._place += len(part)
        return len(part)

    def take(self) -> bytes:
        taken, self._parts = b"".join(self._parts), []
        return taken


def _take(buffer: io.StringIO) -> bytes:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text.encode()


def _iso(moment: datetime | None) -> str:
    return "" if moment is None else moment.astimezone(UTC).isoformat()


def safe(value: str) -> str:
    """A spreadsheet takes a cell that begins like this for a formula; telephone numbers are told by their digits."""
    if value[:1] in "=-@\t\r" or (value[:1] == "+" and not value[1:].isdigit()):
        return f"'{value}"
    return value
