"""Screens under /sources/: the list, and a source's page with its keys and snippets. The rooms add theirs."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from cdp.kernel.access.roles import Scope
from cdp.kernel.forms import StyledForm
from cdp.kernel.screens import requires
from consent.models import Purpose
from ingestion import operations, queries, settings_screen
from ingestion.dictionary.viewing import mask_event, masker_for
from ingestion.live import screens as live_screens
from ingestion.models import HourlyCount, Source
from ingestion.operations import SourceError
from ingestion.plans import screens as plans
from ingestion.quality import screens as quality_screens
from ingestion.quality.judge import grade_of
from ingestion.quality.queries import newest_scores
from ingestion.quarantine import screens as quarantine_screens
from ingestion.sessions import screens as sessions_screens
from ingestion.snippets import write_snippets
from ingestion.standardise import screens as standardise
from ingestion.trace import left_out

LIVE_EVENTS = 20
LIVE_SINCE = timedelta(days=1)
CHART_HOURS = 48
SPARK_HOURS = 24
_HOUR = timedelta(hours=1)

_COLOURS = {"stored": "1", "duplicate": "grey", "quarantined": "red", "no_consent": "yellow"}
_RESERVED_SLUGS = frozenset({"new", "trait-conflicts", "why"})


class SourceForm(StyledForm):
    """A new source. The slug follows from the name unless somebody sets it."""

    name = forms.CharField(
        max_length=100,
        help_text="What people call it: Web shop, Mobile app, CRM.",
        widget=forms.TextInput(attrs={"data-slug-for": "id_slug", "autofocus": True}),
    )
    slug = forms.SlugField(
        max_length=60,
        required=False,
        help_text="Its name in addresses and in the API.",
        widget=forms.TextInput(attrs={"data-slug": True}),
    )
    purpose = forms.ModelChoiceField(
        queryset=Purpose.objects.filter(kind=Purpose.Kind.COLLECTION),
        required=False,
        empty_label="None: collect from everybody",
        help_text="Events of people who said no to this purpose are dropped at the door, and counted.",
    )
    description = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 2}))

    def clean_slug(self) -> str:
        slug = str(self.cleaned_data["slug"])
        if slug in _RESERVED_SLUGS:
            raise forms.ValidationError("This address is taken by the console itself.")
        return slug


@requires(Scope.EVENTS_READ)
def sources(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    return render(request, "sources/list.html", {"rows": _rows(now)})


def _rows(now: datetime) -> list[dict[str, Any]]:
    found = list(Source.objects.order_by("name"))
    last = queries.last_received(source_ids=[source.pk for source in found])
    counts = queries.counts_by_source(since=now - timedelta(hours=SPARK_HOURS))
    sparks = _sparks(now)
    scores = newest_scores(source_ids=[source.pk for source in found])
    return [
        {
            "source": source,
            "last": last.get(source.pk),
            "stored": counts.get(source.pk, {}).get("stored", 0),
            "quarantined": counts.get(source.pk, {}).get("quarantined", 0),
            "score": scores.get(source.pk),
            "grade": grade_of(scores[source.pk].score) if source.pk in scores else None,
            "spark": sparks.get(source.pk, [0] * SPARK_HOURS),
        }
        for source in found
    ]


def _sparks(now: datetime) -> dict[int, list[int]]:
    """Per source, stored events in each of the last 24 hours, the oldest first."""
    first = _whole_hour(now) - _HOUR * (SPARK_HOURS - 1)
    rows = HourlyCount.objects.filter(hour__gte=first, outcome=HourlyCount.Outcome.STORED)
    found: dict[int, list[int]] = {}
    for source_id, hour, total in rows.values_list("source_id", "hour").annotate(total=Sum("events")):
        line = found.setdefault(source_id, [0] * SPARK_HOURS)
        line[min((hour - first) // _HOUR, SPARK_HOURS - 1)] = total
    return found


@requires(Scope.SOURCES_WRITE)
def create(request: HttpRequest) -> HttpResponse:
    form = SourceForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            source, key = operations.create_source(now=timezone.now(), **form.cleaned_data)
        except SourceError as error:
            form.add_error(error.path.removeprefix("/") or None, error.message)
        else:
            return _page(request, source, write_key=key, created=True)
    return render(request, "sources/create.html", {"form": form})


@requires(Scope.EVENTS_READ)
def source(request: HttpRequest, slug: str) -> HttpResponse:
    return _page(request, get_object_or_404(Source, slug=slug))


def _page(request: HttpRequest, source: Source, *, write_key: str = "", created: bool = False) -> HttpResponse:
    """The page of a source; with `write_key` where one was made just now, which is shown here and nowhere else."""
    now = timezone.now()
    snippets = write_snippets(host=settings.PUBLIC_URL, **({"key": write_key} if write_key else {}))
    keys = list(source.write_keys.all())
    context = {
        "source": source,
        "write_key": write_key,
        "created": created,
        "canonical_url": reverse("sources:source", args=[source.slug]),
        "live_keys": [key for key in keys if key.revoked_at is None],
        "revoked_keys": [key for key in keys if key.revoked_at is not None],
        "snippets": snippets,
        "host": settings.PUBLIC_URL,
        "chart": _chart(source, now),
        **_live(source, now, request.user),
    }
    response = render(request, "sources/source.html", context)
    if write_key:
        response["Cache-Control"] = "no-store"
    return response


@requires(Scope.EVENTS_READ)
def now_fragment(request: HttpRequest, slug: str) -> HttpResponse:
    """The counts and newest events of a source, asked for every few seconds."""
    found = get_object_or_404(Source, slug=slug)
    return render(request, "sources/now.html", {"source": found, **_live(found, timezone.now(), request.user)})


def _live(source: Source, now: datetime, user: Any) -> dict[str, Any]:
    since = now - LIVE_SINCE
    counts = queries.counts_by_outcome(source_id=source.pk, since=since)
    stored = counts.get(HourlyCount.Outcome.STORED, 0)
    reserved = left_out.by_trait(source_id=source.pk, since=since)
    masker = masker_for(user)
    newest = queries.recent_events(source_id=source.pk, since=since, limit=LIVE_EVENTS) if stored else []
    return {
        "counts": counts,
        "left_out": sum(reserved.values()),
        "left_out_hint": f"names of computed traits: {', '.join(reserved)}",
        "last": queries.last_received(source_ids=[source.pk]).get(source.pk),
        "events": [mask_event(event, masker) for event in newest],
    }


def _chart(source: Source, now: datetime) -> dict[str, Any]:
    """What became of the events, hour by hour; outcomes that did not happen are left out."""
    first = _whole_hour(now) - _HOUR * (CHART_HOURS - 1)
    hours = [first + _HOUR * index for index in range(CHART_HOURS)]
    found = {(row.outcome, row.hour): row.count for row in queries.hourly_counts(source_id=source.pk, since=first)}
    seen = [outcome for outcome in HourlyCount.Outcome if any(key[0] == outcome for key in found)]
    return {
        "x": [f"{timezone.localtime(hour):%Y-%m-%d %H:%M}" for hour in hours],
        "series": [
            {
                "name": outcome.label,
                "data": [found.get((outcome.value, hour), 0) for hour in hours],
                "colour": _COLOURS[outcome.value],
            }
            for outcome in seen
        ],
        "time": "hour",
        "axis": "Hour",
    }


def _whole_hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


@requires(Scope.SOURCES_WRITE)
@require_POST
def rotate(request: HttpRequest, slug: str) -> HttpResponse:
    """A second key beside the live one: senders change over, then the old key is revoked."""
    found = get_object_or_404(Source, slug=slug)
    return _page(request, found, write_key=operations.rotate_write_key(source=found, now=timezone.now()))


@requires(Scope.SOURCES_WRITE)
@require_POST
def revoke(request: HttpRequest, slug: str, key_id: int) -> HttpResponse:
    found = get_object_or_404(Source, slug=slug)
    key = get_object_or_404(found.write_keys, pk=key_id)
    operations.revoke_write_key(key_id=key.pk, now=timezone.now())
    messages.success(request, f"The key {key} is revoked. Within seconds nobody can send with it.")
    return redirect("sources:source", slug)


@requires(Scope.SOURCES_WRITE)
@require_POST
def set_state(request: HttpRequest, slug: str) -> HttpResponse:
    found = get_object_or_404(Source, slug=slug)
    paused = request.POST.get("state") == Source.State.PAUSED
    operations.set_source_state(source=found, state=Source.State.PAUSED if paused else Source.State.ACTIVE)
    messages.success(request, f"{found} is {'paused: its requests are refused' if paused else 'active again'}.")
    return redirect("sources:source", slug)


app_name = "sources"
urlpatterns = [
    path("", sources, name="list"),
    path("new/", create, name="create"),
    *quality_screens.urlpatterns,
    path("<slug:slug>/", source, name="source"),
    path("<slug:slug>/now/", now_fragment, name="now"),
    path("<slug:slug>/settings/", settings_screen.settings, name="settings"),
    path("<slug:slug>/keys/rotate/", rotate, name="rotate"),
    path("<slug:slug>/keys/<int:key_id>/revoke/", revoke, name="revoke"),
    path("<slug:slug>/state/", set_state, name="state"),
    *plans.urlpatterns,
    *standardise.urlpatterns,
    *quarantine_screens.urlpatterns,
    *live_screens.urlpatterns,
    *sessions_screens.urlpatterns,
]
