"""The data dictionary: every event, property and trait, described in place, with the segments that use it. R: A7"""

import csv
from collections.abc import Iterable, Mapping
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from cdp.kernel.access.roles import Scope
from cdp.kernel.errors import TributaryError
from cdp.kernel.screens import after_param, requires, take_page
from ingestion.dictionary import operations, queries
from ingestion.dictionary.masking import Pii
from ingestion.dictionary.queries import Key, Line
from ingestion.models import Source
from segments.usage import read_usage

PAGE = 100
KINDS = (("trait", "Traits"), ("event", "Events"), ("property", "Properties"))


def lines(filters: Mapping[str, str]) -> list[Line]:
    """The lines that pass the filters `q, kind, source, pii, event` and `undocumented`."""
    usage = read_usage()
    found = queries.read_lines(now=timezone.now())
    for key, used_by in usage.items():
        if key in found:
            found[key].segments = used_by
    return [line for line in found.values() if _passes(line, filters)]


def _passes(line: Line, filters: Mapping[str, str]) -> bool:
    text = filters.get("q", "").strip().lower()
    exact = {"kind": line.kind, "pii": line.pii.value, "event": line.path if line.kind == "event" else line.event}
    return (
        (not text or text in f"{line.path} {line.event} {line.description} {line.owner}".lower())
        and all(not filters.get(name) or filters[name] == value for name, value in exact.items())
        and (not filters.get("source") or filters["source"] in line.sources)
        and (not filters.get("undocumented") or not line.is_documented)
    )


@requires(Scope.EVENTS_READ)
def dictionary(request: HttpRequest) -> HttpResponse:
    filters = request.GET.dict()
    found = lines(filters)
    after = after_param(request) or 0
    page = take_page(found[after : after + PAGE + 1], key=lambda _: after + PAGE, size=PAGE)
    personal = [line for line in found if line.pii is not Pii.NONE]
    context = {
        "page": page,
        "total": len(found),
        "documented": sum(line.is_documented for line in found),
        "personal": len(personal),
        "mixed": sum(line.is_mixed for line in found),
        "filters": filters,
        "filtered": any(filters.get(name) for name in ("q", "kind", "source", "pii", "event", "undocumented")),
        "kinds": KINDS,
        "classes": list(Pii),
        "sources": list(Source.objects.values_list("slug", "name")),
        "may_edit": may_edit(request.user),
    }
    template = "dictionary/results.html" if getattr(request, "htmx", False) else "dictionary/list.html"
    return render(request, template, context)


@requires(Scope.EVENTS_READ)
def entry(request: HttpRequest) -> HttpResponse:
    """One line: as it is read, as a form (`?edit=1`), or saved by a POST."""
    asked = request.POST if request.method == "POST" else request.GET
    line = _find((asked.get("kind", ""), asked.get("event", ""), asked.get("path", "")))
    context: dict[str, Any] = {"line": line, "may_edit": may_edit(request.user)}
    if request.method == "POST":
        if not context["may_edit"]:
            raise PermissionDenied("Your roles do not let you describe data.")
        words = {name: asked[name] for name in operations.FIELDS if name in asked}
        kind, event, path = line.key
        try:
            operations.describe(kind=kind, event=event, path=path, by=str(request.user), now=timezone.now(), **words)
        except TributaryError as error:
            context |= {"problem": error.message, "edit": True}
        else:
            context["line"] = _find(line.key)
    edit = context.get("edit") or (request.method == "GET" and request.GET.get("edit") and context["may_edit"])
    if edit:
        history = queries.type_history(line=line, now=timezone.now())
        context |= {"classes": list(Pii), "types": operations.TYPES, "history": history}
        return render(request, "dictionary/edit_row.html", context, status=422 if "problem" in context else 200)
    return render(request, "dictionary/row.html", context)


@requires(Scope.EVENTS_READ)
def export(request: HttpRequest) -> HttpResponse:
    """The lines that pass the filters, as CSV."""
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="data-dictionary.csv"'
    response.write("\ufeff")  # spreadsheets read UTF-8 by it
    writer = csv.writer(response)
    writer.writerow(
        "kind event path description owner type pii first_seen last_seen volume sources segments".split()  # noqa: SIM905
    )
    writer.writerows([_safe(cell) for cell in _cells(line)] for line in lines(request.GET.dict()))
    return response


def _cells(line: Line) -> Iterable[Any]:
    return (
        line.kind,
        line.event,
        line.path,
        line.description,
        line.owner,
        line.type,
        line.pii.value,
        line.first_seen.isoformat() if line.first_seen else "",
        line.last_seen.isoformat() if line.last_seen else "",
        line.volume,
        " ".join(line.sources),
        " ".join(slug for slug, _ in line.segments),
    )


def _safe(cell: Any) -> Any:
    """Text that a spreadsheet would take for a formula is told to be text."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in "=+-@\t\r" and cell else cell


def may_edit(user: Any) -> bool:
    """Engineers know what the data is, privacy officers how personal it is."""
    return bool(user.may(Scope.SOURCES_WRITE) or user.may(Scope.CONSENT_WRITE))


def _find(key: Key) -> Line:
    line = next((one for one in lines({}) if one.key == key), None)
    if line is None:
        raise Http404("There is no such entry in the dictionary.")
    return line
