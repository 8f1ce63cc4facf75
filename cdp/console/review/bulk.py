"""Accepting all pairs above a threshold: looked at first, done in the background, taken back as a whole. R: C3"""

from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from cdp.console.review.frame import tabs_of
from cdp.console.review.queue import lines_of
from cdp.kernel.access.roles import Scope
from cdp.kernel.screens import requires
from identity.candidates import operations
from identity.candidates.live import load_settings
from identity.candidates.models import MatchRun
from identity.review import bulk as many
from ingestion.dictionary.viewing import masker_for


class ThresholdForm(forms.Form):
    least = forms.FloatField(min_value=50, max_value=99.999)


@dataclass(frozen=True, slots=True)
class Batch:
    """A run, and how many of its merges still stand."""

    run: MatchRun
    standing: int

    @property
    def percent(self) -> int:
        return min(100, 100 * self.run.done // self.run.total) if self.run.total else 0

    @property
    def may_be_undone(self) -> bool:
        return self.run.kind == MatchRun.Kind.ACCEPT and self.run.finished_at is not None and self.standing > 0


@requires(Scope.PROFILES_READ)
def bulk(request: HttpRequest) -> HttpResponse:
    """What accepting above a threshold would do; nothing is done by looking."""
    form = ThresholdForm(request.GET if "least" in request.GET else {"least": load_settings().accept_above * 100})
    threshold = form.cleaned_data["least"] / 100 if form.is_valid() else None
    preview = many.preview_bulk(threshold=threshold) if threshold is not None else None
    context = {
        "tabs": tabs_of(request),
        "form": form,
        "least": form["least"].value(),
        "preview": preview,
        "lines": lines_of(preview.sample, masker_for(request.user)) if preview else [],
        "batches": _batches(),
    }
    return render(request, "review/bulk.html", context)


@requires(Scope.PROFILES_READ, write=Scope.IDENTITY_WRITE)
@require_POST
def accept(request: HttpRequest) -> HttpResponse:
    form = ThresholdForm(request.POST)
    if not form.is_valid():
        return redirect("review:bulk")
    run = operations.accept_above(threshold=form.cleaned_data["least"] / 100, actor=request.user, now=timezone.now())
    return redirect("review:bulk-run", run.pk)


@requires(Scope.PROFILES_READ)
def run(request: HttpRequest, run_id: int) -> HttpResponse:
    """How far it is; the fragment is asked for every second while it runs."""
    found = get_object_or_404(MatchRun, pk=run_id, kind__in=(MatchRun.Kind.ACCEPT, MatchRun.Kind.UNDO))
    template = "review/batch.html" if getattr(request, "htmx", False) else "review/run.html"
    return render(request, template, {"tabs": tabs_of(request), "batch": _batch(found)})


@requires(Scope.PROFILES_READ, write=Scope.IDENTITY_WRITE)
@require_POST
def take_back(request: HttpRequest, run_id: int) -> HttpResponse:
    found = get_object_or_404(MatchRun, pk=run_id, kind=MatchRun.Kind.ACCEPT)
    undoing = operations.undo_batch(run=found, actor=request.user, now=timezone.now())
    return redirect("review:bulk-run", undoing.pk)


def _batches() -> list[Batch]:
    return [_batch(one) for one in many.batches()]


def _batch(found: Any) -> Batch:
    return Batch(found, many.merged_in(found) if found.kind == MatchRun.Kind.ACCEPT else 0)
