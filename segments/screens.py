"""The screens of segments: the list, the page of one, and the fragments that keep that page live."""

import json
from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST
from django_htmx.http import HttpResponseClientRefresh, HttpResponseStopPolling

from cdp.kernel.access.roles import Scope
from cdp.kernel.screens import after_param, requires
from identity import queries as identity
from ingestion.dictionary.masking import Masker
from ingestion.dictionary.viewing import masker_for
from segments import lifecycle_screens, operations, people, queries, reading
from segments.contracts import TrendDay
from segments.errors import SegmentInUseError
from segments.explain import Explanation, explain, mask_value
from segments.insight import screens as insight
from segments.models import Segment
from segments.references import users_of
from segments.users import uses_of

MEMBERS_PAGE = 25
RANGES = (7, 30, 90, 365)
USUAL_RANGE = 30
WEEK_DAYS = 7
FEED = 12
WHY_FOUND = 5
UPLOADS = 10


# --- The page of one ----------------------------------------------------------------------------------------


@requires(Scope.SEGMENTS_READ)
def segment(request: HttpRequest, slug: str) -> HttpResponse:
    found = get_object_or_404(Segment.objects.select_related("created_by"), slug=slug)
    user: Any = request.user
    days = next((days for days in RANGES if str(days) == request.GET.get("days")), USUAL_RANGE)
    trend = queries.trend(segment=found, days=days, now=timezone.now())
    context = {
        **_live(request, found, trend),
        "sentence": queries.segment_sentence(found),
        "days": days,
        "ranges": RANGES,
        "size_chart": _chart(trend, {"name": "People", "data": [day.size for day in trend]})
        | {"marks": insight.publish_marks(found, trend)},
        "moves_chart": _chart(
            trend,
            {"name": "Entered", "data": [day.entered for day in trend], "colour": "green"},
            {"name": "Left", "data": [day.left for day in trend], "colour": "grey"},
        ),
        "outline": reading.outline(found.definition),
        "definition_json": json.dumps(found.definition, indent=2, ensure_ascii=False),
        **lifecycle_screens.story(found),
        "uploads": list(found.uploads.defer("body").select_related("created_by")[:UPLOADS]) if found.is_manual else [],
        **insight.page_context(request),
    }
    if user.may(Scope.PROFILES_READ):
        context |= _members(request, found)
        context["asked_about"] = after_param(request, "why")
    return render(request, "segments/detail.html", context)


def _live(request: HttpRequest, found: Segment, trend: Sequence[TrendDay]) -> dict[str, Any]:
    """The numbers and the feed, which the page asks for again every few seconds."""
    everybody = identity.count_profiles()
    return {
        "segment": found,
        "share": f"{found.member_count / everybody:.1%} of all profiles" if everybody else "",
        "entered": sum(day.entered for day in trend[-WEEK_DAYS:]),
        "left": sum(day.left for day in trend[-WEEK_DAYS:]),
        "named_in": users_of(found.slug),
        "other_uses": [use for use in uses_of(found) if use.kind not in {"segment", "destination"}],
        "subscriptions": list(found.subscriptions.select_related("destination").order_by("destination__name")),
        **insight.moves_context(request, found, limit=FEED),
    }


def _chart(trend: Sequence[TrendDay], *series: dict[str, Any]) -> dict[str, Any]:
    return {"x": [day.day.isoformat() for day in trend], "series": list(series), "time": "day", "axis": "Day"}


@requires(Scope.SEGMENTS_READ)
def status(request: HttpRequest, slug: str) -> HttpResponse:
    """Asked every second while the segment computes; once that is done the whole page is fetched again."""
    found = Segment.objects.select_related("computation").filter(slug=slug).first()
    if found is None:
        return _gone()
    if found.next is None or found.next.error:
        return HttpResponseClientRefresh()
    return render(request, "segments/status.html", {"segment": found})


def _gone() -> HttpResponse:
    """To a page that is open still, and asks again and again: it may stop."""
    return HttpResponseStopPolling('<p class="card-body text-secondary">This segment has been deleted.</p>')


@requires(Scope.SEGMENTS_READ)
def feed(request: HttpRequest, slug: str) -> HttpResponse:
    found = Segment.objects.filter(slug=slug).first()
    if found is None:
        return _gone()
    trend = queries.trend(segment=found, days=WEEK_DAYS, now=timezone.now())
    return render(request, "segments/live.html", _live(request, found, trend))


@requires(Scope.PROFILES_READ)
def members(request: HttpRequest, slug: str) -> HttpResponse:
    found = get_object_or_404(Segment, slug=slug)
    return render(request, "segments/members.html", {"segment": found, **_members(request, found)})


def _members(request: HttpRequest, found: Segment) -> dict[str, Any]:
    return insight.members_context(request, found, size=MEMBERS_PAGE)


@requires(Scope.PROFILES_READ)
def why(request: HttpRequest, slug: str) -> HttpResponse:
    """A fragment: why somebody is in the segment, or not; named by `profile`, or by `q`, which finds the person."""
    found = get_object_or_404(Segment, slug=slug)
    text = request.GET.get("q", "").strip()[:200]
    wanted = request.GET.get("profile", "")
    views = identity.search(text=wanted if wanted.isdigit() else text, limit=WHY_FOUND) if wanted or text else []
    masker = masker_for(request.user)
    context: dict[str, Any] = {"segment": found, "q": text, "asked": bool(wanted or text)}
    if views:
        answer = explain(segment=found, profile_id=views[0].id, traits=views[0].traits, now=timezone.now())
        shown = people.describe([view.id for view in views], masker=masker)
        context |= {"answer": answer, "line": _why_line(answer.explanation, masker)}
        context |= {"person": shown[0], "others": shown[1:]}
    return render(request, "segments/why.html", context)


def _why_line(part: Explanation, masker: Masker) -> dict[str, Any]:
    return {
        "part": part,
        "value": mask_value(part, masker),
        "parts": [_why_line(inner, masker) for inner in part.parts],
    }


@require_POST
@requires(Scope.SEGMENTS_READ, write=Scope.SEGMENTS_WRITE)
def recompute(request: HttpRequest, slug: str) -> HttpResponse:  # noqa: ARG001 - a view takes its request
    """Try again where computing failed."""
    operations.request_recompute(segment_id=get_object_or_404(Segment, slug=slug).pk, now=timezone.now())
    return redirect("segments:detail", slug)


@require_POST
@requires(Scope.SEGMENTS_READ, write=Scope.SEGMENTS_WRITE)
def delete(request: HttpRequest, slug: str) -> HttpResponse:
    found = get_object_or_404(Segment, slug=slug)
    try:
        operations.delete_segment(segment_id=found.pk)
    except SegmentInUseError as error:
        messages.error(request, error.message)
        return redirect("segments:detail", slug)
    messages.success(request, f"“{found.name}” is deleted.")
    return redirect("segments:list")
