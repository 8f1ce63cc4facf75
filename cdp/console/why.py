"""“Why did this event not arrive?”: everything that is known of a message or of a person's messages, in words."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from cdp.kernel.access.roles import Scope
from cdp.kernel.screens import requires
from consent.models import Purpose
from identity import queries as identities
from ingestion import queries as ingestion
from ingestion.models import Source
from ingestion.people import KINDS
from ingestion.quarantine.models import QuarantinedMessage
from ingestion.trace import queries, refusals
from ingestion.trace.models import DroppedMessage, RefusedRequests

SHOWN = 20
REFUSED_HOURS = 48
_ASIDE = {"discarded": "discarded", "replayed": "replayed"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer. `outcome` is stored, waiting, quarantined, replayed, discarded, no_consent or duplicate."""

    outcome: str
    words: str
    at: datetime
    source: str
    event: str = ""
    message_id: str = ""
    event_id: str = ""
    profile_id: int | None = None
    quarantine_id: int | None = None
    url: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """All findings, the newest first; `complete` says whether the whole event log could be searched in time."""

    findings: list[Finding]
    refused: list[RefusedRequests]
    complete: bool = True


@requires(Scope.EVENTS_READ)
def why(request: HttpRequest) -> HttpResponse:
    text = request.GET.get("q", "").replace("\x00", "").strip()[:254]
    now = timezone.now()
    context: dict[str, Any] = {"q": text, "source_names": _names()}
    if text:
        found = explain(text=text, now=now)
        context |= {"answer": found, "refused": [(row, _source(row.source_id)) for row in found.refused]}
    return render(request, "console/why.html", context)


def explain(*, text: str = "", message_id: str = "", identifier: str = "", now: datetime) -> Answer:
    """What is known under a message id or an identifier; of a `text` that may be either, under both."""
    found: list[Finding] = []
    complete = True
    if message_id or text:
        of_message, complete = _of_message(message_id or text)
        found += of_message
    if identifier or text:
        found += _of_person(identifier or text)
    found += [
        Finding("waiting", "It is acknowledged and waits in the inbox.", row.received_at, _slug(row.source_id))
        for row in queries.waiting(text or message_id or identifier)
    ]
    found.sort(key=lambda finding: finding.at, reverse=True)
    refusals.flush(now=now)
    refused = refusals.refused_since(since=now - timedelta(hours=REFUSED_HOURS))
    return Answer(found, refused, complete)


def _of_message(message_id: str) -> tuple[list[Finding], bool]:
    sources = list(Source.objects.values_list("pk", flat=True))
    stored, complete = queries.stored_messages(message_id=message_id, source_ids=sources)
    found = [
        Finding(
            "stored",
            f"Stored as event {one.event_id} of profile {one.profile_id}.",
            one.received_at,
            _slug(one.source_id),
            event=one.name,
            message_id=message_id,
            event_id=str(one.event_id),
            profile_id=identities.canonical_id(one.profile_id),
            url=reverse("console:profile", args=[identities.canonical_id(one.profile_id)]),
        )
        for one in stored
    ]
    found += [_quarantined(one) for one in queries.quarantined(message_id=message_id)]
    found += [_dropped(one) for one in queries.dropped(message_id=message_id, source_ids=sources)]
    return found, complete


def _of_person(identifier: str) -> list[Finding]:
    profiles = {id_ for kind in KINDS if (id_ := identities.lookup(kind=kind, value=identifier)) is not None}
    found = [
        Finding(
            "stored",
            f"Stored as event {event.id} of profile {event.profile_id}.",
            event.received_at,
            _slug(event.source_id),
            event=event.name,
            event_id=str(event.id),
            profile_id=profile_id,
            url=reverse("console:profile", args=[profile_id]),
        )
        for profile_id in sorted(profiles)
        for event in ingestion.timeline(profile_id=profile_id, limit=SHOWN)
    ]
    found += [_quarantined(one) for one in queries.quarantined(person=identifier)]
    return found + [_dropped(one) for one in queries.dropped(person=identifier, source_ids=())]


def _quarantined(one: QuarantinedMessage) -> Finding:
    place = f" at {one.path}" if one.path else ""
    words = f"Quarantined: {one.message} ({one.code}{place})."
    if one.state == QuarantinedMessage.State.REPLAYED:
        words = f"It was quarantined ({one.code}{place}) and replayed since."
    elif one.state == QuarantinedMessage.State.DISCARDED:
        words = (
            f"Quarantined ({one.code}{place}) and discarded by {one.closed_by}: {one.discard_reason or 'no reason'}."
        )
    return Finding(
        _ASIDE.get(one.state, "quarantined"),
        words,
        one.received_at,
        one.source.slug,
        event=one.event,
        message_id=one.message_id,
        quarantine_id=one.pk,
        url=reverse("sources:held-message", args=[one.source.slug, one.pk]),
    )


def _dropped(one: DroppedMessage) -> Finding:
    if one.reason == DroppedMessage.Reason.NO_CONSENT:
        purpose = Purpose.objects.filter(pk=one.purpose_id or 0).first()
        words = f"Dropped at the door: this person does not allow “{purpose or 'a purpose that is gone'}”."
    else:
        words = f"A duplicate: {one.message_id} had been received before, and was kept once."
    return Finding(one.reason, words, one.at, _slug(one.source_id), event=one.event, message_id=one.message_id)


def _names() -> dict[str, str]:
    return dict(Source.objects.values_list("slug", "name"))


def _slug(source_id: int) -> str:
    return Source.objects.filter(pk=source_id).values_list("slug", flat=True).first() or f"{source_id} (deleted)"


def _source(source_id: int) -> str:
    return "an unknown key" if source_id == refusals.UNKNOWN else _slug(source_id)
