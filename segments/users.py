"""Who uses a segment: asked before it is deleted or archived. Rooms further down register what they know."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from django.urls import reverse

from segments.ast import DefinitionError, parse
from segments.models import Computation, Draft, Segment
from segments.references import named_in, users_of


@dataclass(frozen=True)
class Use:
    """`kind` is a word, such as destination or experiment; `note` says in a few what it does with the segment."""

    kind: str
    name: str
    url: str = ""
    note: str = ""


Finder = Callable[[Segment], Iterable[Use]]
_finders: list[Finder] = []


def register(finder: Finder) -> None:
    """At start-up (`AppConfig.ready`): have `finder` asked too whenever somebody wants to know who uses a segment."""
    if finder not in _finders:
        _finders.append(finder)


def uses_of(segment: Segment) -> list[Use]:
    return [use for finder in (_segments, *_finders) for use in finder(segment)]


def in_words(uses: Iterable[Use], *, most: int = 5) -> str:
    """`the destination “Mail”, the segment “Lapsed” and 2 others`"""
    named = [f"the {use.kind} “{use.name}”" for use in uses]
    shown = named[:most]
    if len(named) > most:
        shown.append(f"{len(named) - most} others")
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + f" and {shown[-1]}"


def _segments(segment: Segment) -> Iterable[Use]:
    """Those that name it, now or by the version that is on its way."""
    live = users_of(segment.slug)
    for user in live:
        yield Use("segment", user.name, _address(user), "names it")
    known = {user.pk for user in live} | {segment.pk}
    for row in Computation.objects.exclude(segment__in=known).select_related("segment"):
        if _names(row.definition, segment.slug):
            yield Use("segment", row.segment.name, _address(row.segment), f"names it in version {row.number}")


def drafts_naming(segment: Segment) -> list[Use]:
    """Those that name it in a draft: no reason to keep it, but worth to be told."""
    new = Segment.objects.filter(state=Segment.State.DRAFT).exclude(pk=segment.pk)
    rows = [(row, row.definition) for row in new]
    edits = Draft.objects.exclude(segment=segment).select_related("segment")
    rows += [(row.segment, row.definition) for row in edits]
    return [
        Use("draft", row.name, _address(row), "names it in a draft")
        for row, definition in rows
        if _names(definition, segment.slug)
    ]


def _names(definition: object, slug: str) -> bool:
    try:
        return slug in named_in(parse(definition))
    except DefinitionError:
        return False


def _address(segment: Segment) -> str:
    return reverse("segments:detail", args=[segment.slug])
