"""The settings tab of a source: what it is called, and a section for each part of `SourceSettings`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from cdp.kernel.access.roles import Scope
from cdp.kernel.forms import StyledForm
from cdp.kernel.screens import requires
from consent.models import Purpose
from ingestion import operations
from ingestion.enrich import geo
from ingestion.enrich.forms import EnrichForm
from ingestion.models import Source
from ingestion.quality.forms import QualityForm
from ingestion.quarantine.forms import QuarantineForm
from ingestion.sessions.forms import SessionsForm
from ingestion.settings import SourceSettings, settings_of


@dataclass(frozen=True)
class Part:
    """A section: `key` names the field of `SourceSettings`, and the form has the fields of its struct.

    `warning` says what is wrong with the deployment in its respect, nothing where all is well.
    """

    key: str
    title: str
    text: str
    form: type[StyledForm]
    warning: Callable[[], str] = str


class RateForm(StyledForm):
    per_second = forms.IntegerField(
        label="Messages a second",
        min_value=0,
        max_value=1_000_000,
        help_text="0 is no limit. Beyond it, requests are answered 429 with the time to wait, and SDKs send again.",
    )
    burst = forms.IntegerField(
        label="Burst",
        min_value=0,
        max_value=10_000_000,
        help_text="How many may come at once after a pause. 0: as many as in a second.",
    )


class ClockForm(StyledForm):
    allow_future = forms.BooleanField(
        label="Allow events in the future",
        required=False,
        help_text="For bookings, renewals and the like. Without it, an event counts as no later than a minute"
        " after it arrived.",
    )


PARTS: tuple[Part, ...] = (
    Part(
        "enrich",
        "Enrichment",
        "What is told of the sender of an event",
        EnrichForm,
        warning=geo.problem,
    ),
    Part("quarantine", "Quarantine", "For messages that could not be taken in", QuarantineForm),
    Part("sessions", "Sessions", "Visits, made of the events of one device", SessionsForm),
    Part("rate", "Rate limit", "How much this source may send", RateForm),
    Part("clock", "Clock", "When its events may happen", ClockForm),
    Part("quality", "Quality", "What this source promises, and when a value stands out", QualityForm),
)


class DetailsForm(StyledForm):
    """What a source is called, and what its messages are worth."""

    name = forms.CharField(max_length=100)
    description = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 2}))
    priority = forms.IntegerField(
        min_value=0,
        max_value=1_000,
        help_text="Of two traits of the same instant, the source with the lower number wins.",
    )
    purpose = forms.ModelChoiceField(
        queryset=Purpose.objects.filter(kind=Purpose.Kind.COLLECTION),
        required=False,
        empty_label="None: collect from everybody",
        help_text="Events of people who said no to this purpose are dropped at the door, and counted.",
    )


@requires(Scope.EVENTS_READ, write=Scope.SOURCES_WRITE)
def settings(request: HttpRequest, slug: str) -> HttpResponse:
    """All sections; a POST carries one of them, named by `part`."""
    source = get_object_or_404(Source, slug=slug)
    posted = request.POST.get("part") if request.method == "POST" else None
    sections = [_details(request, source, posted=posted == "details")]
    sections += [_section(request, source, part, posted=posted == part.key) for part in PARTS]
    for section in sections:
        form = section["form"]
        if form.is_bound and form.is_valid():
            _save(source, section["key"], form.cleaned_data)
            messages.success(request, f"{section['title']}: saved.")
            return redirect("sources:settings", slug)
    status = 422 if posted is not None else 200
    return render(request, "sources/settings.html", {"source": source, "sections": sections}, status=status)


def _details(request: HttpRequest, source: Source, *, posted: bool) -> dict[str, Any]:
    initial = {name: getattr(source, name) for name in DetailsForm.base_fields}
    form = DetailsForm(request.POST if posted else None, initial=initial, prefix="details")
    return {"key": "details", "title": "Details", "text": "", "form": form}


def _section(request: HttpRequest, source: Source, part: Part, *, posted: bool) -> dict[str, Any]:
    initial = msgspec.structs.asdict(getattr(settings_of(source.settings), part.key))
    form = part.form(request.POST if posted else None, initial=initial, prefix=part.key)
    return {"key": part.key, "title": part.title, "text": part.text, "form": form, "warning": part.warning()}


def _save(source: Source, key: str, values: dict[str, Any]) -> None:
    if key == "details":
        operations.change_details(source=source, **values)
        return
    current = settings_of(source.settings)
    kind = type(getattr(current, key))
    changed: SourceSettings = msgspec.structs.replace(current, **{key: msgspec.convert(values, kind)})
    operations.change_settings(source=source, settings=changed)
