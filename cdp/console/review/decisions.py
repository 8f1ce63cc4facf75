"""Who decided what of which pair, and when; and what people said for good: must-link and never-link. R: C3"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages as notices
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.views.decorators.http import require_POST

from cdp.console.review.frame import tabs_of
from cdp.kernel.access.roles import Scope
from cdp.kernel.errors import TributaryError
from cdp.kernel.screens import requires
from identity.candidates import operations
from identity.candidates.models import Candidate
from identity.contracts import ProfileView
from identity.merging import operations as merging
from identity.merging import queries as merges
from identity.merging.contracts import ConstraintView
from identity.queries import get_profiles
from identity.review import log
from identity.review.queries import leading_ids
from identity.viewing import mask_profile
from ingestion.dictionary.masking import Masker
from ingestion.dictionary.viewing import masker_for

PAGE = 50
MOST_PAGES = 1_000
CONSTRAINTS = 200
COLUMNS = [
    "decided_at",
    "decided_by",
    "decision",
    "profile_one",
    "profile_other",
    "probability",
    "pair",
    "merge",
    "undone_at",
]


@dataclass(frozen=True, slots=True)
class Line:
    """A decision, or a word about two origins, with the profiles that these are now."""

    entry: Any
    one: ProfileView | None
    other: ProfileView | None


@requires(Scope.PROFILES_READ)
def decisions(request: HttpRequest) -> HttpResponse:
    fields, sought = _sought(request)
    page = _number(request.GET.get("page", "")) or 1
    rows = log.decisions(sought, limit=PAGE + 1, offset=(min(page, MOST_PAGES) - 1) * PAGE)
    said = merges.constraints(limit=CONSTRAINTS)
    masker = masker_for(request.user)
    context = {
        "tabs": tabs_of(request),
        "fields": fields,
        "whats": log.WHATS.items(),
        "deciders": log.deciders(),
        "lines": _lines(rows[:PAGE], masker),
        "page": page,
        "next": page + 1 if len(rows) > PAGE else None,
        "said": _said(said, masker),
    }
    return render(request, "review/decisions.html", context)


@requires(Scope.PROFILES_READ)
def export(request: HttpRequest) -> StreamingHttpResponse:
    """The decisions that the filters leave, as CSV; ids only, so nothing personal leaves with it."""
    _, sought = _sought(request)
    answer = StreamingHttpResponse(_csv(log.all_decisions(sought)), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = 'attachment; filename="match-decisions.csv"'
    return answer


@requires(Scope.PROFILES_READ, write=Scope.IDENTITY_WRITE)
@require_POST
def take_back(request: HttpRequest, candidate_id: int) -> HttpResponse:
    found = get_object_or_404(Candidate, pk=candidate_id)
    try:
        operations.undo_decision(candidate=found, actor=request.user, now=timezone.now())
    except TributaryError as error:
        notices.error(request, error.message)
    else:
        notices.success(request, "Taken back: the pair waits again.")
    return redirect("review:decisions")


@requires(Scope.PROFILES_READ, write=Scope.IDENTITY_WRITE)
@require_POST
def lift(request: HttpRequest) -> HttpResponse:
    """Unsay that two are, or never are, one person."""
    one, other = (_number(request.POST.get(name, "")) for name in ("one", "other"))
    try:
        merging.lift(one=one or 0, other=other or 0)
    except TributaryError as error:
        notices.error(request, error.message)
    else:
        notices.success(request, "Lifted. The two may be compared again.")
    return redirect(reverse("review:decisions") + "#said")


class _Echo:
    def write(self, text: str) -> str:
        return text


def _csv(entries: Iterable[log.Entry]) -> Iterable[str]:
    writer = csv.writer(_Echo())
    yield writer.writerow(COLUMNS)
    for one in entries:
        yield writer.writerow(
            [
                one.at.isoformat(),
                _safe(one.by),
                one.what,
                one.one_id,
                one.other_id,
                "" if one.probability is None else f"{one.probability:.6f}",
                one.candidate_id,
                one.merge_id or "",
                one.undone_at.isoformat() if one.undone_at else "",
            ]
        )


def _safe(text: str) -> str:
    """A spreadsheet would run a name that begins like a formula."""
    return f"'{text}" if text[:1] in "=+-@\t\r" else text


def _sought(request: HttpRequest) -> tuple[dict[str, str], log.Sought]:
    fields = {name: request.GET.get(name, "").strip()[:40] for name in ("what", "by", "since", "until", "profile")}
    sought = log.Sought(
        what=fields["what"],
        by=_number(fields["by"]),
        since=_day(fields["since"]),
        until=_day(fields["until"]),
        profile_id=_number(fields["profile"]),
    )
    return fields, sought


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _day(text: str) -> datetime | None:
    """The beginning of a day in the deployment's time zone."""
    try:
        day = parse_date(text)
    except ValueError:
        return None
    return timezone.make_aware(datetime(day.year, day.month, day.day)) if day else None  # noqa: DTZ001


def _lines(entries: list[log.Entry], masker: Masker) -> list[Line]:
    ids = {id_ for entry in entries for id_ in (entry.one_id, entry.other_id)}
    leads = leading_ids(ids)
    people = {id_: mask_profile(view, masker) for id_, view in get_profiles(ids=set(leads.values())).items()}
    return [Line(entry, people.get(leads[entry.one_id]), people.get(leads[entry.other_id])) for entry in entries]


def _said(found: list[ConstraintView], masker: Masker) -> list[Line]:
    ids = {id_ for one in found for id_ in (one.one_profile, one.other_profile)}
    people = {id_: mask_profile(view, masker) for id_, view in get_profiles(ids=ids).items()}
    return [Line(one, people.get(one.one_profile), people.get(one.other_profile)) for one in found]
