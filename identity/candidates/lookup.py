"""Whom a profile is compared with: those who share a blocking key, as long as not too many do.

A block that is larger than `BLOCK_CAP` is one that says little: a common surname, a city, a phone that everybody is
given. It only counts together with a second one of its kind, and only its first `PREFIX` profiles are looked at. One
of more than `TELLING` profiles counts together with any other. So no value that many share makes anything slow; what
that misses is the full pass's to find.
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from django.db import connection

from cdp.kernel.prepared import Call, Prepared, columns, rows_after, run
from identity.candidates.contracts import Fields
from identity.candidates.records import IDENTIFYING
from identity.candidates.store import read_origins
from identity.matching.contracts import ColumnType, Record

BLOCK_CAP = 100
PREFIX = 500
MAX_COMPARED = 30
"""Among 100,000 profiles and up to 150 compared, 5 of 1,210 pairs above the review threshold stood further back."""
WHOLE = 1_000_000
"""What a shared key counts; one that few have counts a little more."""
TELLING = 10
"""A key that more profiles share counts only together with another: a third fewer are compared for it. Of 814 pairs
above the review threshold, among 100,000 profiles, 3 were missed for that, none of them above 0.9.
"""
SHARED_BY = 30


@dataclass(frozen=True, slots=True)
class ValueKey:
    """The key of one identifying value: how many hold it says whether it still identifies anybody."""

    column: str
    value: str
    key: int


@dataclass(slots=True)
class Neighbours:
    """Per asking profile, whom to compare it with; `shared` are keys that more than `SHARED_BY` profiles have."""

    of: dict[int, list[int]] = field(default_factory=dict)
    shared: dict[int, int] = field(default_factory=dict)
    records: dict[int, list[Record]] = field(default_factory=dict)
    """Of all of them, as `store.load_origins` has them."""


def value_keys(records: Iterable[Record], fields: Fields) -> list[ValueKey]:
    """Keys of the e-mails, phones and numbers of a profile's records, for counting who else has them."""
    return [
        ValueKey(field.column, value, key_of(plain, field.type))
        for record in records
        for field in fields
        if field.type in IDENTIFYING
        for value in record.get(field.column, ())
        if (plain := plain_of(value, field.type))
    ]


def plain_of(value: str, type_: ColumnType) -> str:
    """What two spellings of an identifying value have in common."""
    if type_ is ColumnType.PHONE:
        return value[-9:] if value.isdigit() else "".join(filter(str.isdigit, value))[-9:]
    return "".join(value.lower().split())


def key_of(plain: str, type_: ColumnType) -> int:
    text = f"{type_} {plain}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)


def find_neighbours(keys: Mapping[int, Collection[int]], *, after: Collection[Call] = ()) -> Neighbours:
    """Those who share enough with each asker, at most `MAX_COMPARED` of them: most shared keys first, and among those
    who share as many, keys that few have.

    `after` is what is to be written before that is asked.
    """
    asked = [(asker, key) for asker, held in keys.items() for key in sorted(held)]
    found = Neighbours(of={asker: [] for asker in keys})
    if not asked:
        run(after)
        return found
    large: defaultdict[int, int] = defaultdict(int)
    records = []
    for asker, place, id_, number, record in rows_after(after, _NEAR.of(*columns(asked))):
        if place is not None:
            records.append((asker, place, id_, number, record))
            continue
        found.shared[id_] = number
        large[asker] += number > BLOCK_CAP
    if crowded := {asker for asker, several in large.items() if several > 1}:
        anew = [pair for pair in asked if pair[0] in crowded]
        records = [row for row in records if row[0] not in crowded] + _NEAR_IN_CROWDS.rows(*columns(anew))
    near: defaultdict[int, dict[int, int]] = defaultdict(dict)
    for asker, place, id_, *_ in records:
        near[asker][place] = id_
    for asker, placed in near.items():
        found.of[asker] = [placed[place] for place in sorted(placed)]
    found.records = read_origins({row[2:] for row in records})
    return found


def count_holders(keys: Iterable[int]) -> dict[int, int]:
    """How many profiles have each key, exactly; for those few that a person is told about."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT u.key, (SELECT count(*) FROM match_key k WHERE k.key = u.key) FROM unnest(%s::bigint[]) AS u(key)",
            [list(keys)],
        )
        return dict(cursor.fetchall())


_BLOCKS = f"""
block AS MATERIALIZED (
  SELECT asker, key, members, cardinality(members) AS size FROM (
    SELECT u.asker, u.key, ARRAY(
      SELECT k.profile_id FROM match_key k WHERE k.key = u.key ORDER BY k.profile_id LIMIT {BLOCK_CAP + 1}) AS members
    FROM unnest($1, $2) AS u(asker, key) OFFSET 0) AS cut
)"""
_HITS = f"""
SELECT b.asker, m.id, {WHOLE} + {WHOLE} / (1 + b.size) AS shared
FROM block b CROSS JOIN LATERAL unnest(b.members) AS m(id) WHERE b.size <= {BLOCK_CAP}"""


def _nearest(hits: str) -> str:
    """Rows of asker, place, and a record of who stands there, with whose it is and of which origin."""
    return f"""
SELECT n.asker, n.place, r.profile_id, r.origin_id, r.record FROM (
  SELECT asker, id, row_number() OVER (PARTITION BY asker ORDER BY sum(shared) DESC, id) AS place
  FROM ({hits}) AS hit WHERE id <> asker GROUP BY asker, id HAVING sum(shared) >= {WHOLE + WHOLE // (1 + TELLING)}
) AS n JOIN match_record r ON r.profile_id = n.id WHERE n.place <= {MAX_COMPARED}"""


# The second part of what comes back are keys that many share, with how many, up to a little more than the cap.
_NEAR = Prepared(
    "match_near",
    ["bigint[]", "bigint[]"],
    f"WITH {_BLOCKS} {_nearest(_HITS)}"
    f" UNION ALL SELECT asker, NULL, key, size, NULL FROM block WHERE size > {SHARED_BY}",
)
# For few: who has two keys that are too large to count alone.
_NEAR_IN_CROWDS = Prepared(
    "match_near_in_crowds",
    ["bigint[]", "bigint[]"],
    f"WITH {_BLOCKS} "
    + _nearest(
        f"""{_HITS} UNION ALL SELECT b.asker, m.id, ({WHOLE} * count(*))::int FROM block b CROSS JOIN LATERAL (
    SELECT k.profile_id AS id FROM match_key k WHERE k.key = b.key ORDER BY k.profile_id LIMIT {PREFIX}) AS m
  WHERE b.size > {BLOCK_CAP} GROUP BY 1, 2 HAVING count(*) > 1"""
    ),
)
