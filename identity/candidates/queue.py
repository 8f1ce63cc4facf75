"""The queue of profiles to match again: appended to by whoever changes one, taken by one matcher at a time.

One at a time, since two that are compared with what is stored do not see each other: a pair of new profiles in two
hands at once would be missed until the next full pass.
"""

import struct
from collections.abc import Collection, Iterable

import msgspec
from django.db import connection

from cdp.kernel.copy import copy_rows
from cdp.kernel.prepared import COMMIT_SOON, PLAN_ONCE, Call, Prepared, array

PROFILES_A_ROW = 200
LOCK = 0x6D61_7463  # "matc"; any number that no other advisory lock of ours uses

_HEAD = struct.Struct(">hiiiiii").pack
_CELL = struct.Struct(">iq").pack
_INT8 = 20


def note_changed(profile_ids: Collection[int]) -> None:
    """Append to the queue, in the transaction that made the changes: 200 profiles a row, none if there are none."""
    ids = sorted(profile_ids)
    rows = bytearray()
    for start in range(0, len(ids), PROFILES_A_ROW):
        part = ids[start : start + PROFILES_A_ROW]
        rows += _HEAD(1, 20 + 12 * len(part), 1, 0, _INT8, len(part), 1)
        for profile_id in part:
            rows += _CELL(8, profile_id)
    if rows:
        copy_rows(table="match_change", columns=("profile_ids",), rows=rows)


def wait_to_be_alone() -> None:
    """Have the same, after whoever has it now."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])


class Claim(msgspec.Struct, frozen=True):
    """Profiles that one matcher has to itself, and what is in force: `live.load_live` knows what the stamp means."""

    profiles: frozenset[int] = frozenset()
    settings_stamp: str | None = None
    model_id: int | None = None
    more: bool = False
    """Whether others may wait behind them."""
    due: bool = False
    """Whether two wait to be merged first."""
    noted: bool = False
    """Whether somebody wants to know who was seen to: `note_seen_to`."""


def claiming(*, limit: int) -> list[Call]:
    """Takes the oldest rows that together name about `limit` profiles, and is the one who matches until the
    transaction ends; nothing while another is, or while two wait to be merged, which are to be compared as one.
    What a crash takes back of it is in the queue again.

    Whom it took is in `CLAIMED` for what is sent along with it, which is a statement of its own: it sees all that the
    one who matched before has written, as this one may not.
    """
    return [PLAN_ONCE, COMMIT_SOON, _CLAIM.of(limit, LOCK)]


CLAIMED = "current_setting('tributary.claimed')"
"""In SQL: the profiles that were taken, as an array; as JSON in `CLAIM`, with what is in force."""
CLAIM = "current_setting('tributary.claim')"


def read_claim(claim: str) -> Claim:
    return msgspec.json.decode(claim, type=Claim)


# The lock comes after the statement's snapshot. What another matcher has taken and committed in between is deleted
# when its row is to be locked, and is passed over.
_CLAIM = Prepared(
    "match_claim",
    ["int", "bigint"],
    """
WITH due AS MATERIALIZED (
  SELECT EXISTS (SELECT FROM match_candidate WHERE merge_due) AS any
), first AS MATERIALIZED (
  SELECT id, cardinality(profile_ids) AS size FROM match_change
  WHERE NOT (SELECT due.any FROM due) AND (SELECT pg_try_advisory_xact_lock($2))
  ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
), counted AS (
  SELECT id, sum(size) OVER (ORDER BY id) AS upto, row_number() OVER (ORDER BY id) AS place FROM first
), taken AS (
  DELETE FROM match_change c USING counted WHERE c.id = counted.id AND (counted.place = 1 OR counted.upto <= $1)
  RETURNING c.profile_ids
), claimed AS MATERIALIZED (
  SELECT coalesce(array_agg(DISTINCT u.id), '{}') AS ids FROM taken CROSS JOIN LATERAL unnest(profile_ids) AS u(id)
)
SELECT set_config('tributary.claimed', ids::text, true), set_config('tributary.claim', json_build_object(
  'profiles', ids,
  'due', (SELECT due.any FROM due),
  'settings_stamp', (SELECT xmin::text || ctid::text FROM matching_settings WHERE id = 1),
  'model_id', (SELECT id FROM match_model WHERE state = 'live'),
  'more', (SELECT count(*) = $1 OR count(*) > (SELECT count(*) FROM taken) FROM first),
  'noted', EXISTS (SELECT FROM match_seen_to)
)::text, true) FROM claimed
""",
)


def is_empty() -> bool:
    """Whether nothing waits: for who ends a turn to see what another came with, who was not let in meanwhile."""
    return not _ANY.rows()


_ANY = Prepared("match_any", [], "SELECT id FROM match_change ORDER BY id LIMIT 1")


def length() -> int:
    """How many profiles wait; one that waits twice counts twice."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(sum(cardinality(profile_ids)), 0) FROM match_change")
        return int(cursor.fetchone()[0])


def visible() -> list[int]:
    """The rows that a full pass beginning now will have seen to; others may be committed at any moment."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM match_change ORDER BY id")
        return [id_ for (id_,) in cursor.fetchall()]


def drop(ids: Collection[int]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM match_change WHERE id = ANY(%s::bigint[])", [list(ids)])


# --- For who makes all keys anew, beside the turns ----------------------------------------------------------


def note_who_is_seen_to() -> None:
    """From here on turns note whose keys they wrote. To be asked alone, as `wait_to_be_alone` has it."""
    forget_who_is_seen_to()
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO match_seen_to (profile_ids) VALUES ('{}')")


def forget_who_is_seen_to() -> None:
    """No longer. What a killed one leaves is forgotten by the next."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM match_seen_to")


def note_seen_to(profile_ids: Iterable[int]) -> Call:
    return _NOTE.of(array(profile_ids))


_NOTE = Prepared("match_note", ["bigint[]"], "INSERT INTO match_seen_to (profile_ids) VALUES ($1)")
