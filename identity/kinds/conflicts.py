"""Conflicts, counted per value that is shared: a kiosk's id that ten thousand people met is one row, not as many."""

import hashlib
from collections.abc import Iterable
from datetime import datetime

from django.db import connection

from identity.contracts import ConflictSample, ConflictTallies, Identifier
from identity.kinds.models import SKETCH_BITS
from ingestion.messages import storable_text

SAMPLES = 20  # messages kept of a group


def record(tallies: ConflictTallies, *, now: datetime) -> None:
    """Add a chunk's conflicts; three statements for any number of them, in the order of their keys.

    The last thing that a transaction does, or nearly: whoever counts the same value or day waits until it ends.
    """
    if not tallies:
        return
    keys = sorted(tallies)
    with connection.cursor() as cursor:
        cursor.execute(
            _COUNT,
            {
                "now": now,
                "kinds": [key[0] for key in keys],
                "values": [key[1] for key in keys],
                "reasons": [key[2] for key in keys],
                "limits": [key[3] for key in keys],
                "messages": [tallies[key].messages for key in keys],
                "people": [_sketch(tallies[key].met) for key in keys],
                "samples": [len(tallies[key].samples) for key in keys],
            },
        )
        groups = {tuple(key): (id_, written) for id_, written, *key in cursor.fetchall()}
        rows = sorted(_slots((groups[key], tallies[key].samples) for key in keys))
        columns = list(map(list, zip(*((id_, slot, *row) for id_, slot, row in rows), strict=True)))
        cursor.execute(_SAMPLE, [now, *columns])
        cursor.execute(_DAY, [now.date(), *map(list, zip(*_by_day(tallies), strict=True))])


def _slots(
    groups: Iterable[tuple[tuple[int, int], list[ConflictSample]]],
) -> Iterable[tuple[int, int, tuple[int, str, str, str, int | None, int | None]]]:
    """Where each sample is written: over the oldest one."""
    for (id_, written), samples in groups:
        for place, one in enumerate(samples, written - len(samples)):
            row = (one.source_id, storable_text(one.message_id), *one.identifier, one.profile_id, one.other_id)
            yield id_, place % SAMPLES, row


def _by_day(tallies: ConflictTallies) -> list[tuple[str, str, int]]:
    found: dict[tuple[str, str], int] = {}
    for (kind, _, reason, _), tally in tallies.items():
        found[kind, reason] = found.get((kind, reason), 0) + tally.messages
    return [(kind, reason, messages) for (kind, reason), messages in sorted(found.items())]


def _bit(identifier: Identifier) -> int:
    digest = hashlib.blake2b("\x00".join(identifier).encode(), digest_size=8).digest()
    return int.from_bytes(digest) % SKETCH_BITS


def _sketch(met: Iterable[Identifier]) -> str:
    """A bit for the hash of each other value that the shared one met."""
    text = ["0"] * SKETCH_BITS
    for identifier in met:
        text[_bit(identifier)] = "1"
    return "".join(text)


# `written` is the slot after the last one written: the oldest sample's.
_COUNT = f"""
    INSERT INTO identity_conflict_group AS held
        (kind, value, reason, limit_of, messages, people, first_at, last_at, state, written)
    SELECT kind, value, reason, limit_of, messages, people::bit({SKETCH_BITS}), %(now)s, %(now)s, 'open',
        samples
    FROM unnest(%(kinds)s::text[], %(values)s::text[], %(reasons)s::text[], %(limits)s::text[],
        %(messages)s::bigint[], %(people)s::text[], %(samples)s::int[])
        AS u(kind, value, reason, limit_of, messages, people, samples)
    ORDER BY 1, 2, 3, 4
    ON CONFLICT (kind, value, reason, limit_of) DO UPDATE SET
        messages = held.messages + excluded.messages, people = held.people | excluded.people,
        last_at = excluded.last_at, written = (held.written + excluded.written) %% {SAMPLES}
    RETURNING id, written, kind, value, reason, limit_of
"""
_SAMPLE = """
    INSERT INTO identity_conflict_sample AS held
        (at, group_id, slot, source_id, message_id, kind, value, profile_id, other_id)
    SELECT %s, * FROM unnest(%s::bigint[], %s::int[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::bigint[],
        %s::bigint[]) ORDER BY 2, 3
    ON CONFLICT (group_id, slot) DO UPDATE SET
        at = excluded.at, source_id = excluded.source_id, message_id = excluded.message_id, kind = excluded.kind,
        value = excluded.value, profile_id = excluded.profile_id, other_id = excluded.other_id
"""
_DAY = """
    INSERT INTO identity_conflict_day AS held (day, kind, reason, messages)
    SELECT %s, * FROM unnest(%s::text[], %s::text[], %s::bigint[]) ORDER BY 2, 3
    ON CONFLICT (day, kind, reason) DO UPDATE SET messages = held.messages + excluded.messages
"""
