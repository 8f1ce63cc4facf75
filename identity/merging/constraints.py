"""What people have said of pairs: never one person, or one person for certain. They hold between origins."""

from collections.abc import Collection
from datetime import datetime

from cdp.kernel.access.models import User
from cdp.kernel.prepared import Prepared, array
from identity.models import Constraint


def never_among(profile_ids: Collection[int]) -> list[tuple[int, int]]:
    """Pairs of these (leading) profiles of which a person has said that they are two."""
    return sorted(set(_NEVER.rows(array(profile_ids))))


NEVER = """
WITH origin AS MATERIALIZED (
  SELECT id, id AS leads FROM unnest($1) AS u(id)
  UNION ALL SELECT profile_id, canonical_id FROM profile_alias WHERE canonical_id = ANY($1)
)
SELECT one.leads AS one, other.leads AS other FROM identity_constraint c
  JOIN origin one ON one.id = c.one_origin JOIN origin other ON other.id = c.other_origin
WHERE c.kind = 'never' AND c.one_origin = ANY(ARRAY(SELECT id FROM origin))
  AND c.other_origin = ANY(ARRAY(SELECT id FROM origin))
"""
"""The same of the profiles `$1`, for a statement that asks more."""
_NEVER = Prepared("never_among", ["bigint[]"], NEVER)


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
