"""The first screen: live counts, events per day, who moved, and how the pipeline does."""

from datetime import timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from cdp.console import overview
from cdp.kernel.access.roles import Scope
from cdp.kernel.screens import requires
from ingestion import queries as ingestion
from ingestion.dictionary.viewing import masker_for

CHART_DAYS = 30


@requires()
def home(request: HttpRequest) -> HttpResponse:
    user: Any = request.user
    if not user.may(Scope.SEGMENTS_READ):
        return render(request, "console/no_role.html")
    steps = overview.read_steps()
    unfinished = not all(step.done for step in steps)
    return render(request, "console/home.html", {"steps": steps if unfinished else [], **_live(user)})


@requires(Scope.SEGMENTS_READ)
def live(request: HttpRequest) -> HttpResponse:
    """The parts that the home screen asks for every few seconds."""
    return render(request, "console/home_live.html", _live(request.user))


@requires(Scope.SEGMENTS_READ)
def events_chart(request: HttpRequest) -> HttpResponse:
    days = ingestion.events_per_day(days=CHART_DAYS, now=timezone.now())
    chart = {
        "x": [str(day.day) for day in days],
        "series": [{"name": "Events", "data": [day.count for day in days]}],
        "time": "day",
        "axis": "Day",
    }
    total = sum(day.count for day in days)
    return render(request, "console/home_chart.html", {"chart": chart, "total": total, "days": CHART_DAYS})


def _live(user: Any) -> dict[str, Any]:
    now = timezone.now()
    sources = overview.read_sources(now=now)
    return {
        "numbers": overview.read_numbers(now=now),
        "feed": overview.read_feed(masker=masker_for(user)),
        "segments": overview.read_segments(),
        "sources": sources,
        "quiet_since": now - timedelta(days=1),
    }
