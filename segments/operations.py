"""What can be done to segments. Their members follow by evaluation."""

import re
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils.text import slugify

from cdp.kernel.access.models import User
from consent.models import Purpose
from segments import publishing
from segments.ast import DefinitionError, Given, Node, parse
from segments.computations import Clock, Lease, ask, claim, drop, hold
from segments.consents import follow_consents
from segments.contracts import TransitionSpan
from segments.dependencies import dependencies
from segments.errors import (
    SegmentArchivedError,
    SegmentAtRestError,
    SegmentError,
    SegmentInUseError,
    SegmentNotFoundError,
    SlugTakenError,
)
from segments.evaluate import evaluate_changes, wake_due
from segments.models import Computation, Dependency, Segment, SegmentVersion
from segments.plan import conditions
from segments.references import expand, hold_references, named_in, users_of
from segments.users import in_words, uses_of

__all__ = [
    "create_segment",
    "delete_segment",
    "evaluate_changes",
    "follow_consents",
    "recompute",
    "request_recompute",
    "update_segment",
    "wake_due",
]

MAX_NAME = 120
MAX_SLUG = 80
MAX_DESCRIPTION = 2_000
# Addresses beside a segment's own.
RESERVED_SLUGS = frozenset({"builder", "bulk", "computed", "manual", "new", "preview", "schema", "undo", "validate"})
_SLUG = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")


def create_segment(
    *, slug: str = "", name: str, definition: Any, description: str = "", user: User | None = None, now: datetime
) -> Segment:
    """Publish version 1 and have it computed; without a slug, one is made from the name.

    Without a definition it is a manual segment: `segments.manual` puts people in.
    """
    if definition is None:
        slug = slug or free_slug(checked(name, "name", most=MAX_NAME))
        definition = {"type": "given", "segment": slug}
    node = parse(definition)
    with transaction.atomic():
        segment = add_segment(slug=slug, name=name, description=description, definition=definition, user=user, now=now)
        check_references(node, segment.slug)
        propose(segment, node, definition, user=user, now=now)
    return segment


def add_segment(
    *, slug: str = "", name: str, description: str = "", definition: Any, user: User | None, now: datetime
) -> Segment:
    """A row without a version yet."""
    name = checked(name, "name", most=MAX_NAME)
    slug = _checked_slug(slug) if slug else free_slug(name)
    try:
        with transaction.atomic():
            return Segment.objects.create(
                slug=slug,
                name=name,
                description=checked(description, "description", most=MAX_DESCRIPTION, empty=True),
                definition=definition,
                version=0,
                created_by=user,
                created_at=now,
                updated_at=now,
            )
    except IntegrityError as error:
        message = f"There already is a segment with the slug “{slug}”."
        raise SlugTakenError(message, path="/slug") from error


def update_segment(
    *,
    segment_id: int,
    name: str | None = None,
    definition: Any = None,
    description: str | None = None,
    user: User | None = None,
    now: datetime,
) -> Segment:
    """Change what is given. A definition that means something else becomes the next version and is computed aside."""
    node = None if definition is None else parse(definition)
    with transaction.atomic():
        segment, computation = lock(segment_id) if node is not None else (lock_alone(segment_id), None)
        if name is not None:
            segment.name = checked(name, "name", most=MAX_NAME)
        if description is not None:
            segment.description = checked(description, "description", most=MAX_DESCRIPTION, empty=True)
        segment.updated_at = now
        segment.save(update_fields=["name", "description", "updated_at"])
        if node is not None:
            _redefine(segment, computation, node, definition, user=user, now=now)
    return segment


def _redefine(
    segment: Segment, computation: Computation | None, node: Node, definition: Any, *, user: User | None, now: datetime
) -> None:
    """A new version, or the live one or the one on its way in another spelling."""
    if segment.state == Segment.State.ARCHIVED:
        raise SegmentArchivedError(f"“{segment.name}” is archived. Bring it back to change its definition.")
    on_its_way = computation if computation and not computation.error else None
    if segment.state == Segment.State.DRAFT:
        store_definition(segment, definition)
    elif on_its_way and node == stored_node(on_its_way.definition):
        Computation.objects.filter(pk=on_its_way.pk).update(definition=definition)
        if segment.version == on_its_way.number:
            store_definition(segment, definition)
    elif segment.state in {Segment.State.LIVE, Segment.State.FAILED} and node == stored_node(segment.definition):
        if computation and computation.number != segment.version:
            drop(computation, SegmentVersion.Outcome.CANCELLED)
        store_definition(segment, definition)
    else:
        check_references(node, segment.slug)
        propose(segment, node, definition, user=user, now=now)


def propose(segment: Segment, node: Node, definition: Any, *, user: User | None, now: datetime) -> None:
    """Have the next version computed. Where none was ever live, and nobody names the segment, it is it at once."""
    last = segment.versions.order_by("-number").values_list("number", flat=True).first() or 0
    segment.versions.filter(published_at=None, outcome=SegmentVersion.Outcome.NONE).update(
        outcome=SegmentVersion.Outcome.SUPERSEDED
    )
    SegmentVersion.objects.create(
        segment=segment, number=last + 1, definition=definition, created_by=user, created_at=now
    )
    ask(segment=segment, number=last + 1, definition=definition, user=user, now=now)
    if segment.computed_at is None and not users_of(segment.slug):
        segment.definition, segment.version = definition, last + 1
        _index(segment, node)
    if segment.state != Segment.State.LIVE:
        segment.state, segment.error = Segment.State.COMPUTING, ""
    segment.updated_at = now
    segment.save(update_fields=["definition", "version", "state", "error", "updated_at"])


def recompute(*, segment_id: int, now: datetime) -> TransitionSpan:
    """Compute and publish at once what is on its way, or else the live version; for callers that can wait for it."""
    with transaction.atomic():
        if not Segment.objects.filter(pk=segment_id).exists():
            return TransitionSpan((), 0, 0, 0)
        segment, computation = lock(segment_id)
        if computation is None or computation.error:
            ask_again(segment, computation, now=now)
    lease = claim(segment_id=segment_id, now=now)
    return compute(lease, clock=lambda: now) if lease else TransitionSpan((), 0, 0, 0)


def compute(lease: Lease, *, clock: Clock, staging: publishing.Staging | None = None) -> TransitionSpan:
    """Compute what was claimed, aside, and publish it in the current transaction; `staging` is what is done of it."""
    return publishing.compute(lease, clock=clock, index=_index, staging=staging)


def ask_again(segment: Segment, computation: Computation | None, *, now: datetime) -> None:
    """The version that failed, or the live one once more."""
    if segment.state in Segment.AT_REST:
        raise SegmentAtRestError(f"“{segment.name}” is {segment.get_state_display().lower()}: it is not computed.")
    ask(
        segment=segment,
        number=computation.number if computation else segment.version,
        definition=computation.definition if computation else segment.definition,
        user=computation.asked_by if computation else None,
        now=now,
    )


def delete_segment(*, segment_id: int) -> None:
    """Remove a segment with its members and history; refused while a destination or a segment reads it."""
    with transaction.atomic():
        segment, _ = lock(segment_id)
        uses = [use for use in uses_of(segment) if use.kind != "destination"]
        if uses:
            raise SegmentInUseError(f"“{segment.name}” is still named in {in_words(uses)}. Change that first.")
        try:
            segment.delete()
        except ProtectedError as error:
            raise SegmentInUseError(
                f"“{segment.name}” is still used by {len(error.protected_objects)} subscription(s)."
                " Remove those first."
            ) from error


def request_recompute(*, segment_id: int, now: datetime) -> None:
    """Have a segment computed again, for one that failed or that somebody doubts."""
    with transaction.atomic():
        segment, computation = lock(segment_id)
        ask_again(segment, computation, now=now)
        if segment.state == Segment.State.FAILED:
            segment.state, segment.error = Segment.State.COMPUTING, ""
            segment.save(update_fields=["state", "error"])


def check_references(node: Node, slug: str) -> None:
    """
    Raises:
        DefinitionError: for a segment that it must not name: an unknown one, itself, or one that was given members
            otherwise than by its name.
    """
    if node != Given(slug) and any(isinstance(part, Given) for part in conditions(node)):
        message = "Name a manual segment by the type `segment`; `given` is only what defines it."
        raise DefinitionError(message, code="given_not_allowed", path="/type")
    if named_in(node):
        hold_references()
    expand(node, own=slug)


def stored_node(definition: Any) -> Node | None:
    """None where what is stored can no longer be read."""
    try:
        return parse(definition)
    except DefinitionError:
        return None


def store_definition(segment: Segment, definition: Any) -> None:
    segment.definition = definition
    segment.save(update_fields=["definition"])


def _index(segment: Segment, node: Node) -> None:
    """Note what the definition reads, itself and through the segments that it names."""
    reads = dependencies(expand(node, own=segment.slug))
    rows = [(Dependency.Kind.SEGMENT, slug) for slug in named_in(node)]
    rows += [(Dependency.Kind.EVENT, name) for name in reads.events]
    rows += [(Dependency.Kind.TRAIT, name) for name in reads.traits]
    rows += [(Dependency.Kind.ACCOUNT, name) for name in reads.accounts]
    rows += [(Dependency.Kind.CONSENT, slug) for slug in reads.purposes]
    rows += [(Dependency.Kind.EMPTY, "")] if reads.empty else []
    Dependency.objects.filter(segment=segment).delete()
    purposes = dict(Purpose.objects.filter(slug__in=reads.purposes).values_list("slug", "pk"))
    Dependency.objects.bulk_create(
        Dependency(
            segment=segment,
            kind=kind,
            key=key,
            purpose_id=purposes.get(key) if kind == Dependency.Kind.CONSENT else None,
        )
        for kind, key in sorted(rows)
    )


def lock(segment_id: int) -> tuple[Segment, Computation | None]:
    """Hold a segment with what is on its way of it, for whoever changes what it means."""
    hold_references()
    computation = hold(segment_id)
    return lock_alone(segment_id), computation


def lock_alone(segment_id: int) -> Segment:
    segment = Segment.objects.select_for_update(no_key=True).filter(pk=segment_id).first()
    if segment is None:
        raise SegmentNotFoundError("There is no such segment.")
    return segment


def checked(text: object, field: str, *, most: int, empty: bool = False) -> str:
    clean = text.strip() if isinstance(text, str) else ""
    if not isinstance(text, str) or "\0" in text or (not clean and not empty):
        raise SegmentError(f"Give a {field}.", code="invalid", path=f"/{field}")
    if len(clean) > most:
        raise SegmentError(f"The {field} may have {most} characters at most.", code="too_long", path=f"/{field}")
    return clean


def _checked_slug(slug: object) -> str:
    if not isinstance(slug, str) or len(slug) > MAX_SLUG or not _SLUG.fullmatch(slug):
        message = f"A slug has small letters, digits and hyphens, {MAX_SLUG} at most."
        raise SegmentError(message, code="invalid_slug", path="/slug")
    if slug in RESERVED_SLUGS:
        raise SegmentError(
            f"“{slug}” is an address of its own; choose another slug.", code="invalid_slug", path="/slug"
        )
    return slug


def free_slug(name: str) -> str:
    base = slugify(name)[: MAX_SLUG - 5].strip("-_") or "segment"
    taken = RESERVED_SLUGS.union(Segment.objects.filter(slug__startswith=base).values_list("slug", flat=True))
    return next(slug for slug in (base, *(f"{base}-{n}" for n in range(2, len(taken) + 3))) if slug not in taken)
