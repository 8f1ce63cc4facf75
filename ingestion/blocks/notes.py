"""What whoever writes to the event log tells the blocks, in the same transaction.

Events of the recent past are in no block, so writing them is told to nobody. Of every other change (an event that
comes late, is deleted, changes its properties or goes back to another profile) a note names the profile, the event's
name and the day: a reading then asks the log itself about that profile, and takes the rest from the block. Merges
need no notes: it is written down whom the absorbed profile leads to.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from django.db import connection

from ingestion.blocks.stretches import DAY

NEVER = -(2**62)

Change = tuple[int, int, int]
"""Of an event: the id of its name, its time in microseconds since 2000, its profile."""

_HOLD = "LOCK TABLE event_block_seal IN ROW SHARE MODE; SELECT noted_until FROM event_block_seal"
_NOTE = """
INSERT INTO event_block_note (name_id, day, profile_ids, noted_at)
SELECT name_id, day, string_to_array(profile_ids, ' ')::bigint[], now()
FROM unnest(%s::int[], %s::int[], %s::text[]) AS u(name_id, day, profile_ids)
"""


def hold_noted() -> int:
    """Before which instant changes are to be noted, in microseconds since 2000.

    The caller's transaction may write later events unnoted: none of these gets into a block before it has ended, and
    so has every other that held the same table. It must see what is committed when this is called, as READ COMMITTED
    does: the lock comes first, then the look.
    """
    with connection.cursor() as cursor:
        cursor.execute(_HOLD)
        found = cursor.fetchone()
    return NEVER if found is None else int(found[0])


def note_changed(changes: Iterable[Change]) -> None:
    """Note events that changed: those among them that a block may hold."""
    known = list(changes)
    if known:
        note_late(known, noted_until=hold_noted())


def note_late(changes: Iterable[Change], *, noted_until: int) -> None:
    """The same, for who holds the table already."""
    profiles: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
    for name_id, ts, profile_id in changes:
        if ts < noted_until:
            profiles[name_id, ts // DAY].add(profile_id)
    if not profiles:
        return
    keys = sorted(profiles)
    with connection.cursor() as cursor:
        cursor.execute(
            _NOTE,
            [
                [name_id for name_id, _ in keys],
                [day for _, day in keys],
                [" ".join(map(str, sorted(profiles[key]))) for key in keys],
            ],
        )


def note_merged(merges: Mapping[int, int]) -> None:
    """The events of these profiles (keys) are now those of others (values)."""
    with connection.cursor() as cursor:
        for statement in (_MOVE, _MOVE_ON):
            cursor.execute(statement, {"from": list(merges.keys()), "to": list(merges.values())})


def note_parted(*, profile_id: int, restored_id: int, origins: Collection[int]) -> None:
    """Some of what a profile consists of has a profile of its own again, which has just been given its events."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM event_block_move WHERE profile_id = %s", [restored_id])
        cursor.execute(
            "UPDATE event_block_move SET leads_to = %s WHERE profile_id = ANY(%s)", [restored_id, sorted(origins)]
        )
        cursor.execute(_HELD, [restored_id])
        held = [(name_id, day * DAY) for name_id, day in cursor.fetchall()]
    note_changed((name_id, ts, id_) for name_id, ts in held for id_ in (profile_id, restored_id))


_PAIRS = "unnest(%(from)s::bigint[], %(to)s::bigint[]) AS m(absorbed, survivor)"
_MOVE = f"""
INSERT INTO event_block_move (profile_id, leads_to) SELECT m.absorbed, m.survivor FROM {_PAIRS} ORDER BY 1
ON CONFLICT (profile_id) DO UPDATE SET leads_to = excluded.leads_to, fold = NULL
"""
_MOVE_ON = f"UPDATE event_block_move AS b SET leads_to = m.survivor FROM {_PAIRS} WHERE b.leads_to = m.absorbed"
_HELD = """
SELECT DISTINCT name_id, floor(extract(epoch FROM ts - timestamptz '2000-01-01 00:00:00+00') / 86400)::int
FROM event WHERE profile_id = %s
"""
