"""Two profiles side by side: every identifier and trait aligned, and marked where they differ."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cdp.console import customer
from cdp.templatetags.console import value_text
from identity.accounts import queries as accounts
from identity.accounts.contracts import Membership
from identity.contracts import ProfileView
from identity.models import ProfileIdentifier
from identity.queries import get_profiles
from identity.review.letters import Piece, Pieces, likeness, mark
from identity.viewing import mask_profile
from ingestion import queries as ingestion
from ingestion.dictionary.masking import Masker
from ingestion.dictionary.viewing import mask_event
from segments import queries as segments
from segments.contracts import SegmentOfProfile

EVENTS = 6
_ORDER = {"differs": 0, "same": 1, "alone": 2}


@dataclass(frozen=True, slots=True)
class Cell:
    """A value of one side in pieces, and where it came from; without pieces this side has none."""

    pieces: Pieces = ()
    source: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One trait or identifier of both sides: `same`, `differs`, or `alone` where one side has none."""

    name: str
    one: Cell
    other: Cell
    state: str
    icon: str = ""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two as it is shown."""

    letter: str
    profile: ProfileView
    lines: Sequence[customer.EventLine]
    event_total: int
    segments: Sequence[SegmentOfProfile]
    accounts: Sequence[Membership]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a person looks at to decide. `identifiers` and `traits` are rows of both sides."""

    one: Side
    other: Side
    identifiers: Sequence[Row]
    traits: Sequence[Row]

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.one, self.other


def compare(*, one_id: int, other_id: int, masker: Masker, with_events: bool) -> Comparison | None:
    """Both profiles by their leading ids; None where one of them is gone."""
    found = get_profiles(ids=[one_id, other_id])
    if one_id == other_id or len(found) < 2:
        return None
    sources = customer.source_names()
    one, other = (mask_profile(found[id_], masker) for id_ in (one_id, other_id))
    equal = _equal_traits(found[one_id].traits, found[other_id].traits)
    seen = _identifiers_of((one_id, other_id), sources, masker)
    return Comparison(
        one=_side("A", one, sources, masker, with_events=with_events),
        other=_side("B", other, sources, masker, with_events=with_events),
        identifiers=_align_identifiers(seen[one_id], seen[other_id]),
        traits=_align_traits(
            customer.list_traits(profile=one, sources=sources),
            customer.list_traits(profile=other, sources=sources),
            equal,
        ),
    )


def _side(letter: str, profile: ProfileView, sources: dict[int, str], masker: Masker, *, with_events: bool) -> Side:
    found = ingestion.timeline(profile_id=profile.id, limit=EVENTS) if with_events else []
    counts = ingestion.event_counts_of_profile(profile_id=profile.id) if with_events else {}
    return Side(
        letter=letter,
        profile=profile,
        lines=[customer.read_event(mask_event(event, masker), sources=sources) for event in found],
        event_total=sum(counts.values()),
        segments=segments.segments_of_profile(profile_id=profile.id),
        accounts=accounts.accounts_of(profile_id=profile.id),
    )


# --- Identifiers -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Known:
    kind: str
    value: str
    source: str
    at: datetime


def _identifiers_of(ids: Iterable[int], sources: dict[int, str], masker: Masker) -> dict[int, list[_Known]]:
    wanted = list(ids)
    found: dict[int, list[_Known]] = {id_: [] for id_ in wanted}
    rows = ProfileIdentifier.objects.filter(profile_id__in=wanted).order_by("kind", "first_seen_at", "value")
    for row in rows:
        value = masker.identifiers({row.kind: row.value})[row.kind]
        source = sources.get(row.source_id, "a deleted source")
        found[row.profile_id].append(_Known(row.kind, value, source, row.last_seen_at or row.first_seen_at))
    return found


def _align_identifiers(ones: list[_Known], others: list[_Known]) -> list[Row]:
    rows: list[Row] = []
    for kind in dict.fromkeys(known.kind for known in [*ones, *others]):
        left = [known for known in ones if known.kind == kind]
        right = [known for known in others if known.kind == kind]
        icon = customer.IDENTIFIER_ICONS.get(kind, "fingerprint")
        rows += [_row(kind, one, other, icon=icon) for one, other in _pair_up(left, right)]
    return sorted(rows, key=lambda row: _ORDER[row.state])


def _pair_up(left: list[_Known], right: list[_Known]) -> list[tuple[_Known | None, _Known | None]]:
    """The most alike beside each other; what is left over stands alone."""
    alike = sorted(
        ((likeness(one.value, other.value), one, other) for one in left for other in right),
        key=lambda found: (-found[0], found[1].value, found[2].value),
    )
    paired: list[tuple[_Known | None, _Known | None]] = []
    taken: set[_Known] = set()
    for _, one, other in alike:
        if one not in taken and other not in taken:
            paired.append((one, other))
            taken |= {one, other}
    paired += [(one, None) for one in left if one not in taken]
    return paired + [(None, other) for other in right if other not in taken]


# --- Traits ----------------------------------------------------------------------------------------------------


def _equal_traits(one: Mapping[str, Any], other: Mapping[str, Any]) -> set[str]:
    """Told before anything is masked: `A•••` beside `A•••` may be two names."""
    return {name for name in one.keys() & other.keys() if one[name] == other[name]}


def _align_traits(ones: list[customer.Trait], others: list[customer.Trait], equal: set[str]) -> list[Row]:
    left = {trait.name: trait for trait in ones}
    right = {trait.name: trait for trait in others}
    names = sorted(left.keys() | right.keys())
    rows = [_row(name, left.get(name), right.get(name), equal=name in equal) for name in names]
    return sorted(rows, key=lambda row: _ORDER[row.state])


def _row(
    name: str,
    one: _Known | customer.Trait | None,
    other: _Known | customer.Trait | None,
    *,
    equal: bool = False,
    icon: str = "",
) -> Row:
    texts = ["" if side is None else value_text(side.value) for side in (one, other)]
    if equal or one is None or other is None:
        left, right = (_whole(text, same=True) for text in texts)
        return Row(name, _cell(one, left), _cell(other, right), "same" if equal else "alone", icon)
    left, right = mark(*texts) if texts[0] != texts[1] else (_whole(texts[0], same=False),) * 2
    return Row(name, _cell(one, left), _cell(other, right), "differs", icon)


def _whole(text: str, *, same: bool) -> Pieces:
    return (Piece(text, same),) if text else ()


def _cell(side: _Known | customer.Trait | None, pieces: Pieces) -> Cell:
    return Cell() if side is None else Cell(pieces, side.source, side.at)
