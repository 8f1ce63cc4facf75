"""The queue of what changed, written by the drain and answered by evaluation."""

import struct
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from itertools import repeat

import msgspec

from cdp.kernel.copy import copy_rows

_COLUMNS = ("profile_ids", "events", "traits", "merged", "created")
_INT4, _INT8, _TEXT = 23, 20, 25
_HEAD = struct.Struct(">h").pack
_ID = struct.Struct(">iq").pack
_TAIL = struct.Struct(">i?i?").pack
PROFILES_A_ROW = 500


class ProfileChange(msgspec.Struct, frozen=True, gc=False):
    """What one chunk changed of a profile: ids of event names, names of traits, or all of it by a merge."""

    profile_id: int
    events: frozenset[int]
    traits: frozenset[str]
    merged: bool
    created: bool


def note_changes(changes: Iterable[ProfileChange]) -> None:
    """Append to the queue, in the transaction that made the changes: a row for each kind of change.

    In a chunk most people did the same few things, so there are far fewer rows than profiles.
    """
    kinds: defaultdict[tuple[frozenset[int], frozenset[str], bool, bool], list[int]] = defaultdict(list)
    for change in changes:
        kinds[change.events, change.traits, change.merged, change.created].append(change.profile_id)
    rows = bytearray()
    for (events, traits, merged, created), profile_ids in kinds.items():
        kind = (
            _names(events) + _array(_TEXT, [name.encode() for name in sorted(traits)]) + _TAIL(1, merged, 1, created)
        )
        for start in range(0, len(profile_ids), PROFILES_A_ROW):
            rows += _HEAD(len(_COLUMNS)) + _profiles(profile_ids[start : start + PROFILES_A_ROW]) + kind
    if rows:
        copy_rows(table="change", columns=_COLUMNS, rows=rows)


def note_regrouped(profile_ids: Collection[int], _now: datetime) -> None:
    """Profiles that merged or parted: every segment is asked about them."""
    nothing: frozenset[str] = frozenset()
    note_changes(
        ProfileChange(id_, events=frozenset(), traits=nothing, merged=True, created=True)
        for id_ in sorted(profile_ids)
    )


def _names(events: frozenset[int]) -> bytes:
    return _array(_INT4, [struct.pack(">i", name_id) for name_id in sorted(events)])


def _traits(traits: frozenset[str]) -> bytes:
    return _array(_TEXT, [name.encode() for name in sorted(traits)])


def _profiles(ids: Sequence[int]) -> bytes:
    """As `_array` does it, in one step, since there are thousands."""
    body = struct.pack(">iiiii", 1, 0, _INT8, len(ids), 1) + b"".join(map(_ID, repeat(8), sorted(ids)))
    return struct.pack(">i", len(body)) + body


def _array(element: int, items: Sequence[bytes]) -> bytes:
    """A one-dimensional array in PostgreSQL's binary form; an empty one has no dimension."""
    if not items:
        body = struct.pack(">iii", 0, 0, element)
    else:
        cells = b"".join(struct.pack(">i", len(item)) + item for item in items)
        body = struct.pack(">iiiii", 1, 0, element, len(items), 1) + cells
    return struct.pack(">i", len(body)) + body
