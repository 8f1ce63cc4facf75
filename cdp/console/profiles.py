"""Finding a profile, and the page of one."""

import uuid
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_POST

from activation import queries as activation
from cdp.console import customer
from cdp.kernel.access.roles import Scope
from cdp.kernel.screens import after_param, requires, take_page
from identity import queries as identities
from identity.accounts import queries as accounts
from identity.contracts import ProfileView
from identity.mapping import queries as mapping
from identity.mapping.api import ExportQuery
from identity.mapping.download import download
from identity.mapping.export import FORMATS
from identity.mapping.picture import note_of, picture_of
from identity.mapping.viewing import mask_line, mask_picture
from identity.merging import queries as merging
from identity.survivorship import queries as survivorship
from identity.survivorship.screens import LABELS
from identity.viewing import mask_profile, mask_profiles
from ingestion import queries as ingestion
from ingestion.dictionary.viewing import mask_event, masker_for
from ingestion.models import Source
from segments import queries as segments

PAGE = 50
ANSWERS = 8
EVENTS = 30
DELIVERIES = 10
IDENTIFIERS = 1_000
MERGES = 500


@requires(Scope.PROFILES_READ)
def profiles(request: HttpRequest) -> HttpResponse:
    text = request.GET.get("q", "").strip()[:200]
    after = after_param(request)
    found = identities.find_people(text=text, limit=PAGE + 1, before_id=after)
    shown = mask_profiles(found.profiles, masker_for(request.user))
    context = {
        "q": text,
        "after": after,
        "page": take_page(shown, key=lambda profile: profile.id, size=PAGE),
        "complete": found.complete,
        "total": None if text else identities.count_profiles(),
        "formats": sorted(FORMATS),
        **_export_choices(request),
    }
    return render(request, "console/profiles.html", context)


def _export_choices(request: HttpRequest) -> dict[str, Any]:
    """What an export of identifiers can be narrowed to, for those who may have it."""
    may: Any = request.user
    if not may.may(Scope.PII_READ):
        return {}
    return {"kinds": identities.known_kinds(), "sources": list(Source.objects.values_list("slug", "name"))}


@require_POST
@requires(Scope.PII_READ)
def export(request: HttpRequest) -> HttpResponseBase:
    """Which identifier leads to which profile, as a file; noted in the audit trail."""
    query = ExportQuery(
        data={
            "kind": ",".join(request.POST.getlist("kind")),
            "format": request.POST.get("format", "csv"),
            **{name: value for name in ("source", "changed_since") if (value := request.POST.get(name, "").strip())},
        }
    )
    if not query.is_valid():
        messages.error(request, "This cannot be exported: check the date and the source.")
        return redirect("console:profiles")
    form = query.validated_data["format"]
    return download(narrowed=query.narrowed(), form=form, user=request.user, now=timezone.now())


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
    frame = frame_of(request, view, tab="overview")
    now = timezone.now()
    sources = customer.source_names()
    counts = ingestion.event_counts_of_profile(profile_id=view.id) if may.may(Scope.EVENTS_READ) else {}
    context = frame | {
        "accounts": accounts.accounts_of(profile_id=view.id),
        "traits": customer.list_traits(profile=frame["profile"], sources=sources),
        "memberships": segments.segments_of_profile(profile_id=view.id),
        "deliveries": activation.deliveries(profile_id=view.id, limit=DELIVERIES),
        "answers": customer.list_answers(profile_id=view.id, now=now) if may.may(Scope.CONSENT_READ) else None,
        "event_counts": counts,
        "event_total": sum(counts.values()),
    }
    return render(request, "console/profile.html", context | _timeline(request, view.id, sources))


@requires(Scope.PROFILES_READ)
def traits(request: HttpRequest, profile_id: int) -> HttpResponse:
    """Every trait with whose word it is, since when, and what other sources say."""
    view = _profile(profile_id)
    if view.id != profile_id:
        return redirect("console:profile-traits", view.id)
    masker = masker_for(request.user)
    lines = customer.list_trait_lines(
        [survivorship.mask_trait(trait, masker) for trait in survivorship.traits_of(view)],
        sources=customer.source_names(),
    )
    context = frame_of(request, view, tab="traits") | {
        "lines": lines,
        "disputed": [line for line in lines if line.view.disputed],
        "labels": LABELS,
    }
    return render(request, "console/profile_traits.html", context)


@requires(Scope.PROFILES_READ)
def trait(request: HttpRequest, profile_id: int) -> HttpResponse:
    """The history of one trait, as it is opened."""
    view = _profile(profile_id)
    name = request.GET.get("trait", "")[:200]
    masker = masker_for(request.user)
    pasts = [survivorship.mask_past(past, masker) for past in survivorship.history_of(profile_id=view.id, trait=name)]
    context = {
        "trait": name,
        "profile_id": view.id,
        "pasts": customer.list_pasts(pasts, sources=customer.source_names()),
        "kept_days": settings.IDENTITY_TRAIT_HISTORY_DAYS,
    }
    return render(request, "console/profile_trait_history.html", context)


@requires(Scope.PROFILES_READ)
def identifiers(request: HttpRequest, profile_id: int) -> HttpResponse:
    view = _profile(profile_id)
    if view.id != profile_id:
        return redirect("console:profile-identifiers", view.id)
    masker = masker_for(request.user)
    chosen = request.GET.get("kind", "")
    lines = [line for line in mapping.identifiers_of(profile_id=view.id) if chosen in {"", line.kind}]
    context = frame_of(request, view, tab="identifiers") | {
        "lines": [mask_line(line, masker) for line in lines[:IDENTIFIERS]],
        "cut": len(lines) > IDENTIFIERS,
        "kinds": [(kind, len(values)) for kind, values in view.identifiers.items()],
        "chosen": chosen,
        "sources": customer.source_names(),
    }
    return render(request, "console/profile_identifiers.html", context)


@requires(Scope.PROFILES_READ)
def graph(request: HttpRequest, profile_id: int) -> HttpResponse:
    """How the profile was put together: a picture, and the same in words."""
    view = _profile(profile_id)
    if view.id != profile_id:
        return redirect("console:profile-graph", view.id)
    masker = masker_for(request.user)
    picture = mask_picture(picture_of(profile_id=view.id), masker)
    lines = [mask_line(line, masker) for line in mapping.identifiers_of(profile_id=view.id, limit=IDENTIFIERS)]
    merges = merging.merges_of(view.id, limit=MERGES)
    origins = sorted(merging.origins_of([view.id])[view.id])
    context = frame_of(request, view, tab="graph") | {
        "picture": picture.as_json(),
        "ties": [{"merge": merge, "why": note_of(merge)} for merge in merges],
        "origins": [(origin, [line for line in lines if line.origin_id == origin]) for origin in origins],
        "constraints": merging.constraints_of(view.id),
        "sources": customer.source_names(),
    }
    return render(request, "console/profile_graph.html", context)


def frame_of(request: HttpRequest, view: ProfileView, *, tab: str) -> dict[str, Any]:
    """What the head of every page about a profile shows."""
    masker = masker_for(request.user)
    return {
        "tab": tab,
        "profile": mask_profile(view, masker),
        "masked": not masker.clear,
        "identifier_icons": customer.IDENTIFIER_ICONS,
        "identifier_count": sum(map(len, view.identifiers.values())),
        "merged_from": len(merging.origins_of([view.id])[view.id]) - 1,
    }


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
