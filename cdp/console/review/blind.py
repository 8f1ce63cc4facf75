"""Judging pairs blindly: nothing of score, evidence or suggestion is shown. R: C3"""

from dataclasses import dataclass
from typing import Any

from django.contrib import messages as notices
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from cdp.console.review.frame import tabs_of
from cdp.console.review.sides import Cell
from cdp.kernel.access.roles import Scope
from cdp.kernel.errors import TributaryError
from cdp.kernel.screens import requires
from identity.review import blind as judging
from identity.review.letters import mark
from identity.review.models import Draw, Verdict
from ingestion.dictionary.masking import Masker, Pii, mask
from ingestion.dictionary.viewing import masker_for


@dataclass(frozen=True, slots=True)
class Row:
    field: str
    one: Cell
    other: Cell


@requires(Scope.PROFILES_READ)
def blind(request: HttpRequest) -> HttpResponse:
    """The next pair to judge, or how far the sample is when there is none."""
    actor: Any = request.user
    masker = masker_for(actor)
    found = judging.next_draw(actor=actor) if actor.may(Scope.IDENTITY_WRITE) else None
    agreed = judging.agreement()
    context = {
        "tabs": tabs_of(request),
        "draw": found,
        "rows": _rows(found, masker) if found else [],
        "answers": Verdict.Answer.choices,
        "tally": judging.tally(actor=actor),
        "agreement": agreed,
        "disputed": [(one, _rows(one, masker)) for one in agreed.disputed[:5]] if agreed else [],
        "masked": not masker.clear,
    }
    return render(request, "review/blind.html", context)


@requires(Scope.PROFILES_READ, write=Scope.IDENTITY_WRITE)
@require_POST
def draw(request: HttpRequest) -> HttpResponse:
    drawn = judging.draw(actor=request.user, now=timezone.now())
    if drawn:
        notices.success(request, f"{drawn} pairs drawn.")
    else:
        notices.warning(request, "Every pair there is has been drawn already.")
    return redirect("review:blind")


@requires(Scope.PROFILES_READ, write=Scope.IDENTITY_WRITE)
@require_POST
def judge(request: HttpRequest, draw_id: int) -> HttpResponse:
    get_object_or_404(Draw, pk=draw_id)
    try:
        judging.judge(draw_id=draw_id, answer=request.POST.get("answer", ""), actor=request.user, now=timezone.now())
    except TributaryError as error:
        notices.error(request, error.message)
    return redirect("review:blind")


@requires(Scope.PROFILES_READ, write=Scope.IDENTITY_WRITE)
@require_POST
def take_back(request: HttpRequest) -> HttpResponse:
    if judging.take_back(actor=request.user, now=timezone.now()) is None:
        notices.error(request, "You have not judged any pair.")
    return redirect("review:blind")


def _rows(found: Draw, masker: Masker) -> list[Row]:
    rows = []
    for field, one, other in found.shown:
        left, right = (value if masker.clear else mask(value, Pii.CONTACT) for value in (one, other))
        one_pieces, other_pieces = mark(left, right)
        rows.append(Row(field, Cell(one_pieces), Cell(other_pieces)))
    return rows
