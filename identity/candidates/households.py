"""Households: who lives together, as far as the data says. They are written by the full pass, and merge nobody."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db import connection, transaction

from identity.candidates.contracts import Fields
from identity.candidates.models import HouseholdMember
from identity.matching.contracts import ColumnType

LARGEST = 12
Numbers = npt.NDArray[np.int64]
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class HouseholdView:
    """A household and the profiles of its members, the oldest id first."""

    id: int
    members: list[int]


def household_of(profile_id: int) -> HouseholdView | None:
    """The household of a (leading) profile; None for somebody who lives alone, as far as is known."""
    own = HouseholdMember.objects.filter(profile_id=profile_id).values_list("household_id", flat=True).first()
    if own is None:
        return None
    members = HouseholdMember.objects.filter(household_id=own).order_by("profile_id")
    return HouseholdView(own, list(members.values_list("profile_id", flat=True)))


def find(ids: Sequence[int], columns: Mapping[str, Sequence[Any]], fields: Fields, clusters: Numbers) -> Numbers:
    """The household of each row, by number; a row of its own where nobody else lives there.

    Who shares a surname and an address lives together. An address is a street and a place; without both, or with very
    many people at it, nothing is said.
    """
    names = _texts(columns, fields, (ColumnType.SURNAME, ColumnType.FULL_NAME))
    streets = _texts(columns, fields, (ColumnType.STREET, ColumnType.ADDRESS))
    houses = _texts(columns, fields, (ColumnType.HOUSE_NUMBER,))
    places = _texts(columns, fields, (ColumnType.POSTCODE, ColumnType.CITY))
    homes: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    whole = not _has(columns, fields, (ColumnType.STREET,))
    for row, (name, street, house, place) in enumerate(zip(names, streets, houses, places, strict=True)):
        if name and street and (place or whole):
            homes[name.rpartition(" ")[2], street, house, place].append(row)
    numbers = np.arange(len(ids), dtype=np.int64)
    for rows in homes.values():
        if 1 < len(rows) <= LARGEST and len({int(clusters[row]) for row in rows}) > 1:
            numbers[rows] = rows[0]
    return numbers


def _has(columns: Mapping[str, Sequence[Any]], fields: Fields, types: Collection[ColumnType]) -> bool:
    return any(field.type in types and field.column in columns for field in fields)


def _texts(columns: Mapping[str, Sequence[Any]], fields: Fields, types: Collection[ColumnType]) -> list[str]:
    """Leading values of the first column of these types, in one spelling; empty where there are none."""
    of_type = {field.type: field.column for field in reversed(fields) if field.column in columns}
    column = next((of_type[type_] for type_ in types if type_ in of_type), None)
    if column is None:
        return [""] * max(map(len, columns.values()), default=0)
    return [_plain(cell if isinstance(cell, str) else cell[0]) if cell else "" for cell in columns[column]]


def _plain(text: str) -> str:
    return text.casefold() if text.isalnum() else " ".join(_WORD.findall(text.casefold()))


@transaction.atomic
def write(ids: Sequence[int], numbers: Numbers, *, now: datetime) -> int:
    """Replace all households; `numbers` says which each profile is in. Those of one person are none; returns how many.

    A household that keeps its oldest member keeps its id.
    """
    order = np.argsort(numbers, kind="stable")
    edges = np.flatnonzero(np.diff(numbers[order])) + 1
    groups = [group for group in np.split(order, edges) if len(group) > 1]
    members = sorted(sorted(ids[place] for place in group.tolist()) for group in groups)
    with connection.cursor() as cursor:
        cursor.execute("SELECT profile_id, household_id FROM household_member")
        before: dict[int, int] = dict(cursor.fetchall())
        taken: set[int] = set()
        kept = [_kept_id(group, before, taken) for group in members]
        fresh = _new_ids(kept.count(0))
        numbered = [known or next(fresh) for known in kept]
        rows = {(profile, number) for group, number in zip(members, numbered, strict=True) for profile in group}
        cursor.execute(
            "DELETE FROM household_member m USING unnest(%s::bigint[], %s::bigint[]) AS u(profile_id, household_id)"
            " WHERE m.profile_id = u.profile_id AND m.household_id = u.household_id",
            _columns(before.items() - rows),
        )
        cursor.execute("DELETE FROM household WHERE id <> ALL(%s::bigint[])", [numbered])
        cursor.execute(
            "INSERT INTO household (id, size, found_at) SELECT u.id, u.size, m.now"
            " FROM unnest(%s::bigint[], %s::int[]) AS u(id, size), (SELECT %s::timestamptz AS now) AS m"
            " ON CONFLICT (id) DO UPDATE SET size = EXCLUDED.size",
            [numbered, [len(group) for group in members], now],
        )
        cursor.execute(
            "INSERT INTO household_member (profile_id, household_id, joined_at)"
            " SELECT u.profile_id, u.household_id, m.now FROM unnest(%s::bigint[], %s::bigint[])"
            " AS u(profile_id, household_id), (SELECT %s::timestamptz AS now) AS m",
            [*_columns(rows - before.items()), now],
        )
    return len(members)


def _kept_id(group: Sequence[int], before: dict[int, int], taken: set[int]) -> int:
    """The id of the household that a member was in, the oldest's first; 0 where none is free."""
    for profile in group:
        known = before.get(profile)
        if known is not None and known not in taken:
            taken.add(known)
            return known
    return 0


def _new_ids(count: int) -> Iterator[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence('household', 'id')) FROM generate_series(1, %s)", [count]
        )
        return iter([id_ for (id_,) in cursor.fetchall()])


def _columns(rows: Iterable[tuple[int, int]]) -> list[list[int]]:
    ordered = sorted(rows)
    return [[profile for profile, _ in ordered], [number for _, number in ordered]]
