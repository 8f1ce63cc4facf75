"""The two thresholds: what they would mean before they are saved. R: C3"""

import math
from typing import Any

from django import forms
from django.contrib import messages as notices
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from cdp.console.review.frame import tabs_of
from cdp.kernel.access.roles import Scope
from cdp.kernel.errors import TributaryError
from cdp.kernel.screens import requires
from identity.candidates import operations, runs
from identity.candidates.live import load_settings
from identity.candidates.models import MatchRun
from identity.matching.evaluate import Interval
from identity.review import thresholds as found
from identity.review.estimate import score_of


class ThresholdForm(forms.Form):
    """Both in percent, as people think of them."""

    review = forms.FloatField(min_value=0.1, max_value=99.999)
    accept = forms.FloatField(min_value=0.1, max_value=99.999)
    automatic = forms.BooleanField(required=False)

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if {"review", "accept"} <= cleaned.keys() and cleaned["review"] > cleaned["accept"]:
            self.add_error("review", "People are asked below the threshold of merging, not above it.")
        return cleaned


@requires(Scope.PROFILES_READ, write=Scope.IDENTITY_WRITE)
def thresholds(request: HttpRequest) -> HttpResponse:
    settings = load_settings()
    form = ThresholdForm(request.POST or None, initial=_percent(settings))
    if request.method == "POST" and form.is_valid() and _save(request, form.cleaned_data):
        return redirect("review:thresholds")
    context = {
        "tabs": tabs_of(request),
        "settings": settings,
        "form": form,
        "chart": _chart(),
        "table": [point for point in found.curve() if point.score == int(point.score) and point.score >= 0],
        "accept": _shown(form, "accept"),
        "review": _shown(form, "review"),
    }
    now = {"accept": settings.accept_above, "review": settings.review_above}
    status = 422 if form.errors else 200
    return render(request, "review/thresholds.html", context | _effect(**now), status=status)


@requires(Scope.PROFILES_READ)
def effect(request: HttpRequest) -> HttpResponse:
    """What the thresholds in the form would change, before they are saved."""
    form = ThresholdForm(request.GET)
    if not form.is_valid():
        return render(request, "review/effect.html", {"form": form}, status=422)
    given = form.cleaned_data
    context = _effect(accept=given["accept"] / 100, review=given["review"] / 100)
    return render(request, "review/effect.html", context)


def _save(request: HttpRequest, given: dict[str, Any]) -> bool:
    now = timezone.now()
    try:
        operations.change_settings(
            actor=request.user,
            now=now,
            accept_above=given["accept"] / 100,
            review_above=given["review"] / 100,
            automatic=given["automatic"],
        )
    except TributaryError as error:
        notices.error(request, error.message)
        return False
    runs.ask(MatchRun.Kind.FULL, actor=request.user, now=now)
    notices.success(request, "Saved. All profiles are compared again by it, in the background.")
    return True


def _effect(*, accept: float, review: float) -> dict[str, Any]:
    settings = load_settings()
    return {
        "effect": found.effect_of(accept=accept, review=review),
        "before": found.effect_of(accept=settings.accept_above, review=settings.review_above),
        "estimate": found.estimate_at(accept=accept),
        "lowered": review < settings.review_above,
        "asked_accept": accept,
        "asked_review": review,
    }


def _chart() -> dict[str, Any]:
    """What the chart draws: shares by score, and how many pairs score so."""
    curve = found.curve()
    settings = load_settings()
    return {
        "labelled": [[one.score, *_interval(one.precision), *_interval(one.recall)] for one in curve],
        "expected": [[one.score, one.precision, one.recall] for one in found.expected()],
        "bars": [[one.low, one.waiting, one.same, one.different] for one in found.histogram()],
        "bin": found.BIN,
        "low": found.LOWEST,
        "high": found.HIGHEST,
        "accept": score_of(settings.accept_above),
        "review": score_of(settings.review_above),
    }


def _interval(interval: Interval) -> list[float | None]:
    """Nothing where no label tells anything."""
    known = (interval.low, interval.high) != (0.0, 1.0)
    return [interval.value, interval.low, interval.high] if known else [None, None, None]


def _percent(settings: Any) -> dict[str, Any]:
    return {
        "review": _rounded(settings.review_above * 100),
        "accept": _rounded(settings.accept_above * 100),
        "automatic": settings.automatic,
    }


def _shown(form: ThresholdForm, name: str) -> Any:
    return form[name].value()


def _rounded(number: float) -> float:
    """As many digits as tell: 99.9 and 50."""
    return float(f"{number:.{max(1, 5 - math.floor(math.log10(number)) - 1)}f}")
