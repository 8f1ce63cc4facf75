"""Take identifiers out of a profile that was never two: into a profile of their own.

Where the chosen identifiers are whole origins, splitting is undoing the merges that tie these to the rest. Where they
share an origin with some that stay, a new origin is begun for them. The log does not say by which identifiers an event
came, so with a new origin go those events that can be told to be theirs: of a visit of a chosen browser, and those
that name a chosen e-mail address, phone number or external id themselves. All others stay, and so do account
memberships. What the events that go said of traits goes with them, as far as the history of traits reaches back.
"""

from collections.abc import Collection
from datetime import datetime

from django.db import transaction

from cdp.kernel.access.models import User
from identity.contracts import Identifier
from identity.merging import constraints, graph, operations, record
from identity.merging.carve import carve
from identity.merging.contracts import Parting
from identity.merging.errors import MergeRefusedError
from identity.merging.queries import origins_of
from identity.models import Constraint, Merge, ProfileIdentifier


def split_profile(
    *, profile_id: int, identifiers: Collection[Identifier], actor: User | None = None, now: datetime
) -> Parting:
    """Give the chosen identifiers a profile of their own, and never merge both sides again.

    Raises:
        MergeRefusedError: with the code `not_found`, `unknown_identifier`, `nothing_chosen`, `all_chosen` or
            `must_linked`.
    """
    # 1. Which origins are chosen, in whole or in part; for parts one is begun. 2. The merges that tie chosen origins
    # to the rest are taken back. 3. What is left of either side in pieces is tied together: the person said so.
    chosen = set(identifiers)
    with transaction.atomic():
        leads = operations.hold_profile(profile_id)
        held = _held(leads)
        _require_sensible(chosen, held)
        kept = {origin for one, origin in held.items() if one not in chosen}
        parted = {one: held[one] for one in chosen if held[one] in kept}
        side = {origin for one, origin in held.items() if origin not in kept}
        pairs: list[graph.Edge] = []
        if parted:
            begun = carve(profile_id=leads, identifiers=parted, now=now)
            side.add(begun)
            pairs += [(origin, begun) for origin in sorted(set(parted.values()))]
        pairs += _take_back_across(leads, side, actor=actor, now=now)
        rest = origins_of([leads])[leads] - side
        leaving = frozenset(rest if leads in side else side)
        parting = Parting(leads, min(leaving), leaving)
        operations.require_not_must(parting)
        for origins in (side, rest):
            _tie(origins, actor=actor, now=now)
        operations.part(parting, now=now)
        for one, other in pairs:
            constraints.put(
                one=one, other=other, kind=Constraint.Kind.NEVER, reason="The profile was split.", actor=actor, now=now
            )
        operations.announce(parting, now=now)
        return parting


def _held(profile_id: int) -> dict[Identifier, int]:
    """The identifiers of a profile with their origins."""
    rows = ProfileIdentifier.objects.filter(profile_id=profile_id).values_list("kind", "value", "origin_id")
    return {(kind, value): origin or profile_id for kind, value, origin in rows}


def _require_sensible(chosen: Collection[Identifier], held: Collection[Identifier]) -> None:
    if not chosen:
        raise MergeRefusedError("Choose at least one identifier.", code="nothing_chosen", path="/identifiers")
    for kind, value in chosen:
        if (kind, value) not in held:
            message = f"The profile has no {kind} “{value}”."
            raise MergeRefusedError(message, code="unknown_identifier", path="/identifiers")
    if len(chosen) == len(held):
        raise MergeRefusedError("Leave the profile at least one.", code="all_chosen", path="/identifiers")


def _take_back_across(
    profile_id: int, side: Collection[int], *, actor: User | None, now: datetime
) -> list[graph.Edge]:
    edges = operations.edges_among(origins_of([profile_id])[profile_id])
    crossing = {id_: edge for id_, edge in edges.items() if graph.crosses(edge, side)}
    Merge.objects.filter(pk__in=crossing).update(undone_at=now, undone_by=actor)
    return list(crossing.values())


def _tie(origins: Collection[int], *, actor: User | None, now: datetime) -> None:
    """Make one of a side whose parts only the other side held together."""
    first, *others = _pieces(origins)
    made = [
        record.Made(
            survivor_id=min(first),
            absorbed_id=min(piece),
            one_origin=min(first),
            other_origin=min(piece),
            cause=Merge.Cause.PERSON,
            evidence={"reason": "They stayed together when the profile was split."},
            moved={},
            actor_id=None if actor is None else actor.pk,
        )
        for piece in others
    ]
    if made:
        record.keep(made, now=now)


def _pieces(origins: Collection[int]) -> list[frozenset[int]]:
    edges = list(operations.edges_among(origins).values())
    return sorted({graph.component(origin, edges) for origin in origins}, key=min)
