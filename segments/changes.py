"""The queue of what changed, written by the drain and answered by evaluation."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cdp.kernel.copy import copy_rows

_COLUMNS = ("profile_id", "events", "traits", "merged", "created")
_INT4, _TEXT = 23, 25


@dataclass(frozen=True, slots=True)
class ProfileChange:
    """What one chunk changed of a profile: ids of event names, names of traits, or all of it by a merge."""

    profile_id: int
    events: frozenset[int]
    traits: frozenset[str]
    merged: bool
    created: bool


def note_changes(changes: Iterable[ProfileChange]) -> None:
    """Append to the queue, in the transaction that made the changes."""
    rows = bytearray()
    for change in changes:
        rows += struct.pack(">hiq", len(_COLUMNS), 8, change.profile_id)
        rows += _array(_INT4, [struct.pack(">i", name_id) for name_id in sorted(change.events)])
        rows += _array(_TEXT, [name.encode() for name in sorted(change.traits)])
        rows += struct.pack(">i?i?", 1, change.merged, 1, change.created)
    if rows:
        copy_rows(table="change", columns=_COLUMNS, rows=rows)


def _array(element: int, items: Sequence[bytes]) -> bytes:
    """A one-dimensional array in PostgreSQL's binary form; an empty one has no dimension."""
    if not items:
        body = struct.pack(">iii", 0, 0, element)
    else:
        cells = b"".join(struct.pack(">i", len(item)) + item for item in items)
        body = struct.pack(">iiiii", 1, 0, element, len(items), 1) + cells
    return struct.pack(">i", len(body)) + body
