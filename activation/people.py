"""Who a delivery is about, as consent knows people: hashed identifiers, each with since when it is known as theirs."""

from collections.abc import Collection, Hashable, Iterable, Mapping
from datetime import datetime
from typing import TypeVar

from django.db import connection

from consent import queries as consent
from consent.contracts import Decision, Reason
from consent.subjects import subject_hash
from identity.kinds.queries import other_spellings

Key = TypeVar("Key", bound=Hashable)

ALLOWED_WITHOUT_PURPOSE = Decision(allowed=True, reason=Reason.NOT_OBJECTED)

# Three plain statements, each answered by one index, whatever the planner knows of tables that were just filled.
_ABSORBED = "SELECT profile_id, canonical_id FROM profile_alias WHERE profile_id = ANY(%s)"
_MERGED = "SELECT canonical_id, max(merged_at) FROM profile_alias WHERE canonical_id = ANY(%s) GROUP BY canonical_id"
_IDENTIFIERS = "SELECT profile_id, kind, value, first_seen_at FROM profile_identifier WHERE profile_id = ANY(%s)"


def subjects_of(profile_ids: Collection[int]) -> dict[int, dict[str, datetime]]:
    """Per profile id (absorbed ones are followed), the hashes of its identifiers and since when each is known.

    An identifier that came by a merge is known as this person's since then at the earliest. Which ones came by it
    is not kept, so the latest merge counts for all of them: stricter, never laxer.
    """
    if not profile_ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_ABSORBED, [sorted(profile_ids)])
        absorbed = dict(cursor.fetchall())
        leading = {profile_id: absorbed.get(profile_id, profile_id) for profile_id in profile_ids}
        cursor.execute(_MERGED, [sorted(set(leading.values()))])
        merged = dict(cursor.fetchall())
        cursor.execute(_IDENTIFIERS, [sorted(set(leading.values()))])
        held = cursor.fetchall()
    spellings = other_spellings({(kind, value) for _, kind, value, _ in held})
    known: dict[int, dict[str, datetime]] = {}
    for profile_id, kind, value, since in held:
        at = max(since, merged.get(profile_id, since))
        for said in (value, *spellings.get((kind, value), ())):
            known.setdefault(profile_id, {})[subject_hash(kind, said)] = at
    return {profile_id: known.get(leads, {}) for profile_id, leads in leading.items()}


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
