"""Put people into manual segments and take them out. Membership follows by evaluation, like every other."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from cdp.kernel.access.models import User
from cdp.kernel.tasks import send_on_commit
from identity.kinds.rules import fresh
from identity.models import Identifier, Profile
from segments import operations as segments
from segments.errors import SegmentError, SegmentNotFoundError
from segments.manual import given
from segments.manual.errors import NotManualError
from segments.models import Segment

MOST_ITEMS = 5_000
"""People that one request may add or remove."""
MOST_FROZEN = 1_000_000

PROFILE = "profile"
"""Beside the kinds of identifiers: the number of a profile."""


@dataclass(frozen=True)
class Named:
    """Somebody as a list or a request names them."""

    kind: str
    value: str


@dataclass(frozen=True)
class Item:
    """What became of one of those who were named. `profile_id` is None where nobody was found."""

    named: Named
    profile_id: int | None
    outcome: str


def create_manual(
    *, name: str, slug: str = "", description: str = "", user: User | None = None, now: datetime
) -> Segment:
    """A segment that nobody is in yet, live at once: there is nothing to compute."""
    with transaction.atomic():
        segment = segments.create_segment(
            slug=slug, name=name, description=description, definition=None, user=user, now=now
        )
        segments.recompute(segment_id=segment.pk, now=now)
        segment.refresh_from_db()
    return segment


def add_members(*, segment_id: int, people: Sequence[Named], now: datetime) -> list[Item]:
    """Put people in; answers for each, in their order, `added`, `already_in` or `not_found`."""
    with transaction.atomic():
        segment = hold_manual(segment_id)
        origins = find(people)
        led = given.led_by(set(origins.values()))
        added = {led[origin] for origin in given.give(segment=segment, origins=led, now=now)}
        _evaluate_soon()
    return _items(people, origins, led, done="added", else_="already_in", changed=added)


def remove_members(*, segment_id: int, people: Sequence[Named]) -> list[Item]:
    """Take people out; answers for each, in their order, `removed`, `not_in` or `not_found`."""
    with transaction.atomic():
        segment = hold_manual(segment_id)
        origins = find(people)
        led = given.led_by(set(origins.values()))
        gone = given.take(segment=segment, profile_ids=set(led.values()))
        removed = set(given.led_by(gone).values())
        _evaluate_soon()
    return _items(people, origins, led, done="removed", else_="not_in", changed=removed)


def freeze(
    *, source: Segment, name: str, profile_ids: Collection[int] | None = None, user: User | None, now: datetime
) -> Segment:
    """A manual segment of those who are in another one now, or of some of them; it changes by hand only."""
    with transaction.atomic():
        segment = create_manual(name=name, description=f"Who was in “{source.name}” at {now:%Y-%m-%d %H:%M} UTC.",
                                user=user, now=now)  # fmt: skip
        members = source.memberships.values_list("profile_id", flat=True)
        if profile_ids is not None:
            members = members.filter(profile_id__in=profile_ids)
        ids = list(members[: MOST_FROZEN + 1])
        if len(ids) > MOST_FROZEN:
            raise SegmentError(f"A frozen segment has {MOST_FROZEN:,} people at most.", code="too_many")
        given.give(segment=segment, origins=ids, now=now)
        _evaluate_soon()
    return segment


def hold_manual(segment_id: int) -> Segment:
    """
    Raises:
        SegmentNotFoundError, NotManualError
    """
    segment = Segment.objects.select_for_update(no_key=True).filter(pk=segment_id).first()
    if segment is None:
        raise SegmentNotFoundError("There is no such segment.")
    if not segment.is_manual:
        raise NotManualError(f"“{segment.name}” follows from its definition; only manual segments are given members.")
    return segment


def find(people: Sequence[Named]) -> dict[Named, int]:
    """The origin that each leads to: of an identifier, the one that it was recorded for; unknown ones are missing."""
    numbers = {one: int(one.value) for one in people if one.kind == PROFILE and is_number(one.value)}
    led = given.led_by(set(numbers.values()))
    existing = set(Profile.objects.filter(pk__in=set(led.values())).values_list("pk", flat=True))
    found = {one: number for one, number in numbers.items() if led[number] in existing}
    rules = fresh()
    spelt = {one: value for one in people if one.kind != PROFILE and (value := rules.spell(one.kind, one.value))}
    known = origins_of({(one.kind, value) for one, value in spelt.items()})
    return found | {one: known[one.kind, value] for one, value in spelt.items() if (one.kind, value) in known}


def origins_of(identifiers: Collection[tuple[str, str]]) -> dict[tuple[str, str], int]:
    by_kind: dict[str, list[str]] = {}
    for kind, value in identifiers:
        by_kind.setdefault(kind, []).append(value)
    found: dict[tuple[str, str], int] = {}
    for kind, values in by_kind.items():
        rows = Identifier.objects.filter(kind=kind, value__in=values)
        for value, profile_id, origin_id in rows.values_list("value", "profile_id", "origin_id"):
            found[kind, value] = profile_id if origin_id is None else origin_id
    return found


def is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


def _items(people: Sequence[Named], origins: dict[Named, int], led: dict[int, int], **words: Any) -> list[Item]:
    done, else_, changed = words["done"], words["else_"], words["changed"]
    items = []
    for one in people:
        origin = origins.get(one)
        if origin is None:
            items.append(Item(one, None, "not_found"))
            continue
        profile_id = led[origin]
        items.append(Item(one, profile_id, done if profile_id in changed else else_))
        changed.discard(profile_id)  # named again, it is in already
    return items


def _evaluate_soon() -> None:
    send_on_commit("cdp.evaluate")
