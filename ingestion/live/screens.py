"""The tab “Live” of a source: messages as they arrive, what was done to them, and where they went."""

from dataclasses import dataclass
from typing import Any

import msgspec
import redis
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import path

from cdp.kernel.access.roles import Scope
from cdp.kernel.screens import requires
from ingestion.dictionary.masking import Masker
from ingestion.dictionary.viewing import mask_changes, masker_for
from ingestion.live import feed
from ingestion.live.feed import Entry
from ingestion.models import Source
from ingestion.quarantine.check import readable
from ingestion.snippets import write_snippets

LABELS = {
    feed.STORED: "Stored",
    feed.DUPLICATE: "Duplicate",
    feed.NO_CONSENT: "No consent",
    feed.QUARANTINED: "Quarantined",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to show: everything that is given must hold."""

    outcome: str = ""
    event: str = ""
    person: str = ""
    text: str = ""

    def takes(self, entry: Entry) -> bool:
        return (
            (not self.outcome or entry.outcome == self.outcome)
            and (not self.event or self.event.casefold() in f"{entry.event} {entry.type}".casefold())
            and (not self.person or any(self.person.casefold() in value.casefold() for _, value in entry.people))
            and (not self.text or self.text in entry.payload)
        )


@requires(Scope.EVENTS_READ)
def live(request: HttpRequest, slug: str) -> HttpResponse:
    source = get_object_or_404(Source, slug=slug)
    (snippet,) = [one for one in write_snippets(host=settings.PUBLIC_URL) if one.id == "curl"]
    context = {"source": source, "outcomes": LABELS.items(), "snippet": snippet, **_shown(request, source)}
    return render(request, "sources/live/live.html", context)


@requires(Scope.EVENTS_READ)
def live_feed(request: HttpRequest, slug: str) -> HttpResponse:
    """What came since the last time, asked for every second; without `after`, the newest."""
    source = get_object_or_404(Source, slug=slug)
    return render(request, "sources/live/feed.html", {"source": source, "fragment": True, **_shown(request, source)})


def wanted(given: Any) -> Wanted:
    return Wanted(**{name: str(given.get(name, "")).strip()[:200] for name in ("outcome", "event", "person", "text")})


def _shown(request: HttpRequest, source: Source) -> dict[str, Any]:
    after = request.GET.get("after", "")
    after = after if after.replace("-", "").isdigit() and len(after) < 40 else ""
    try:
        came = feed.entries(source_id=source.pk, after=after)
        rate = feed.rate(source_id=source.pk)
    except redis.RedisError:
        return {"rows": [], "cursor": after, "rate": None, "down": True}
    asked = wanted(request.GET)
    masker = masker_for(request.user)
    rows = [
        (_masked(entry, masker), masker.text(readable(entry.payload.encode())))
        for entry in reversed(came)
        if asked.takes(entry)
    ]
    return {"rows": rows, "cursor": came[-1].id if came else after, "rate": rate, "labels": LABELS}


def _masked(entry: Entry, masker: Masker) -> Entry:
    if masker.clear:
        return entry
    return msgspec.structs.replace(
        entry,
        people=[(kind, masker.identifiers({kind: value})[kind]) for kind, value in entry.people],
        changes=mask_changes(entry.changes, event=entry.event, masker=masker),
    )


urlpatterns = [
    path("<slug:slug>/live/", live, name="live"),
    path("<slug:slug>/live/feed/", live_feed, name="live-feed"),
]
