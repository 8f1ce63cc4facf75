"""What a merge or an undo would mean beyond identity: tried for real, looked at, and taken back.

So segments and consent are asked of the very rows that there would be, and nothing has to be imagined. While that
lasts, which is as long as the merge itself, the profiles are locked; a limit of time keeps others from waiting long.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import OperationalError, transaction

from activation import people
from activation.contracts import DeliveryRow
from activation.queries import deliveries
from consent.models import Purpose
from identity.merging import operations as merging
from identity.models import Merge
from segments.engine import local_settings
from segments.evaluate import who_holds
from segments.models import Membership, Segment

SECONDS = 10
WAITING = 20


@dataclass(frozen=True, slots=True)
class SegmentEffect:
    """A segment that either profile is in before or after. `before` and `after` say so of each profile."""

    slug: str
    name: str
    before: tuple[bool, bool]
    after: tuple[bool, bool]

    @property
    def changes(self) -> bool:
        return self.before != self.after


@dataclass(frozen=True, slots=True)
class ConsentEffect:
    """Whether a purpose is allowed for each profile, before and after; None for one that is not there."""

    name: str
    before: tuple[bool | None, bool | None]
    after: tuple[bool | None, bool | None]

    @property
    def changes(self) -> bool:
        return self.before != self.after


@dataclass(frozen=True, slots=True)
class Effects:
    """`complete` is false where it took too long to find out; then the lists are empty."""

    segments: tuple[SegmentEffect, ...] = ()
    consent: tuple[ConsentEffect, ...] = ()
    waiting: tuple[DeliveryRow, ...] = ()
    complete: bool = True


def of_merge(*, survivor_id: int, absorbed_id: int, now: datetime) -> Effects:
    """What follows from merging two leading profiles; they must be allowed to."""

    def merge() -> None:
        merging.merge_profiles(one=survivor_id, other=absorbed_id, cause=Merge.Cause.PERSON, evidence={}, now=now)

    return _try(merge, before=(survivor_id, absorbed_id), after=(survivor_id, None), now=now)


def of_undo(*, merge_id: int, profile_id: int, restored_id: int, now: datetime) -> Effects:
    def undo() -> None:
        merging.undo_merge(merge_id=merge_id, now=now)

    return _try(undo, before=(profile_id, None), after=(profile_id, restored_id), now=now)


Pair = tuple[int, int | None]
"""A profile, and the other, where there is one."""


def _try(step: Callable[[], object], *, before: Pair, after: Pair, now: datetime) -> Effects:
    waiting = [row for id_ in _ids(before) for row in deliveries(state="pending", profile_id=id_, limit=WAITING)]
    in_before = {
        id_: set(Membership.objects.filter(profile_id=id_).values_list("segment_id", flat=True))
        for id_ in _ids(before)
    }
    allowed_before = _allowed(before, now=now)
    try:
        with transaction.atomic():
            with local_settings(statement_timeout=f"{SECONDS}s", lock_timeout=f"{SECONDS}s"):
                step()
                held = who_holds(profile_ids=_ids(after), now=now)
                allowed_after = _allowed(after, now=now)
            transaction.set_rollback(True)
    except OperationalError:
        return Effects(waiting=tuple(waiting), complete=False)
    in_after = {id_: {segment for segment, members in held.items() if id_ in members} for id_ in _ids(after)}
    return Effects(
        segments=_segments(before, in_before, after, in_after),
        consent=tuple(
            ConsentEffect(name, allowed_before[name], allowed_after[name]) for name in sorted(allowed_before)
        ),
        waiting=tuple(waiting),
    )


def _ids(pair: Pair) -> list[int]:
    return [id_ for id_ in pair if id_ is not None]


def _segments(
    before: Pair, in_before: Mapping[int, set[int]], after: Pair, in_after: Mapping[int, set[int]]
) -> tuple[SegmentEffect, ...]:
    touched = set().union(*in_before.values(), *in_after.values())
    found = Segment.objects.filter(pk__in=touched, state=Segment.State.LIVE).order_by("name")

    def inside(segment_id: int, pair: Pair, members: Mapping[int, set[int]]) -> tuple[bool, bool]:
        first, second = (id_ is not None and segment_id in members[id_] for id_ in pair)
        return first, second

    return tuple(
        SegmentEffect(one.slug, one.name, inside(one.pk, before, in_before), inside(one.pk, after, in_after))
        for one in found
    )


def _allowed(pair: Pair, *, now: datetime) -> dict[str, tuple[bool | None, bool | None]]:
    """By purpose, whether it is allowed for either profile."""
    names = dict(Purpose.objects.values_list("pk", "name"))
    asked: dict[tuple[int, int], tuple[int, int | None]] = {
        (id_, purpose_id): (id_, purpose_id) for id_ in _ids(pair) for purpose_id in names
    }
    decisions = people.decide_all(asked, now=now)

    def answer(id_: int | None, purpose_id: int) -> bool | None:
        return None if id_ is None else decisions[id_, purpose_id].allowed

    return {name: (answer(pair[0], purpose_id), answer(pair[1], purpose_id)) for purpose_id, name in names.items()}
