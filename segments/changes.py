"""The queue of what changed, written by the drain and answered by evaluation."""

import functools
import struct
from collections.abc import Iterable, Sequence

import msgspec

from cdp.kernel.copy import copy_rows

_COLUMNS = ("profile_id", "events", "traits", "merged", "created")
_INT4, _TEXT = 23, 25
_HEAD = struct.Struct(">hiq").pack
_TAIL = struct.Struct(">i?i?").pack


class ProfileChange(msgspec.Struct, frozen=True, gc=False):
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
        rows += _HEAD(len(_COLUMNS), 8, change.profile_id)
        rows += _names(change.events)
        rows += _traits(change.traits)
        rows += _TAIL(1, change.merged, 1, change.created)
    if rows:
        copy_rows(table="change", columns=_COLUMNS, rows=rows)


@functools.lru_cache(maxsize=1_024)
def _names(events: frozenset[int]) -> bytes:
    """Remembered, as the next: in a chunk, most people did the same few things."""
    return _array(_INT4, [struct.pack(">i", name_id) for name_id in sorted(events)])


@functools.lru_cache(maxsize=1_024)
def _traits(traits: frozenset[str]) -> bytes:
    return _array(_TEXT, [name.encode() for name in sorted(traits)])


def _array(element: int, items: Sequence[bytes]) -> bytes:
    """A one-dimensional array in PostgreSQL's binary form; an empty one has no dimension."""
    if not items:
        body = struct.pack(">iii", 0, 0, element)
    else:
        cells = b"".join(struct.pack(">i", len(item)) + item for item in items)
        body = struct.pack(">iiiii", 1, 0, element, len(items), 1) + cells
    return struct.pack(">i", len(body)) + body
