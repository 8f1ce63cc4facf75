"""Screens under /identity/matching/: how matching is doing, what it compares, and versions of its model."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.utils import timezone
from django.views.decorators.http import require_POST

from cdp.kernel.access.roles import Scope
from cdp.kernel.errors import TributaryError
from cdp.kernel.forms import StyledForm
from cdp.kernel.screens import requires
from identity.candidates import operations, queries, runs, versions
from identity.candidates.contracts import Field
from identity.candidates.fields import live_fields
from identity.candidates.live import load_settings
from identity.candidates.models import MatchModel, MatchRun, MatchWarning
from identity.matching.contracts import ColumnType
from identity.viewing import mask_profile
from ingestion.dictionary.viewing import masker_for

_TYPE_LABELS = {type_: type_.value.replace("_", " ").capitalize() for type_ in ColumnType} | {
    ColumnType.EMAIL: "E-mail",
    ColumnType.NATIONAL_ID: "National id",
    ColumnType.ADDRESS: "Address in one line",
    ColumnType.CATEGORY: "Other (a category)",
    ColumnType.IGNORE: "Not compared",
}


class MatchingForm(StyledForm):
    automatic = forms.BooleanField(
        required=False,
        label="Merge the surest pairs automatically",
        help_text="Off, every pair waits for a person. Each automatic merge can be explained and taken back.",
    )
    accept_above = forms.FloatField(
        min_value=0.5,
        max_value=0.999999,
        label="Merge above",
        help_text="Probability that both are one person, from 0.5 to below 1.",
        widget=forms.NumberInput(attrs={"step": "any"}),
    )
    review_above = forms.FloatField(
        min_value=0.01,
        max_value=0.999999,
        label="Ask a person above",
        help_text="What is less likely is not shown to anybody.",
        widget=forms.NumberInput(attrs={"step": "any"}),
    )
    full_pass_hour = forms.IntegerField(
        min_value=0, max_value=23, label="Hour of the nightly pass", help_text="Everybody is matched anew once a day."
    )
    estimate_days = forms.IntegerField(
        min_value=1,
        max_value=365,
        label="Days between estimates",
        help_text="So often a new draft of the model is made from the data. It counts once somebody switches it on.",
    )


@requires(Scope.PROFILES_READ)
def status(request: HttpRequest) -> HttpResponse:
    return render(request, "matching/status.html", _status_context())


@requires(Scope.PROFILES_READ)
def live(request: HttpRequest) -> HttpResponse:
    """The part of the page that moves."""
    return render(request, "matching/live.html", _status_context())


@requires(Scope.PROFILES_READ, write=Scope.IDENTITY_WRITE)
@require_POST
def ask(request: HttpRequest) -> HttpResponse:
    """Ask for a full pass, for a new draft, or for an earlier version."""
    actor, now = request.user, timezone.now()
    asked = {
        "full": lambda: runs.ask(MatchRun.Kind.FULL, actor=actor, now=now),
        "estimate": lambda: versions.estimate(actor=actor, now=now),
        "roll_back": lambda: versions.roll_back(actor=actor, now=now),
    }.get(request.POST.get("what", ""))
    if asked is not None:
        _try(request, asked, "Asked for. It begins within seconds.")
    return redirect("matching:status")


@requires(Scope.PROFILES_READ, write=Scope.IDENTITY_WRITE)
@require_POST
def take_back(request: HttpRequest, run_id: int) -> HttpResponse:
    """Take back what accepting many has merged."""
    run = get_object_or_404(MatchRun, pk=run_id)
    _try(
        request,
        lambda: operations.undo_batch(run=run, actor=request.user, now=timezone.now()),
        "The merges are being taken back.",
    )
    return redirect("matching:status")


@requires(Scope.PROFILES_READ, write=Scope.IDENTITY_WRITE)
@require_POST
def dismiss(request: HttpRequest, warning_id: int) -> HttpResponse:
    warning = get_object_or_404(MatchWarning, pk=warning_id)
    operations.dismiss_warning(warning=warning, actor=request.user, now=timezone.now())
    return redirect("matching:status")


@requires(Scope.PROFILES_READ, write=Scope.IDENTITY_WRITE)
def settings(request: HttpRequest) -> HttpResponse:
    row = load_settings()
    form = MatchingForm(request.POST or None, initial={name: getattr(row, name) for name in MatchingForm.base_fields})
    if request.method == "POST" and form.is_valid():
        try:
            operations.change_settings(actor=request.user, now=timezone.now(), **form.cleaned_data)
        except TributaryError as error:
            form.add_error(error.path.strip("/") or None, error.message)
        else:
            messages.success(request, "Saved.")
            return redirect("matching:settings")
    fields = live_fields(row)
    context = {
        "form": form,
        "settings": row,
        "fields": fields,
        "types": [(type_.value, _TYPE_LABELS[type_]) for type_ in ColumnType],
        "confirmed": bool(row.fields),
    }
    return render(request, "matching/settings.html", context, status=422 if form.errors else 200)


@requires(Scope.PROFILES_READ, write=Scope.IDENTITY_WRITE)
@require_POST
def fields(request: HttpRequest) -> HttpResponse:
    """Confirm or change what is compared, and as what."""
    known = live_fields(load_settings())
    chosen = [
        Field(
            field.column,
            _type(request.POST.get(f"type-{field.column}"), field.type),
            field.traits,
            field.identifiers,
        )
        for field in known
    ]
    _try(
        request,
        lambda: operations.confirm_fields(fields=chosen, actor=request.user, now=timezone.now()),
        "Saved. Where something changed, everybody is being matched anew.",
    )
    return redirect("matching:settings")


@requires(Scope.PROFILES_READ)
def model(request: HttpRequest, model_id: int) -> HttpResponse:
    row = get_object_or_404(MatchModel.objects.select_related("activated_by"), pk=model_id)
    return render(request, "matching/model.html", _model_context(request, row))


@requires(Scope.PROFILES_READ)
def model_live(request: HttpRequest, model_id: int) -> HttpResponse:
    row = get_object_or_404(MatchModel, pk=model_id)
    return render(request, "matching/preview.html", _model_context(request, row))


@requires(Scope.PROFILES_READ, write=Scope.IDENTITY_WRITE)
@require_POST
def change_model(request: HttpRequest, model_id: int) -> HttpResponse:
    """Preview a version, or switch it on."""
    row, actor, now = get_object_or_404(MatchModel, pk=model_id), request.user, timezone.now()
    if request.POST.get("what") == "preview":
        _try(request, lambda: versions.preview(model=row, actor=actor, now=now), "The preview is being computed.")
    else:
        _try(
            request,
            lambda: versions.switch_on(model=row, actor=actor, now=now),
            "Switched on. Everybody is being scored by it.",
        )
    return redirect("matching:model", row.pk)


app_name = "matching"
urlpatterns = [
    path("", status, name="status"),
    path("live/", live, name="live"),
    path("ask/", ask, name="ask"),
    path("runs/<int:run_id>/take-back/", take_back, name="take_back"),
    path("warnings/<int:warning_id>/dismiss/", dismiss, name="dismiss"),
    path("settings/", settings, name="settings"),
    path("settings/fields/", fields, name="fields"),
    path("models/<int:model_id>/", model, name="model"),
    path("models/<int:model_id>/live/", model_live, name="model_live"),
    path("models/<int:model_id>/change/", change_model, name="change_model"),
]


def _status_context() -> dict[str, Any]:
    return {
        "status": queries.status(),
        "runs": queries.recent_runs(),
        "versions": queries.versions(),
        "warnings": queries.warnings_to_see(),
    }


def _model_context(request: HttpRequest, row: MatchModel) -> dict[str, Any]:
    last = MatchRun.objects.filter(model=row, kind=MatchRun.Kind.PREVIEW).order_by("-id").first()
    done = versions.last_preview(row)
    counts = done.counts if done else {}
    return {
        "model": row,
        "run": last if last and last.state in runs.OPEN else None,
        "failed": last if last and last.state == MatchRun.State.FAILED else None,
        "preview": done,
        "samples": [
            ("Would be merged", _named(request, counts.get("gained_samples", []))),
            ("Would not be merged any more", _named(request, counts.get("lost_samples", []))),
        ],
    }


def _named(request: HttpRequest, samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    masker = masker_for(request.user)
    ids = {sample[side] for sample in samples for side in ("one", "other")}
    names = {id_: mask_profile(view, masker).display_name for id_, view in queries.views_of(ids).items()}
    return [
        sample | {f"{side}_name": names.get(sample[side], f"Profile {sample[side]}") for side in ("one", "other")}
        for sample in samples
    ]


def _type(text: str | None, otherwise: ColumnType) -> ColumnType:
    return ColumnType(text) if text in {type_.value for type_ in ColumnType} else otherwise


def _try(request: HttpRequest, do: Any, said: str) -> None:
    try:
        do()
    except TributaryError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, said)
