"""The builder's screens: a new segment, an edit, and what the builder asks for while somebody builds."""

import hashlib
import json
from typing import Any

from django import forms
from django.contrib import messages
from django.core.cache import cache
from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.text import slugify
from django.views.decorators.http import require_GET, require_POST

from cdp.kernel.access.roles import Scope
from cdp.kernel.errors import TributaryError
from cdp.kernel.forms import StyledForm
from cdp.kernel.screens import check_access, requires
from consent.models import Purpose
from identity import queries as identity
from ingestion.dictionary.viewing import masker_for
from segments import dictionary, lifecycle, operations, people, queries
from segments.ast import parse
from segments.gallery import offered
from segments.insight import panel
from segments.insight.overlap import combination_in
from segments.models import Segment
from segments.warnings import warnings

EMPTY: dict[str, Any] = {"type": "all", "of": []}
ADDRESSES_IN_USE = frozenset({"new", "builder"})
SUGGESTIONS_FRESH_SECONDS = 30
SAMPLE = 5
MOST_WARNINGS = 3


class SegmentForm(StyledForm):
    name = forms.CharField(max_length=operations.MAX_NAME)
    description = forms.CharField(max_length=operations.MAX_DESCRIPTION, required=False)
    definition = forms.JSONField(widget=forms.HiddenInput)


@requires(Scope.SEGMENTS_WRITE)
def new(request: HttpRequest) -> HttpResponse:
    user: Any = request.user
    form = SegmentForm(request.POST or None)
    problem = None
    if form.is_valid():
        slug = slugify(form.cleaned_data["name"])
        try:
            segment = lifecycle.create(
                as_draft=_is_draft(request),
                slug=f"{slug}-segment" if slug in ADDRESSES_IN_USE else "",
                user=user,
                now=timezone.now(),
                **form.cleaned_data,
            )
        except TributaryError as error:
            problem = error
        else:
            kept = "is kept as a draft" if _is_draft(request) else "is published"
            messages.success(request, f"“{segment.name}” {kept}.")
            return redirect("segments:detail", segment.slug)
    purposes = Purpose.objects.filter(kind=Purpose.Kind.ACTIVATION).order_by("pk").values_list("slug", flat=True)
    gallery = offered(list(purposes))
    context = {
        "gallery": gallery,
        "templates": [template.as_dict() for template in gallery],
        "chosen": request.GET.get("template", ""),
    }
    given = combination_in(request.GET) or EMPTY
    return _show_editor(request, form, problem, definition=given, **context)


@requires(Scope.SEGMENTS_WRITE)
def edit(request: HttpRequest, slug: str) -> HttpResponse:
    """The draft if there is one, else what was asked for last."""
    user: Any = request.user
    segment = get_object_or_404(Segment.objects.select_related("computation", "draft__saved_by"), slug=slug)
    if segment.is_manual:
        return redirect("segments:detail", slug)
    draft = getattr(segment, "draft", None)
    shown: Any = draft or segment
    form = SegmentForm(request.POST or None, initial={"name": shown.name, "description": shown.description})
    problem = None
    if form.is_valid():
        keep = lifecycle.save_draft if _is_draft(request) else lifecycle.publish_edit
        try:
            keep(segment_id=segment.pk, user=user, now=timezone.now(), **form.cleaned_data)
        except TributaryError as error:
            problem = error
        else:
            messages.success(request, _saved(form.cleaned_data["name"], segment, as_draft=_is_draft(request)))
            return redirect("segments:detail", slug)
    coming = segment.next
    definition = (draft or coming or segment).definition
    return _show_editor(request, form, problem, definition=definition, segment=segment, draft=draft)


def _is_draft(request: HttpRequest) -> bool:
    """Which of the two buttons was pressed."""
    return request.POST.get("as") == "draft"


def _saved(name: str, segment: Segment, *, as_draft: bool) -> str:
    if not as_draft:
        return f"“{name}” is published."
    live = f" Version {segment.version} stays live." if segment.is_live else ""
    return f"“{name}” is kept as a draft.{live}"


def _show_editor(
    request: HttpRequest, form: SegmentForm, problem: TributaryError | None, *, definition: Any, **context: Any
) -> HttpResponse:
    """The editor with what is stored, or with what was just refused, so that nothing typed is lost."""
    posted = form.is_bound and "definition" in form.cleaned_data
    context |= {
        "form": form,
        "definition": form.cleaned_data["definition"] if posted else definition,
        "problem": problem.as_dict() if problem else None,
        **panel.panel_context(),
    }
    return render(request, "segments/edit.html", context, status=422 if form.is_bound else 200)


# --- What the builder asks for ------------------------------------------------------------------------------


@require_POST
@requires(Scope.SEGMENTS_READ)
def preview(request: HttpRequest) -> HttpResponse:
    """Count, sentence and sample of an unsaved definition, or the problem with it, with code and path."""
    user: Any = request.user
    try:
        with panel.answering(request, "count"):
            definition = _posted_definition(request)
            found = queries.preview(definition=definition, as_of=timezone.now(), sample=SAMPLE)
    except TributaryError as error:
        return JsonResponse({"problem": error.as_dict()})
    total = identity.count_profiles()
    sample = people.describe(found.sample_ids, masker=masker_for(user)) if user.may(Scope.PROFILES_READ) else []
    answer = {
        "count": found.count,
        "total": total,
        "sentence": found.sentence,
        "took_ms": found.took_ms,
        "warnings": _warnings(definition, count=found.count, total=total),
        "sample": [_sampled(person) for person in sample],
    }
    return JsonResponse(answer)


def _sampled(person: people.Person) -> dict[str, Any]:
    url = reverse("console:profile", args=[person.id])
    return {"id": person.id, "name": person.name, "detail": person.detail, "url": url}


def _warnings(definition: Any, *, count: int, total: int) -> list[str]:
    if total == 0:
        return ["There are no profiles yet: they come with the first events."]
    node = parse(definition)
    unknown = [f"No event “{name}” has ever arrived." for name in queries.unknown_events(node)]
    reasons = [*unknown, *warnings(node)][:MOST_WARNINGS]
    if count == 0:
        why = " ".join(reasons) or "Check names and values, or whether two conditions rule each other out."
        return [f"Nobody matches. {why}"]
    if count == total:
        return [f"Everybody matches, so this segment would not tell anybody apart. {' '.join(reasons)}".strip()]
    return reasons


@require_POST
@requires(Scope.SEGMENTS_READ)
def funnel(request: HttpRequest) -> HttpResponse:
    """How many each condition of the outermost group leaves, together with those before it."""
    try:
        definition = _posted_definition(request)
        with panel.answering(request, "funnel"):
            found = queries.preview(definition=definition, as_of=timezone.now(), sample=0, breakdown=True)
    except TributaryError as error:
        return JsonResponse({"problem": error.as_dict()})
    steps = [{"label": part.sentence, "count": part.cumulative, "alone": part.alone} for part in found.breakdown]
    return JsonResponse({"steps": steps})


@require_GET
@requires(Scope.SEGMENTS_READ)
def suggest(request: HttpRequest) -> HttpResponse:
    """Names and values that the data holds, most frequent first."""
    asked, user = request.GET, request.user
    masker = masker_for(user)
    if asked.get("of") in {"values", "account_values"} and asked.get("trait"):
        check_access(request, scope=Scope.PROFILES_READ)
    words = f"{asked.urlencode()}{'' if masker.clear else '#masked'}"
    key = f"segments:suggest:{hashlib.sha256(words.encode()).hexdigest()}"
    found = cache.get(key)
    if found is None:
        found = dictionary.suggest(
            kind=asked.get("of", ""),
            events=asked.getlist("event"),
            name=asked.get("property") or asked.get("trait") or "",
            now=timezone.now(),
            masker=masker,
        )
        if found is None:
            raise Http404("There are no such suggestions.")
        cache.set(key, found, SUGGESTIONS_FRESH_SECONDS)
    return JsonResponse({"results": found})


def _posted_definition(request: HttpRequest) -> Any:
    try:
        return json.loads(request.body)["definition"]
    except RequestDataTooBig:
        raise TributaryError("This definition is too large to be sent.", code="too_large") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise TributaryError("The body must be JSON with a `definition`.", code="bad_json") from None
