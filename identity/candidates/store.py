"""What the matcher keeps of profiles: their records and their blocking keys, written as differences in key order.

A row of `match_record` is an origin's record, kept under the profile that the origin belongs to now. So a profile is
compared by all that it was ever known by, and a merge that is taken back takes its record with it.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from django.db import connection

from identity.candidates.contracts import Fields, Person, Refreshed
from identity.candidates.records import record_of, unite
from identity.matching.contracts import Record

_decode = msgspec.json.Decoder(dict[str, list[str]]).decode
_encode = msgspec.json.Encoder().encode


def refresh_records(ids: Collection[int], *, fields: Fields) -> Refreshed:
    """Bring the records of changed profiles up to date; ids of absorbed profiles stand for who absorbed them."""
    # 1. Who the changed are now. 2. What was kept of them, and of whom they consist. 3. What is to be kept.
    # 4. The difference is written.
    leads = _leads(ids)
    kept = _kept({*ids, *leads.values()})
    leads |= _leads({origin for _, origin in kept} - leads.keys())
    people = load_people(set(leads.values()))
    wanted = {(leads[origin], origin): text for (_, origin), text in kept.items() if leads[origin] in people}
    wanted |= {(id_, id_): dump_record(record_of(person, fields)) for id_, person in people.items()}
    _write_records(kept, wanted)
    records = _united(wanted)
    touched = {*ids, *leads.values(), *(profile for profile, _ in kept)}
    different = {profile for (profile, _), _ in kept.items() ^ wanted.items()}
    return Refreshed(
        records={id_: records[id_] for id_ in people},
        people=people,
        changed=different & people.keys(),
        gone=touched - people.keys(),
        new=people.keys() - {id_ for profile, origin in kept for id_ in (profile, leads[origin])},
    )


def load_records(ids: Collection[int]) -> dict[int, Record]:
    """The records of profiles, as the matcher last saw them; those it has not seen are missing."""
    if not ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT profile_id, origin_id, record FROM match_record WHERE profile_id = ANY(%s::bigint[])",
            [list(ids)],
        )
        return _united({(profile, origin): text for profile, origin, text in cursor.fetchall()})


def load_people(ids: Collection[int]) -> dict[int, Person]:
    """Traits and identifiers of the profiles that exist."""
    if not ids:
        return {}
    asked = sorted(ids)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT p.id, p.traits::text, (SELECT json_agg(json_build_array(i.kind, i.value)"
            "   ORDER BY i.first_seen_at DESC, i.value) FROM profile_identifier i WHERE i.profile_id = p.id)::text"
            " FROM profile p WHERE p.id = ANY(%s::bigint[])",
            [asked],
        )
        return {id_: Person(msgspec.json.decode(traits), by_kind(held)) for id_, traits, held in cursor.fetchall()}


def by_kind(identifiers: str | None) -> dict[str, list[str]]:
    """From a JSON array of pairs, as PostgreSQL makes it; None where there are none."""
    found: dict[str, list[str]] = {}
    for kind, value in msgspec.json.decode(identifiers or "[]"):
        found.setdefault(kind, []).append(value)
    return found


def sync_keys(wanted: Mapping[int, Collection[int]], *, gone: Collection[int] = (), new: Collection[int] = ()) -> None:
    """Make these the keys of these profiles; those that are gone have none, of those that are new none is stored."""
    stored: set[tuple[int, int]] = set()
    with connection.cursor() as cursor:
        if ids := sorted({*wanted, *gone}.difference(new)):
            cursor.execute("SELECT profile_id, key FROM match_key WHERE profile_id = ANY(%s::bigint[])", [ids])
            stored.update(cursor.fetchall())
        asked = {(profile, key) for profile, keys in wanted.items() for key in keys}
        if outdated := sorted(stored - asked):
            cursor.execute(
                "DELETE FROM match_key k USING unnest(%s::bigint[], %s::bigint[]) AS u(profile_id, key)"
                " WHERE k.profile_id = u.profile_id AND k.key = u.key",
                _columns(outdated),
            )
        if missing := sorted(asked - stored):
            cursor.execute(
                "INSERT INTO match_key (profile_id, key)"
                " SELECT * FROM unnest(%s::bigint[], %s::bigint[]) ON CONFLICT DO NOTHING",
                _columns(missing),
            )


def dump_record(record: Record) -> str:
    return _encode(record).decode()


def _leads(ids: Collection[int]) -> dict[int, int]:
    """Per id, the one that leads for it now: itself, unless it was absorbed."""
    if not ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT profile_id, canonical_id FROM profile_alias WHERE profile_id = ANY(%s::bigint[])", [list(ids)]
        )
        return {id_: id_ for id_ in ids} | dict(cursor.fetchall())


def _kept(ids: Collection[int]) -> dict[tuple[int, int], str]:
    """Rows of these profiles, and of these as origins."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT profile_id, origin_id, record FROM match_record"
            " WHERE profile_id = ANY(%(ids)s::bigint[]) OR origin_id = ANY(%(ids)s::bigint[])",
            {"ids": list(ids)},
        )
        return {(profile, origin): text for profile, origin, text in cursor.fetchall()}


def _write_records(kept: Mapping[tuple[int, int], str], wanted: Mapping[tuple[int, int], str]) -> None:
    with connection.cursor() as cursor:
        if outdated := sorted(kept.keys() - wanted.keys()):
            cursor.execute(
                "DELETE FROM match_record r USING unnest(%s::bigint[], %s::bigint[]) AS u(profile_id, origin_id)"
                " WHERE r.profile_id = u.profile_id AND r.origin_id = u.origin_id",
                _columns(outdated),
            )
        if new := sorted((*key, text) for key, text in wanted.items() if kept.get(key) != text):
            cursor.execute(
                "INSERT INTO match_record (profile_id, origin_id, record)"
                " SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::text[])"
                " ON CONFLICT (profile_id, origin_id) DO UPDATE SET record = EXCLUDED.record",
                _columns(new),
            )


def _united(rows: Mapping[tuple[int, int], str]) -> dict[int, Record]:
    """Per profile, what its origins say: its own word first, then the others from the oldest on."""
    texts: defaultdict[int, list[tuple[bool, int, str]]] = defaultdict(list)
    for (profile, origin), text in rows.items():
        texts[profile].append((origin != profile, origin, text))
    return {
        profile: _decode(found[0][2]) if len(found) == 1 else unite(_decode(text) for _, _, text in sorted(found))
        for profile, found in texts.items()
    }


def _columns(rows: Sequence[Iterable[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
