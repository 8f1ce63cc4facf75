"""What can be done to segments. Their members follow by evaluation."""

import re
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils.text import slugify

from cdp.kernel.access.models import User
from cdp.kernel.tasks import send_on_commit
from segments.ast import DefinitionError, Node, parse
from segments.dependencies import dependencies
from segments.errors import SegmentError, SegmentInUseError, SegmentNotFoundError, SlugTakenError
from segments.evaluate import evaluate_changes, recompute, wake_due
from segments.models import Dependency, Segment, SegmentVersion
from segments.references import expand, hold_references, named_in, users_of

__all__ = [
    "create_segment",
    "delete_segment",
    "evaluate_changes",
    "recompute",
    "request_recompute",
    "update_segment",
    "wake_due",
]

MAX_NAME = 120
MAX_SLUG = 80
MAX_DESCRIPTION = 2_000
RESERVED_SLUGS = frozenset({"builder", "new", "preview", "schema", "validate"})  # addresses beside a segment's own
_SLUG = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")


def create_segment(
    *, slug: str = "", name: str, definition: Any, description: str = "", user: User | None = None, now: datetime
) -> Segment:
    """Publish version 1 and have it computed; without a slug, one is made from the name."""
    node = parse(definition)
    name = _checked(name, "name", most=MAX_NAME)
    slug = _checked_slug(slug) if slug else _free_slug(name)
    with transaction.atomic():
        _check_references(node, slug)
        try:
            with transaction.atomic():
                segment = Segment.objects.create(
                    slug=slug,
                    name=name,
                    description=_checked(description, "description", most=MAX_DESCRIPTION, empty=True),
                    definition=definition,
                    created_by=user,
                    created_at=now,
                    updated_at=now,
                )
        except IntegrityError as error:
            message = f"There already is a segment with the slug “{slug}”."
            raise SlugTakenError(message, path="/slug") from error
        _publish(segment, node, user, now)
    return segment


def update_segment(
    *,
    segment_id: int,
    name: str | None = None,
    definition: Any = None,
    description: str | None = None,
    user: User | None = None,
    now: datetime,
) -> Segment:
    """Change what is given. A definition that means something else becomes the next version and is computed."""
    node = None if definition is None else parse(definition)
    with transaction.atomic():
        if node is not None:
            hold_references()
        segment = _lock(segment_id)
        if name is not None:
            segment.name = _checked(name, "name", most=MAX_NAME)
        if description is not None:
            segment.description = _checked(description, "description", most=MAX_DESCRIPTION, empty=True)
        if node is not None:
            _check_references(node, segment.slug)
        means_else = node is not None and node != _stored_node(segment)
        if node is not None:
            segment.definition = definition
        if means_else:
            segment.version += 1
        segment.updated_at = now
        segment.save(update_fields=["name", "description", "definition", "version", "updated_at"])
        if node is not None and means_else:
            _publish(segment, node, user, now)
            _publish_users(segment)
    return segment


def delete_segment(*, segment_id: int) -> None:
    """Remove a segment with its members and history; refused while a destination or a segment reads it."""
    with transaction.atomic():
        hold_references()
        segment = _lock(segment_id)
        if users := users_of(segment.slug):
            names = ", ".join(f"“{user.name}”" for user in users[:3]) + (" and others" if len(users) > 3 else "")
            raise SegmentInUseError(f"“{segment.name}” is still named in {names}. Change those first.")
        try:
            segment.delete()
        except ProtectedError as error:
            raise SegmentInUseError(
                f"“{segment.name}” is still used by {len(error.protected_objects)} subscription(s)."
                " Remove those first."
            ) from error


def request_recompute(*, segment_id: int) -> None:
    """Have a segment computed again, for one that failed or whose computation was lost."""
    with transaction.atomic():
        segment = _lock(segment_id)
        _send_recompute(segment)


def _check_references(node: Node, slug: str) -> None:
    if named_in(node):
        hold_references()
        expand(node, own=slug)


def _stored_node(segment: Segment) -> Node | None:
    """None where what is stored can no longer be read."""
    try:
        return parse(segment.definition)
    except DefinitionError:
        return None


def _publish(segment: Segment, node: Node, user: User | None, now: datetime) -> None:
    SegmentVersion.objects.create(
        segment=segment, number=segment.version, definition=segment.definition, created_by=user, created_at=now
    )
    _index(segment, node)
    _send_recompute(segment)


def _publish_users(segment: Segment) -> None:
    """Who names this segment means something else now too."""
    for user in users_of(segment.slug):
        node = _stored_node(user)
        if node is not None:
            _index(_lock(user.pk), node)
            _send_recompute(user)


def _index(segment: Segment, node: Node) -> None:
    """Note what the definition reads, itself and through the segments that it names."""
    reads = dependencies(expand(node, own=segment.slug))
    rows = [(Dependency.Kind.SEGMENT, slug) for slug in named_in(node)]
    rows += [(Dependency.Kind.EVENT, name) for name in reads.events]
    rows += [(Dependency.Kind.TRAIT, name) for name in reads.traits]
    rows += [(Dependency.Kind.EMPTY, "")] if reads.empty else []
    Dependency.objects.filter(segment=segment).delete()
    Dependency.objects.bulk_create(Dependency(segment=segment, kind=kind, key=key) for kind, key in sorted(rows))


def _send_recompute(segment: Segment) -> None:
    segment.state = Segment.State.COMPUTING
    segment.error = ""
    segment.save(update_fields=["state", "error"])
    send_on_commit("cdp.recompute", segment.pk, queue="evaluate")


def _lock(segment_id: int) -> Segment:
    segment = Segment.objects.select_for_update(no_key=True).filter(pk=segment_id).first()
    if segment is None:
        raise SegmentNotFoundError("There is no such segment.")
    return segment


def _checked(text: object, field: str, *, most: int, empty: bool = False) -> str:
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


def _free_slug(name: str) -> str:
    base = slugify(name)[: MAX_SLUG - 5].strip("-_") or "segment"
    taken = RESERVED_SLUGS.union(Segment.objects.filter(slug__startswith=base).values_list("slug", flat=True))
    return next(slug for slug in (base, *(f"{base}-{n}" for n in range(2, len(taken) + 3))) if slug not in taken)
