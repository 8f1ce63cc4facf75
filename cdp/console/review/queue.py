"""The queue of uncertain pairs: as a list, and one at a time. R: C3"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages as notices
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from cdp.console import customer
from cdp.console.review import sides
from cdp.console.review.asked import AGES, Asked, read_asked
from cdp.console.review.frame import tabs_of
from cdp.kernel.access.roles import Scope
from cdp.kernel.errors import TributaryError
from cdp.kernel.screens import requires
from identity.candidates import operations
from identity.candidates.models import Candidate
from identity.contracts import ProfileView
from identity.queries import get_profiles
from identity.review import queries, turns
from identity.review.contracts import Waterfall
from identity.viewing import mask_profile
from ingestion.dictionary.masking import Masker
from ingestion.dictionary.viewing import masker_for

PAGE = 25
MOST_PAGES = 200
UNDO_DEPTH = 50
_UNDO = "review_undo"
_SAID = {"accept": "Same person", "reject": "Different people", "skip": "Skipped"}


@dataclass(frozen=True, slots=True)
class Line:
    """A pair of the list."""

    pair: Candidate
    one: ProfileView | None
    other: ProfileView | None
    waterfall: Waterfall | None


@requires(Scope.PROFILES_READ)
def queue(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    asked = read_asked(request.GET, now=now)
    found = queries.waiting(asked.wanted)
    page = _page_number(request)
    rows = list(found[(page - 1) * PAGE : page * PAGE + 1])
    context = {
        "asked": asked,
        "lines": lines_of(rows[:PAGE], masker_for(request.user)),
        "matching": found.count() if asked.given else None,
        "page": page,
        "next": page + 1 if len(rows) > PAGE and page < MOST_PAGES else None,
        "by_reason": queries.count_by_reason(),
        "reasons": Candidate.Reason.choices,
        "ages": [(name, label) for name, (label, *_) in AGES.items()],
        "sources": sorted(customer.source_names().items(), key=lambda source: source[1]),
        "compared": queries.compared_fields(),
    }
    return render(request, "review/queue.html", context | _progress(request, now))


@requires(Scope.PROFILES_READ)
def next_pair(request: HttpRequest) -> HttpResponse:
    """The next pair for this person: its page, or as a fragment for the page that is open."""
    now = timezone.now()
    asked = read_asked(request.GET, now=now)
    found = turns.take_next(
        user_id=_user(request).pk, wanted=asked.wanted, now=now, besides=_numbers(request.GET.getlist("besides"))
    )
    if "fragment" in request.GET:
        if found is None:
            return render(request, "review/done.html", {"asked": asked} | _progress(request, now))
        return render(request, "review/pair_body.html", _pair(request, found, asked, now))
    if found is None:
        return render(request, "review/pair.html", {"asked": asked, "done": True} | _progress(request, now))
    return redirect(reverse("review:pair", args=[found.pk]) + asked.query)


@requires(Scope.PROFILES_READ)
def pair(request: HttpRequest, candidate_id: int) -> HttpResponse:
    now = timezone.now()
    found = get_object_or_404(Candidate, pk=candidate_id)
    if found.state == Candidate.State.WAITING:
        turns.take(candidate_id=found.pk, user_id=_user(request).pk, now=now)
    context = _pair(request, found, read_asked(request.GET, now=now), now)
    template = "review/pair_body.html" if "fragment" in request.GET else "review/pair.html"
    return render(request, template, context)


@requires(Scope.PROFILES_READ)
@require_POST
def keep(request: HttpRequest, candidate_id: int) -> HttpResponse:
    """The page of a pair is still open: prolong the turn."""
    get_object_or_404(Candidate, pk=candidate_id)
    kept = turns.take(candidate_id=candidate_id, user_id=_user(request).pk, now=timezone.now())
    return JsonResponse({"kept": kept})


@requires(Scope.PROFILES_READ, write=Scope.IDENTITY_WRITE)
@require_POST
def decide(request: HttpRequest, candidate_id: int) -> HttpResponse:
    """Accept, reject or skip a pair; answers JSON to the page's script, else leads to the next pair."""
    found = get_object_or_404(Candidate, pk=candidate_id)
    word = request.POST.get("decision", "")
    if word not in _SAID:
        raise Http404("There is no such decision.")
    actor, now = _user(request), timezone.now()
    try:
        if turns.taken_by_another(candidate_id=found.pk, user_id=actor.pk, now=now):
            raise TurnTakenError("Somebody else is answering this pair just now.")
        _DECISIONS[word](candidate=found, actor=actor, now=now)
    except TributaryError as error:
        return _answer(request, error=error)
    done = request.session.get(_UNDO, [])
    request.session[_UNDO] = [*done, [found.pk, word]][-UNDO_DEPTH:]
    return _answer(request, said=_SAID[word], candidate_id=found.pk)


@requires(Scope.PROFILES_READ, write=Scope.IDENTITY_WRITE)
@require_POST
def undo(request: HttpRequest) -> HttpResponse:
    """Take back the last decision of this session; asked again, the one before."""
    done = request.session.get(_UNDO, [])
    if not done:
        return _answer(request, error=NothingToUndoError("There is nothing left to undo."))
    candidate_id, word = done[-1]
    request.session[_UNDO] = done[:-1]
    found = get_object_or_404(Candidate, pk=candidate_id)
    try:
        if word == "skip":
            turns.unskip(candidate_id=found.pk)
        else:
            operations.undo_decision(candidate=found, actor=_user(request), now=timezone.now())
    except TributaryError as error:
        return _answer(request, error=error)
    return _answer(request, said=f"Taken back: {_SAID[word].lower()}", candidate_id=found.pk, undone=True)


class TurnTakenError(TributaryError):
    """Somebody else has the pair before them."""

    code = "turn_taken"


class NothingToUndoError(TributaryError):
    """No decision of this session is left."""

    code = "nothing_to_undo"


_DECISIONS: dict[str, Any] = {
    "accept": operations.accept,
    "reject": operations.reject,
    "skip": operations.skip,
}


# --- What the screens show ---------------------------------------------------------------------------------------


def _answer(
    request: HttpRequest,
    *,
    said: str = "",
    candidate_id: int | None = None,
    undone: bool = False,
    error: TributaryError | None = None,
) -> HttpResponse:
    if request.headers.get("Accept") == "application/json":
        left = len(request.session.get(_UNDO, []))
        body: dict[str, Any] = {"said": said, "pair": candidate_id, "undo": left} if error is None else error.as_dict()
        return JsonResponse(body, status=200 if error is None else 409)
    if error is not None:
        notices.error(request, error.message)
    else:
        notices.success(request, said)
    if undone:
        return redirect("review:pair", candidate_id)
    asked = read_asked(request.POST, now=timezone.now())
    return redirect(reverse("review:next") + asked.query)


def _pair(request: HttpRequest, found: Candidate, asked: Asked, now: datetime) -> dict[str, Any]:
    user = _user(request)
    masker = masker_for(user)
    leads = queries.leading_ids([found.one_id, found.other_id])
    waterfall = queries.waterfall_of(found.evidence, masker)
    context = {
        "pair": found,
        "asked": asked,
        "masked": not masker.clear,
        "comparison": sides.compare(
            one_id=leads[found.one_id],
            other_id=leads[found.other_id],
            masker=masker,
            with_events=user.may(Scope.EVENTS_READ),
        ),
        "leads": leads[found.one_id],
        "waterfall": waterfall,
        "chart": chart_of(waterfall),
        "taken": turns.taken_by_another(candidate_id=found.pk, user_id=user.pk, now=now),
        "undo": len(request.session.get(_UNDO, [])),
    }
    return context | _progress(request, now)


def chart_of(waterfall: Waterfall | None) -> dict[str, Any] | None:
    """The waterfall as the chart reads it."""
    if waterfall is None:
        return None
    return {
        "prior": waterfall.prior,
        "score": waterfall.score,
        "steps": [{"name": step.field, "level": step.level, "weight": step.weight} for step in waterfall.steps],
    }


def lines_of(rows: Iterable[Candidate], masker: Masker) -> list[Line]:
    found = list(rows)
    leads = queries.leading_ids({id_ for row in found for id_ in (row.one_id, row.other_id)})
    people = {id_: mask_profile(view, masker) for id_, view in get_profiles(ids=set(leads.values())).items()}
    return [
        Line(
            row,
            people.get(leads[row.one_id]),
            people.get(leads[row.other_id]),
            queries.waterfall_of(row.evidence, masker),
        )
        for row in found
    ]


def _progress(request: HttpRequest, now: datetime) -> dict[str, Any]:
    return {"progress": queries.progress(user_id=_user(request).pk, now=now), "tabs": tabs_of(request)}


def _user(request: HttpRequest) -> Any:
    return request.user


def _page_number(request: HttpRequest) -> int:
    text = request.GET.get("page", "")
    return min(max(int(text), 1), MOST_PAGES) if text.isascii() and text.isdigit() and len(text) < 9 else 1


def _numbers(texts: Iterable[str]) -> list[int]:
    return [int(text) for text in list(texts)[:100] if text.isascii() and text.isdigit() and len(text) < 19]
