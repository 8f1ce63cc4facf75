"""The quality tab of a source: score and profile, review, rules, integrity; and traits that sources dispute."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.utils import timezone
from django.views.decorators.http import require_POST

from cdp.kernel.access.roles import Scope
from cdp.kernel.screens import after_param, requires, take_page
from ingestion.models import HourlyCount, Source
from ingestion.quality import operations, queries, scans, score
from ingestion.quality.contracts import EventProfile
from ingestion.quality.errors import QualityError
from ingestion.quality.forms import RuleForm, as_lines
from ingestion.quality.models import Alert, FlaggedValue, QualityScore, ValueRule
from ingestion.quality.suggest import RuleIdea, rule_ideas

CHART_HOURS = 48
CHART_EVENTS = 6
INTEGRITY_HOURS = 48
REVIEW_PAGE = 25
SCORE_DAYS = 14
_HOUR = timedelta(hours=1)


@requires(Scope.EVENTS_READ)
def quality(request: HttpRequest, slug: str) -> HttpResponse:
    """How good the data is, why, and every property of every event."""
    source = get_object_or_404(Source, slug=slug)
    now = timezone.now()
    profiles = queries.event_profiles(source_id=source.pk, now=now)
    facts = score.gather(source=source, profiles=profiles, now=now)
    context = {
        **_frame(source),
        "score": score.explain(facts),
        "history": _score_line(source, now),
        "profiles": profiles,
        "freshness": queries.freshness(source=source, now=now),
        "volume_chart": _volume_chart(source, now),
        "error_chart": _error_chart(source, now),
        "missing_chart": _missing_chart(source, profiles, now),
        "alerts": Alert.objects.filter(source=source).exclude(state=Alert.State.RESOLVED),
        "days": queries.PROFILE_DAYS,
    }
    return render(request, "quality/quality.html", context)


def _frame(source: Source) -> dict[str, Any]:
    waiting = FlaggedValue.objects.filter(source=source, state=FlaggedValue.State.OPEN).count()
    return {"source": source, "to_review": waiting}


def _score_line(source: Source, now: datetime) -> list[int]:
    rows = QualityScore.objects.filter(source=source, day__gt=(now - timedelta(days=SCORE_DAYS)).date())
    return list(rows.order_by("day").values_list("score", flat=True))


def _hours(now: datetime) -> list[datetime]:
    first = queries.whole_hour(now) - _HOUR * (CHART_HOURS - 1)
    return [first + _HOUR * index for index in range(CHART_HOURS)]


def _chart(hours: Sequence[datetime], series: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    x = [f"{timezone.localtime(hour):%Y-%m-%d %H:%M}" for hour in hours]
    return {"x": x, "series": series, "time": "hour", "axis": "Hour", **more}


def _volume_chart(source: Source, now: datetime) -> dict[str, Any]:
    """The most frequent events, and the others as one."""
    hours = _hours(now)
    found = queries.hourly_volumes(source_id=source.pk, since=hours[0])
    totals = {name: sum(events for events, _ in counts.values()) for name, counts in found.items()}
    names = sorted(totals, key=lambda name: (-totals[name], name))
    series = [
        {"name": name, "data": [found[name].get(hour, (0, 0))[0] for hour in hours]} for name in names[:CHART_EVENTS]
    ]
    if rest := names[CHART_EVENTS:]:
        others = [sum(found[name].get(hour, (0, 0))[0] for name in rest) for hour in hours]
        series.append({"name": f"{len(rest)} others", "data": others, "colour": "grey"})
    return _chart(hours, series)


def _error_chart(source: Source, now: datetime) -> dict[str, Any]:
    """Of each hour's messages, in percent: refused, and stored with a value that breaks a rule."""
    hours = _hours(now)
    rows = HourlyCount.objects.filter(source=source, hour__gte=hours[0])
    totals = dict.fromkeys(hours, 0)
    refused = dict.fromkeys(hours, 0)
    for hour, outcome, events in rows.values_list("hour", "outcome", "events"):
        if hour in totals:
            totals[hour] += events
            refused[hour] += events if outcome == HourlyCount.Outcome.QUARANTINED else 0
    flagged = dict.fromkeys(hours, 0)
    for counts in queries.hourly_volumes(source_id=source.pk, since=hours[0]).values():
        for hour, (_, broken) in counts.items():
            flagged[hour] = flagged.get(hour, 0) + broken
    if not any(refused.values()) and not any(flagged.values()):
        return _chart(hours, [])
    shares = {
        "Quarantined, %": ("red", [_percent(refused[hour], totals[hour]) for hour in hours]),
        "Against a rule, %": ("yellow", [_percent(flagged[hour], totals[hour]) for hour in hours]),
    }
    series = [{"name": name, "data": data, "colour": colour} for name, (colour, data) in shares.items()]
    return _chart(hours, series, fractional=True)


def _missing_chart(source: Source, profiles: Sequence[EventProfile], now: datetime) -> dict[str, Any]:
    """Of the values that each event usually brings, the percentage that is missing."""
    hours = _hours(now)
    usual = {
        profile.name: [
            one.path for one in profile.properties if "[]" not in one.path and 1 - one.null_rate >= score.USUAL
        ]
        for profile in profiles[:CHART_EVENTS]
    }
    found = queries.hourly_missing(source_id=source.pk, since=hours[0], usual=usual)
    series = [
        {"name": name, "data": [round(100 * counts[hour], 1) if hour in counts else None for hour in hours]}
        for name, counts in found.items()
        if any(counts.values())
    ]
    return _chart(hours, series, fractional=True)


def _percent(part: int, of: int) -> float:
    return round(100 * part / of, 2) if of else 0.0


# --- Review -------------------------------------------------------------------------------------------------


@requires(Scope.EVENTS_READ)
def review(request: HttpRequest, slug: str) -> HttpResponse:
    """Values that wait for a person's word, newest first."""
    source = get_object_or_404(Source, slug=slug)
    state = request.GET.get("state", FlaggedValue.State.OPEN)
    rows = FlaggedValue.objects.filter(source=source, state=state).order_by("-id")
    after = after_param(request)
    if after is not None:
        rows = rows.filter(pk__lt=after)
    page = take_page(rows[: REVIEW_PAGE + 1], key=lambda row: row.pk, size=REVIEW_PAGE)
    context = {**_frame(source), "page": page, "state": state, "states": FlaggedValue.State.choices}
    return render(request, "quality/review.html", context)


@require_POST
@requires(Scope.EVENTS_READ, write=Scope.SOURCES_WRITE)
def decide(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    flag = get_object_or_404(FlaggedValue, pk=pk, source__slug=slug)
    actor, now = str(request.user), timezone.now()
    if request.POST.get("word") == "always":
        rule = operations.accept_for_good(flag=flag, actor=actor, now=now)
        said = "Such values are fine from now on." if rule else "Marked as fine. No rule could be made of this value."
        messages.success(request, said)
    else:
        operations.decide_flag(flag=flag, fine=request.POST.get("word") == "fine", actor=actor, now=now)
    return redirect("sources:quality_review", slug)


# --- Rules --------------------------------------------------------------------------------------------------


@requires(Scope.EVENTS_READ, write=Scope.SOURCES_WRITE)
def rules(request: HttpRequest, slug: str) -> HttpResponse:
    """Which values are right: the rules there are, those that the data suggests, and a form."""
    source = get_object_or_404(Source, slug=slug)
    now = timezone.now()
    form = RuleForm(request.POST) if request.method == "POST" else RuleForm(initial=_prefilled(request.GET))
    if form.is_bound and form.is_valid():
        try:
            rule = operations.set_rule(source=source, actor=str(request.user), now=now, **form.cleaned_data)
        except QualityError as error:
            field = error.path.split("/")[1]
            form.add_error(field if field in form.fields else None, error.message)
        else:
            messages.success(request, f"“{rule.path}” of “{rule.event}” is checked from the next events on.")
            return redirect("sources:quality_rules", slug)
    found = list(ValueRule.objects.filter(source=source))
    ideas = rule_ideas(queries.event_profiles(source_id=source.pk, now=now), found)
    context = {
        **_frame(source),
        "rules": [(rule, "?" + urlencode(_fields_of(rule))) for rule in found],
        "ideas": [(idea, "?" + urlencode(_fields_of(idea)) + "#rule") for idea in ideas],
        "form": form,
    }
    return render(request, "quality/rules.html", context, status=422 if form.is_bound else 200)


def _fields_of(rule: ValueRule | RuleIdea) -> dict[str, Any]:
    values = {"event": rule.event, "path": rule.path, "low": rule.low, "high": rule.high}
    values |= {"allowed": as_lines(list(rule.allowed))}
    values |= {name: getattr(rule, name, None) for name in ("shortest", "longest")}
    return {
        name: f"{value:g}" if isinstance(value, float) else value
        for name, value in values.items()
        if value not in {None, ""}
    }


def _prefilled(asked: Mapping[str, str]) -> dict[str, str]:
    return {name: asked[name] for name in RuleForm.base_fields if name in asked}


@require_POST
@requires(Scope.EVENTS_READ, write=Scope.SOURCES_WRITE)
def remove_rule(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    rule = get_object_or_404(ValueRule, pk=pk, source__slug=slug)
    operations.remove_rule(rule=rule)
    messages.success(request, f"“{rule.path}” of “{rule.event}” is not checked any more.")
    return redirect("sources:quality_rules", slug)


# --- Integrity ----------------------------------------------------------------------------------------------


@requires(Scope.EVENTS_READ)
def integrity(request: HttpRequest, slug: str) -> HttpResponse:
    """Whether everything that was acknowledged is accounted for, what came twice, and loads."""
    source = get_object_or_404(Source, slug=slug)
    now = timezone.now()
    since = now - _HOUR * INTEGRITY_HOURS
    rows = queries.balance(source_id=source.pk, since=since)
    began = queries.counted_since(source_id=source.pk)
    outcomes = [outcome for outcome in HourlyCount.Outcome if any(row.outcomes.get(outcome) for row in rows)]
    lines = [(row, [row.outcomes.get(outcome, 0) for outcome in outcomes], _is_whole(row.hour, began)) for row in rows]
    scanned, near, examples = queries.near_duplicates(source_id=source.pk, since=now - timedelta(days=7))
    doubled = sum(row.outcomes.get(HourlyCount.Outcome.DUPLICATE, 0) for row in rows)
    stored = sum(row.outcomes.get(HourlyCount.Outcome.STORED, 0) for row in rows)
    context = {
        **_frame(source),
        "outcomes": outcomes,
        "rows": lines,
        "acknowledged": sum(row.acknowledged for row in rows),
        "waiting": sum(row.waiting for row in rows),
        "difference": sum(abs(row.difference) for row in rows if _is_whole(row.hour, began)),
        "duplicate_rate": _percent(doubled, stored + doubled),
        "doubled": doubled,
        "scanned": scanned,
        "near": near,
        "near_rate": _percent(near, scanned),
        "examples": examples,
        "near_seconds": scans.NEAR_SECONDS,
        "loads": [queries.check_load(load) for load in source.loads.order_by("-stated_at")[:20]],
        "hours": INTEGRITY_HOURS,
    }
    return render(request, "quality/integrity.html", context)


def _is_whole(hour: datetime, began: datetime | None) -> bool:
    """The hour in which counting at the door began is counted in part only, and cannot be balanced."""
    return began is not None and hour > began


urlpatterns = [
    path("<slug:slug>/quality/", quality, name="quality"),
    path("<slug:slug>/quality/review/", review, name="quality_review"),
    path("<slug:slug>/quality/review/<int:pk>/", decide, name="quality_decide"),
    path("<slug:slug>/quality/rules/", rules, name="quality_rules"),
    path("<slug:slug>/quality/rules/<int:pk>/remove/", remove_rule, name="quality_remove_rule"),
    path("<slug:slug>/quality/integrity/", integrity, name="quality_integrity"),
]
