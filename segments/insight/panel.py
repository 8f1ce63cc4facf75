"""Parts of the builder's preview, each a question of its own: what would change, who they are, overlap, the past."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_POST

from cdp.kernel.access.roles import Scope
from cdp.kernel.errors import TributaryError
from cdp.kernel.screens import requires
from ingestion.dictionary.viewing import masker_for
from segments import people as persons
from segments import queries
from segments.engine import snapshot
from segments.insight import overlap as sets
from segments.insight.changes import moves_of
from segments.insight.people import asked, give_way, of_definition
from segments.insight.pictures import chart_of
from segments.insight.screens import asker_of, breakdown_context, offered_traits
from segments.insight.trend.run import DAYS, past_of
from segments.models import Segment

SAMPLE = 5


@require_POST
@requires(Scope.SEGMENTS_READ)
def part(request: HttpRequest, name: str) -> HttpResponse:
    """A fragment about an unsaved definition, posted as `{"definition", "segment"?, "trait"?, "with"?}`."""
    answer = PARTS.get(name)
    if answer is None:
        raise Http404("There is no such part.")
    try:
        context = answer(request, _posted(request))
    except TributaryError as error:
        context = {"problem": error.message}
    return render(request, f"segments/insight/{name}.html", context)


@contextmanager
def answering(request: HttpRequest, what: str) -> Iterator[None]:
    """A question that gives way to a newer one of the same panel."""
    with snapshot(), give_way(asker_of(request, what)):
        yield


def _posted(request: HttpRequest) -> dict[str, Any]:
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict) or "definition" not in body:
        raise TributaryError("The body must be JSON with a `definition`.", code="bad_json")
    return body


def _changes(request: HttpRequest, body: dict[str, Any]) -> dict[str, Any]:
    user: Any = request.user
    segment = queries.get_segment(slug=str(body.get("segment")))
    with asked(asker=asker_of(request, "changes")):
        people = of_definition(body["definition"], as_of=timezone.now())
        moves = moves_of(people=people, segment=segment, sample=SAMPLE)
    context: dict[str, Any] = {"moves": moves, "segment": segment}
    if user.may(Scope.PROFILES_READ):
        masker = masker_for(user)
        context["entering"] = persons.describe(moves.entering_ids, masker=masker)
        context["leaving"] = persons.describe(moves.leaving_ids, masker=masker)
    return context


def _breakdown(request: HttpRequest, body: dict[str, Any]) -> dict[str, Any]:
    user: Any = request.user
    trait = str(body.get("trait") or "")[:200] if user.may(Scope.PROFILES_READ) else ""
    if not trait:
        return {"trait": ""}
    people = partial(of_definition, body["definition"], as_of=timezone.now())
    return {"trait": trait, **breakdown_context(request, people, trait)}


def _overlap(request: HttpRequest, body: dict[str, Any]) -> dict[str, Any]:
    own = Segment.objects.filter(slug=str(body.get("segment"))).first()
    with asked(asker=asker_of(request, "overlap")):
        people = of_definition(body["definition"], as_of=timezone.now())
        others = sets.chosen([str(slug) for slug in body.get("with") or []], beside=own)
        if not others:
            others = sets.most_overlapping(people=people, without=own.pk if own else None)
        return {"pairs": sets.pairs(people=people, others=others)}


def _trend(request: HttpRequest, body: dict[str, Any]) -> dict[str, Any]:
    past = past_of(definition=body["definition"], now=timezone.now(), asker=asker_of(request, "trend"))
    return {"past": past, "chart": chart_of(past), "days": DAYS}


PARTS: dict[str, Callable[[HttpRequest, dict[str, Any]], dict[str, Any]]] = {
    "changes": _changes,
    "breakdown": _breakdown,
    "likeness": _overlap,
    "trend": _trend,
}


def panel_context() -> dict[str, Any]:
    """What the panel offers to choose from."""
    return {"traits": offered_traits()}
