"""What the matcher keeps of profiles: their records and their blocking keys, written as differences in key order.

A row of `match_record` is an origin's record, kept under the profile that the origin belongs to now. So a profile is
compared by all that it was ever known by, and a merge that is taken back takes its record with it.
"""

import struct
from collections import defaultdict
from collections.abc import Collection, Mapping

import msgspec

from cdp.kernel.copy import copy_rows
from cdp.kernel.prepared import Call, Prepared, array, columns
from identity.candidates.contracts import Fields, Person, Refreshed
from identity.candidates.records import record_of, unite
from identity.matching.contracts import Record

_decode = msgspec.json.Decoder(dict[str, list[str]]).decode
_encode = msgspec.json.Encoder().encode
_ROW = struct.Struct(">hiqiqi").pack


def refresh_records(ids: Collection[int], *, fields: Fields, in_bulk: bool = False) -> Refreshed:
    """What the records of changed profiles have to become; ids of absorbed profiles stand for who absorbed them.

    `in_bulk`: those that are not stored yet are `copy_records`' to write.
    """
    # 1. Who the changed are now, what was kept of them, and of whom they consist. 2. What is to be kept.
    kept, leads, people = _look_up(ids)
    wanted = {(leads[origin], origin): text for (_, origin), text in kept.items() if leads[origin] in people}
    records = {id_: record_of(person, fields) for id_, person in people.items()}
    wanted |= {(id_, id_): dump_record(record) for id_, record in records.items()}
    if len(wanted) > len(records):
        several = {profile for profile, origin in wanted if origin != profile}
        records |= _united({key: text for key, text in wanted.items() if key[0] in several})
    unkept = {key: text for key, text in wanted.items() if key not in kept} if in_bulk else {}
    touched = {*ids, *leads.values(), *(profile for profile, _ in kept)}
    different = {profile for (profile, _), _ in kept.items() ^ wanted.items()}
    return Refreshed(
        records=records,
        people=people,
        changed=different & people.keys(),
        gone=touched - people.keys(),
        new=people.keys() - {id_ for profile, origin in kept for id_ in (profile, leads[origin])},
        writes=_record_writes(kept, wanted, besides=unkept),
        unkept=unkept,
    )


def copy_records(unkept: Mapping[tuple[int, int], str]) -> None:
    rows = bytearray()
    for (profile, origin), record in sorted(unkept.items()):
        text = record.encode()
        rows += _ROW(3, 8, profile, 8, origin, len(text)) + text
    if rows:
        copy_rows(table="match_record", columns=("profile_id", "origin_id", "record"), rows=rows)


def load_records(ids: Collection[int]) -> dict[int, Record]:
    """The records of profiles, as the matcher last saw them; those it has not seen are missing."""
    if not ids:
        return {}
    return _united({(profile, origin): text for profile, origin, text in _RECORDS.rows(array(ids))})


def load_people(ids: Collection[int]) -> dict[int, Person]:
    """Traits and identifiers of the profiles that exist."""
    if not ids:
        return {}
    found = _PEOPLE.rows(array(sorted(ids)))
    return {id_: _person(traits, identifiers) for id_, traits, identifiers in found}


def by_kind(identifiers: str | None) -> dict[str, list[str]]:
    """From a JSON array of pairs, as PostgreSQL makes it; None where there are none."""
    found: dict[str, list[str]] = {}
    for kind, value in msgspec.json.decode(identifiers) if identifiers else ():
        found.setdefault(kind, []).append(value)
    return found


def key_writes(
    wanted: Mapping[int, Collection[int]], *, gone: Collection[int] = (), new: Collection[int] = ()
) -> list[Call]:
    """What makes these the keys of these profiles; those that are gone have none, those that are new had none."""
    ids = sorted({*wanted, *gone}.difference(new))
    stored = set(_KEYS.rows(array(ids))) if ids else set()
    asked = {(profile, key) for profile, keys in wanted.items() for key in keys}
    writes = [_FORGET_KEYS.of(array(sorted(new)))] if new else []
    if outdated := sorted(stored - asked):
        writes.append(REMOVE_KEYS.of(*columns(outdated)))
    if missing := sorted(asked - stored):
        writes.append(_ADD_KEYS.of(*columns(missing)))
    return writes


def dump_record(record: Record) -> str:
    return _encode(record).decode()


def _look_up(ids: Collection[int]) -> tuple[dict[tuple[int, int], str], dict[int, int], dict[int, Person]]:
    """Records that are kept of these profiles and of those who lead for them, by profile and origin; who leads, for
    the ids and for those origins; and all who lead, if they exist.
    """
    kept: dict[tuple[int, int], str] = {}
    leads: dict[int, int] = {}
    people: dict[int, Person] = {}
    for what, id_, other, lead, text, identifiers in _LOOK_UP.rows(array(ids)) if ids else ():
        if what == _LEADS:
            leads[id_] = lead
        elif what == _KEPT:
            kept[id_, other] = text
            leads[other] = lead
        else:
            people[id_] = _person(text, identifiers)
    return kept, leads, people


def _person(traits: str, identifiers: str | None) -> Person:
    return Person(msgspec.json.decode(traits), by_kind(identifiers))


def _record_writes(
    kept: Mapping[tuple[int, int], str],
    wanted: Mapping[tuple[int, int], str],
    *,
    besides: Collection[tuple[int, int]],
) -> list[Call]:
    writes = []
    if outdated := sorted(kept.keys() - wanted.keys()):
        writes.append(_REMOVE_RECORDS.of(*columns(outdated)))
    if new := sorted(key for key, text in wanted.items() if kept.get(key) != text and key not in besides):
        writes.append(_WRITE_RECORDS.of(*columns(new), [wanted[key] for key in new]))
    return writes


def _united(rows: Mapping[tuple[int, int], str]) -> dict[int, Record]:
    """Per profile, what its origins say: its own word first, then the others from the oldest on."""
    texts: defaultdict[int, list[tuple[bool, int, str]]] = defaultdict(list)
    for (profile, origin), text in rows.items():
        texts[profile].append((origin != profile, origin, text))
    return {
        profile: _decode(found[0][2]) if len(found) == 1 else unite(_decode(text) for _, _, text in sorted(found))
        for profile, found in texts.items()
    }


_LEADS, _KEPT, _PERSON = 1, 2, 3
_IDENTIFIERS = """
(SELECT json_agg(json_build_array(i.kind, i.value) ORDER BY i.first_seen_at DESC, i.value)
  FROM profile_identifier i WHERE i.profile_id = p.id)::text
"""
_LOOK_UP = Prepared(
    "match_look_up",
    ["bigint[]"],
    f"""
WITH asked AS MATERIALIZED (
  SELECT u.id, coalesce(a.canonical_id, u.id) AS leads
  FROM unnest($1) AS u(id) LEFT JOIN profile_alias a ON a.profile_id = u.id
), named AS MATERIALIZED (
  SELECT id FROM asked UNION SELECT leads FROM asked
), kept AS MATERIALIZED (
  SELECT r.profile_id, r.origin_id, r.record, coalesce(a.canonical_id, r.origin_id) AS leads FROM (
    SELECT r.* FROM named n JOIN match_record r ON r.profile_id = n.id
    UNION SELECT r.* FROM named n JOIN match_record r ON r.origin_id = n.id
  ) AS r LEFT JOIN profile_alias a ON a.profile_id = r.origin_id
)
SELECT {_LEADS}, id, NULL::bigint, leads, NULL, NULL FROM asked
UNION ALL SELECT {_KEPT}, profile_id, origin_id, leads, record, NULL FROM kept
UNION ALL SELECT {_PERSON}, p.id, NULL, NULL, p.traits::text, {_IDENTIFIERS}
  FROM (SELECT leads FROM asked UNION SELECT leads FROM kept) AS u JOIN profile p ON p.id = u.leads
""",
)
_RECORDS = Prepared(
    "match_records",
    ["bigint[]"],
    "SELECT profile_id, origin_id, record FROM match_record WHERE profile_id = ANY($1)",
)
_PEOPLE = Prepared(
    "match_people",
    ["bigint[]"],
    f"SELECT p.id, p.traits::text, {_IDENTIFIERS} FROM profile p WHERE p.id = ANY($1)",
)
_REMOVE_RECORDS = Prepared(
    "match_remove_records",
    ["bigint[]", "bigint[]"],
    "DELETE FROM match_record r USING unnest($1, $2) AS u(profile_id, origin_id)"
    " WHERE r.profile_id = u.profile_id AND r.origin_id = u.origin_id",
)
_WRITE_RECORDS = Prepared(
    "match_write_records",
    ["bigint[]", "bigint[]", "text[]"],
    "INSERT INTO match_record (profile_id, origin_id, record) SELECT * FROM unnest($1, $2, $3)"
    " ON CONFLICT (profile_id, origin_id) DO UPDATE SET record = EXCLUDED.record",
)
_KEYS = Prepared("match_keys", ["bigint[]"], "SELECT profile_id, key FROM match_key WHERE profile_id = ANY($1)")
_FORGET_KEYS = Prepared("match_forget_keys", ["bigint[]"], "DELETE FROM match_key WHERE profile_id = ANY($1)")
REMOVE_KEYS = Prepared(
    "match_remove_keys",
    ["bigint[]", "bigint[]"],
    "DELETE FROM match_key k USING unnest($1, $2) AS u(profile_id, key)"
    " WHERE k.profile_id = u.profile_id AND k.key = u.key",
)
_ADD_KEYS = Prepared(
    "match_add_keys",
    ["bigint[]", "bigint[]"],
    "INSERT INTO match_key (profile_id, key) SELECT * FROM unnest($1, $2)",
)
