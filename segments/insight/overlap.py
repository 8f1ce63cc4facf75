"""Who is in which of several sets: pairs with their likeness, and every combination for a picture after UpSet.

Lex et al., "UpSet: Visualization of Intersecting Sets", IEEE TVCG 2014: combinations as rows of a matrix of dots with
a bar each, which stays readable where circles do not. A combination counts the people who are in exactly these sets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict

from segments.engine import fetch
from segments.insight.errors import TooManySegmentsError, UnknownSegmentError
from segments.insight.people import of_segment
from segments.models import Segment
from segments.sql import Sql, sql

MOST_SETS = 6
SUGGESTED = 4
SAMPLE = 2_000
"""People among whom the most overlapping segments are looked for; the overlaps themselves count everybody."""


@dataclass(frozen=True)
class Pair:
    """Another segment beside these people: how many are in both, and how alike the two sets are."""

    segment: Segment
    size: int
    both: int
    people: int

    @property
    def jaccard(self) -> float:
        """Of those in either, the share in both."""
        either = self.people + self.size - self.both
        return self.both / either if either else 0.0

    @property
    def share(self) -> float:
        """Of these people, the share in the other segment."""
        return self.both / self.people if self.people else 0.0

    @property
    def share_of_other(self) -> float:
        return self.both / self.size if self.size else 0.0


@dataclass(frozen=True)
class Combination:
    """People in exactly these sets of all that are compared: `inside` and `outside` are slugs."""

    inside: tuple[str, ...]
    outside: tuple[str, ...]
    count: int


@dataclass(frozen=True)
class Overlap:
    """`pairs` are of the first of the sets and each of the others, the largest overlap first."""

    sets: list[Segment]
    combinations: list[Combination]
    pairs: list[Pair]


def chosen(slugs: Sequence[str], *, beside: Segment | None = None) -> list[Segment]:
    """The segments of these slugs in this order, each once, without `beside`.

    Raises:
        TooManySegmentsError, UnknownSegmentError
    """
    wanted = [slug for slug in dict.fromkeys(slugs) if beside is None or slug != beside.slug]
    if len(wanted) >= MOST_SETS:
        raise TooManySegmentsError(f"Choose {MOST_SETS - 1} segments at most.", path="/with")
    found = {segment.slug: segment for segment in Segment.objects.filter(slug__in=wanted)}
    missing = [slug for slug in wanted if slug not in found]
    if missing:
        raise UnknownSegmentError(f"There is no segment “{missing[0]}”.", path="/with")
    return [found[slug] for slug in wanted]


def most_overlapping(*, people: Sql, without: int | None = None, limit: int = SUGGESTED) -> list[Segment]:
    """The segments that most of `people` are in too, looked for among some of them."""
    rows = fetch(sql(_SUGGEST, people=people, sample=SAMPLE, without=without or 0, limit=limit))
    found = Segment.objects.in_bulk([segment_id for segment_id, _ in rows])
    return [found[segment_id] for segment_id, _ in rows if segment_id in found]


_SUGGEST = """
WITH some_people AS MATERIALIZED
     (SELECT profile_id FROM ({people}) AS b ORDER BY hashint8(profile_id), profile_id LIMIT {sample})
SELECT m.segment_id, count(*) FROM membership AS m
WHERE m.profile_id IN (SELECT profile_id FROM some_people) AND m.segment_id <> {without}
GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {limit}
"""


def pairs(*, people: Sql, others: Sequence[Segment]) -> list[Pair]:
    """Each of `others` beside these people, the largest overlap first. To be asked in one snapshot."""
    return _pairs(_counted(people, *map(of_segment, others)), others)


def combine(sets: Sequence[Segment]) -> Overlap:
    """Every combination of these segments that somebody is in, the largest first. To be asked in one snapshot."""
    counted = _counted(*map(of_segment, sets))
    slugs = [segment.slug for segment in sets]
    found = [
        Combination(
            tuple(slug for place, slug in enumerate(slugs) if mask >> place & 1),
            tuple(slug for place, slug in enumerate(slugs) if not mask >> place & 1),
            count,
        )
        for mask, count in sorted(counted.items(), key=lambda one: (-one[1], one[0]))
    ]
    return Overlap(list(sets), found, _pairs(counted, sets[1:]))


def _counted(*sets: Sql) -> dict[int, int]:
    from segments.insight.marks import combinations

    return combinations(sets)


def _pairs(counted: Mapping[int, int], others: Sequence[Segment]) -> list[Pair]:
    """The people are the first set, and the others follow."""

    def within(bits: int) -> int:
        return sum(count for mask, count in counted.items() if mask & bits == bits)

    found = [Pair(one, within(2 << place), within(2 << place | 1), within(1)) for place, one in enumerate(others)]
    return sorted(found, key=lambda pair: (-pair.both, pair.segment.slug))


def exactly(*, inside: Sequence[Segment], outside: Sequence[Segment]) -> Sql:
    """`(profile_id)` of the people in all of the first and none of the others."""
    if not inside:
        raise UnknownSegmentError("Name a segment that they are in.", path="/in")
    first, *rest = inside
    conditions = [sql("m.profile_id IN ({other})", other=of_segment(other)) for other in rest]
    conditions += [
        sql(
            "NOT EXISTS (SELECT FROM membership AS o WHERE o.segment_id = {other} AND o.profile_id = m.profile_id)",
            other=other.pk,
        )
        for other in outside
    ]
    people = sql("SELECT m.profile_id FROM membership AS m WHERE m.segment_id = {first}", first=first.pk)
    for condition in conditions:
        people = sql("{people} AND {condition}", people=people, condition=condition)
    return people


def combination_in(query: QueryDict) -> dict[str, Any] | None:
    """The definition of the combination that an address names by `in` and `not`; None where it names none."""
    inside, outside = query.getlist("in"), query.getlist("not")
    return definition_of(inside=inside, outside=outside) if inside else None


def definition_of(*, inside: Sequence[str], outside: Sequence[str]) -> dict[str, Any]:
    """A segment of exactly these people, in the language of definitions."""
    named = [{"type": "segment", "segment": slug} for slug in inside]
    avoided = [{"type": "segment", "segment": slug} for slug in outside]
    if not avoided:
        return {"type": "all", "of": named}
    nobody_of = avoided[0] if len(avoided) == 1 else {"type": "any", "of": avoided}
    return {"type": "all", "of": [*named, {"type": "not", "of": nobody_of}]}
