"""People as consent knows them: hashed identifiers, each with since when it is known as theirs."""

from collections.abc import Collection
from datetime import datetime

from django.db import connection

from consent.subjects import subject_hash
from identity.kinds.queries import other_spellings

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
