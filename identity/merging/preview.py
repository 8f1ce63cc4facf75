"""What a merge or an undo would do, read and not tried."""

from collections.abc import Collection, Mapping
from typing import Any

from django.db import connection

from identity.contracts import ProfileView
from identity.merging.contracts import (
    MergePreview,
    MergeView,
    Parting,
    Side,
    TraitDifference,
    UndoPreview,
)
from identity.merging.errors import UnknownProfileError
from identity.merging.judge import judge
from identity.merging.queries import leading, origins_of
from identity.models import Profile, ProfileIdentifier
from identity.parts import Parts, fold_parts, parts_of, read_parts
from identity.queries import get_profiles
from identity.survivorship.policies import read_policies
from identity.traits import TraitState


def look_at_merge(*, one: int, other: int) -> MergePreview:
    leads = leading([one, other])
    survivor_id, absorbed_id = sorted((leads[one], leads[other]))
    views = get_profiles(ids=[survivor_id, absorbed_id])
    if len(views) < len({survivor_id, absorbed_id}):
        raise UnknownProfileError("One of these profiles does not exist.")
    survivor, absorbed = (_side(views[id_], origins_of([id_])[id_]) for id_ in (survivor_id, absorbed_id))
    if survivor_id == absorbed_id:
        return MergePreview(survivor, absorbed, (), (), {"same_profile": "These are one profile already."})
    judgement = judge(survivor_id, absorbed_id, stated=True)
    return MergePreview(
        survivor=survivor,
        absorbed=absorbed,
        traits=_differences(views[survivor_id], views[absorbed_id]),
        broken_limits=judgement.broken_limits,
        refusals=judgement.refusals,
    )


def look_at_parting(merge: MergeView, parting: Parting, *, refusals: Mapping[str, str]) -> UndoPreview:
    view = get_profiles(ids=[parting.profile_id])[parting.profile_id]
    parts = _parts(parting.profile_id)
    staying = origins_of([parting.profile_id])[parting.profile_id] - parting.origins
    return UndoPreview(
        merge=merge,
        kept=_parted(view, parting.profile_id, staying, parts),
        restored=_parted(view, parting.restored_id, parting.origins, parts),
        refusals=refusals,
    )


def _side(view: ProfileView, origins: frozenset[int]) -> Side:
    return Side(view, origins, _count_events(view.id), _accounts(view.id, origins))


def _parted(view: ProfileView, profile_id: int, origins: frozenset[int], parts: Parts) -> Side:
    """What these origins of a profile would be by themselves."""
    mine = [part for origin, part in parts.items() if origin in origins]
    state = fold_parts(mine, policies=read_policies())
    alone = ProfileView(
        id=profile_id,
        traits=state.traits,
        provenance=state.provenance,
        identifiers=_identifiers(view, origins),
        created_at=view.created_at,
        updated_at=view.updated_at,
    )
    return Side(alone, origins, _count_events(view.id, origins), _accounts(view.id, origins))


def _identifiers(view: ProfileView, origins: Collection[int]) -> dict[str, list[str]]:
    """In the order in which the whole profile shows them."""
    rows = ProfileIdentifier.objects.filter(profile_id=view.id).values_list("kind", "value", "origin_id")
    mine = {(kind, value) for kind, value, origin in rows if (origin or view.id) in origins}
    kept = {kind: [value for value in values if (kind, value) in mine] for kind, values in view.identifiers.items()}
    return {kind: values for kind, values in kept.items() if values}


def _parts(profile_id: int) -> Parts:
    row = Profile.objects.get(pk=profile_id)
    state = TraitState(row.traits, row.provenance)
    if row.parts is None:
        return parts_of(profile_id=profile_id, state=state, created_at=row.created_at, stored=None)
    return read_parts(row.parts)


def _differences(survivor: ProfileView, absorbed: ProfileView) -> tuple[TraitDifference, ...]:
    merged = TraitState(dict(survivor.traits), dict(survivor.provenance), policies=read_policies())
    merged.absorb(TraitState(dict(absorbed.traits), dict(absorbed.provenance)))
    return tuple(
        TraitDifference(name, survivor.traits.get(name), absorbed.traits.get(name), merged.traits.get(name))
        for name in sorted(survivor.traits.keys() | absorbed.traits.keys())
    )


def _count_events(profile_id: int, origins: Collection[int] | None = None) -> int:
    among = "" if origins is None else " AND coalesce(origin_id, profile_id) = ANY(%s)"
    values: list[Any] = [profile_id] if origins is None else [profile_id, sorted(origins)]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM event WHERE profile_id = %s{among}", values)
        count: int = cursor.fetchone()[0]
    return count


def _accounts(profile_id: int, origins: Collection[int]) -> tuple[str, ...]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT a.group_id FROM account_member m JOIN account a ON a.id = m.account_id"
            " WHERE m.profile_id = %s AND m.origin_id = ANY(%s) ORDER BY 1",
            [profile_id, sorted(origins)],
        )
        return tuple(group_id for (group_id,) in cursor.fetchall())
