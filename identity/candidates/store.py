"""What the matcher keeps of profiles: their records and their blocking keys, written as differences in key order.

A row of `match_record` is an origin's record, kept under the profile that the origin belongs to now. So a profile is
compared by all that its origins say, and a merge that is taken back takes its record with it.
"""

import struct
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from cdp.kernel.copy import copy_rows
from cdp.kernel.prepared import Call, Prepared, array, columns, rows_after
from identity.candidates.contracts import Fields, Person, Refreshed
from identity.candidates.queue import CLAIM, CLAIMED, Claim, claiming, read_claim
from identity.candidates.records import record_of, unite
from identity.matching.contracts import Record

_decode = msgspec.json.Decoder(dict[str, list[str]]).decode
_encode = msgspec.json.Encoder().encode
_ROW = struct.Struct(">hiqiqi").pack


@dataclass(frozen=True, slots=True)
class Known:
    """What is stored of some profiles: records, by profile and origin, of them and of those who lead for them; who
    leads, for the profiles and for those origins; and all who lead, if they exist.
    """

    ids: Collection[int]
    kept: dict[tuple[int, int], str] = field(default_factory=dict)
    leads: dict[int, int] = field(default_factory=dict)
    people: dict[int, Person] = field(default_factory=dict)


def refresh_records(ids: Collection[int], *, fields: Fields, in_bulk: bool = False) -> Refreshed:
    """What the records of changed profiles have to become; ids of absorbed profiles stand for who absorbed them.

    `in_bulk`: those that are not stored yet are `copy_records`' to write.
    """
    return refresh(_known_of(ids, _LOOK_UP.rows(array(ids))) if ids else Known(()), fields=fields, in_bulk=in_bulk)


def look_up_claimed(*, limit: int) -> tuple[Claim, Known]:
    """Claims changed profiles, and says what is stored of them, all in one way there and back."""
    (_, _, _, _, claim, *_), *rows = rows_after(claiming(limit=limit), _LOOK_UP_CLAIMED.of())
    claimed = read_claim(claim)
    return claimed, _known_of(claimed.profiles, rows)


def refresh(known: Known, *, fields: Fields, in_bulk: bool = False) -> Refreshed:
    """As `refresh_records`, of whom all is known that is stored."""
    ids, kept, leads, people = known.ids, known.kept, known.leads, known.people
    said = {id_: records_of(id_, person, fields) for id_, person in people.items()}
    wanted = {(id_, origin): dump_record(record) for id_, of in said.items() for origin, record in of.items()}
    unkept = {key: text for key, text in wanted.items() if key not in kept} if in_bulk else {}
    touched = {*ids, *leads.values(), *(profile for profile, _ in kept)}
    different = {profile for (profile, _), _ in kept.items() ^ wanted.items()}
    return Refreshed(
        records={id_: list(of.values()) for id_, of in said.items()},
        origins={id_: list(of) for id_, of in said.items() if len(of) > 1},
        people=people,
        changed=different & people.keys(),
        gone=touched - people.keys(),
        new=people.keys() - {id_ for profile, origin in kept for id_ in (profile, leads[origin])},
        writes=_record_writes(kept, wanted, besides=unkept),
        unkept=unkept,
    )


def records_of(id_: int, person: Person, fields: Fields) -> dict[int, Record]:
    """What each origin of a profile says, by origin: its own first, which may say nothing, then the oldest."""
    own = person.origins.get(id_, person)
    found = {id_: record_of(own, fields)}
    for origin in sorted(person.origins.keys() - {id_}):
        if record := record_of(person.origins[origin], fields):
            found[origin] = record
    return found


def copy_records(unkept: Mapping[tuple[int, int], str]) -> None:
    rows = bytearray()
    for (profile, origin), record in sorted(unkept.items()):
        text = record.encode()
        rows += _ROW(3, 8, profile, 8, origin, len(text)) + text
    if rows:
        copy_rows(table="match_record", columns=("profile_id", "origin_id", "record"), rows=rows)


def load_records(ids: Collection[int]) -> dict[int, Record]:
    """What all origins of a profile say together, as the matcher last saw it; those it has not seen are missing."""
    return {id_: unite(records) for id_, records in load_origins(ids).items()}


def load_origins(ids: Collection[int]) -> dict[int, list[Record]]:
    """The records of profiles' origins, its own first, as the matcher last saw them."""
    return read_origins(load_rows(ids))


def load_rows(ids: Collection[int]) -> list[tuple[int, int, str]]:
    """Profile, origin and record, in the order in which a profile's records are told."""
    rows = _RECORDS.rows(array(ids)) if ids else []
    return sorted(rows, key=lambda row: (row[0], row[0] != row[1], row[1]))


def read_origins(rows: Iterable[tuple[int, int, str]]) -> dict[int, list[Record]]:
    """From rows of profile, origin and record."""
    texts: defaultdict[int, list[tuple[bool, int, str]]] = defaultdict(list)
    for profile, origin, text in rows:
        texts[profile].append((origin != profile, origin, text))
    return {
        profile: [_decode(text) for _, _, text in (sorted(found) if len(found) > 1 else found)]
        for profile, found in texts.items()
    }


def name_origins(rows: Iterable[tuple[int, int, str]]) -> dict[int, list[int]]:
    """The origins of those profiles that have several, in the order of their records."""
    found: defaultdict[int, list[int]] = defaultdict(list)
    for profile, origin, _ in rows:
        found[profile].append(origin)
    return {profile: origins for profile, origins in found.items() if len(origins) > 1}


def load_people(ids: Collection[int]) -> dict[int, Person]:
    """Traits and identifiers of the profiles that exist, together and of each origin."""
    if not ids:
        return {}
    return {id_: _person(*said) for id_, *said in _PEOPLE.rows(array(sorted(ids)))}


def by_kind(identifiers: str | None) -> dict[str, list[str]]:
    """From a JSON array of pairs, as PostgreSQL makes it; None where there are none."""
    return _by_kind(msgspec.json.decode(identifiers)) if identifiers else {}


def _by_kind(identifiers: Iterable[Sequence[str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for kind, value in identifiers:
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


def _known_of(ids: Collection[int], rows: Iterable[tuple[Any, ...]]) -> Known:
    known = Known(ids)
    for what, id_, other, lead, text, *said in rows:
        if what == _LEADS:
            known.leads[id_] = lead
        elif what == _KEPT:
            known.kept[id_, other] = text
            known.leads[other] = lead
        else:
            known.people[id_] = _person(text, *said)
    return known


def _person(traits: str, identifiers: str | None, parts: str | None, recorded: str | None) -> Person:
    """`parts` and `recorded`, what was said and which identifiers came first under each origin, only if it merged."""
    known = by_kind(identifiers)
    if parts is None:
        return Person(msgspec.json.decode(traits), known)
    said = {int(origin): part["traits"] for origin, part in msgspec.json.decode(parts).items()}
    theirs: defaultdict[int, list[tuple[str, str]]] = defaultdict(list)
    for origin, kind, value in msgspec.json.decode(recorded) if recorded else ():
        theirs[origin].append((kind, value))
    origins = {one: Person(said.get(one, {}), _by_kind(theirs.get(one, ()))) for one in {*said, *theirs}}
    return Person(msgspec.json.decode(traits), known, origins)


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


_LEADS, _KEPT, _PERSON = 1, 2, 3
_IDENTIFIERS = """
(SELECT json_agg(json_build_array(i.kind, i.value) ORDER BY i.first_seen_at DESC, i.value)
  FROM profile_identifier i WHERE i.profile_id = p.id)::text
"""
_ORIGINS = """
p.parts::text, CASE WHEN p.parts IS NOT NULL THEN (
  SELECT json_agg(json_build_array(coalesce(i.origin_id, p.id), i.kind, i.value)
    ORDER BY i.first_seen_at DESC, i.value)
  FROM profile_identifier i WHERE i.profile_id = p.id)::text END
"""


def _look_up(ids: str, first: str = "") -> str:
    return f"""
WITH asked AS MATERIALIZED (
  SELECT u.id, coalesce(a.canonical_id, u.id) AS leads
  FROM unnest({ids}) AS u(id) LEFT JOIN profile_alias a ON a.profile_id = u.id
), named AS MATERIALIZED (
  SELECT id FROM asked UNION SELECT leads FROM asked
), kept AS MATERIALIZED (
  SELECT r.profile_id, r.origin_id, r.record, coalesce(a.canonical_id, r.origin_id) AS leads FROM (
    SELECT r.* FROM named n JOIN match_record r ON r.profile_id = n.id
    UNION SELECT r.* FROM named n JOIN match_record r ON r.origin_id = n.id
  ) AS r LEFT JOIN profile_alias a ON a.profile_id = r.origin_id
)
{first} SELECT {_LEADS}, id, NULL::bigint, leads, NULL, NULL, NULL, NULL FROM asked
UNION ALL SELECT {_KEPT}, profile_id, origin_id, leads, record, NULL, NULL, NULL FROM kept
UNION ALL SELECT {_PERSON}, p.id, NULL, NULL, p.traits::text, {_IDENTIFIERS}, {_ORIGINS}
  FROM (SELECT leads FROM asked UNION SELECT leads FROM kept) AS u JOIN profile p ON p.id = u.leads
"""


_LOOK_UP = Prepared("match_look_up", ["bigint[]"], _look_up("$1"))
_LOOK_UP_CLAIMED = Prepared(
    "match_look_up_claimed",
    [],
    _look_up(
        f"{CLAIMED}::bigint[]",
        f"SELECT 0, NULL::bigint, NULL::bigint, NULL::bigint, {CLAIM}, NULL, NULL, NULL UNION ALL",
    ),
)
_RECORDS = Prepared(
    "match_records",
    ["bigint[]"],
    "SELECT profile_id, origin_id, record FROM match_record WHERE profile_id = ANY($1)",
)
_PEOPLE = Prepared(
    "match_people",
    ["bigint[]"],
    f"SELECT p.id, p.traits::text, {_IDENTIFIERS}, {_ORIGINS} FROM profile p WHERE p.id = ANY($1)",
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
