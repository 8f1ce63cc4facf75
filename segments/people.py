"""Profiles as the segment screens show them: samples, members, who moved."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from cdp.kernel.screens import Page, take_page
from identity import queries as identity
from identity.contracts import ProfileView
from identity.viewing import mask_profile
from ingestion.dictionary.masking import Masker
from segments import queries
from segments.contracts import Member, TransitionView
from segments.models import Segment, Transition

MOST_FOUND = 500
_TELLING = ("email", "user_id", "anonymous_id")


@dataclass(frozen=True)
class Person:
    id: int
    name: str
    detail: str = ""
    identifiers: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class MemberLine:
    person: Person
    entered_at: datetime


@dataclass(frozen=True)
class Move:
    person: Person
    kind: str
    at: datetime
    cause: str


def describe(ids: Iterable[int], *, masker: Masker) -> list[Person]:
    """These profiles in this order; one that has just been merged away keeps its place, with its number as name."""
    wanted = list(ids)
    found = identity.get_profiles(ids=wanted)
    return [
        _person(mask_profile(found[id_], masker)) if id_ in found else Person(id_, f"Profile {id_}") for id_ in wanted
    ]


def _person(view: ProfileView) -> Person:
    values = [view.identifiers[kind][0] for kind in _TELLING if view.identifiers.get(kind)]
    detail = next((value for value in values if value != view.display_name), "")
    return Person(view.id, view.display_name, detail, view.identifiers)


def members_page(segment: Segment, *, text: str, after: str, size: int, masker: Masker) -> Page[MemberLine]:
    """The newest members first; with `text`, those of the members that a search for it finds."""
    found = None
    if text:
        found = [view.id for view in identity.search(text=text, limit=MOST_FOUND)]
    rows = queries.members(segment_id=segment.pk, limit=size + 1, after=_read_key(after), profile_ids=found)
    page = take_page(rows, key=_key, size=size)
    people = describe((member.profile_id for member in page.items), masker=masker)
    lines = [MemberLine(person, member.entered_at) for person, member in zip(people, page.items, strict=True)]
    return Page(items=lines, next=page.next)


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


def latest_moves(segment: Segment, *, limit: int, masker: Masker) -> list[Move]:
    rows = queries.transitions(segment_id=segment.pk, limit=limit)
    people = describe((row.profile_id for row in rows), masker=masker)
    return [_move(person, row) for person, row in zip(people, rows, strict=True)]


def _move(person: Person, row: TransitionView) -> Move:
    return Move(person, row.kind, row.at, str(Transition.Cause(row.cause).label))
