"""The set-wise steps that change who is given to a segment. The caller holds the segment's row."""

from collections.abc import Collection, Sequence
from datetime import datetime

from identity.models import ProfileAlias
from segments.changes import ProfileChange, note_changes
from segments.dependencies import given_key
from segments.engine import fetch, run
from segments.models import Segment
from segments.sql import Sql, sql

_LED = "coalesce(a.canonical_id, g.origin_id)"

# Of each profile that is not in yet, one origin; whoever exists no more is left out.
_GIVE = f"""
WITH wanted AS (
    SELECT DISTINCT ON (p.id) o.id AS origin_id, p.id AS profile_id
    FROM unnest({{origins}}::bigint[]) AS o(id)
    LEFT JOIN profile_alias AS a ON a.profile_id = o.id
    JOIN profile AS p ON p.id = coalesce(a.canonical_id, o.id)
    ORDER BY p.id, o.id
), present AS (
    SELECT {_LED} AS profile_id
    FROM given_member AS g LEFT JOIN profile_alias AS a ON a.profile_id = g.origin_id
    WHERE g.segment_id = {{segment}}
)
INSERT INTO given_member (origin_id, segment_id, given_at, upload_id)
SELECT w.origin_id, {{segment}}, {{now}}, {{upload}}::bigint FROM wanted AS w
WHERE NOT EXISTS (SELECT FROM present WHERE present.profile_id = w.profile_id)
ORDER BY w.origin_id
ON CONFLICT DO NOTHING
RETURNING origin_id
"""

_TAKE = f"""
DELETE FROM given_member AS t USING (
    SELECT g.origin_id FROM given_member AS g LEFT JOIN profile_alias AS a ON a.profile_id = g.origin_id
    WHERE g.segment_id = {{segment}} AND {_LED} {{which}} ({{profiles}}::bigint[])
) AS gone
WHERE t.segment_id = {{segment}} AND t.origin_id = gone.origin_id
RETURNING t.origin_id
"""


def give(*, segment: Segment, origins: Collection[int], upload_id: int | None = None, now: datetime) -> list[int]:
    """Put in whom these origins lead to; returns the origins of those who were not in."""
    rows = fetch(sql(_GIVE, origins=sorted(origins), segment=segment.pk, now=now, upload=upload_id))
    added = [row[0] for row in rows]
    note(segment, added)
    return added


def take(*, segment: Segment, profile_ids: Collection[int], others: bool = False) -> list[int]:
    """Take these profiles out, or with `others` everybody but them; returns the origins that were given."""
    which = Sql("<> ALL" if others else "= ANY")
    rows = fetch(sql(_TAKE, segment=segment.pk, profiles=sorted(profile_ids), which=which))
    removed = [row[0] for row in rows]
    note(segment, removed)
    return removed


def take_origins(*, segment: Segment, origins: Collection[int], upload_id: int) -> list[int]:
    """Take out those of these origins that this upload put in, and that nobody put in again since."""
    delete = (
        "DELETE FROM given_member WHERE segment_id = {segment} AND origin_id = ANY ({origins}::bigint[])"
        " AND upload_id = {upload} RETURNING origin_id"
    )
    rows = fetch(sql(delete, segment=segment.pk, origins=sorted(origins), upload=upload_id))
    removed = [row[0] for row in rows]
    note(segment, removed)
    return removed


def note(segment: Segment, origins: Sequence[int]) -> None:
    """Have the segment, and those that name it, asked about the people that these origins lead to."""
    nothing: frozenset[int] = frozenset()
    named = frozenset({given_key(segment.slug)})
    note_changes(
        ProfileChange(id_, events=nothing, traits=named, merged=False, created=False)
        for id_ in sorted(set(led_by(origins).values()))
    )


def led_by(origins: Collection[int]) -> dict[int, int]:
    """The profile that each of these origins leads to now."""
    aliases = ProfileAlias.objects.filter(profile_id__in=list(origins)).values_list("profile_id", "canonical_id")
    return {origin: origin for origin in origins} | dict(aliases)


def record_effects(*, upload_id: int, origins: Collection[int], added: bool) -> None:
    insert = (
        "INSERT INTO segment_upload_effect (upload_id, origin_id, added)"
        " SELECT {upload}, o.id, {added} FROM unnest({origins}::bigint[]) AS o(id) ORDER BY o.id"
        " ON CONFLICT DO NOTHING"
    )
    run(sql(insert, upload=upload_id, added=added, origins=sorted(origins)))
