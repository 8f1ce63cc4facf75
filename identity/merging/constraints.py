"""What people have said of pairs: never one person, or one person for certain. They hold between origins."""

from collections.abc import Collection
from datetime import datetime

from django.db import connection

from cdp.kernel.access.models import User
from identity.models import Constraint


def never_among(profile_ids: Collection[int]) -> list[tuple[int, int]]:
    """Pairs of these (leading) profiles of which a person has said that they are two."""
    asked = sorted(profile_ids)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT profile_id, canonical_id FROM profile_alias WHERE canonical_id = ANY(%s::bigint[])", [asked]
        )
        leads = {id_: id_ for id_ in asked} | dict(cursor.fetchall())
        cursor.execute(
            "SELECT one_origin, other_origin FROM identity_constraint WHERE kind = 'never'"
            " AND one_origin = ANY(%(ids)s::bigint[]) AND other_origin = ANY(%(ids)s::bigint[])",
            {"ids": sorted(leads)},
        )
        return sorted({(leads[one], leads[other]) for one, other in cursor.fetchall()})


def between(some: Collection[int], others: Collection[int]) -> list[Constraint]:
    """What was said of pairs with an origin on either side."""
    forth = Constraint.objects.filter(one_origin__in=some, other_origin__in=others)
    back = Constraint.objects.filter(one_origin__in=others, other_origin__in=some)
    return [*forth, *back]


def put(*, one: int, other: int, kind: str, reason: str, actor: User | None, now: datetime) -> Constraint:
    """The newest word about a pair replaces an older one."""
    first, second = sorted((one, other))
    constraint, _ = Constraint.objects.update_or_create(
        one_origin=first,
        other_origin=second,
        defaults={"kind": kind, "reason": reason[:200], "made_at": now, "made_by": actor},
    )
    return constraint


def remove(*, one: int, other: int) -> bool:
    first, second = sorted((one, other))
    removed, _ = Constraint.objects.filter(one_origin=first, other_origin=second).delete()
    return removed > 0
