"""The life of a segment on its page: drafts, versions and how they differ, copies, the archive."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from cdp.kernel.access.roles import Scope
from cdp.kernel.errors import TributaryError
from cdp.kernel.screens import requires
from segments import lifecycle, organise, undo, users
from segments.ast import DefinitionError, parse
from segments.difference import Line, difference, summary
from segments.models import Segment, SegmentVersion
from segments.queries import sentence_of

VERSIONS_SHOWN = 20
DRAFT = "draft"


@dataclass(frozen=True)
class VersionLine:
    """A version in the list, with what is different from the one that was live before it."""

    version: SegmentVersion
    sentence: str
    before: int | None
    summary: str


def story(segment: Segment) -> dict[str, Any]:
    """What the page of a segment shows of its life."""
    draft = getattr(segment, "draft", None)
    return {
        "versions": _version_lines(segment),
        "draft": draft,
        "draft_summary": _summary(segment.definition, draft.definition) if draft else "",
        "uses": users.uses_of(segment),
        "drafts_naming": users.drafts_naming(segment),
        "folders": [name for name, _ in organise.folders()],
    }


def _version_lines(segment: Segment) -> list[VersionLine]:
    rows = list(segment.versions.select_related("created_by").order_by("-number")[: VERSIONS_SHOWN + 1])
    lines = []
    for place, row in enumerate(rows[:VERSIONS_SHOWN]):
        before = next((one for one in rows[place + 1 :] if one.published_at), None)
        told = _summary(before.definition, row.definition) if before else ""
        lines.append(VersionLine(row, sentence_of(row.definition), before.number if before else None, told))
    return lines


def _summary(before: Any, after: Any) -> str:
    line = _line(before, after)
    return "" if line is None else summary(line) or "the same in other words"


def _line(before: Any, after: Any) -> Line | None:
    """None where one of the two cannot be read: an unfinished draft, or a version of a richer language."""
    try:
        return difference(parse(before), parse(after))
    except DefinitionError:
        return None


# --- Comparing ----------------------------------------------------------------------------------------------


@requires(Scope.SEGMENTS_READ)
def compare(request: HttpRequest, slug: str) -> HttpResponse:
    """Two versions side by side in words, and one above the other as an outline with what changed marked."""
    segment = get_object_or_404(Segment.objects.select_related("draft"), slug=slug)
    choices = _choices(segment)
    names = list(choices)
    to = _chosen(request, "to", names, default=names[0] if names else "")
    older = names[names.index(to) + 1 :] if to else []
    before = _chosen(request, "from", names, default=older[0] if older else to)
    if not names:
        raise Http404("There are no versions to compare yet.")
    line = _line(choices[before][1], choices[to][1])
    context = {
        "segment": segment,
        "choices": [(name, label) for name, (label, _) in choices.items()],
        "from": before,
        "to": to,
        "from_label": choices[before][0],
        "to_label": choices[to][0],
        "from_sentence": sentence_of(choices[before][1]),
        "to_sentence": sentence_of(choices[to][1]),
        "line": line,
        "summary": summary(line) if line else "",
        "restorable": before != DRAFT and before != str(segment.version) and segment.state not in Segment.AT_REST,
    }
    return render(request, "segments/compare.html", context)


def _choices(segment: Segment) -> dict[str, tuple[str, Any]]:
    """By what the address says, the label and the definition: the draft, then the versions, newest first."""
    found: dict[str, tuple[str, Any]] = {}
    draft = getattr(segment, "draft", None)
    if draft:
        found[DRAFT] = ("The draft", draft.definition)
    for version in segment.versions.order_by("-number"):
        live = segment.is_live and version.number == segment.version
        found[str(version.number)] = (f"Version {version.number}{', live' if live else ''}", version.definition)
    return found


def _chosen(request: HttpRequest, name: str, names: list[str], *, default: str) -> str:
    asked = request.GET.get(name, "")
    return asked if asked in names else default


# --- Buttons ------------------------------------------------------------------------------------------------


@require_POST
@requires(Scope.SEGMENTS_READ, write=Scope.SEGMENTS_WRITE)
def cancel(request: HttpRequest, slug: str) -> HttpResponse:
    return _acted(request, slug, _cancel)


@require_POST
@requires(Scope.SEGMENTS_READ, write=Scope.SEGMENTS_WRITE)
def act(request: HttpRequest, slug: str, what: str) -> HttpResponse:
    """Publish, discard, restore, archive, unarchive or duplicate."""
    if what not in _ACTS:
        raise Http404("There is nothing like this to do.")
    return _acted(request, slug, _ACTS[what])


Act = Callable[[HttpRequest, Segment], str | None]


def _acted(request: HttpRequest, slug: str, act: Act) -> HttpResponse:
    found = get_object_or_404(Segment, slug=slug)
    try:
        elsewhere = act(request, found)
    except TributaryError as error:
        messages.error(request, error.message)
        elsewhere = None
    return redirect(*(["segments:edit", elsewhere] if elsewhere else ["segments:detail", slug]))


def _person(request: HttpRequest) -> Any:
    return request.user


def _cancel(request: HttpRequest, found: Segment) -> None:
    lifecycle.cancel(segment_id=found.pk, user=_person(request), now=timezone.now())
    messages.success(request, "Cancelled. What was typed is kept as a draft.")


def _publish(request: HttpRequest, found: Segment) -> None:
    lifecycle.publish(segment_id=found.pk, user=_person(request), now=timezone.now())
    messages.success(request, "Published: it is live once everybody has been checked.")


def _discard(request: HttpRequest, found: Segment) -> None:
    draft = lifecycle.discard(segment_id=found.pk)
    kept = {name: getattr(draft, name) for name in ("name", "description", "definition", "base_version")}
    undo.offer(request, "The draft is discarded.", "discarded", id=found.pk, draft=kept)


def _restore(request: HttpRequest, found: Segment) -> None:
    asked = request.POST.get("version", "")
    number = int(asked) if asked.isdigit() and len(asked) < 10 else 0
    restored = lifecycle.restore(segment_id=found.pk, number=number, user=_person(request), now=timezone.now())
    if restored.next is None:
        messages.success(request, f"Version {number} means what is live already.")
        return
    text = f"Version {number} is restored, as version {restored.next.number}."
    undo.offer(request, text, "restored", id=found.pk, number=found.version)


def _archive(request: HttpRequest, found: Segment) -> None:
    lifecycle.archive(segment_id=found.pk, now=timezone.now())
    undo.offer(request, f"“{found.name}” is in the archive.", "archived", ids=[found.pk])


def _unarchive(request: HttpRequest, found: Segment) -> None:
    lifecycle.unarchive(segment_id=found.pk, user=_person(request), now=timezone.now())
    messages.success(request, f"“{found.name}” is back.")


def _duplicate(request: HttpRequest, found: Segment) -> str:
    copy = lifecycle.duplicate(segment_id=found.pk, user=_person(request), now=timezone.now())
    messages.success(request, "This is the copy. It is a draft until you publish it.")
    return copy.slug


_ACTS: dict[str, Act] = {
    "publish": _publish,
    "discard": _discard,
    "restore": _restore,
    "archive": _archive,
    "unarchive": _unarchive,
    "duplicate": _duplicate,
}
