"""The quarantine of a source: its reasons, the messages of one, a fix tried and replayed, one message mended."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.contrib import messages as notices
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_POST

from cdp.kernel.access.roles import Scope
from cdp.kernel.errors import TributaryError
from cdp.kernel.screens import after_param, requires, take_page
from cdp.kernel.tasks import send_on_commit
from ingestion.dictionary.masking import Masker
from ingestion.dictionary.viewing import masker_for
from ingestion.models import Source
from ingestion.people import hashes_of_anyone
from ingestion.quarantine import check, operations, queries
from ingestion.quarantine.contracts import Criteria, Example
from ingestion.quarantine.errors import FixError, QuarantineError
from ingestion.quarantine.fix import CONVERSIONS, Steps, read_steps
from ingestion.quarantine.models import QuarantinedMessage, Reason, Replay

PAGE = 25
HOURS = 48
STEP_ROWS = 3
_HOUR = timedelta(hours=1)
State = QuarantinedMessage.State
SHOWN_STATES = [State.HELD, State.DISCARDED, State.REPLAYED]
_COLOURS = ("red", "1", "2", "3", "4", "5", "grey")


@dataclass(frozen=True, slots=True)
class Search:
    """What somebody looks for, as the address says it: the fields of the form and what they mean."""

    fields: dict[str, str]
    criteria: Criteria

    @property
    def given(self) -> bool:
        return any(value for name, value in self.fields.items() if name != "state")


@requires(Scope.EVENTS_READ)
def quarantine(request: HttpRequest, slug: str) -> HttpResponse:
    """The reasons; or, when something is looked for, the messages."""
    source = get_object_or_404(Source, slug=slug)
    search = _search(request.GET, source)
    now = timezone.now()
    context: dict[str, Any] = {
        "source": source,
        "search": search.fields,
        "searching": search.given,
        "states": SHOWN_STATES,
        "replays": queries.recent_replays(source_id=source.pk),
    }
    if search.given:
        context |= _messages(request, search.criteria)
    else:
        context |= {"reasons": queries.reasons(source_id=source.pk, now=now), "chart": _chart(source, now)}
    return render(request, "sources/quarantine/quarantine.html", context)


@requires(Scope.EVENTS_READ)
def reason(request: HttpRequest, slug: str, reason_id: int) -> HttpResponse:
    """One reason: since when, how often, its messages, and what can be done."""
    found = get_object_or_404(Reason.objects.select_related("source"), pk=reason_id, source__slug=slug)
    now = timezone.now()
    state = _state(request.GET.get("state", ""))
    (line,) = queries.reasons(ids=[found.pk], now=now)
    context = {
        "source": found.source,
        "reason": line,
        "state": state,
        "states": SHOWN_STATES,
        "steps": _step_rows(_first_steps(line.code, line.path)),
        "conversions": list(CONVERSIONS),
        "chart": _chart_of_reason(found, now),
        "replays": queries.open_replays(source_id=found.source_id),
    }
    criteria = Criteria(source=slug, reason=found.pk, state=state)
    return render(request, "sources/quarantine/reason.html", context | _messages(request, criteria))


@requires(Scope.EVENTS_READ)
@require_POST
def try_fix(request: HttpRequest, slug: str, reason_id: int) -> HttpResponse:
    """What the steps of the form would do to real messages, before anything is replayed."""
    found = get_object_or_404(Reason.objects.select_related("source"), pk=reason_id, source__slug=slug)
    try:
        steps = _posted_steps(request)
        tried = check.preview(source=found.source, criteria=Criteria(reason=found.pk), steps=steps)
    except QuarantineError as error:
        return render(request, "sources/quarantine/preview.html", {"error": error}, status=422)
    masker = masker_for(request.user)
    shown = replace(tried, examples=[_masked(one, masker) for one in tried.examples])
    return render(request, "sources/quarantine/preview.html", {"preview": shown, "steps": steps})


def _masked(example: Example, masker: Masker) -> Example:
    return replace(example, before=masker.text(example.before), after=masker.text(example.after))


@requires(Scope.SOURCES_WRITE)
@require_POST
def replay(request: HttpRequest, slug: str) -> HttpResponse:
    """Replay what the hidden criteria name: one message, a reason, or all that match a search."""
    source = get_object_or_404(Source, slug=slug)
    try:
        started = operations.start_replay(
            source=source,
            criteria=_posted_criteria(request),
            steps=_posted_steps(request),
            by=str(request.user),
            now=timezone.now(),
        )
    except QuarantineError as error:
        notices.error(request, _said(error))
        return redirect(_back(request, slug))
    send_on_commit("cdp.replay")
    return redirect("sources:replay", slug, started.pk)


@requires(Scope.SOURCES_WRITE)
@require_POST
def discard(request: HttpRequest, slug: str) -> HttpResponse:
    get_object_or_404(Source, slug=slug)
    meant = msgspec.structs.replace(_posted_criteria(request), source=slug)
    reason_given = request.POST.get("discard_reason", "").strip()
    number = operations.discard(criteria=meant, reason=reason_given, by=str(request.user), now=timezone.now())
    notices.success(request, f"{_counted(number)} discarded. You find them under “Discarded” and can take them back.")
    return redirect(_back(request, slug))


@requires(Scope.SOURCES_WRITE)
@require_POST
def restore(request: HttpRequest, slug: str) -> HttpResponse:
    get_object_or_404(Source, slug=slug)
    number = operations.restore(criteria=msgspec.structs.replace(_posted_criteria(request), source=slug))
    notices.success(request, f"{_counted(number)} taken back: held again.")
    return redirect(_back(request, slug))


@requires(Scope.EVENTS_READ, write=Scope.SOURCES_WRITE)
def message(request: HttpRequest, slug: str, message_id: int) -> HttpResponse:
    """One message: what is wrong where, what was before, and a place to mend it. A POST tries the mended payload."""
    found = get_object_or_404(
        QuarantinedMessage.objects.select_related("source", "reason"), pk=message_id, source__slug=slug
    )
    masker = masker_for(request.user)
    text, problem = masker.text(check.readable(bytes(found.payload if found.edited is None else found.edited))), None
    if request.method == "POST" and not masker.clear:
        raise PermissionDenied("Only somebody who may see personal data can mend a message.")
    if request.method == "POST" and found.state == State.HELD:
        text = request.POST.get("payload", "")
        problem = _mend(found, text)
        if problem is None:
            criteria = Criteria(ids=(found.pk,))
            started = operations.start_replay(
                source=found.source, criteria=criteria, by=str(request.user), now=timezone.now()
            )
            send_on_commit("cdp.replay")
            return redirect("sources:replay", slug, started.pk)
    context = {
        "source": found.source,
        "message": found,
        "original": masker.text(check.readable(bytes(found.payload))),
        "text": text,
        "problem": problem,
    }
    return render(request, "sources/quarantine/message.html", context, status=422 if problem else 200)


@requires(Scope.EVENTS_READ)
def show_replay(request: HttpRequest, slug: str, replay_id: int) -> HttpResponse:
    """How far a replay is; the fragment is asked for every second while it runs."""
    found = get_object_or_404(Replay.objects.select_related("source"), pk=replay_id, source__slug=slug)
    template = "replay_progress.html" if getattr(request, "htmx", False) else "replay.html"
    return render(request, f"sources/quarantine/{template}", {"source": found.source, "replay": found})


@requires(Scope.SOURCES_WRITE)
@require_POST
def cancel(_request: HttpRequest, slug: str, replay_id: int) -> HttpResponse:
    found = get_object_or_404(Replay, pk=replay_id, source__slug=slug)
    operations.cancel_replay(replay_id=found.pk, now=timezone.now())
    return redirect("sources:replay", slug, found.pk)


# --- What the address and the forms say -------------------------------------------------------------------------

_TEXTS = ("text", "person", "message_id", "event", "code", "path")


def _search(given: Any, source: Source) -> Search:
    fields = {name: str(given.get(name, "")).strip()[:200] for name in (*_TEXTS, "since", "until")}
    fields["state"] = _state(given.get("state", ""))
    people = hashes_of_anyone(fields["person"]) or ["nobody"] if fields["person"] else []
    criteria = Criteria(
        source=source.slug,
        state=fields["state"],
        code=fields["code"],
        path=fields["path"],
        event=fields["event"],
        message_id=fields["message_id"],
        people=tuple(people),
        text=fields["text"].replace("\x00", ""),
        since=_moment(fields["since"]),
        until=_moment(fields["until"]),
    )
    return Search(fields, criteria)


def _state(text: str) -> str:
    return text if text in SHOWN_STATES else State.HELD.value


def _moment(text: str) -> datetime | None:
    try:
        moment = parse_datetime(text)
    except ValueError:
        return None
    return timezone.make_aware(moment) if moment is not None and moment.tzinfo is None else moment


def _messages(request: HttpRequest, criteria: Criteria) -> dict[str, Any]:
    rows = queries.matching(criteria)
    after = after_param(request)
    shown = rows.filter(pk__lt=after) if after is not None else rows
    page = take_page(shown.order_by("-pk")[: PAGE + 1], key=lambda row: row.pk, size=PAGE)
    masker = masker_for(request.user)
    items = [(row, masker.text(check.readable(bytes(row.payload)))) for row in page]
    return {"page": page, "items": items, "total": rows.count(), "criteria": _packed(criteria)}


def _packed(criteria: Criteria) -> str:
    return msgspec.json.encode(criteria).decode()


def _posted_criteria(request: HttpRequest) -> Criteria:
    try:
        return operations.read_criteria(msgspec.json.decode(request.POST.get("criteria", "{}")))
    except msgspec.DecodeError as error:
        raise QuarantineError(f"This form is damaged: {error}", code="filter_invalid") from None


def _posted_steps(request: HttpRequest) -> Steps:
    """The rows of the form: `op`, `path` and `to` of each; rows without a path or name are left out."""
    rows = zip(request.POST.getlist("op"), request.POST.getlist("path"), request.POST.getlist("to"), strict=False)
    return read_steps([_step(op, where.strip(), to) for op, where, to in rows if where.strip() or (op and to)])


def _step(op: str, where: str, to: str) -> dict[str, Any]:
    match op:
        case "set":
            return {"op": op, "path": where, "value": _value(to)}
        case "remove":
            return {"op": op, "path": where}
        case "event":
            return {"op": op, "to": to.strip() or where}
        case _:
            return {"op": op, "path": where, "to": to.strip()}


def _value(text: str) -> Any:
    """JSON where it is JSON, else the text itself: 5, true and "5" are what they say."""
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return text


def _first_steps(code: str, where: str) -> list[dict[str, str]]:
    """A step to begin with: what would mend most messages of such a reason."""
    if code == "event_missing":
        return [{"op": "event", "path": "", "to": ""}]
    if not where:
        return []
    return [{"op": "convert" if "type" in code or "number" in code else "set", "path": where, "to": ""}]


def _step_rows(steps: list[dict[str, str]]) -> list[dict[str, str]]:
    empty = {"op": "rename", "path": "", "to": ""}
    return steps + [empty] * (STEP_ROWS - len(steps))


def _mend(found: QuarantinedMessage, text: str) -> TributaryError | None:
    """Keep the mended payload if the drain would take it; else what is still wrong, and where."""
    payload = text.encode("utf-8", "replace")
    row = operations.row_of(found, payload=payload)
    try:
        msgspec.json.decode(payload)
    except (ValueError, RecursionError) as error:
        return FixError(f"This is not JSON: {error}", code="json_invalid")
    rejected = check.problem_of(found.source, row)
    if rejected is not None:
        return FixError(rejected.message, code=rejected.code, path=rejected.path)
    try:
        operations.edit(message=found, payload=msgspec.json.format(payload, indent=0))
    except QuarantineError as error:
        return error
    return None


def _back(request: HttpRequest, slug: str) -> str:
    """Where the form was: the page of a reason or of a search of this source, and nothing else."""
    address = request.POST.get("back", "")
    home = f"/sources/{slug}/quarantine/"
    return address if address.startswith(home) else home


def _said(error: TributaryError) -> str:
    return f"{error.message} ({error.path})" if error.path else error.message


def _counted(number: int) -> str:
    return f"{number:,} message{'' if number == 1 else 's'}"


# --- Charts -----------------------------------------------------------------------------------------------------


def _chart(source: Source, now: datetime) -> dict[str, Any]:
    hours = _hours(now)
    found: dict[str, dict[datetime, int]] = {}
    for hour, code, number in queries.hourly(source_id=source.pk, since=hours[0]):
        found.setdefault(code, {})[hour] = number
    ranked = sorted(found, key=lambda code: -sum(found[code].values()))
    series = [
        {"name": code, "data": [found[code].get(hour, 0) for hour in hours], "colour": colour}
        for code, colour in zip(ranked, _COLOURS, strict=False)
    ]
    return _drawn(hours, series)


def _chart_of_reason(found: Reason, now: datetime) -> dict[str, Any]:
    hours = _hours(now)
    counts = queries.hourly_of_reason(reason_id=found.pk, since=hours[0])
    return _drawn(hours, [{"name": "Messages", "data": [counts.get(hour, 0) for hour in hours], "colour": "red"}])


def _drawn(hours: list[datetime], series: list[dict[str, Any]]) -> dict[str, Any]:
    labels = [f"{timezone.localtime(hour):%Y-%m-%d %H:%M}" for hour in hours]
    return {"x": labels, "series": series, "time": "hour", "axis": "Hour"}


def _hours(now: datetime) -> list[datetime]:
    first = now.replace(minute=0, second=0, microsecond=0) - _HOUR * (HOURS - 1)
    return [first + _HOUR * index for index in range(HOURS)]


_HERE = "<slug:slug>/quarantine/"
urlpatterns = [
    path(_HERE, quarantine, name="quarantine"),
    path(f"{_HERE}reasons/<int:reason_id>/", reason, name="reason"),
    path(f"{_HERE}reasons/<int:reason_id>/try/", try_fix, name="try-fix"),
    path(f"{_HERE}messages/<int:message_id>/", message, name="held-message"),
    path(f"{_HERE}replay/", replay, name="start-replay"),
    path(f"{_HERE}discard/", discard, name="discard"),
    path(f"{_HERE}restore/", restore, name="restore"),
    path(f"{_HERE}replays/<int:replay_id>/", show_replay, name="replay"),
    path(f"{_HERE}replays/<int:replay_id>/cancel/", cancel, name="cancel-replay"),
]
