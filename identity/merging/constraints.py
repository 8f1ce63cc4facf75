"""What people have said of pairs: never one person, or one person for certain. They hold between origins."""

from collections.abc import Collection
from datetime import datetime

from django.db import connection

from cdp.kernel.access.models import User
from identity.models import Constraint


def never_among(profile_ids: Collection[int]) -> list[tuple[int, int]]:
    """Pairs of these (leading) profiles of which a person has said that they are two."""
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH origin(id, leads) AS ("
            " SELECT u.id, u.id FROM unnest(%(ids)s::bigint[]) AS u(id)"
            " UNION ALL SELECT a.profile_id, a.canonical_id FROM profile_alias a WHERE a.canonical_id = ANY(%(ids)s)"
            ") SELECT DISTINCT one.leads, other.leads FROM origin one"
            " JOIN identity_constraint c ON c.one_origin = one.id AND c.kind = 'never'"
            " JOIN origin other ON other.id = c.other_origin ORDER BY 1, 2",
            {"ids": sorted(profile_ids)},
        )
        return [(one, other) for one, other in cursor.fetchall()]


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
