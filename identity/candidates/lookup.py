"""Whom a profile is compared with: those who share a blocking key, as long as not too many do.

A block that is larger than `BLOCK_CAP` is one that says little: a common surname, a city, a phone that everybody is
given. It only counts together with a second one of its kind, and only its first `PREFIX` profiles are looked at. So
no value that many share makes anything slow; what that misses is the full pass's to find.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from django.db import connection

from cdp.kernel.prepared import Call, Prepared, array, columns, rows_after, run
from identity.candidates.contracts import Fields
from identity.candidates.records import IDENTIFYING
from identity.matching.contracts import ColumnType, Record

BLOCK_CAP = 100
PREFIX = 500
MAX_COMPARED = 30
"""Among 100,000 profiles and up to 150 compared, 5 of 1,210 pairs above the review threshold stood further back."""
WHOLE = 1_000_000
"""What a shared key counts; one that few have counts a little more."""
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
    blocks = _blocks({key for held in keys.values() for key in held}, after=after)
    large = {key for key, members in blocks.items() if len(members) > BLOCK_CAP}
    found = Neighbours(shared={key: len(members) for key, members in blocks.items() if len(members) > SHARED_BY})
    second = _in_two_large({asker: large.intersection(held) for asker, held in keys.items()})
    for asker, held in keys.items():
        hits: Counter[int] = Counter()
        for key in held:
            if key not in large:
                members = blocks.get(key, ())
                shared = WHOLE + WHOLE // (1 + len(members))
                for member in members:
                    hits[member] += shared
        for member, several in second.get(asker, ()):
            hits[member] += several * WHOLE
        hits.pop(asker, None)
        found.of[asker] = [member for member, _ in hits.most_common(MAX_COMPARED)]
    return found


def count_holders(keys: Iterable[int]) -> dict[int, int]:
    """How many profiles have each key, exactly; for those few that a person is told about."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT u.key, (SELECT count(*) FROM match_key k WHERE k.key = u.key) FROM unnest(%s::bigint[]) AS u(key)",
            [list(keys)],
        )
        return dict(cursor.fetchall())


def _blocks(keys: Collection[int], *, after: Collection[Call]) -> dict[int, list[int]]:
    """Who has each key, cut off where it is known to be too large. Texts come back: cheaper than rows of numbers."""
    if not keys:
        run(after)
        return {}
    found = rows_after(after, _BLOCKS.of(array(sorted(keys)), BLOCK_CAP + 1))
    return {key: [int(id_) for id_ in members.split()] for key, members in found if members}


def _in_two_large(large: Mapping[int, Collection[int]]) -> dict[int, list[tuple[int, int]]]:
    """Per asker, those who share two or more of its large blocks, with how many."""
    asked = [(asker, key) for asker, keys in large.items() if len(keys) > 1 for key in sorted(keys)]
    if not asked:
        return {}
    found = {}
    for asker, text in _IN_TWO_LARGE.rows(*columns(asked), PREFIX, MAX_COMPARED):
        numbers = [int(number) for number in text.split()]
        found[asker] = list(zip(numbers[::2], numbers[1::2], strict=True))
    return found


_BLOCKS = Prepared(
    "match_blocks",
    ["bigint[]", "int"],
    "SELECT u.key, array_to_string(ARRAY("
    "   SELECT k.profile_id FROM match_key k WHERE k.key = u.key ORDER BY k.profile_id LIMIT $2), ' ')"
    " FROM unnest($1) AS u(key)",
)
_IN_TWO_LARGE = Prepared(
    "match_in_two_large",
    ["bigint[]", "bigint[]", "int", "int"],
    "SELECT u.asker, string_agg(u.profile_id || ' ' || u.shared, ' ' ORDER BY u.shared DESC, u.profile_id)"
    " FROM (SELECT a.asker, m.profile_id, count(*) AS shared,"
    "     row_number() OVER (PARTITION BY a.asker ORDER BY count(*) DESC, m.profile_id) AS place"
    "   FROM unnest($1, $2) AS a(asker, key) CROSS JOIN LATERAL"
    "   (SELECT k.profile_id FROM match_key k WHERE k.key = a.key ORDER BY k.profile_id LIMIT $3) AS m"
    "   GROUP BY 1, 2 HAVING count(*) > 1) AS u WHERE u.place <= $4 GROUP BY 1",
)
