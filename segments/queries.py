"""What can be asked of segments. Everything about who is in reads membership and transition, so it agrees."""

import time
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, Q, QuerySet
from django.db.models.functions import TruncDate

from ingestion.models import EventName
from segments.ast import All as AllOf
from segments.ast import Any as AnyOf
from segments.ast import DefinitionError, Node, parse
from segments.ast.times import local_day, start_of
from segments.columnar.ask import ask
from segments.compile import compile_breakdown, compile_members
from segments.contracts import (
    Member,
    MoveOfProfile,
    Part,
    Preview,
    SegmentOfProfile,
    SegmentOverview,
    TransitionView,
    TrendDay,
)
from segments.dependencies import streams_of
from segments.engine import fetch, limited_population, load_dictionary, plan_at
from segments.errors import SegmentNotFoundError
from segments.models import Membership, Segment, Transition
from segments.plan import conditions
from segments.references import expand
from segments.sentence import phrase, sentence
from segments.sql import sql

PREVIEW_SECONDS = 10
MAX_SAMPLE = 100
SPARKLINE_DAYS = 7


# --- Definitions that need not be saved ---------------------------------------------------------------------


def preview(*, definition: Any, as_of: datetime, sample: int = 10, breakdown: bool = False) -> Preview:
    """Count who is in at `as_of` (traits as they are now), with some of them; exact, or an error when too slow."""
    started = time.perf_counter()
    node, most = parse(definition), min(sample, MAX_SAMPLE)
    with limited_population(timeout_seconds=PREVIEW_SECONDS):
        found = _from_arrays(node, as_of, most, breakdown=breakdown)
        if found is None:
            found = (*_count(node, as_of, most), *(_breakdown(node, as_of) if breakdown else (None, ())))
    count, sample_ids, total, parts = found
    took_ms = round((time.perf_counter() - started) * 1_000)
    return Preview(count, sample_ids, sentence(node), took_ms, total, parts)


_Found = tuple[int, tuple[int, ...], int | None, tuple[Part, ...]]


def _from_arrays(node: Node, as_of: datetime, sample: int, *, breakdown: bool) -> _Found | None:
    """Everything at once; None where SQL is to be asked."""
    parts = _Parts(node)
    roots = [parts.whole, *(parts.alone + parts.together if breakdown else ())]
    crowd = ask(roots, now=as_of, seconds=PREVIEW_SECONDS)
    if crowd is None:
        return None
    count, *counts = crowd.counts()
    found = parts.told(counts) if breakdown else ()
    return count, crowd.some(of=0, limit=sample), len(crowd.ids) if breakdown else None, found


_COUNT = """
WITH matching AS MATERIALIZED ({members})
SELECT (SELECT count(*) FROM matching), ARRAY(SELECT profile_id FROM matching LIMIT {sample})
"""


def _count(node: Node, as_of: datetime, sample: int) -> tuple[int, tuple[int, ...]]:
    node = expand(node)
    members = compile_members(plan_at(node, now=as_of), load_dictionary(node))
    ((count, ids),) = fetch(sql(_COUNT, members=members, sample=sample))
    return count, tuple(ids)


def _breakdown(node: Node, as_of: datetime) -> tuple[int, tuple[Part, ...]]:
    parts = _Parts(node)
    whole = parts.whole
    query = compile_breakdown(plan_at(whole, now=as_of), load_dictionary(whole), (*parts.alone, *parts.together))
    ((total, *counts),) = fetch(query)
    return total, parts.told(counts)


class _Parts:
    """The top-level conditions of a definition, each alone, and each with those before it; expanded."""

    def __init__(self, node: Node) -> None:
        self.named = node.of if isinstance(node, AllOf | AnyOf) else (node,)
        group = AnyOf if isinstance(node, AnyOf) else AllOf
        self.alone = tuple(expand(part) for part in self.named)
        self.together = tuple(group(self.alone[: place + 1]) for place in range(len(self.named)))
        self.whole = group(self.alone)

    def told(self, counts: Sequence[int]) -> tuple[Part, ...]:
        """How many each leaves; `counts` are those of `alone`, then those of `together`."""
        rows = zip(self.named, counts[: len(self.named)], counts[len(self.named) :], strict=True)
        return tuple(Part(phrase(part), alone, cumulative) for part, alone, cumulative in rows)


def unknown_events(node: Node) -> list[str]:
    """Names in a definition that no event has borne yet, by name."""
    names = {name for part in conditions(node) for stream in streams_of(part) for name in stream.events}
    return sorted(names - set(EventName.objects.filter(name__in=names).values_list("name", flat=True)))


# --- Segments -----------------------------------------------------------------------------------------------


def get_segment(*, slug: str) -> Segment:
    segment = Segment.objects.filter(slug=slug).first()
    if segment is None:
        raise SegmentNotFoundError(f"There is no segment “{slug}”.")
    return segment


def segment_sentence(segment: Segment) -> str:
    return sentence_of(segment.definition)


def sentence_of(definition: Any) -> str:
    """What is stored was read once; should the language have changed since, or a draft be unfinished, it says so."""
    try:
        return sentence(parse(definition))
    except DefinitionError as error:
        return error.message


def segments() -> QuerySet[Segment]:
    return Segment.objects.select_related("computation", "draft").order_by("name", "pk")


def overview(
    *, now: datetime, days: int = SPARKLINE_DAYS, among: Iterable[Segment] | None = None
) -> list[SegmentOverview]:
    """Every segment, or these, with its size and its last days, for the list."""
    found = list(segments() if among is None else among)
    moves = _moves([segment.pk for segment in found], days=days, now=now)
    return [
        SegmentOverview(
            id=segment.pk,
            slug=segment.slug,
            name=segment.name,
            description=segment.description,
            sentence=segment_sentence(segment),
            state=segment.state,
            error=segment.error,
            member_count=segment.member_count,
            computed_at=segment.computed_at,
            folder=segment.folder,
            tags=tuple(segment.tags),
            version=segment.version,
            next_version=segment.next.number if segment.next and not segment.next.error else None,
            next_failed=bool(segment.next and segment.next.error),
            has_draft=hasattr(segment, "draft"),
            days=_trend(segment.member_count, moves.get(segment.pk, {}), days=days, now=now),
        )
        for segment in found
    ]


# --- Who is in ----------------------------------------------------------------------------------------------


def members(
    *,
    segment_id: int,
    limit: int,
    after: tuple[datetime, int] | None = None,
    profile_ids: Sequence[int] | None = None,
) -> list[Member]:
    """The newest first. `after` is the last one of the page before; `profile_ids` are what a search found."""
    found = Membership.objects.filter(segment_id=segment_id)
    if profile_ids is not None:
        found = found.filter(profile_id__in=profile_ids)
    if after is not None:
        entered_at, profile_id = after
        found = found.filter(entered_at__lte=entered_at).exclude(entered_at=entered_at, profile_id__lte=profile_id)
    rows = found.order_by("-entered_at", "profile_id").values_list("profile_id", "entered_at")
    return [Member(profile_id, entered_at) for profile_id, entered_at in rows[:limit]]


def transitions(*, segment_id: int, limit: int, before: tuple[datetime, int] | None = None) -> list[TransitionView]:
    """The newest first. `before` is `(at, id)` of the last one of the page before."""
    found = Transition.objects.filter(segment_id=segment_id)
    if before is not None:
        found = found.filter(at__lte=before[0]).exclude(at=before[0], id__gte=before[1])
    return [
        TransitionView(row.id, row.profile_id, row.kind, row.at, row.cause, row.version)
        for row in found.order_by("-at", "-id")[:limit]
    ]


def moves_of_profile(*, profile_id: int, since: datetime, until: datetime, limit: int = 50) -> list[MoveOfProfile]:
    """The segments that a person entered and left between two instants, in that order."""
    found = Transition.objects.filter(profile_id=profile_id, at__gte=since, at__lte=until).select_related("segment")
    return [
        MoveOfProfile(row.segment.slug, row.segment.name, row.kind, row.at, row.get_cause_display())
        for row in found.order_by("at", "id")[:limit]
    ]


def segments_of_profile(*, profile_id: int) -> list[SegmentOfProfile]:
    rows = Membership.objects.filter(profile_id=profile_id).select_related("segment").order_by("-entered_at")
    return [SegmentOfProfile(row.segment.pk, row.segment.slug, row.segment.name, row.entered_at) for row in rows]


# --- How it moves -------------------------------------------------------------------------------------------

Moves = dict[date, tuple[int, int]]  # day -> entered, left


def trend(*, segment: Segment, days: int, now: datetime) -> list[TrendDay]:
    """The last `days` days, today last; days begin in the deployment's time zone."""
    moves = _moves([segment.pk], days=days, now=now)
    return list(_trend(segment.member_count, moves.get(segment.pk, {}), days=days, now=now))


def _moves(segment_ids: list[int], *, days: int, now: datetime) -> dict[int, Moves]:
    first = local_day(now, settings.TIME_ZONE) - timedelta(days=days - 1)
    found = (
        Transition.objects.filter(segment_id__in=segment_ids, at__gte=start_of(first, settings.TIME_ZONE))
        .values("segment_id", day=TruncDate("at"))
        .annotate(
            entered=Count("id", filter=Q(kind=Transition.Kind.ENTERED)),
            left=Count("id", filter=Q(kind=Transition.Kind.LEFT)),
        )
        .order_by()
    )
    moves: dict[int, Moves] = {}
    for row in found:
        moves.setdefault(row["segment_id"], {})[row["day"]] = (row["entered"], row["left"])
    return moves


def _trend(size: int, moves: Moves, *, days: int, now: datetime) -> tuple[TrendDay, ...]:
    """Backwards from today's size, so that the chart ends on the number that the page shows."""
    today = local_day(now, settings.TIME_ZONE)
    trend_days: list[TrendDay] = []
    for back in range(days):
        day = today - timedelta(days=back)
        entered, left = moves.get(day, (0, 0))
        trend_days.append(TrendDay(day, entered, left, size))
        size -= entered - left
    return tuple(reversed(trend_days))
