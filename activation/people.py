"""Who a delivery is about, as consent knows people: hashed identifiers, each with since when it is known as theirs."""

from collections.abc import Collection, Hashable, Iterable, Mapping
from datetime import datetime
from typing import TypeVar

from django.db import connection

from consent import queries as consent
from consent.contracts import Decision, Reason
from consent.subjects import subject_hash

Key = TypeVar("Key", bound=Hashable)

ALLOWED_WITHOUT_PURPOSE = Decision(allowed=True, reason=Reason.NOT_OBJECTED)

# An identifier that came by a merge is known as this person's since then at the earliest; which ones came by it is
# not kept, so the latest merge counts for all: stricter, never laxer.
_IDENTIFIERS = """
    WITH asked AS (
        SELECT asked.id, coalesce(alias.canonical_id, asked.id) AS leading_id
        FROM unnest(%s::bigint[]) AS asked(id) LEFT JOIN profile_alias AS alias ON alias.profile_id = asked.id
    ), merged AS (
        SELECT canonical_id, max(merged_at) AS at FROM profile_alias
        WHERE canonical_id IN (SELECT leading_id FROM asked) GROUP BY canonical_id
    )
    SELECT asked.id, known.kind, known.value, greatest(known.first_seen_at, merged.at)
    FROM asked
    JOIN profile_identifier AS known ON known.profile_id = asked.leading_id
    LEFT JOIN merged ON merged.canonical_id = asked.leading_id
"""


def subjects_of(profile_ids: Collection[int]) -> dict[int, dict[str, datetime]]:
    """Per profile id (absorbed ones are followed), the hashes of its identifiers and since when each is known."""
    people: dict[int, dict[str, datetime]] = {profile_id: {} for profile_id in profile_ids}
    with connection.cursor() as cursor:
        cursor.execute(_IDENTIFIERS, [sorted(people)])
        for profile_id, kind, value, since in cursor.fetchall():
            people[profile_id][subject_hash(kind, value)] = since
    return people


def decide_all(asked: Mapping[Key, tuple[int, int | None]], *, now: datetime) -> dict[Key, Decision]:
    """What consent says to each (profile id, purpose id): one question per purpose. No purpose needs no consent."""
    decisions = {key: ALLOWED_WITHOUT_PURPOSE for key, (_, purpose_id) in asked.items() if purpose_id is None}
    people = subjects_of({profile_id for profile_id, purpose_id in asked.values() if purpose_id is not None})
    for purpose in _purposes(asked.values()):
        members = {key: people[profile_id] for key, (profile_id, asks) in asked.items() if asks == purpose}
        decisions |= consent.decide_many(people=members, purpose_id=purpose, now=now)
    return decisions


def _purposes(asked: Iterable[tuple[int, int | None]]) -> list[int]:
    return sorted({purpose_id for _, purpose_id in asked if purpose_id is not None})
