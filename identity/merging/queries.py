"""Reads of this room. Profile ids may be absorbed ones."""

from collections.abc import Collection

from django.db.models import Q, QuerySet

from cdp.kernel.access.models import User
from identity.merging.contracts import ConstraintView, MergeView
from identity.models import Constraint, Merge, ProfileAlias
from identity.queries import canonical_id


def origins_of(profile_ids: Collection[int]) -> dict[int, frozenset[int]]:
    """Per (leading) profile, the ids under which what it consists of was first recorded, its own included."""
    found = {id_: {id_} for id_ in profile_ids}
    aliases = ProfileAlias.objects.filter(canonical_id__in=list(profile_ids))
    for absorbed_id, leading_id in aliases.values_list("profile_id", "canonical_id"):
        found[leading_id].add(absorbed_id)
    return {id_: frozenset(origins) for id_, origins in found.items()}


def leading(ids: Collection[int]) -> dict[int, int]:
    """The profiles that these ids lead to now."""
    aliases = ProfileAlias.objects.filter(profile_id__in=list(ids))
    followed = dict(aliases.values_list("profile_id", "canonical_id"))
    return {id_: followed.get(id_, id_) for id_ in ids}


def merges_of(profile_id: int, *, limit: int | None = None) -> list[MergeView]:
    """The merges that a profile was put together by, and those that were taken back, newest first."""
    leads = canonical_id(profile_id)
    origins = origins_of([leads])[leads]
    found = Merge.objects.filter(Q(one_origin__in=origins) | Q(other_origin__in=origins)).order_by("-id")
    return _views(found[:limit] if limit else found)


def get_merge(merge_id: int) -> MergeView | None:
    return next(iter(_views(Merge.objects.filter(pk=merge_id))), None)


def constraints_of(profile_id: int) -> list[ConstraintView]:
    """What people have said of this profile and others."""
    leads = canonical_id(profile_id)
    origins = origins_of([leads])[leads]
    rows = Constraint.objects.filter(Q(one_origin__in=origins) | Q(other_origin__in=origins))
    return _said(rows.select_related("made_by").order_by("-made_at"))


def constraints(*, limit: int = 100, after: tuple[int, int] | None = None) -> list[ConstraintView]:
    """All that was said, in the order of the pairs; `after` continues behind the last one."""
    rows = Constraint.objects.select_related("made_by").order_by("one_origin", "other_origin")
    if after is not None:
        rows = rows.filter(Q(one_origin__gt=after[0]) | Q(one_origin=after[0], other_origin__gt=after[1]))
    return _said(rows[:limit])


def _said(rows: "QuerySet[Constraint]") -> list[ConstraintView]:
    found = list(rows)
    leads = leading({id_ for row in found for id_ in (row.one_origin, row.other_origin)})
    return [
        ConstraintView(
            one_origin=row.one_origin,
            other_origin=row.other_origin,
            one_profile=leads[row.one_origin],
            other_profile=leads[row.other_origin],
            kind=row.kind,
            reason=row.reason,
            made_at=row.made_at,
            made_by=_name(row.made_by),
        )
        for row in found
    ]


def _views(rows: "QuerySet[Merge]") -> list[MergeView]:
    return [
        MergeView(
            id=row.pk,
            at=row.at,
            survivor_id=row.survivor_id,
            absorbed_id=row.absorbed_id,
            one_origin=row.one_origin,
            other_origin=row.other_origin,
            cause=row.cause,
            evidence=row.evidence,
            moved=row.moved,
            actor=_name(row.actor),
            undone_at=row.undone_at,
            undone_by=_name(row.undone_by),
        )
        for row in rows.select_related("actor", "undone_by")
    ]


def _name(user: User | None) -> str:
    return "" if user is None else str(user)
