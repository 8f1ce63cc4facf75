"""Members of manual segments as SQL: joins named g0, g1 and so on, whose `profile_id` is NULL for who is none.

A member is an origin (decision 6), so merges and their undoing move nothing: who an origin leads to is looked up.
"""

from collections.abc import Iterable, Sequence

from segments.sql import Sql, sql

_OF = "g.segment_id = (SELECT id FROM segments_segment WHERE slug = {slug})"

_TO_ALL = (
    "LEFT JOIN (SELECT DISTINCT coalesce(a.canonical_id, g.origin_id) AS profile_id FROM given_member AS g"
    f" LEFT JOIN profile_alias AS a ON a.profile_id = g.origin_id WHERE {_OF})"
)

# The profile itself is asked for first, since nearly everybody is one origin only.
_TO_ONE = (
    "LEFT JOIN LATERAL (SELECT i.id AS profile_id"
    f" WHERE EXISTS (SELECT FROM given_member AS g WHERE g.origin_id = i.id AND {_OF})"
    " OR EXISTS (SELECT FROM profile_alias AS a JOIN given_member AS g ON g.origin_id = a.profile_id"
    f" WHERE a.canonical_id = i.id AND {_OF}))"
)


def given_to_all(slugs: Sequence[str]) -> Iterable[Sql]:
    """For everybody: one grouped set for each segment, joined by hash."""
    return (sql(f"{_TO_ALL} AS g{place} ON g{place}.profile_id = p.id", slug=slug) for place, slug in enumerate(slugs))


def given_to_one(slugs: Sequence[str]) -> Iterable[Sql]:
    """For a few profiles: looked up by key for each."""
    return (sql(f"{_TO_ONE} AS g{place} ON true", slug=slug) for place, slug in enumerate(slugs))
