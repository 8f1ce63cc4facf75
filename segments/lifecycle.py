"""The life of a segment between its definitions: drafts, cancelling, restoring, archiving, copies."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from cdp.kernel.access.models import User
from segments.ast import DefinitionError, parse
from segments.ast.storable import require_storable
from segments.computations import ask, drop
from segments.engine import run
from segments.errors import (
    NoDraftError,
    NothingOnItsWayError,
    SegmentArchivedError,
    SegmentError,
    SegmentInUseError,
    VersionNotFoundError,
)
from segments.models import Computation, Draft, Segment, SegmentVersion
from segments.operations import (
    MAX_DESCRIPTION,
    MAX_NAME,
    add_segment,
    check_references,
    checked,
    create_segment,
    lock,
    lock_alone,
    propose,
    update_segment,
)
from segments.organise import organise
from segments.sql import sql
from segments.users import in_words, uses_of

MAX_DRAFT = 200_000


# --- As the API and the builder ask for it --------------------------------------------------------------------


@transaction.atomic
def create(
    *, as_draft: bool = False, folder: str | None = None, tags: Sequence[str] | None = None, **given: Any
) -> Segment:
    """A segment, or a draft of one, in its folder; `given` is what `create_segment` takes."""
    segment = create_draft(**given) if as_draft else create_segment(**given)
    _organise(segment, folder, tags)
    return segment


@transaction.atomic
def change(
    *,
    segment_id: int,
    as_draft: bool = False,
    folder: str | None = None,
    tags: Sequence[str] | None = None,
    **given: Any,
) -> Segment:
    """An edit, at once or as a draft; `given` is what `update_segment` takes."""
    kept = save_draft if as_draft else update_segment
    segment = kept(segment_id=segment_id, **given)
    _organise(segment, folder, tags)
    return segment


def _organise(segment: Segment, folder: str | None, tags: Sequence[str] | None) -> None:
    if folder is not None or tags is not None:
        organise(segment_ids=[segment.pk], folder=folder, tags=tags)
        segment.refresh_from_db(fields=["folder", "tags"])


# --- Drafts -------------------------------------------------------------------------------------------------


@transaction.atomic
def create_draft(
    *, slug: str = "", name: str, definition: Any, description: str = "", user: User | None = None, now: datetime
) -> Segment:
    """A segment that nobody is in and nobody can use, until it is published. Its definition may be unfinished."""
    segment = add_segment(
        slug=slug, name=name, description=description, definition=_kept(definition), user=user, now=now
    )
    segment.state = Segment.State.DRAFT
    segment.save(update_fields=["state"])
    return segment


@transaction.atomic
def save_draft(
    *,
    segment_id: int,
    name: str | None = None,
    definition: Any = None,
    description: str | None = None,
    user: User | None = None,
    now: datetime,
) -> Segment:
    """Keep an edit beside the live version, or change a segment that is a draft itself."""
    segment = lock_alone(segment_id)
    _refuse_archived(segment)
    if segment.state == Segment.State.DRAFT:
        kept: Segment | Draft = segment
        segment.updated_at = now
    else:
        found = Draft.objects.filter(segment=segment).first()
        kept = found or Draft(
            segment=segment,
            name=segment.name,
            description=segment.description,
            definition=segment.asked.definition,
            base_version=segment.version,
        )
        kept.saved_by, kept.saved_at = user, now
    if name is not None:
        kept.name = checked(name, "name", most=MAX_NAME)
    if description is not None:
        kept.description = checked(description, "description", most=MAX_DESCRIPTION, empty=True)
    if definition is not None:
        kept.definition = _kept(definition)
    kept.save()
    return segment


@transaction.atomic
def publish(*, segment_id: int, user: User | None = None, now: datetime) -> Segment:
    """Make the draft the next version: it is computed aside, and then live.

    Raises:
        DefinitionError: it is unfinished; the draft stays as it is.
    """
    segment, _ = lock(segment_id)
    _refuse_archived(segment)
    if segment.state == Segment.State.DRAFT:
        node = parse(segment.definition)
        check_references(node, segment.slug)
        propose(segment, node, segment.definition, user=user, now=now)
        return segment
    draft = _draft_of(segment)
    draft.delete()
    return update_segment(
        segment_id=segment.pk,
        name=draft.name,
        description=draft.description,
        definition=draft.definition,
        user=user,
        now=now,
    )


@transaction.atomic
def discard(*, segment_id: int) -> Draft:
    """Forget the draft of a published segment; returns it, not stored, so that it can be put back."""
    segment = lock_alone(segment_id)
    draft = _draft_of(segment)
    Draft.objects.filter(pk=draft.pk).delete()
    return draft


@transaction.atomic
def publish_edit(
    *, segment_id: int, name: str, description: str, definition: Any, user: User | None = None, now: datetime
) -> Segment:
    """Publish what is in the editor, in place of any draft."""
    given = {"name": name, "description": description, "definition": definition}
    segment, _ = lock(segment_id)
    if segment.state == Segment.State.DRAFT:
        save_draft(segment_id=segment_id, user=user, now=now, **given)
        return publish(segment_id=segment_id, user=user, now=now)
    Draft.objects.filter(segment=segment).delete()
    return update_segment(segment_id=segment_id, user=user, now=now, **given)


def _draft_of(segment: Segment) -> Draft:
    found = Draft.objects.filter(segment=segment).first()
    if found is None:
        raise NoDraftError(f"There is no draft of “{segment.name}”.")
    return found


def _kept(definition: Any) -> dict[str, Any]:
    """Whatever was typed, as long as it can be stored."""
    if not isinstance(definition, dict):
        raise SegmentError("A definition is a JSON object.", code="not_an_object", path="/definition")
    try:
        require_storable(definition)
    except DefinitionError as error:
        message = f"{error.message} It stands at {error.path}."
        raise SegmentError(message, code=error.code, path="/definition") from error
    if len(json.dumps(definition)) > MAX_DRAFT:
        raise SegmentError("This is too long for a draft.", code="not_storable", path="/definition")
    return definition


def _refuse_archived(segment: Segment) -> None:
    if segment.state == Segment.State.ARCHIVED:
        raise SegmentArchivedError(f"“{segment.name}” is archived. Bring it back first.")


# --- Versions -----------------------------------------------------------------------------------------------


def version_of(*, segment: Segment, number: int) -> SegmentVersion:
    found = segment.versions.filter(number=number).first()
    if found is None:
        raise VersionNotFoundError(f"“{segment.name}” has no version {number}.")
    return found


def restore(*, segment_id: int, number: int, user: User | None = None, now: datetime) -> Segment:
    """Make an earlier definition the next version."""
    with transaction.atomic():
        segment, _ = lock(segment_id)
        _refuse_archived(segment)
        version = version_of(segment=segment, number=number)
        return update_segment(segment_id=segment_id, definition=version.definition, user=user, now=now)


@transaction.atomic
def cancel(*, segment_id: int, user: User | None = None, now: datetime) -> Segment:
    """Take the next version off its way; what was typed stays as a draft, and the version before it stays live.

    A segment of which nothing was ever live becomes a draft itself.
    """
    segment, computation = lock(segment_id)
    if computation is None:
        raise NothingOnItsWayError(f"No version of “{segment.name}” is being computed.")
    drop(computation, SegmentVersion.Outcome.CANCELLED)
    if segment.computed_at is None:
        segment.definition, segment.version = computation.definition, 0
        segment.state, segment.error = Segment.State.DRAFT, ""
        segment.dependencies.all().delete()
    else:
        _keep_as_draft(segment, computation, user=user, now=now)
        if segment.state == Segment.State.COMPUTING:
            segment.state, segment.error = Segment.State.FAILED, "Computing it was cancelled."
    segment.updated_at = now
    segment.save(update_fields=["definition", "version", "state", "error", "updated_at"])
    return segment


def _keep_as_draft(segment: Segment, computation: Computation, *, user: User | None, now: datetime) -> None:
    """Unless it only computes the live version once more, or a draft is there already."""
    if computation.number != segment.version:
        Draft.objects.get_or_create(
            segment=segment,
            defaults={
                "name": segment.name,
                "description": segment.description,
                "definition": computation.definition,
                "base_version": segment.version,
                "saved_by": user,
                "saved_at": now,
            },
        )


# --- Archive ------------------------------------------------------------------------------------------------

_EVERYBODY_LEAVES = """
WITH gone AS (DELETE FROM membership WHERE segment_id = {segment} RETURNING profile_id)
INSERT INTO transition (profile_id, segment_id, version, kind, at, cause)
SELECT profile_id, {segment}, {version}, 'left', {now}, 'archive' FROM gone ORDER BY profile_id
"""


@transaction.atomic
def archive(*, segment_id: int, now: datetime) -> Segment:
    """Put a segment away: everybody leaves, nothing is evaluated, and lists leave it out. Its history stays.

    Raises:
        SegmentInUseError: a destination or a segment uses it.
    """
    segment, computation = lock(segment_id)
    if segment.state == Segment.State.ARCHIVED:
        return segment
    if uses := uses_of(segment):
        raise SegmentInUseError(f"“{segment.name}” is used by {in_words(uses)}. Change that first.")
    if computation:
        drop(computation, SegmentVersion.Outcome.CANCELLED)
    run(sql(_EVERYBODY_LEAVES, segment=segment.pk, version=segment.version, now=now))
    run(sql("DELETE FROM due WHERE segment_id = {segment}", segment=segment.pk))
    segment.dependencies.all().delete()
    segment.state, segment.error, segment.member_count = Segment.State.ARCHIVED, "", 0
    segment.archived_at = segment.updated_at = now
    segment.save(update_fields=["state", "error", "member_count", "archived_at", "updated_at"])
    return segment


@transaction.atomic
def unarchive(*, segment_id: int, user: User | None = None, now: datetime) -> Segment:
    """Bring a segment back: its version is computed again, and people enter. A draft comes back as a draft."""
    segment, _ = lock(segment_id)
    if segment.state != Segment.State.ARCHIVED:
        return segment
    segment.archived_at, segment.updated_at = None, now
    if not segment.version:
        segment.state = Segment.State.DRAFT
    else:
        check_references(parse(segment.definition), segment.slug)
        segment.state = Segment.State.COMPUTING
        ask(segment=segment, number=segment.version, definition=segment.definition, user=user, now=now)
    segment.save(update_fields=["state", "archived_at", "updated_at"])
    return segment


def duplicate(*, segment_id: int, user: User | None = None, now: datetime) -> Segment:
    """A draft with the same definition, in the same folder, under another name."""
    original = Segment.objects.filter(pk=segment_id).first() or lock_alone(segment_id)
    with transaction.atomic():
        copy = create_draft(
            name=_copy_name(original.name),
            description=original.description,
            definition=original.asked.definition,
            user=user,
            now=now,
        )
        if original.is_manual:
            copy.definition = original.definition | {"segment": copy.slug}
        copy.folder, copy.tags = original.folder, original.tags
        copy.save(update_fields=["definition", "folder", "tags"])
        return copy


def _copy_name(name: str) -> str:
    base = f"Copy of {name.removeprefix('Copy of ')}"[: MAX_NAME - 5]
    taken = set(Segment.objects.filter(name__startswith=base).values_list("name", flat=True))
    return next(each for each in (base, *(f"{base} {n}" for n in range(2, len(taken) + 3))) if each not in taken)
