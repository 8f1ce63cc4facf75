"""The tab of a source that tells of its sessions."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import path
from django.utils import timezone

from cdp.kernel.access.roles import Scope
from cdp.kernel.screens import requires
from ingestion.models import Source
from ingestion.sessions import queries
from ingestion.sessions.words import duration_text
from ingestion.settings import settings_of

DAYS = 14
LINES = 10


@requires(Scope.EVENTS_READ)
def sessions(request: HttpRequest, slug: str) -> HttpResponse:
    source = get_object_or_404(Source, slug=slug)
    summary = queries.summarise(source_id=source.pk, days=DAYS, now=timezone.now())
    context = {
        "source": source,
        "settings": settings_of(source.settings).sessions,
        "summary": summary,
        "days": DAYS,
        "median": duration_text(summary.median_seconds),
        "bounced": f"{summary.bounced:.0%}",
        "per_day": {
            "x": [f"{day:%Y-%m-%d}" for day in summary.days],
            "series": [{"name": "Sessions", "data": list(summary.days.values())}],
            "time": "day",
        },
        "channels": _shares(summary.channels),
        "devices": _shares(summary.devices),
    }
    return render(request, "sources/sessions.html", context)


def _shares(counts: dict[str, int]) -> list[tuple[str, int]]:
    return [(name.capitalize(), count) for name, count in list(counts.items())[:LINES]]


urlpatterns = [path("<slug:slug>/sessions/", sessions, name="sessions")]
