"""Writes of this room: keep the blocks."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from django.conf import settings
from django.db import connection, transaction

from ingestion.blocks.due import Books
from ingestion.blocks.seal import advance
from ingestion.blocks.stretches import TICKS_A_DAY
from ingestion.blocks.write import Span, write_block

MANY_MOVES = 2_000  # profiles; then blocks are built anew to take in where they lead
UNASKED_DAYS = 90
_LOCK = 0x65766274  # "evbt"

_books = Books()

_FOLD = """
WITH fold AS (
    UPDATE event_block_seal SET fold = fold + 1
    WHERE NOT EXISTS (SELECT FROM event_block_move WHERE fold IS NOT NULL)
    AND (SELECT count(*) FROM event_block_move) >= %s RETURNING fold
)
UPDATE event_block_move AS m SET fold = (SELECT fold FROM fold)
WHERE m.profile_id IN (SELECT profile_id FROM event_block_move WHERE EXISTS (SELECT FROM fold) FOR UPDATE SKIP LOCKED)
"""
_FOLDED = """
DELETE FROM event_block_move WHERE profile_id IN (
    SELECT profile_id FROM event_block_move
    WHERE fold <= (SELECT coalesce(min(b.fold), (SELECT max(fold) FROM event_block_seal)) FROM event_block AS b)
    FOR UPDATE SKIP LOCKED)
"""
_STRAY_NOTES = f"""
DELETE FROM event_block_note AS n WHERE NOT EXISTS (
    SELECT FROM event_block AS b
    WHERE b.name_id = n.name_id AND b.since < (n.day + 1) * {TICKS_A_DAY} AND b.until > n.day * {TICKS_A_DAY})
"""
_UNASKED = """
WITH gone AS (DELETE FROM event_column WHERE asked_on < current_date - %s RETURNING id),
parts AS (DELETE FROM event_block WHERE part IN (SELECT id FROM gone))
DELETE FROM event_column_values WHERE column_id IN (SELECT id FROM gone)
"""
_CLEAR = """
DELETE FROM event_block; DELETE FROM event_block_note; DELETE FROM event_block_move; DELETE FROM event_column_values;
DELETE FROM event_block_seal
"""


def build_due(*, now: datetime, seconds: float) -> int:
    """Build what is due for so many seconds, or one block longer; returns how many were built.

    Where another process is at it, nothing. Where blocks are switched off, those that there are are removed.
    """
    with _alone() as alone:
        if not alone:
            return 0
        if not settings.EVENT_BLOCKS:
            _clear()
            return 0
        end = time.monotonic() + seconds
        sealed = advance(now=now)
        _run(_FOLD, [MANY_MOVES])
        _run(_UNASKED, [UNASKED_DAYS])
        built = _build_missing(sealed, end) or _build_outdated(end)
        for statement in (_STRAY_NOTES, _FOLDED):
            _run(statement)
        return built


def build_all(*, now: datetime) -> int:
    """Build everything that is due; returns how many blocks that were."""
    built = 0
    while more := build_due(now=now, seconds=60):
        built += more
    return built


def _build_missing(sealed: int, end: float) -> int:
    _books.read()
    return _build(_books.missing(sealed=sealed), end)


def _build_outdated(end: float) -> int:
    """Looked at only where nothing is missing: what is built meanwhile is not in the books."""
    return _build(_books.outdated(), end)


def _build(spans: Iterable[Span], end: float) -> int:
    built = 0
    for span in spans:
        write_block(span, columns=_books.columns[span.name_id])
        built += 1
        if time.monotonic() > end:
            break
    return built


@contextmanager
def _alone() -> Iterator[bool]:
    """Whether nobody else builds. The lock is one of the session: a block's own transaction has to begin after it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
        (alone,) = cursor.fetchone()
    try:
        yield alone
    finally:
        if alone:
            _run("SELECT pg_advisory_unlock(%s)", [_LOCK])


def _run(statement: str, params: Sequence[int] = ()) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)


def _clear() -> None:
    """Without the row that says what is to be noted nothing is."""
    with transaction.atomic():
        _run(_CLEAR)
