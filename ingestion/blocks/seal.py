"""Up to which instant events may be put into blocks: those that nobody can change any more without a note.

Writers note what they change before `noted_until`, and nothing after it; they read it under a lock of the table that
they keep until they commit. To move it on, it is moved on first, and then waited for whoever held that lock at the
time: those may have read the old instant. Whoever takes the lock later reads the new one. So when they have ended,
every later change before `noted_until` is noted, every earlier one is committed and seen, and `sealed_until` follows.
Nobody is ever kept waiting by it, and whoever is killed in between leaves two instants that the next one goes on from.
"""

import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from cdp.kernel.copy import timestamp_micros
from ingestion.blocks.stretches import DAY, TICK

SEAL_AFTER = timedelta(minutes=5)
"""How long events count as those of the recent past, of which nothing is noted: most have come by then."""
LOOKS = 5  # at who is still writing
BETWEEN_LOOKS = 0.1  # seconds

_BEGIN = """
INSERT INTO event_block_seal (id, noted_until, sealed_until, waits_for, fold) VALUES (1, %(first)s, %(first)s, NULL, 0)
ON CONFLICT (id) DO NOTHING
"""
_MOVE_ON = """
UPDATE event_block_seal SET noted_until = %(until)s, waits_for = NULL WHERE noted_until = %(known)s
"""
_HOLDERS = """
SELECT DISTINCT virtualtransaction FROM pg_locks
WHERE relation = 'event_block_seal'::regclass AND mode = 'RowShareLock' AND pid <> pg_backend_pid()
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_WAIT = "UPDATE event_block_seal SET waits_for = %(holders)s WHERE noted_until = %(known)s"
_SEAL = "UPDATE event_block_seal SET sealed_until = noted_until WHERE noted_until = %(known)s"
_TAKE_BACK = """
WITH gone AS (DELETE FROM event_block WHERE until > %(until)s / %(tick)s)
UPDATE event_block_seal SET noted_until = %(until)s, sealed_until = %(until)s, waits_for = NULL
"""
FIRST = 0


def advance(*, now: datetime) -> int:
    """Seal what can be sealed, and return up to where that is; the rest is sealed by a later call.

    To be called by one process at a time, outside of a transaction.
    """
    until = timestamp_micros(now - SEAL_AFTER) // TICK * TICK
    noted, sealed, waits_for = _read()
    if noted > until + DAY:
        _take_back(until)
        return until
    if sealed == noted < until:
        _run(_MOVE_ON, {"until": until, "known": noted})
        noted, waits_for = until, None
    for _ in range(LOOKS if sealed < noted else 0):
        holders = _holders()
        waits_for = holders if waits_for is None else waits_for & holders
        if not waits_for:
            _run(_SEAL, {"known": noted})
            return noted
        _run(_WAIT, {"holders": sorted(waits_for), "known": noted})
        time.sleep(BETWEEN_LOOKS)
    return sealed


def _read() -> tuple[int, int, set[str] | None]:
    with connection.cursor() as cursor:
        cursor.execute(_BEGIN, {"first": FIRST})
        cursor.execute("SELECT noted_until, sealed_until, waits_for FROM event_block_seal")
        noted, sealed, waits_for = cursor.fetchone()
    return noted, sealed, None if waits_for is None else set(waits_for)


def _holders() -> set[str]:
    """The virtual transactions that hold the table as writers do; a number is not used again while it is held."""
    with connection.cursor() as cursor:
        cursor.execute(_HOLDERS)
        return {holder for (holder,) in cursor.fetchall()}


def _take_back(until: int) -> None:
    """A clock that was ahead has sealed what is to come: without this, all that happens would be noted until then."""
    _run(_TAKE_BACK, {"until": until, "tick": TICK})


def _run(statement: str, params: Mapping[str, Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
