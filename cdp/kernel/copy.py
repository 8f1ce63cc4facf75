"""PostgreSQL's binary COPY, written by hand: the fastest way in, and the only one for hot tables.

Format: https://www.postgresql.org/docs/18/sql-copy.html (Binary Format). A row is a 16-bit field count,
then each field as a 32-bit length (-1 is NULL) and its bytes, all big-endian.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

from django.db import connections

HEADER = b"PGCOPY\n\xff\r\n\0" + b"\0\0\0\0" + b"\0\0\0\0"
TRAILER = b"\xff\xff"
NULL = b"\xff\xff\xff\xff"

_AT_ONCE = 1024 * 1024  # bytes handed to the driver; with its own 8 KiB, chunks of 3,000 events cost twice its time

_POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def timestamp_micros(moment: datetime) -> int:
    """Microseconds since 2000-01-01 UTC, as `timestamptz` counts."""
    delta = moment - _POSTGRES_EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def copy_rows(*, table: str, columns: Iterable[str], rows: bytes | bytearray, using: str = "default") -> None:
    """Append encoded `rows` (without header and trailer) to `table` inside the current transaction."""
    connection = connections[using]
    connection.ensure_connection()
    names = ", ".join(f'"{column}"' for column in columns)
    statement = f'COPY "{table}" ({names}) FROM STDIN (FORMAT binary)'
    with connection.cursor() as cursor, connection.wrap_database_errors:
        raw: Any = cursor
        raw.copy_expert(statement, BytesIO(b"".join((HEADER, rows, TRAILER))), _AT_ONCE)
