"""Screens of computed traits: the list, the gallery, the editor with its preview, and the page of one."""

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST
from django_htmx.http import HttpResponseClientRefresh

from cdp.kernel.access.roles import Scope
from cdp.kernel.errors import TributaryError
from cdp.kernel.screens import requires
from identity import queries as identity
from ingestion import queries as ingestion
from ingestion.dictionary.viewing import masker_for
from ingestion.trace import left_out
from segments import people
from segments.ast import DefinitionError
from segments.computed import gallery, operations, queries
from segments.computed.ask import PARTS
from segments.computed.definition import read
from segments.computed.errors import ComputedTraitInUseError
from segments.computed.form import KINDS, MADE_OF, ComputedForm, initial_of
from segments.computed.models import ComputedTrait
from segments.computed.sentence import describe

SHOWN = 8
LOOKED_BACK = timedelta(days=7)
SUGGESTED = 50


@requires(Scope.SEGMENTS_READ)
def traits(request: HttpRequest) -> HttpResponse:
    found = list(ComputedTrait.objects.select_related("computing"))
    taken = {trait.name for trait in found}
    context = {
        "lines": [(trait, sentence_of(trait), _progress(trait)) for trait in found],
        "ready": [one for one in gallery.GALLERY if one.name not in taken],
        "profiles": identity.count_profiles(),
    }
    return render(request, "segments/computed/list.html", context)


@requires(Scope.SEGMENTS_WRITE)
def new(request: HttpRequest) -> HttpResponse:
    ready = gallery.find(request.GET.get("like", ""))
    begun = {"kind": "measure", "measure": "count"}
    if ready:
        begun = {"label": ready.label, "name": ready.name, "description": ready.why, **initial_of(ready.definition)}
    form = ComputedForm(request.POST or None, initial=begun)
    problem = None
    if request.method == "POST" and form.is_valid():
        said = form.cleaned_data
        user: Any = request.user
        try:
            trait = operations.create_computed(
                name=said["name"],
                label=said["label"],
                description=said["description"],
                definition=form.definition(),
                user=user,
                now=timezone.now(),
            )
        except TributaryError as error:
            problem = error
        else:
            messages.success(request, f"“{trait.label}” is saved and being computed.")
            return redirect("computed:detail", trait.name)
    return _editor(request, form, problem, trait=None)


@requires(Scope.SEGMENTS_WRITE)
def edit(request: HttpRequest, name: str) -> HttpResponse:
    trait = get_object_or_404(ComputedTrait, name=name)
    begun = {"label": trait.label, "name": trait.name, "description": trait.description}
    form = ComputedForm(request.POST or None, initial=begun | initial_of(trait.definition))
    form.fields["name"].disabled = True
    problem = None
    if request.method == "POST" and form.is_valid():
        said = form.cleaned_data
        try:
            operations.update_computed(
                trait_id=trait.pk,
                label=said["label"],
                description=said["description"],
                definition=form.definition(),
                now=timezone.now(),
            )
        except TributaryError as error:
            problem = error
        else:
            messages.success(request, f"“{said['label']}” is saved.")
            return redirect("computed:detail", name)
    return _editor(request, form, problem, trait=trait)


def _editor(
    request: HttpRequest, form: ComputedForm, problem: TributaryError | None, *, trait: ComputedTrait | None
) -> HttpResponse:
    for field in MADE_OF:
        form.fields[field].required = True  # as far as the person sees; which are needed follows from the kind
    context = {
        "form": form,
        "problem": problem,
        "trait": trait,
        "kinds": KINDS,
        "event_names": [row.name for row in ingestion.event_names()][:SUGGESTED],
        "trait_names": [one.value for one in identity.trait_names(limit=SUGGESTED)],
    }
    status = 422 if problem or form.errors else 200
    return render(request, "segments/computed/edit.html", context, status=status)


@require_POST
@requires(Scope.SEGMENTS_READ)
def preview(request: HttpRequest) -> HttpResponse:
    """A fragment: what the editor's fields would give, asked of a sample of profiles."""
    form = ComputedForm(request.POST)
    form.is_valid()
    user: Any = request.user
    try:
        found = queries.preview(definition=form.definition(), now=timezone.now())
    except TributaryError as error:
        return render(request, "segments/computed/preview.html", {"problem": error})
    masker = masker_for(request.user)
    shown = people.describe([id_ for id_, _ in found.sample], masker=masker) if user.may(Scope.PROFILES_READ) else []
    context = {
        "found": found,
        "share": found.having / found.asked if found.asked else 0,
        "chart": found.spread.as_chart(),
        "people": [(person, in_short(value)) for person, (_, value) in zip(shown, found.sample, strict=False)],
    }
    return render(request, "segments/computed/preview.html", context)


@requires(Scope.SEGMENTS_READ)
def trait(request: HttpRequest, name: str) -> HttpResponse:
    found = get_object_or_404(ComputedTrait.objects.select_related("computing", "created_by"), name=name)
    user: Any = request.user
    spread = queries.spread_of(found) if found.live_version else None
    holders: list[Any] = []
    if user.may(Scope.PROFILES_READ) and found.live_version:
        rows = queries.some_holders(found, limit=SHOWN)
        shown = people.describe([id_ for id_, _, _ in rows], masker=masker_for(request.user))
        masker = masker_for(request.user)
        holders = [
            (person, in_short(masker.value("trait", "", found.name, value)), at)
            for person, (_, value, at) in zip(shown, rows, strict=True)
        ]
    profiles = identity.count_profiles()
    context = {
        "trait": found,
        "sentence": sentence_of(found),
        "progress": _progress(found),
        "spread": spread,
        "chart": spread.as_chart() if spread else None,
        "share": spread.having / profiles if spread and profiles else 0,
        "holders": holders,
        "bounds": _bounds(found),
        "used_by": operations.users_of_trait(found.name),
        "left_out": sum(left_out.by_source(trait=found.name, since=timezone.now() - LOOKED_BACK).values()),
    }
    return render(request, "segments/computed/detail.html", context)


@requires(Scope.SEGMENTS_READ)
def status(request: HttpRequest, name: str) -> HttpResponse:
    """Asked every second while it is computed; then the whole page is fetched again."""
    found = get_object_or_404(ComputedTrait.objects.select_related("computing"), name=name)
    if found.state != ComputedTrait.State.COMPUTING:
        return HttpResponseClientRefresh()
    return render(request, "segments/computed/status.html", {"trait": found, "progress": _progress(found)})


@require_POST
@requires(Scope.SEGMENTS_READ, write=Scope.SEGMENTS_WRITE)
def act(request: HttpRequest, name: str) -> HttpResponse:
    """Pause, resume, compute anew, or delete."""
    found = get_object_or_404(ComputedTrait, name=name)
    now = timezone.now()
    match request.POST.get("action"):
        case "pause":
            operations.pause(trait_id=found.pk, now=now)
        case "resume":
            operations.resume(trait_id=found.pk, now=now)
        case "recompute":
            operations.recompute(trait_id=found.pk, now=now)
        case "delete":
            try:
                operations.delete_computed(trait_id=found.pk, now=now)
            except ComputedTraitInUseError as error:
                messages.error(request, error.message)
                return redirect("computed:detail", name)
            messages.success(request, f"“{found.label}” is deleted, and taken from every profile.")
            return redirect("computed:list")
    return redirect("computed:detail", name)


def in_short(value: Any) -> Any:
    """Of RFM the three scores as one."""
    return value["score"] if isinstance(value, dict) and "score" in value else value


def sentence_of(trait: ComputedTrait) -> str:
    try:
        return describe(read(trait.definition))
    except DefinitionError as error:
        return error.message


def _progress(trait: ComputedTrait) -> int | None:
    found = getattr(trait, "computing", None)
    return None if found is None else round(found.progress * 100)


def _bounds(trait: ComputedTrait) -> list[tuple[str, list[str]]]:
    """Of RFM, what it takes for each score: days since the newest event, how many, and how much."""
    bounds = trait.live_bounds or {}
    if not all(bounds.get(part) for part in PARTS):
        return []
    days = [f"over {bound / 86_400:,.0f} d" for bound in reversed(bounds["recency"])]
    newest = f"up to {bounds['recency'][0] / 86_400:,.0f} d"
    rows = [("Recency: since the newest", [*days, newest])]
    for part, words in (("frequency", "Frequency: how many"), ("monetary", "Monetary: how much")):
        first = f"up to {bounds[part][0]:,g}"
        rows.append((words, [first, *(f"over {bound:,g}" for bound in bounds[part])]))
    return rows
