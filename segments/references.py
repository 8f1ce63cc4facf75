"""Segments inside segments: a definition with the definitions of those that it names put in their place.

So one instant has one answer: nobody is in a segment by what another one said a moment ago. A segment is evaluated
when the events and traits change that the segments in it read, and can be asked of any past instant.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import assert_never

from django.db import connection

from consent.models import Purpose
from segments.ast import (
    Account,
    All,
    Any,
    Consent,
    DefinitionError,
    Event,
    Given,
    InSegment,
    Node,
    Not,
    Sequence,
    Trait,
    parse,
)
from segments.models import Dependency, Segment
from segments.plan import conditions

MAX_EXPANDED = 500  # conditions, after the segments inside have been put in place

Definitions = Mapping[str, Node]

_LOCK = 7_305_211_904


def expand(node: Node, *, own: str = "", new: Definitions | None = None) -> Node:
    """`node` without `InSegment`; `own` is the slug of the segment that it defines.

    `new` are definitions to go by instead of those that are live.

    Raises:
        DefinitionError: a segment that it names is unknown, cannot be read, or leads back to itself; a purpose is
            unknown.
    """
    _require_purposes(node)
    if not named_in(node):
        return node
    expanded = _put_in(node, _read(node, new or {}), at="", trail=(own,) if own else ())
    if sum(1 for _ in conditions(expanded)) > MAX_EXPANDED:
        message = f"With the segments inside it, a definition may have {MAX_EXPANDED} conditions at most."
        raise DefinitionError(message, code="too_many_nodes", path="")
    return expanded


def _require_purposes(node: Node) -> None:
    asked = [(at, part.purpose) for at, part in _addressed(node) if isinstance(part, Consent)]
    if not asked:
        return
    known = list(Purpose.objects.order_by("slug").values_list("slug", flat=True))
    for at, slug in asked:
        if slug not in known:
            near = difflib.get_close_matches(slug, known, n=1)
            hint = f" Did you mean “{near[0]}”?" if near else ""
            message = f"There is no purpose with the slug “{slug}”.{hint}"
            raise DefinitionError(message, code="unknown_purpose", path=f"{at}/purpose")


def _addressed(node: Node, at: str = "") -> Iterator[tuple[str, Node]]:
    """The conditions of a definition, each with its JSON pointer."""
    match node:
        case All(of) | Any(of):
            for place, part in enumerate(of):
                yield from _addressed(part, f"{at}/of/{place}")
        case Not(of):
            yield from _addressed(of, f"{at}/of")
        case _:
            yield at, node


def hold_references() -> None:
    """Until the end of the transaction nobody else changes which segment names which: no cycle comes up meanwhile."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def named_in(node: Node) -> set[str]:
    """The slugs of the segments that a definition names itself."""
    return {part.slug for part in conditions(node) if isinstance(part, InSegment)}


def users_of(slug: str) -> list[Segment]:
    """The segments that name this one, and those that name them, and so on."""
    found: dict[int, Segment] = {}
    wanted = [slug]
    while wanted:
        reading = Segment.objects.filter(dependencies__kind=Dependency.Kind.SEGMENT, dependencies__key__in=wanted)
        new = [segment for segment in reading.distinct().order_by("pk") if segment.pk not in found]
        found |= {segment.pk: segment for segment in new}
        wanted = [segment.slug for segment in new]
    return list(found.values())


def _read(node: Node, new: Definitions) -> Definitions:
    """The definitions of all segments that can come up, a query for each level; drafts and archived ones cannot."""
    found: dict[str, Node] = {}
    wanted = named_in(node)
    while wanted:
        rows = Segment.objects.filter(slug__in=wanted - new.keys()).exclude(state__in=Segment.AT_REST)
        level = {slug: _parsed(slug, definition) for slug, definition in rows.values_list("slug", "definition")}
        level |= {slug: new[slug] for slug in wanted & new.keys()}
        found |= level
        wanted = {slug for inner in level.values() for slug in named_in(inner)} - found.keys()
    return found


def _parsed(slug: str, definition: object) -> Node:
    try:
        return parse(definition)
    except DefinitionError as error:
        message = f"The definition of the segment {slug} cannot be read: {error.message}"
        raise DefinitionError(message, code="unreadable_segment", path="") from error


def _put_in(node: Node, known: Definitions, *, at: str, trail: tuple[str, ...]) -> Node:
    match node:
        case All(of):
            return All(tuple(_parts(of, known, at=at, trail=trail)))
        case Any(of):
            return Any(tuple(_parts(of, known, at=at, trail=trail)))
        case Not(of):
            return Not(_put_in(of, known, at=f"{at}/of", trail=trail))
        case InSegment(slug):
            return _meaning(slug, known, at=at, trail=trail)
        case Trait() | Account() | Event() | Sequence() | Given() | Consent():
            return node
        case _:
            assert_never(node)


def _parts(of: Iterable[Node], known: Definitions, *, at: str, trail: tuple[str, ...]) -> Iterable[Node]:
    return (_put_in(part, known, at=f"{at}/of/{place}", trail=trail) for place, part in enumerate(of))


def _meaning(slug: str, known: Definitions, *, at: str, trail: tuple[str, ...]) -> Node:
    """The path of a fault is that of the first step into another segment: the reader's own definition ends there."""
    if slug not in known:
        message = f"There is no segment with the slug “{slug}”."
        raise DefinitionError(message, code="unknown_segment", path=f"{at}/segment")
    if slug in trail:
        message = f"It leads back to itself: {' → '.join((*trail, slug))}."
        raise DefinitionError(message, code="segment_cycle", path=f"{at}/segment")
    try:
        return _put_in(known[slug], known, at="", trail=(*trail, slug))
    except DefinitionError as error:
        raise DefinitionError(error.message, code=error.code, path=f"{at}/segment") from error
