"""Cards of a segment's page: breakdown, overlap, members with their columns, and who moved."""

from collections.abc import Callable, Sequence
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET

from cdp.kernel.access.roles import Scope
from cdp.kernel.errors import TributaryError
from cdp.kernel.screens import requires
from identity import queries as identity
from ingestion.dictionary.viewing import masker_for
from segments import people as persons
from segments.ast.times import local_day, start_of
from segments.contracts import TrendDay
from segments.engine import fetch
from segments.insight import overlap as sets
from segments.insight.breakdown import break_down
from segments.insight.columns import chosen_by, offered, remember
from segments.insight.members import members_page
from segments.insight.moves import Wanted, latest_moves
from segments.insight.people import asked, of_segment
from segments.insight.pictures import lines_of, rows_of
from segments.models import Segment
from segments.sql import Sql, sql

TRAITS_OFFERED = 60
SEGMENTS_OFFERED = 200
PEOPLE_SHOWN = 10


def asker_of(request: HttpRequest, what: str) -> str:
    """Whose question this is: a newer one of the same page and part takes its place."""
    given = request.headers.get("X-Asker", "")
    return f"{request.user.pk} {given} {what}" if given else ""


def offered_traits() -> list[str]:
    return [found.value for found in identity.trait_names(limit=TRAITS_OFFERED)]


@require_GET
@requires(Scope.PROFILES_READ)
def breakdown(request: HttpRequest, slug: str) -> HttpResponse:
    segment = get_object_or_404(Segment, slug=slug)
    trait = request.GET.get("trait", "").strip()[:200]
    context: dict[str, Any] = {"trait": trait}
    if trait:
        context |= breakdown_context(request, lambda: of_segment(segment), trait)
    return render(request, "segments/insight/breakdown.html", context)


def breakdown_context(request: HttpRequest, people: Callable[[], Sql], trait: str) -> dict[str, Any]:
    """`people` is called within the time that the question may take."""
    try:
        with asked(asker=asker_of(request, "breakdown")):
            found = break_down(people=people(), trait=trait, masker=masker_for(request.user))
    except TributaryError as error:
        return {"problem": error.message}
    return {"found": found, "lines": lines_of(found)}


@require_GET
@requires(Scope.SEGMENTS_READ)
def overlap(request: HttpRequest, slug: str) -> HttpResponse:
    segment = get_object_or_404(Segment, slug=slug)
    others = Segment.objects.exclude(pk=segment.pk).exclude(state__in=Segment.AT_REST).order_by("name")
    context: dict[str, Any] = {
        "segment": segment,
        "offered": list(others[:SEGMENTS_OFFERED]),
        "most": sets.MOST_SETS - 1,
    }
    try:
        with asked(asker=asker_of(request, "overlap")):
            context |= _overlap_context(request, segment)
    except TributaryError as error:
        context["problem"] = error.message
    return render(request, "segments/insight/overlap.html", context)


def _overlap_context(request: HttpRequest, segment: Segment) -> dict[str, Any]:
    people = of_segment(segment)
    others = sets.chosen(request.GET.getlist("with"), beside=segment)
    if not others and "chosen" not in request.GET:
        others = sets.most_overlapping(people=people, without=segment.pk)
    found = sets.combine([segment, *others])
    return {
        "chosen": [one.slug for one in others],
        "sets": found.sets,
        "rows": rows_of(found),
        "pairs": found.pairs,
    }


@require_GET
@requires(Scope.SEGMENTS_READ)
def combination(request: HttpRequest) -> HttpResponse:
    """Some of the people in exactly these segments, and the way to a segment of them."""
    user: Any = request.user
    context: dict[str, Any] = {}
    try:
        inside, outside = sets.chosen(request.GET.getlist("in")), sets.chosen(request.GET.getlist("not"))
        with asked():
            people = sets.exactly(inside=inside, outside=outside)
            ids = [id_ for (id_,) in fetch(sql("{people} ORDER BY 1 LIMIT {most}", people=people, most=PEOPLE_SHOWN))]
            ((count,),) = fetch(sql("SELECT count(*) FROM ({people}) AS b", people=people))
    except TributaryError as error:
        context["problem"] = error.message
    else:
        context |= {"inside": inside, "outside": outside, "count": count, "more": count - len(ids)}
        if user.may(Scope.PROFILES_READ):
            context["people"] = persons.describe(ids, masker=masker_for(user))
    return render(request, "segments/insight/combination.html", context)


# --- Members ------------------------------------------------------------------------------------------------


def members_context(request: HttpRequest, segment: Segment, *, size: int) -> dict[str, Any]:
    text, sort = request.GET.get("q", "").strip()[:200], request.GET.get("sort", "")[:250]
    after = request.GET.get("after", "")
    context: dict[str, Any] = {"q": text, "after": after, "sort": sort, "columns": chosen_by(request.user)}
    try:
        context["page"] = members_page(
            segment,
            text=text,
            sort=sort,
            after=after,
            columns=context["columns"],
            size=size,
            masker=masker_for(request.user),
        )
    except TributaryError as error:
        context["problem"] = error.message
    return context


@requires(Scope.PROFILES_READ)
def columns(request: HttpRequest, slug: str) -> HttpResponse:
    """What can stand beside members; posted, what shall, remembered for this person and all segments."""
    segment = get_object_or_404(Segment, slug=slug)
    if request.method == "POST":
        try:
            remember(user=request.user, keys=request.POST.getlist("column"))
        except TributaryError as error:
            messages.error(request, error.message)
        return redirect(f"{reverse('segments:detail', args=[segment.slug])}#members-title")
    chosen = chosen_by(request.user)
    keys = {one.key for one in chosen}
    others = [one for one in offered() if one.key not in keys]
    context = {"segment": segment, "choices": [(one, one.key in keys) for one in [*chosen, *others]]}
    return render(request, "segments/insight/columns.html", context)


# --- Who moved ----------------------------------------------------------------------------------------------


def moves_context(request: HttpRequest, segment: Segment, *, limit: int) -> dict[str, Any]:
    wanted = Wanted(request.GET.get("move", ""), request.GET.get("who", "").strip()[:200])
    moves = latest_moves(segment, wanted=wanted, limit=limit, masker=masker_for(request.user))
    return {"moves": moves, "wanted": wanted}


# --- The chart ----------------------------------------------------------------------------------------------


def publish_marks(segment: Segment, trend: Sequence[TrendDay]) -> list[dict[str, str]]:
    """On which of these days versions were published."""
    first = start_of(trend[0].day, settings.TIME_ZONE)
    rows = segment.versions.filter(published_at__gte=first).order_by("number").values_list("number", "published_at")
    days: dict[str, list[int]] = {}
    for number, published_at in rows:
        if published_at:
            days.setdefault(local_day(published_at, settings.TIME_ZONE).isoformat(), []).append(number)
    return [{"x": day, "label": f"Version {' and '.join(map(str, numbers[-2:]))}"} for day, numbers in days.items()]


def page_context(request: HttpRequest) -> dict[str, Any]:
    """What the cards of the page offer."""
    user: Any = request.user
    may_export = user.may(Scope.PROFILES_READ) and user.may(Scope.PII_READ)
    return {"traits": offered_traits(), "may_export": may_export}
