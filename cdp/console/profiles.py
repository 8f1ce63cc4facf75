"""Finding a profile, and the page of one."""

import uuid
from datetime import datetime
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from activation import queries as activation
from cdp.console import customer
from cdp.kernel.access.roles import Scope
from cdp.kernel.screens import after_param, requires, take_page
from identity import queries as identities
from identity.accounts import queries as accounts
from identity.contracts import ProfileView
from identity.viewing import mask_profile, mask_profiles
from ingestion import queries as ingestion
from ingestion.dictionary.viewing import mask_event, masker_for
from segments import queries as segments

PAGE = 50
ANSWERS = 8
EVENTS = 30
DELIVERIES = 10


@requires(Scope.PROFILES_READ)
def profiles(request: HttpRequest) -> HttpResponse:
    text = request.GET.get("q", "").strip()[:200]
    after = after_param(request)
    found = identities.search(text=text, limit=PAGE + 1, before_id=after)
    context = {
        "q": text,
        "after": after,
        "page": take_page(mask_profiles(found, masker_for(request.user)), key=lambda profile: profile.id, size=PAGE),
        "total": None if text else identities.count_profiles(),
    }
    return render(request, "console/profiles.html", context)


@requires(Scope.PROFILES_READ)
def search(request: HttpRequest) -> HttpResponse:
    """The answers under the search field, as one types."""
    text = request.GET.get("q", "").strip()[:200]
    found = identities.search(text=text, limit=ANSWERS) if text else []
    shown = mask_profiles(found, masker_for(request.user))
    return render(request, "console/search_results.html", {"q": text, "profiles": shown})


@requires(Scope.PROFILES_READ)
def profile(request: HttpRequest, profile_id: int) -> HttpResponse:
    view = _profile(profile_id)
    if view.id != profile_id:
        return redirect("console:profile", view.id)
    may: Any = request.user
    masker = masker_for(may)
    shown = mask_profile(view, masker)
    now = timezone.now()
    sources = customer.source_names()
    counts = ingestion.event_counts_of_profile(profile_id=view.id) if may.may(Scope.EVENTS_READ) else {}
    context = {
        "profile": shown,
        "masked": not masker.clear,
        "identifier_icons": customer.IDENTIFIER_ICONS,
        "accounts": accounts.accounts_of(profile_id=view.id),
        "traits": customer.list_traits(profile=shown, sources=sources),
        "memberships": segments.segments_of_profile(profile_id=view.id),
        "deliveries": activation.deliveries(profile_id=view.id, limit=DELIVERIES),
        "answers": customer.list_answers(profile_id=view.id, now=now) if may.may(Scope.CONSENT_READ) else None,
        "event_counts": counts,
        "event_total": sum(counts.values()),
    }
    return render(request, "console/profile.html", context | _timeline(request, view.id, sources))


@requires(Scope.EVENTS_READ)
def events(request: HttpRequest, profile_id: int) -> HttpResponse:
    """The next stretch of the timeline."""
    return render(request, "console/timeline.html", _timeline(request, profile_id, customer.source_names()))


def _profile(profile_id: int) -> ProfileView:
    view = identities.get_profile(profile_id=profile_id)
    if view is None:
        raise Http404("There is no profile with this id.")
    return view


def _timeline(request: HttpRequest, profile_id: int, sources: dict[int, str]) -> dict[str, Any]:
    event = request.GET.get("event") or None
    before, before_id = _place(request.GET.get("before", ""))
    found = ingestion.timeline(
        profile_id=profile_id, before=before, before_id=before_id, event=event, limit=EVENTS + 1
    )
    page = take_page(found, key=lambda one: f"{one.ts.isoformat()}~{one.id}", size=EVENTS)
    masker = masker_for(request.user)
    lines = [customer.read_event(mask_event(one, masker), sources=sources) for one in page]
    return {
        "profile_id": profile_id,
        "event": event or "",
        "lines": lines if event else customer.group_by_session(lines, profile_id=profile_id),
        "last_seen": customer.last_seen(lines),
        "before": before,
        "next": page.next,
    }


def _place(text: str) -> tuple[datetime | None, uuid.UUID | None]:
    """Where the last stretch ended: the instant and, since several may share it, the id of its last event."""
    moment, _, id_ = text.partition("~")
    try:
        return _instant(moment), uuid.UUID(id_) if id_ else None
    except ValueError:
        return None, None


def _instant(text: str) -> datetime | None:
    try:
        moment = parse_datetime(text)
    except ValueError:
        return None
    return moment if moment is None or moment.tzinfo else None
