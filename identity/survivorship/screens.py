"""Screens of traits: which value counts, what a change would do, and what sources disagree about."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.utils import timezone
from django.utils.http import urlencode

from cdp.kernel.access.roles import Scope
from cdp.kernel.screens import requires
from cdp.kernel.tasks import nudge
from identity.survivorship import disputes, operations, queries
from identity.survivorship.errors import PolicyError
from identity.survivorship.models import PolicyRun
from identity.traits import Policy, Rule
from ingestion.dictionary.masking import Masker
from ingestion.dictionary.viewing import masker_for
from ingestion.models import Source

RULES = (
    (Rule.NEWEST, "The newest", "What was said last, by whichever source. A deletion counts like a value."),
    (Rule.PRIORITY, "By source", "What the best source says; the next one speaks where it says nothing."),
    (
        Rule.FREQUENT,
        "The most frequent",
        "What was said on most days: each source has a vote a day, for 90 days. Of equals, the newest.",
    ),
    (Rule.OLDEST, "The oldest", "What was said first stays, whatever is said later."),
)
LABELS = {rule: label for rule, label, _ in RULES} | {Rule.COMPUTED: "Computed"}


@requires(Scope.PROFILES_READ)
def traits(request: HttpRequest) -> HttpResponse:
    text = request.GET.get("q", "").strip()[:100]
    scan = disputes.newest_scan()
    context = {"q": text, "lines": queries.list_traits(text=text), "labels": LABELS, "scan": scan, "tab": "traits"}
    return render(request, "traits/list.html", context)


@requires(Scope.PROFILES_READ, write=Scope.IDENTITY_WRITE)
def disputed(request: HttpRequest) -> HttpResponse:
    """The report; a POST counts anew."""
    if request.method == "POST":
        disputes.start_scan(now=timezone.now())
        nudge("cdp.continue_disputes")
        return redirect("traits:disputes")
    return render(request, "traits/disputes.html", _disputes(request))


@requires(Scope.PROFILES_READ)
def disputes_progress(request: HttpRequest) -> HttpResponse:
    """How far the scan is, asked for while it runs."""
    return render(request, "traits/disputes_body.html", _disputes(request))


@requires(Scope.PROFILES_READ, write=Scope.IDENTITY_WRITE)
def policy(request: HttpRequest) -> HttpResponse:
    """The policy of one trait; a POST tries another (`preview`) or switches to it."""
    name = (request.POST if request.method == "POST" else request.GET).get("trait", "").strip()
    if not name or len(name) > operations.MAX_TRAIT:
        raise Http404("Name a trait.")
    problem = ""
    chosen = queries.policy_of(name)
    if request.method == "POST":
        try:
            return _act(request, name)
        except PolicyError as error:
            problem = error.message
            chosen = _posted(request)
    run = _run(request, name)
    if run is not None and not problem:
        chosen = Policy(Rule(run.rule), tuple(run.sources))
    masker = masker_for(request.user)
    context = {
        "trait": name,
        "current": queries.policy_of(name),
        "chosen": chosen,
        "rules": RULES,
        "labels": LABELS,
        "sources": _in_order(chosen.sources),
        "source_names": _source_names(),
        "problem": problem,
        "disputes": [(row, queries.mask_examples(row, masker)) for row in queries.list_disputes(trait=name)],
        "log": PolicyRun.objects.filter(trait=name, kind=PolicyRun.Kind.APPLY).order_by("-id")[:10],
        **_run_context(run, masker),
    }
    return render(request, "traits/policy.html", context, status=422 if problem else 200)


@requires(Scope.PROFILES_READ)
def run(request: HttpRequest, run_id: int) -> HttpResponse:
    """How far a preview or change is, asked for every second while it runs."""
    found = get_object_or_404(PolicyRun, pk=run_id)
    context = {
        "trait": found.trait,
        "labels": LABELS,
        "source_names": _source_names(),
        "current": queries.policy_of(found.trait),
        **_run_context(found, masker_for(request.user)),
    }
    return render(request, "traits/run.html", context)


def _act(request: HttpRequest, name: str) -> HttpResponse:
    chosen = _posted(request)
    by, now = str(request.user), timezone.now()
    if request.POST.get("action") == "preview":
        started = operations.preview_policy(trait=name, rule=chosen.rule, sources=chosen.sources, by=by, now=now)
    elif request.POST.get("action") == "change":
        started = operations.change_policy(trait=name, rule=chosen.rule, sources=chosen.sources, by=by, now=now)
        messages.success(request, f"{name} now goes by: {LABELS[chosen.rule].lower()}.")
    else:
        raise PermissionDenied("Preview or change.")
    return redirect(f"{reverse('traits:policy')}?{urlencode([('trait', name), ('run', str(started.pk))])}")


def _posted(request: HttpRequest) -> Policy:
    sources = [int(text) for text in request.POST.getlist("sources") if text.isascii() and text.isdigit()]
    rule = request.POST.get("rule", "")
    if rule not in set(Rule) - {Rule.COMPUTED}:
        raise PolicyError("Choose a rule.", code="rule_unknown", path="/rule")
    return Policy(Rule(rule), tuple(sources) if rule == Rule.PRIORITY else ())


def _run(request: HttpRequest, trait: str) -> PolicyRun | None:
    raw = request.GET.get("run", "")
    if raw.isascii() and raw.isdigit() and len(raw) < 19:
        return PolicyRun.objects.filter(pk=int(raw), trait=trait).first()
    found = queries.newest_run(trait=trait, kind=PolicyRun.Kind.APPLY)
    return found if found is not None and found.state == PolicyRun.State.RUNNING else None


def _run_context(run: PolicyRun | None, masker: Masker) -> dict[str, Any]:
    if run is None:
        return {"run": None}
    examples = [
        {
            "profile": one["profile"],
            "before": masker.value("trait", "", run.trait, one["before"]),
            "after": masker.value("trait", "", run.trait, one["after"]),
        }
        for one in run.examples
    ]
    return {"run": run, "examples": examples, "percent": round(run.progress * 100)}


def _in_order(chosen: tuple[int, ...]) -> list[Source]:
    """The chosen sources first, in their order, then the others by their own priority."""
    found = {source.pk: source for source in Source.objects.order_by("priority", "name")}
    ranked = [found.pop(pk) for pk in chosen if pk in found]
    return [*ranked, *found.values()]


def _source_names() -> dict[int, str]:
    return dict(Source.objects.values_list("pk", "name"))


def _disputes(request: HttpRequest) -> dict[str, Any]:
    masker = masker_for(request.user)
    groups: dict[str, list[Any]] = {}
    for row in queries.list_disputes():
        groups.setdefault(row.trait, []).append((row, queries.mask_examples(row, masker)))
    policies = queries.policies_of(groups.keys())
    running = disputes.running_scan()
    return {
        "groups": [(trait, policies.get(trait), rows) for trait, rows in groups.items()],
        "labels": LABELS,
        "scan": disputes.newest_scan(),
        "running": running,
        "percent": round(running.progress * 100) if running else 0,
        "tab": "disputes",
    }


app_name = "traits"
urlpatterns = [
    path("", traits, name="list"),
    path("disputes/", disputed, name="disputes"),
    path("disputes/progress/", disputes_progress, name="disputes-progress"),
    path("policy/", policy, name="policy"),
    path("runs/<int:run_id>/", run, name="run"),
]
