"""The queue of what changed, written by the drain and answered by evaluation."""

import struct
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import repeat

import msgspec

from cdp.kernel.copy import copy_rows
from segments.engine import fetch, run
from segments.models import AccountChange, Computation, Dependency
from segments.sql import sql

_COLUMNS = ("profile_ids", "events", "traits", "merged", "created", "accounts", "purposes")
_INT4, _INT8, _TEXT = 23, 20, 25
_HEAD = struct.Struct(">h").pack
_ID = struct.Struct(">iq").pack
_TAIL = struct.Struct(">i?i?").pack
PROFILES_A_ROW = 500
ACCOUNTS_AT_ONCE = 100
ANY_TRAIT = "*"
"""For all traits of an account at once: of somebody who has come to belong to it."""

_NO_NAMES: frozenset[str] = frozenset()
_NO_IDS: frozenset[int] = frozenset()
_Kind = tuple[frozenset[int], frozenset[str], bool, bool, frozenset[str], frozenset[int]]


class ProfileChange(msgspec.Struct, frozen=True, gc=False):
    """What one chunk changed of a profile: ids of event names, names of traits, or all of it by a merge.

    `accounts` are names of traits of the accounts that it belongs to, `purposes` ids of those whose consent changed.
    """

    profile_id: int
    events: frozenset[int]
    traits: frozenset[str]
    merged: bool
    created: bool
    accounts: frozenset[str] = _NO_NAMES
    purposes: frozenset[int] = _NO_IDS


def note_changes(changes: Iterable[ProfileChange]) -> None:
    """Append to the queue, in the transaction that made the changes: a row for each kind of change.

    In a chunk most people did the same few things, so there are far fewer rows than profiles.
    """
    kinds: defaultdict[_Kind, list[int]] = defaultdict(list)
    for change in changes:
        kinds[change.events, change.traits, change.merged, change.created, change.accounts, change.purposes].append(
            change.profile_id
        )
    rows = bytearray()
    for (events, traits, merged, created, accounts, purposes), profile_ids in kinds.items():
        kind = b"".join(
            (_names(events), _traits(traits), _TAIL(1, merged, 1, created), _traits(accounts), _names(purposes))
        )
        for start in range(0, len(profile_ids), PROFILES_A_ROW):
            rows += _HEAD(len(_COLUMNS)) + _profiles(profile_ids[start : start + PROFILES_A_ROW]) + kind
    if rows:
        copy_rows(table="change", columns=_COLUMNS, rows=rows)


def note_account_changes(changed: Mapping[int, Collection[str]]) -> None:
    """That traits (values) of accounts (keys) changed; `spread_account_changes` tells it to their people."""
    AccountChange.objects.bulk_create(
        AccountChange(account_id=account_id, traits=sorted(names)) for account_id, names in sorted(changed.items())
    )


_CLAIM_ACCOUNTS = """
DELETE FROM account_change WHERE id IN (
    SELECT id FROM account_change ORDER BY id LIMIT {limit} FOR UPDATE SKIP LOCKED
) RETURNING account_id, traits
"""
_SPREAD = """
INSERT INTO change (profile_ids, events, traits, merged, created, accounts)
SELECT array_agg(m.profile_id), '{{}}', '{{}}', false, false, {traits}::text[] FROM (
    SELECT profile_id, row_number() OVER (ORDER BY profile_id) / {size} AS part
    FROM (SELECT DISTINCT profile_id FROM account_member WHERE account_id = ANY ({accounts}::bigint[])) AS members
) AS m GROUP BY m.part ORDER BY m.part
"""


def spread_account_changes() -> None:
    """Turn what changed of accounts into changes of their people, of whom there may be many, if a segment asks.

    What a version on its way asks is not in the index yet: then they are all told.
    """
    claimed = fetch(sql(_CLAIM_ACCOUNTS, limit=ACCOUNTS_AT_ONCE))
    if not claimed:
        return
    accounts: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    under_way = Computation.objects.exists()
    asked = set(Dependency.objects.filter(kind=Dependency.Kind.ACCOUNT).values_list("key", flat=True))
    for account_id, traits in claimed:
        if names := tuple(sorted(traits if under_way else asked.intersection(traits))):
            accounts[names].append(account_id)
    for names, ids in sorted(accounts.items()):
        run(sql(_SPREAD, traits=list(names), accounts=sorted(ids), size=PROFILES_A_ROW))


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
