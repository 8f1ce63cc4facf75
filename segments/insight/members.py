"""The members of a segment as its page lists them: searched, sorted, with the columns that somebody chose."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cdp.kernel.screens import Page, take_page
from identity import queries as identity
from identity.contracts import ProfileView
from identity.viewing import mask_profile
from ingestion.dictionary.masking import Masker
from segments import queries
from segments.ast import Path
from segments.contracts import Member
from segments.engine import fetch
from segments.insight.columns import Column
from segments.insight.people import asked
from segments.models import Segment
from segments.people import MOST_FOUND, Person, person_of
from segments.predicates import path_value
from segments.sql import Sql, sql

OLDEST = "oldest"
DEEPEST = 10_000
"""Sorted otherwise than by entry, pages go no deeper."""


@dataclass(frozen=True)
class MemberRow:
    person: Person
    entered_at: datetime
    cells: list[tuple[Column, Any]]


def members_page(
    segment: Segment, *, text: str, sort: str, after: str, columns: Sequence[Column], size: int, masker: Masker
) -> Page[MemberRow]:
    """The newest first, unless `sort` is oldest or the key of a trait's column (with `-` before it, falling).

    `after` is the key of the last one of the page before; sorted otherwise, how many came before.
    """
    ids = [view.id for view in identity.search(text=text, limit=MOST_FOUND)] if text else None
    order = _order(sort, columns)
    page = _newest(segment, ids, after, size) if order is None else _sorted(segment, ids, order, after, size)
    found = identity.get_profiles(ids=[member.profile_id for member in page])
    shown = {id_: mask_profile(view, masker) for id_, view in found.items()}
    return Page(items=[_row(member, shown.get(member.profile_id), columns) for member in page], next=page.next)


def _row(member: Member, view: ProfileView | None, columns: Sequence[Column]) -> MemberRow:
    """One that has just been merged away keeps its place."""
    if view is None:
        person = Person(member.profile_id, f"Profile {member.profile_id}")
        return MemberRow(person, member.entered_at, [(column, None) for column in columns])
    cells = [(column, column.value(view, member.entered_at)) for column in columns]
    return MemberRow(person_of(view), member.entered_at, cells)


def _newest(segment: Segment, ids: Sequence[int] | None, after: str, size: int) -> Page[Member]:
    rows = queries.members(segment_id=segment.pk, limit=size + 1, after=_read_key(after), profile_ids=ids)
    return take_page(rows, key=_key, size=size)


def _sorted(segment: Segment, ids: Sequence[int] | None, order: Sql, after: str, size: int) -> Page[Member]:
    start = min(int(after), DEEPEST) if after.isascii() and after.isdigit() and len(after) < 9 else 0
    found = sql(" AND m.profile_id = ANY ({ids}::bigint[])", ids=list(ids)) if ids is not None else Sql("")
    statement = sql(
        "SELECT m.profile_id, m.entered_at FROM membership AS m LEFT JOIN profile AS p ON p.id = m.profile_id"
        " WHERE m.segment_id = {segment}{found} ORDER BY {order} OFFSET {start} LIMIT {limit}",
        segment=segment.pk,
        found=found,
        order=order,
        start=start,
        limit=size + 1,
    )
    with asked():
        rows = [Member(*row) for row in fetch(statement)]
    page = take_page(rows, key=lambda _: start + size, size=size)
    return page if start + size <= DEEPEST else Page(items=page.items, next="")


def _key(member: Member) -> str:
    return f"{member.entered_at.isoformat()} {member.profile_id}"


def _read_key(text: str) -> tuple[datetime, int] | None:
    """The page key that an address carries; nonsense there is the first page."""
    moment, _, number = text.rpartition(" ")
    try:
        key = datetime.fromisoformat(moment), int(number)
    except ValueError:
        return None
    return key if key[0].tzinfo and abs(key[1]) < 2**63 else None


def _order(sort: str, columns: Sequence[Column]) -> Sql | None:
    """None for the usual order. Whoever has no such trait comes last, whichever way it is sorted."""
    falling = sort.startswith("-")
    path = next((one.path for one in columns if one.key == sort.removeprefix("-") and one.path), None)
    if path is not None and path.single:
        return _by_trait(path, falling=falling)
    return Sql("m.entered_at, m.profile_id DESC") if sort == OLDEST else None


def _by_trait(path: Path, *, falling: bool) -> Sql:
    return sql(
        f"NULLIF({{value}}, 'null'::jsonb) {'DESC' if falling else 'ASC'} NULLS LAST, m.profile_id",
        value=path_value(path, Sql("p.traits")),
    )
