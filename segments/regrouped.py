"""Profiles that merged or parted: what can have moved between them, as changes that segments follow.

Told in the transaction that did it, when all has moved. Whatever one of them had before, one of them has now: what
they have now, taken together, is all that can have come or gone. Consent is told by itself (`segments.consents`).
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from segments.asking.arrays import listed
from segments.changes import ANY_TRAIT, ProfileChange, note_changes
from segments.dependencies import given_key
from segments.engine import fetch
from segments.sql import Sql, sql

_IDS = "unnest({ids}::bigint[]) AS i(id)"
_EVENTS = (
    "SELECT i.id, e.name_id FROM " + _IDS + " CROSS JOIN LATERAL"
    " (SELECT DISTINCT name_id FROM event WHERE profile_id = i.id) AS e"
)
# A trait that was deleted keeps its stamp, and can have deleted the other's.
_TRAITS = "SELECT p.id, jsonb_object_keys(p.traits || p.provenance) FROM " + _IDS + " JOIN profile AS p ON p.id = i.id"
_EXISTING = "SELECT p.id FROM " + _IDS + " JOIN profile AS p ON p.id = i.id"
_ACCOUNTS = "SELECT DISTINCT m.profile_id FROM " + _IDS + " JOIN account_member AS m ON m.profile_id = i.id"
_GIVEN = (
    "SELECT o.id, s.slug FROM ("
    "SELECT i.id, i.id AS origin_id FROM " + _IDS + " UNION ALL"
    " SELECT a.canonical_id, a.profile_id FROM " + _IDS + " JOIN profile_alias AS a ON a.canonical_id = i.id"
    ") AS o JOIN given_member AS g ON g.origin_id = o.origin_id JOIN segments_segment AS s ON s.id = g.segment_id"
)
_COMPUTED = "SELECT name FROM computed_trait"


def note_regrouped(profile_ids: Collection[int], _now: datetime) -> None:
    """Two profiles that have become one, or one that has become two."""
    note_groups([profile_ids])


def note_groups(groups: Iterable[Collection[int]]) -> None:
    """Each of `groups` are profiles that had to do with each other, those included that are no more."""
    kept = [frozenset(group) for group in groups]
    ids = sorted(set().union(*kept))
    if ids:
        note_changes(_changes(kept, ids))


def _changes(groups: Iterable[frozenset[int]], ids: Collection[int]) -> Iterable[ProfileChange]:
    about = {"ids": listed(ids)}
    existing = {row[0] for row in fetch(sql(_EXISTING, **about))}
    in_accounts = {row[0] for row in fetch(sql(_ACCOUNTS, **about))}
    events: Mapping[int, set[int]] = _by_profile(sql(_EVENTS, **about))
    traits: Mapping[int, set[str]] = _by_profile(sql(_TRAITS, **about))
    given: Mapping[int, set[str]] = _by_profile(sql(_GIVEN, **about))
    computed = frozenset(row[0] for row in fetch(Sql(_COMPUTED)))
    for group in groups:
        slugs: set[str] = set().union(*(given[id_] for id_ in group))
        names = computed.union(*(traits[id_] for id_ in group), map(given_key, slugs))
        done: frozenset[int] = frozenset().union(*(events[id_] for id_ in group))
        accounts = frozenset({ANY_TRAIT} if group & in_accounts else ())
        for id_ in sorted(group):  # where all are there, one of them was not before
            yield ProfileChange(id_, done, names, merged=True, created=group <= existing, accounts=accounts)


def _by_profile(query: Sql) -> Mapping[int, set[Any]]:
    found: defaultdict[int, set[Any]] = defaultdict(set)
    for id_, what in fetch(query):
        found[id_].add(what)
    return found
