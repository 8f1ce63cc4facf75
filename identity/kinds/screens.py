"""Screens of Identity → Identifiers: the kinds and their order, one kind with its dry run, warnings and conflicts."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_POST

from cdp.kernel.access.roles import Scope
from cdp.kernel.errors import TributaryError
from cdp.kernel.identifiers import external_kind
from cdp.kernel.screens import requires, take_page
from identity.kinds import operations, queries
from identity.kinds.forms import KindForm, NewKindForm
from identity.kinds.judge import judge_value
from identity.kinds.models import ConflictGroup, IdentifierKind, KindRun
from identity.kinds.normalisers import NORMALISERS
from identity.kinds.rules import DEFAULTS, OTHERS, KindSettings
from identity.kinds.words import (
    COLOURS,
    EXPLAINED,
    REASONS,
    TROUBLES,
    from_address,
    in_address,
    label_of,
    limits_in_words,
)
from ingestion.dictionary.masking import Masker
from ingestion.dictionary.viewing import masker_for

GROUPS = 30
WARNINGS_SHOWN = 3
TRIED = 254


# --- The kinds ----------------------------------------------------------------------------------------------


@requires(Scope.PROFILES_READ)
def kinds(request: HttpRequest) -> HttpResponse:
    found = queries.warnings()
    masker = masker_for(request.user)
    context = {
        **_lines(),
        "tab": "kinds",
        "warned": len(found),
        "warnings": [_conflict(one, masker) for one in found[:WARNINGS_SHOWN]],
        "new_form": NewKindForm(),
    }
    return render(request, "identifiers/kinds.html", context)


def _lines() -> dict[str, Any]:
    settings = queries.all_settings()
    configured = {one.name for one in settings}
    stored = queries.kind_counts()
    unknown = [name for name in queries.kinds_seen() if name not in configured]
    counts = stored.counts | {OTHERS: sum(stored.counts.get(name, 0) for name in unknown)}
    return {
        "lines": [_line(one, counts.get(one.name, 0)) for one in settings],
        "unknown": [
            {"name": name, "address": in_address(name), "stored": stored.counts.get(name, 0)} for name in unknown
        ],
        "exact": stored.exact,
    }


def _line(settings: KindSettings, stored: int) -> dict[str, Any]:
    return {
        "kind": settings,
        "label": label_of(settings.name, settings),
        "address": in_address(settings.name),
        "stored": stored,
        "normaliser": NORMALISERS[settings.normaliser].label,
        "limits": limits_in_words(settings),
        "blocked": len(settings.blocked) + len(settings.patterns),
    }


@requires(Scope.PROFILES_READ, write=Scope.IDENTITY_WRITE)
@require_POST
def move(request: HttpRequest) -> HttpResponse:
    """Put the kinds in the order that is sent, or move one of them; answers with the list."""
    names = [one.name for one in queries.all_settings()]
    wanted = [from_address(name) for name in request.POST.getlist("name")]
    kind, step = from_address(request.POST.get("move", "")), request.POST.get("by")
    if kind in names:
        place = names.index(kind) + (-1 if step == "up" else 1)
        names.remove(kind)
        names.insert(max(0, place), kind)
    elif sorted(wanted) == sorted(names):
        names = wanted
    operations.order_kinds(names=names, actor=request.user, now=timezone.now())
    if not getattr(request, "htmx", False):
        return redirect("identifiers:list")
    return render(request, "identifiers/order.html", {**_lines(), "moved": kind, "by": step})


@requires(Scope.IDENTITY_WRITE)
@require_POST
def add(request: HttpRequest) -> HttpResponse:
    """To the form of a kind that has no settings of its own yet."""
    name = external_kind(request.POST.get("name", ""))
    if name is None:
        messages.error(request, "The name holds up to 30 lower-case letters, digits, points, hyphens and underscores.")
        return redirect("identifiers:list")
    return redirect("identifiers:kind", in_address(name))


# --- One kind -----------------------------------------------------------------------------------------------


@requires(Scope.PROFILES_READ, write=Scope.IDENTITY_WRITE)
def kind(request: HttpRequest, name: str) -> HttpResponse:
    """The form; `action` says whether it is to be saved or tried."""
    settings = _settings(name)
    form = KindForm(request.POST if request.method == "POST" else None, settings=settings)
    if request.method == "POST":
        answer = _act(request, form, settings)
        if answer is not None:
            return answer
    address = in_address(settings.name)
    run = queries.running(settings.name)
    context = {
        "form": form,
        "kind": settings,
        "label": label_of(settings.name, settings),
        "address": address,
        "is_new": settings.name not in DEFAULTS and not IdentifierKind.objects.filter(name=settings.name).exists(),
        "normalisers": NORMALISERS.values(),
        "stored": queries.count_stored(settings.name),
        **_run(run, masker_for(request.user)),
    }
    return render(request, "identifiers/kind.html", context, status=422 if request.method == "POST" else 200)


def _act(request: HttpRequest, form: KindForm, settings: KindSettings) -> HttpResponse | None:
    now = timezone.now()
    found = form.read()
    if found is None:
        return None
    try:
        if request.POST.get("action") == "try":
            run: KindRun | None = operations.try_settings(settings=found, actor=request.user, now=now)
        else:
            run = operations.save_kind(settings=found, actor=request.user, now=now)
            messages.success(request, _saved(label_of(found.name, found), run))
    except TributaryError as error:
        form.show(error)
        return None
    if request.POST.get("action") == "try" and getattr(request, "htmx", False):
        return render(request, "identifiers/run.html", _run(run, masker_for(request.user)))
    return redirect("identifiers:kind", in_address(settings.name))


def _saved(label: str, run: KindRun | None) -> str:
    if run is None:
        return f"{label}: saved. It holds for messages from now on."
    return f"{label}: saved. It holds for messages from now on; stored identifiers follow."


@requires(Scope.PROFILES_READ)
@require_POST
def try_value(request: HttpRequest, name: str) -> HttpResponse:
    """What becomes of a value under the settings as they stand in the form."""
    settings = _settings(name)
    form = KindForm(request.POST, settings=settings)
    sent = request.POST.get("tried", "")[: TRIED + 1]
    context: dict[str, Any] = {"sent": sent}
    found = form.read()
    try:
        checked = operations.check_settings(found if found is not None else settings)
    except TributaryError as error:
        context["problem"] = error.message
        checked = None
    if found is None and "problem" not in context:
        context["problem"] = "Mend the marked fields first."
    if sent.strip() and checked is not None and found is not None:
        judged = judge_value(checked, sent)
        context |= asdict(judged) | {"explained": EXPLAINED[judged.reason]}
    return render(request, "identifiers/tried.html", context)


def _settings(address: str) -> KindSettings:
    name = from_address(address)
    if name != OTHERS and external_kind(name) != name:
        raise Http404("There is no such kind.")
    return queries.settings_named(name)


# --- Runs ---------------------------------------------------------------------------------------------------


@requires(Scope.PROFILES_READ)
def run(request: HttpRequest, run_id: int) -> HttpResponse:
    """How far a run is, asked for while it goes on."""
    found = get_object_or_404(KindRun, pk=run_id)
    return render(request, "identifiers/run.html", _run(found, masker_for(request.user)))


@requires(Scope.IDENTITY_WRITE)
@require_POST
def stop(request: HttpRequest, run_id: int) -> HttpResponse:
    found = get_object_or_404(KindRun, pk=run_id)
    operations.cancel_run(run=found, now=timezone.now())
    found.refresh_from_db()
    if getattr(request, "htmx", False):
        return render(request, "identifiers/run.html", _run(found, masker_for(request.user)))
    return redirect("identifiers:kind", in_address(found.kind))


def _run(found: KindRun | None, masker: Masker) -> dict[str, Any]:
    if found is None:
        return {"run": None}
    samples = [
        (title, [_sample(one, masker) for one in found.samples.get(what, [])])
        for what, title in (
            ("merged", "Their profiles merge" if found.mode == "apply" else "Their profiles would merge"),
            ("refused", "Meet another's, and may not be merged"),
            ("blocked", "Lead to nobody"),
            ("together", "Become one on a profile"),
            ("respelt", "Spelt otherwise"),
        )
    ]
    return {"run": found, "is_try": found.mode == KindRun.Mode.TRY, "samples": [one for one in samples if one[1]]}


def _sample(one: dict[str, Any], masker: Masker) -> dict[str, Any]:
    shown = {"value": _shown(masker, one["kind"], one["value"])}
    if one.get("spelt"):
        shown["spelt"] = _shown(masker, one["kind"], one["spelt"])
    if one.get("reason"):
        shown["reason"] = REASONS.get(one["reason"], one["reason"])
    return one | shown


def _shown(masker: Masker, kind: str, value: str) -> Any:
    return masker.identifiers({kind: value})[kind]


# --- Warnings and conflicts ---------------------------------------------------------------------------------


@requires(Scope.PROFILES_READ)
def warnings(request: HttpRequest) -> HttpResponse:
    """Values that can hardly be one person's."""
    masker = masker_for(request.user)
    context = {"tab": "warnings", "warnings": [_conflict(one, masker) for one in queries.warnings(limit=100)]}
    return render(request, "identifiers/warnings.html", context)


@requires(Scope.PROFILES_READ)
def conflicts(request: HttpRequest) -> HttpResponse:
    asked = {name: request.GET.get(name, "").strip()[:254] for name in ("kind", "reason", "q")}
    state = request.GET.get("state", ConflictGroup.State.OPEN)
    found = queries.conflicts(
        kind=asked["kind"],
        reason=asked["reason"],
        state=state if state in ConflictGroup.State.values else "",
        text=asked["q"],
        before=_place(request.GET.get("after", "")),
        limit=GROUPS + 1,
    )
    page = take_page(found, key=lambda one: f"{one.last_at.isoformat()}~{one.id}", size=GROUPS)
    masker = masker_for(request.user)
    totals = queries.conflict_totals()
    days = queries.conflict_days(today=timezone.now().date())
    context = {
        "tab": "conflicts",
        "page": page,
        "groups": [_conflict(one, masker) for one in page],
        "asked": asked | {"state": state},
        "kinds": sorted({kind for kind, _ in totals}),
        "reasons": [(reason, label) for reason, label in REASONS.items()],
        "states": ConflictGroup.State.choices,
        "totals": [
            {
                "kind": kind,
                "label": label_of(kind),
                "reason": reason,
                "why": REASONS.get(reason, reason),
                "open": number,
            }
            for (kind, reason), number in sorted(totals.items(), key=lambda one: -one[1])
        ],
        "chart": {
            "x": [f"{day:%-d %b}" for day in days["days"]],
            "series": [
                {"name": REASONS.get(reason, reason), "data": counts, "colour": colour}
                for (reason, counts), colour in zip(days["reasons"].items(), COLOURS, strict=False)
            ],
        },
    }
    return render(request, "identifiers/conflicts.html", context)


def _conflict(one: queries.ConflictView, masker: Masker) -> dict[str, Any]:
    return {
        "group": one,
        "value": _shown(masker, one.kind, one.value),
        "label": label_of(one.kind),
        "reason": REASONS.get(one.reason, one.reason),
        "limit_of": label_of(one.limit_of) if one.limit_of else "",
        "is_trouble": one.reason in TROUBLES,
        "address": in_address(one.kind),
        "samples": [_message(sample) | {"value": _shown(masker, sample.kind, sample.value)} for sample in one.samples],
        "mergeable": one.mergeable,
    }


def _message(sample: Any) -> dict[str, Any]:
    names = ("at", "source_id", "message_id", "kind", "profile_id", "other_id")
    return {name: getattr(sample, name) for name in names}


@requires(Scope.IDENTITY_WRITE)
@require_POST
def decide(request: HttpRequest, group_id: int, action: str) -> HttpResponse:
    """Dismiss, reopen, block or merge; answers with the group as it is then."""
    group = get_object_or_404(ConflictGroup, pk=group_id)
    problem = ""
    try:
        _decide(request, group, action, now=timezone.now())
    except TributaryError as error:
        problem = error.message
    found = queries.conflict(group.pk)
    if getattr(request, "htmx", False) and found is not None:
        context = {"one": _conflict(found, masker_for(request.user)), "problem": problem}
        return render(request, "identifiers/group.html", context)
    if problem:
        messages.error(request, problem)
    return redirect("identifiers:conflicts")


def _decide(request: HttpRequest, group: ConflictGroup, action: str, *, now: datetime) -> None:
    if action == "block":
        operations.block_conflict(group=group, actor=request.user, now=now)
    elif action == "dismiss":
        operations.dismiss_conflict(group=group, actor=request.user, now=now)
    elif action == "reopen":
        operations.reopen_conflict(group=group, now=now)
    else:
        one, other = (request.POST.get(name, "") for name in ("one", "other"))
        pair = [int(id_) if id_.isascii() and id_.isdigit() and len(id_) < 19 else 0 for id_ in (one, other)]
        operations.merge_conflict(group=group, one=pair[0], other=pair[1], actor=request.user, now=now)


def _place(text: str) -> tuple[datetime, int] | None:
    moment, _, id_ = text.partition("~")
    try:
        at = parse_datetime(moment)
    except ValueError:
        return None
    if at is None or at.tzinfo is None or not (id_.isascii() and id_.isdigit() and len(id_) < 19):
        return None
    return at, int(id_)


app_name = "identifiers"
urlpatterns = [
    path("", kinds, name="list"),
    path("order/", move, name="order"),
    path("new/", add, name="new"),
    path("kinds/<str:name>/", kind, name="kind"),
    path("kinds/<str:name>/try/", try_value, name="try"),
    path("runs/<int:run_id>/", run, name="run"),
    path("runs/<int:run_id>/stop/", stop, name="stop"),
    path("warnings/", warnings, name="warnings"),
    path("conflicts/", conflicts, name="conflicts"),
    *(
        path(f"conflicts/<int:group_id>/{action}/", decide, {"action": action}, name=f"conflict-{action}")
        for action in ("block", "dismiss", "reopen", "merge")
    ),
]
