"""The plan tab of a source: edit, try, publish, look back, and see what violates it."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.utils import timezone
from django.views.decorators.http import require_POST

from cdp.kernel.access.models import User
from cdp.kernel.access.roles import Scope
from cdp.kernel.forms import StyledForm
from cdp.kernel.screens import requires
from ingestion.dictionary.viewing import masker_for
from ingestion.models import Source
from ingestion.plans import operations, queries
from ingestion.plans.contracts import ACTION_LABELS, KIND_LABELS, NOT_STRIPPABLE, Action, GroupView, Kind, Sample
from ingestion.plans.difference import differences
from ingestion.plans.document import FORMATS, read_document
from ingestion.plans.errors import PlanError
from ingestion.plans.models import PlanTrial, PlanVersion, ViolationGroup

SPANS = {1: "24 hours", 7: "7 days", 30: "30 days"}
MAX_LINES = 500
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_COLOURS = {
    Kind.UNKNOWN_EVENT: "3",
    Kind.UNKNOWN_PROPERTY: "5",
    Kind.MISSING_PROPERTY: "2",
    Kind.WRONG_TYPE: "4",
    Kind.WRONG_VALUE: "7",
}
_DONE: dict[str, str] = {Action.BLOCK: "blocked", Action.STRIP: "stripped", Action.FLAG: "flagged"}
_ACTION_COLOURS: dict[str, str] = {Action.BLOCK: "red", Action.STRIP: "yellow", Action.FLAG: "azure"}


class PublishForm(StyledForm):
    """What a version is for; and which draft somebody has looked at."""

    note = forms.CharField(
        max_length=operations.MAX_NOTE,
        required=False,
        widget=forms.TextInput(attrs={"placeholder": "What changes, and why"}),
        help_text="Shown in the list of versions.",
    )
    revision = forms.IntegerField(widget=forms.HiddenInput)


# --- The editor ---------------------------------------------------------------------------------------------


@requires(Scope.EVENTS_READ)
def plan(request: HttpRequest, slug: str) -> HttpResponse:
    """The draft, else the live version, in the editor; without any, how to begin."""
    source = get_object_or_404(Source, slug=slug)
    current = queries.current(source=source)
    live, draft = queries.live(source=source), queries.draft(source=source)
    since = timezone.now() - _DAY
    context = {
        "source": source,
        "current": current,
        "live": live,
        "draft": draft,
        "violations": sum(group.messages for group in queries.violation_groups(source=source, since=since)),
        "document": current.document if current else None,
        "editor": {
            "revision": draft.revision if draft else 0,
            "kinds": [
                {"kind": kind, "label": KIND_LABELS[kind], "strippable": kind not in NOT_STRIPPABLE} for kind in Kind
            ],
            "actions": [{"action": action, "label": ACTION_LABELS[action]} for action in Action],
            "formats": list(FORMATS),
            "seen": queries.names_seen(source=source, since=timezone.now() - _DAY) if current else [],
        },
    }
    return render(request, "plans/plan.html", context)


@requires(Scope.SOURCES_WRITE)
@require_POST
def start(request: HttpRequest, slug: str) -> HttpResponse:
    source = get_object_or_404(Source, slug=slug)
    operations.start_empty(source=source, user=_person(request), now=timezone.now())
    return redirect("sources:plan", slug)


@requires(Scope.SOURCES_WRITE)
@require_POST
def infer(request: HttpRequest, slug: str) -> HttpResponse:
    source = get_object_or_404(Source, slug=slug)
    try:
        _, inferred = operations.infer_draft(source=source, user=_person(request), now=timezone.now())
    except PlanError as error:
        messages.error(request, error.message)
    else:
        messages.success(
            request,
            f"Looked at {inferred.looked_at:,} of {inferred.total:,} events of {len(inferred.events)} kinds, "
            "of the last 7 days. See what was found, and make it yours.",
        )
    return redirect("sources:plan", slug)


@requires(Scope.SOURCES_WRITE)
@require_POST
def save(request: HttpRequest, slug: str) -> HttpResponse:
    """The editor's way to save: `{"document", "revision"}` as JSON; answers the new revision, or what is wrong."""
    source = get_object_or_404(Source, slug=slug)
    try:
        document, revision = _sent(request)
        draft = operations.save_draft(
            source=source, document=document, revision=revision, user=_person(request), now=timezone.now()
        )
    except PlanError as error:
        return JsonResponse(error.as_dict(), status=getattr(error, "http_status", 422))
    return JsonResponse({"revision": draft.revision})


def _sent(request: HttpRequest) -> tuple[Any, int]:
    sent = read_document(request.body)
    if not isinstance(sent, dict) or not isinstance(sent.get("revision"), int):
        raise PlanError("A document and its revision are expected.", code="object_expected")
    return sent.get("document"), sent["revision"]


@requires(Scope.SOURCES_WRITE)
@require_POST
def discard(request: HttpRequest, slug: str) -> HttpResponse:
    operations.discard_draft(source=get_object_or_404(Source, slug=slug))
    messages.success(request, "The draft is gone.")
    return redirect("sources:plan", slug)


# --- Versions -----------------------------------------------------------------------------------------------


@requires(Scope.EVENTS_READ, write=Scope.SOURCES_WRITE)
def publish(request: HttpRequest, slug: str) -> HttpResponse:
    """What publishing would change, and then doing it."""
    source = get_object_or_404(Source, slug=slug)
    draft, live = queries.draft(source=source), queries.live(source=source)
    if draft is None:
        messages.info(request, "There is no draft to publish.")
        return redirect("sources:plan", slug)
    form = PublishForm(request.POST or None, initial={"revision": draft.revision})
    if request.method == "POST" and form.is_valid():
        try:
            version = operations.publish(source=source, user=_person(request), now=timezone.now(), **form.cleaned_data)
        except PlanError as error:
            form.add_error(None, error.message)
        else:
            messages.success(request, f"{version} is live. Messages are held against it from now on.")
            return redirect("sources:plan", slug)
    found = differences(live.document if live else {}, draft.document)
    context = {
        "source": source,
        "draft": draft,
        "live": live,
        "form": form,
        "lines": found[:MAX_LINES],
        "more": max(0, len(found) - MAX_LINES),
        "trial": queries.newest_trial(source=source),
        "actions": [(KIND_LABELS[kind], _action_label(draft.document, kind)) for kind in Kind],
    }
    return render(request, "plans/publish.html", context, status=422 if form.errors else 200)


def _action_label(document: dict[str, Any], kind: Kind) -> str:
    return ACTION_LABELS[Action(document.get("actions", {}).get(kind, Action.FLAG))]


@requires(Scope.EVENTS_READ)
def versions(request: HttpRequest, slug: str) -> HttpResponse:
    """Every published version, and what each changed against the one before it."""
    source = get_object_or_404(Source, slug=slug)
    found = queries.versions(source=source)
    before: list[PlanVersion | None] = [*found[1:], None][: len(found)]
    rows = [
        {"version": one, "lines": differences(earlier.document if earlier else {}, one.document)[:MAX_LINES]}
        for one, earlier in zip(found, before, strict=True)
    ]
    return render(request, "plans/versions.html", {"source": source, "rows": rows})


@requires(Scope.SOURCES_WRITE)
@require_POST
def restore(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    source = get_object_or_404(Source, slug=slug)
    try:
        again = operations.restore(source=source, number=number, user=_person(request), now=timezone.now())
    except PlanError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, f"Version {number} is live again, as version {again.number}.")
    return redirect("sources:plan_versions", slug)


@requires(Scope.SOURCES_WRITE)
@require_POST
def switch_off(request: HttpRequest, slug: str) -> HttpResponse:
    operations.switch_off(source=get_object_or_404(Source, slug=slug), now=timezone.now())
    messages.success(request, "The plan is switched off: messages pass unchecked.")
    return redirect("sources:plan", slug)


# --- Trying -------------------------------------------------------------------------------------------------


@requires(Scope.EVENTS_READ, write=Scope.SOURCES_WRITE)
def trials(request: HttpRequest, slug: str) -> HttpResponse:
    """The newest trial; a POST starts another."""
    source = get_object_or_404(Source, slug=slug)
    if request.method == "POST":
        try:
            operations.start_trial(source=source, user=_person(request), now=timezone.now())
        except PlanError as error:
            messages.error(request, error.message)
            return redirect("sources:plan", slug)
        return redirect("sources:plan_try", slug)
    found = queries.newest_trial(source=source)
    context = {"source": source, "current": queries.current(source=source)}
    return render(request, "plans/try.html", context | (_shown(found) if found else {}))


@requires(Scope.EVENTS_READ)
def trial(request: HttpRequest, slug: str, trial_id: int) -> HttpResponse:
    """How far a trial is, asked for every second while it runs."""
    source = get_object_or_404(Source, slug=slug)
    found = get_object_or_404(PlanTrial, plan__source=source, pk=trial_id)
    return render(request, "plans/trial.html", {"source": source, **_shown(found)})


def _shown(found: PlanTrial) -> dict[str, Any]:
    events = found.result.get("events", {})
    return {
        "trial": found,
        "valid": sum(event["valid"] for event in events.values()),
        "rows": [
            event
            | {
                "name": name,
                "invalid": event["total"] - event["valid"],
                "groups": [
                    group
                    | {
                        "label": KIND_LABELS[Kind(group["kind"])],
                        "place": _place(group["path"]),
                        "done": _DONE[group["action"]],
                    }
                    for group in sorted(event["groups"], key=lambda group: -group["messages"])
                ],
            }
            for name, event in sorted(events.items(), key=lambda item: (item[1]["valid"] - item[1]["total"], item[0]))
        ],
    }


@requires(Scope.EVENTS_READ)
def examples(request: HttpRequest, slug: str, trial_id: int) -> HttpResponse:
    """Events that a trial found fault with, fetched when somebody opens their group."""
    source = get_object_or_404(Source, slug=slug)
    found = get_object_or_404(PlanTrial, plan__source=source, pk=trial_id)
    groups = found.result.get("events", {}).get(request.GET.get("event", ""), {}).get("groups", [])
    asked = (request.GET.get("kind"), request.GET.get("path"))
    group = next((one for one in groups if (one["kind"], one["path"]) == asked), None)
    if group is None:
        raise Http404
    rows = queries.trial_examples(source=source, examples=group["examples"])
    return render(request, "plans/samples.html", {"group": found, "samples": _masked(request, rows)})


@requires(Scope.SOURCES_WRITE)
@require_POST
def cancel(_request: HttpRequest, slug: str, trial_id: int) -> HttpResponse:
    source = get_object_or_404(Source, slug=slug)
    operations.cancel_trial(source=source, trial_id=trial_id, now=timezone.now())
    return redirect("sources:plan_try", slug)


# --- Violations ---------------------------------------------------------------------------------------------


@requires(Scope.EVENTS_READ)
def violations(request: HttpRequest, slug: str) -> HttpResponse:
    """What differs from the plan: by kind over time, and in groups."""
    source = get_object_or_404(Source, slug=slug)
    asked = request.GET.get("days", "")
    days = int(asked) if asked.isascii() and asked.isdigit() and int(asked[:4]) in SPANS else 7
    kind = request.GET.get("kind", "")
    kind = kind if kind in set(Kind) else ""
    now = timezone.now()
    groups = queries.violation_groups(source=source, since=now - timedelta(days=days), kind=kind)
    context = {
        "source": source,
        "live": queries.live(source=source),
        "days": days,
        "kind": kind,
        "spans": SPANS,
        "kinds": [(one.value, KIND_LABELS[one]) for one in Kind],
        "rows": [_row(group) for group in groups],
        "chart": _chart(source, days=days, now=now),
    }
    return render(request, "plans/violations.html", context)


def _row(group: GroupView) -> dict[str, Any]:
    return {
        "group": group,
        "label": KIND_LABELS[Kind(group.kind)],
        "place": _place(group.path),
        "action": _DONE[group.action],
        "colour": _ACTION_COLOURS[group.action],
    }


def _place(pointer: str) -> str:
    """`/products/*/sku` as people say it: `products[].sku`."""
    steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
    return ".".join(steps).replace(".*", "[]")


def _chart(source: Source, *, days: int, now: datetime) -> dict[str, Any]:
    """By hour for a day, by day beyond."""
    step = _HOUR if days == 1 else _DAY
    first = now.replace(minute=0, second=0, microsecond=0) - timedelta(days=days) + _HOUR
    if step == _DAY:
        first = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0) - (days - 1) * _DAY
    places = [first + step * index for index in range(int(timedelta(days=days) / step))]
    found: dict[str, list[int]] = {}
    for hour, kind, number in queries.violations_by_hour(source=source, since=first):
        line = found.setdefault(kind, [0] * len(places))
        line[min(int((hour - first) / step), len(places) - 1)] += number
    return {
        "x": [f"{timezone.localtime(place):%Y-%m-%d %H:%M}" for place in places],
        "series": [
            {"name": KIND_LABELS[kind], "data": found[kind], "colour": _COLOURS[kind]}
            for kind in Kind
            if kind in found
        ],
        "time": "hour" if step == _HOUR else "day",
        "axis": "Hour" if step == _HOUR else "Day",
    }


@requires(Scope.EVENTS_READ)
def samples(request: HttpRequest, slug: str, group_id: int) -> HttpResponse:
    """The newest messages of a group, fetched when somebody opens it."""
    group = ViolationGroup.objects.filter(source__slug=slug, pk=group_id).first()
    if group is None:
        raise Http404
    found = _masked(request, queries.samples(group=group))
    return render(request, "plans/samples.html", {"source": group.source, "group": group, "samples": found})


def _masked(request: HttpRequest, samples: Iterable[Sample]) -> list[tuple[Sample, str]]:
    """With their messages as text, masked for those who may not see personal data."""
    masker = masker_for(request.user)
    masked = [replace(one, payload=masker.message(one.payload)) for one in samples]
    return [(one, _pretty(one)) for one in masked]


@requires(Scope.SOURCES_WRITE)
@require_POST
def allow(request: HttpRequest, slug: str, group_id: int) -> HttpResponse:
    source = get_object_or_404(Source, slug=slug)
    try:
        operations.allow_violation(source=source, group_id=group_id, user=_person(request), now=timezone.now())
    except PlanError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, "The draft allows this now. Publish it when you are done.")
    return redirect("sources:plan_violations", slug)


def _pretty(sample: Sample) -> str:
    return "" if sample.payload is None else json.dumps(sample.payload, indent=2, ensure_ascii=False)


def _person(request: HttpRequest) -> User | None:
    return request.user if isinstance(request.user, User) else None


urlpatterns = [
    path("<slug:slug>/plan/", plan, name="plan"),
    path("<slug:slug>/plan/start/", start, name="plan_start"),
    path("<slug:slug>/plan/infer/", infer, name="plan_infer"),
    path("<slug:slug>/plan/save/", save, name="plan_save"),
    path("<slug:slug>/plan/discard/", discard, name="plan_discard"),
    path("<slug:slug>/plan/publish/", publish, name="plan_publish"),
    path("<slug:slug>/plan/versions/", versions, name="plan_versions"),
    path("<slug:slug>/plan/versions/<int:number>/restore/", restore, name="plan_restore"),
    path("<slug:slug>/plan/off/", switch_off, name="plan_off"),
    path("<slug:slug>/plan/try/", trials, name="plan_try"),
    path("<slug:slug>/plan/try/<int:trial_id>/", trial, name="plan_trial"),
    path("<slug:slug>/plan/try/<int:trial_id>/examples/", examples, name="plan_examples"),
    path("<slug:slug>/plan/try/<int:trial_id>/cancel/", cancel, name="plan_cancel"),
    path("<slug:slug>/plan/violations/", violations, name="plan_violations"),
    path("<slug:slug>/plan/violations/<int:group_id>/", samples, name="plan_samples"),
    path("<slug:slug>/plan/violations/<int:group_id>/allow/", allow, name="plan_allow"),
]
