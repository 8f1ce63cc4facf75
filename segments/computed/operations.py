"""Define computed traits, change, pause and delete them. Their values follow by passes and by evaluation."""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction

from cdp.kernel.access.models import User
from cdp.kernel.tasks import send_on_commit
from identity.operations import write_computed
from identity.queries import trait_names
from identity.survivorship.operations import release_trait, reserve_trait
from segments.ast import DefinitionError
from segments.computed.definition import Definition, Rfm, read, reads_trait
from segments.computed.errors import ComputedTraitInUseError, ComputedTraitNotFoundError, NameTakenError
from segments.computed.evaluate import lock_profiles, note
from segments.computed.models import ComputedPass, ComputedTrait, ComputedValue
from segments.engine import fetch, run
from segments.errors import SegmentError
from segments.models import Dependency, Segment
from segments.references import hold_references
from segments.sql import sql

MAX_LABEL = 120
MAX_DESCRIPTION = 2_000
MOST_TRAITS = 100
BATCH = 5_000
REESTIMATED = timedelta(days=1)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")

State = ComputedTrait.State


def create_computed(
    *, name: str, label: str = "", description: str = "", definition: Any, user: User | None = None, now: datetime
) -> ComputedTrait:
    """Reserve the name and have version 1 computed.

    Raises:
        DefinitionError, NameTakenError, SegmentError: with the path of what is wrong.
    """
    node = read(definition)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        message = "A name has small letters, digits and underscores, 60 at most, and begins with a letter."
        raise SegmentError(message, code="invalid_name", path="/name")
    label = _checked(label or name.replace("_", " ").capitalize(), "label", most=MAX_LABEL)
    description = _checked(description, "description", most=MAX_DESCRIPTION, empty=True)
    with transaction.atomic():
        hold_references()
        _require_free(name)
        _require_no_circle(name, node)
        try:
            with transaction.atomic():
                trait = ComputedTrait.objects.create(
                    name=name,
                    label=label,
                    description=description,
                    definition=definition,
                    created_by=user,
                    created_at=now,
                    updated_at=now,
                )
        except IntegrityError as error:
            raise NameTakenError(f"There already is a computed trait “{name}”.", path="/name") from error
        reserve_trait(trait=name, by=str(user or ""), now=now)
        _start(trait, now)
    return trait


def update_computed(
    *,
    trait_id: int,
    label: str | None = None,
    description: str | None = None,
    definition: Any = None,
    now: datetime,
) -> ComputedTrait:
    """Change what is given. Another definition is computed aside; until that is done the old one stays in place."""
    node = None if definition is None else read(definition)
    with transaction.atomic():
        hold_references()
        trait = _hold(trait_id)
        if label is not None:
            trait.label = _checked(label, "label", most=MAX_LABEL)
        if description is not None:
            trait.description = _checked(description, "description", most=MAX_DESCRIPTION, empty=True)
        means_else = node is not None and node != _stored(trait)
        if node is not None:
            _require_no_circle(trait.name, node)
            trait.definition = definition
        trait.updated_at = now
        trait.save()
        if means_else and trait.state != State.PAUSED:
            _next_version(trait, now)
    return trait


def pause(*, trait_id: int, now: datetime) -> None:
    """Leave the values as they are and follow nothing more."""
    with transaction.atomic():
        trait = _hold(trait_id)
        trait.state, trait.updated_at = State.PAUSED, now
        trait.save(update_fields=["state", "updated_at"])
        ComputedPass.objects.filter(trait=trait).delete()


def resume(*, trait_id: int, now: datetime) -> None:
    """Compute anew for everybody, for one that was paused or has failed."""
    with transaction.atomic():
        trait = _hold(trait_id)
        if trait.state in {State.PAUSED, State.FAILED}:
            _next_version(trait, now)


def recompute(*, trait_id: int, now: datetime) -> None:
    """Compute anew for everybody; of RFM, with bounds estimated again."""
    with transaction.atomic():
        trait = _hold(trait_id)
        if trait.state != State.COMPUTING:
            _next_version(trait, now)


def delete_computed(*, trait_id: int, now: datetime) -> None:
    """Take the trait from every profile and give its name back; refused while something reads it."""
    with transaction.atomic():
        hold_references()
        trait = _hold(trait_id)
        if users := used_by(trait.name):
            names = ", ".join(f"“{user}”" for user in users[:3]) + (" and others" if len(users) > 3 else "")
            raise ComputedTraitInUseError(f"“{trait.label}” is still read by {names}. Change those first.")
        holders = fetch(sql("SELECT id FROM profile WHERE traits ? {name} ORDER BY id", name=trait.name))
        for start in range(0, len(holders), BATCH):
            ids = lock_profiles([row[0] for row in holders[start : start + BATCH]])
            write_computed({id_: {trait.name: None} for id_ in ids}, now=now)
            note({id_: {trait.name} for id_ in ids})
        run(sql("DELETE FROM computed_value WHERE trait_id = {id}", id=trait.pk))
        release_trait(trait=trait.name)
        trait.delete()


def estimate_due(*, now: datetime) -> list[int]:
    """Begin a pass for every RFM trait whose bounds are a day old."""
    begun = []
    for trait in ComputedTrait.objects.filter(state=State.LIVE, computed_at__lte=now - REESTIMATED):
        if isinstance(_stored(trait), Rfm):
            recompute(trait_id=trait.pk, now=now)
            begun.append(trait.pk)
    return begun


def users_of_trait(name: str) -> tuple[list[Segment], list[ComputedTrait]]:
    """The segments and the computed traits that read this trait."""
    segments = Segment.objects.filter(dependencies__kind=Dependency.Kind.TRAIT, dependencies__key=name)
    traits = [other for other in ComputedTrait.objects.all() if (node := _stored(other)) and reads_trait(node) == name]
    return list(segments.order_by("name")), traits


def used_by(name: str) -> list[str]:
    """Their names."""
    segments, traits = users_of_trait(name)
    return [*(segment.name for segment in segments), *(trait.label for trait in traits)]


def get_trait(*, name: str) -> ComputedTrait:
    trait = ComputedTrait.objects.filter(name=name).first()
    if trait is None:
        raise ComputedTraitNotFoundError(f"There is no computed trait “{name}”.")
    return trait


def _next_version(trait: ComputedTrait, now: datetime) -> None:
    trait.version += 1
    trait.state, trait.error = State.COMPUTING, ""
    trait.save()
    _start(trait, now)


def _start(trait: ComputedTrait, now: datetime) -> None:
    """Whatever was being computed aside is dropped with its rows."""
    ComputedPass.objects.filter(trait=trait).delete()
    ComputedValue.objects.filter(trait=trait).exclude(version=trait.live_version).delete()
    ComputedPass.objects.create(trait=trait, version=trait.version, definition=trait.definition, touched_at=now)
    send_on_commit("cdp.compute_trait", trait.pk)


def _hold(trait_id: int) -> ComputedTrait:
    """Alone: chunks that still go by what it is now end first, and none begins."""
    trait = ComputedTrait.objects.select_for_update(no_key=True).filter(pk=trait_id).first()
    if trait is None:
        raise ComputedTraitNotFoundError("There is no such computed trait.")
    return trait


def _stored(trait: ComputedTrait) -> Definition | None:
    """None where what is stored can no longer be read."""
    try:
        return read(trait.definition)
    except DefinitionError:
        return None


def _require_free(name: str) -> None:
    if ComputedTrait.objects.count() >= MOST_TRAITS:
        raise SegmentError(f"There are {MOST_TRAITS} computed traits at most.", code="too_many")
    if name in _told(trait_names(limit=1_000)):
        message = f"Your sources already send a trait “{name}”. Choose another name."
        raise NameTakenError(message, path="/name")


def _told(found: Iterable[Any]) -> set[str]:
    computed = set(ComputedTrait.objects.values_list("name", flat=True))
    return {str(one.value).partition(".")[0] for one in found} - computed


def _require_no_circle(name: str, node: Definition) -> None:
    reads = {
        other.name: source
        for other in ComputedTrait.objects.all()
        if (stored := _stored(other)) is not None and (source := reads_trait(stored)) is not None
    }
    reads.pop(name, None)
    trail = [name]
    source = reads_trait(node)
    while source is not None:
        if source in trail:
            message = f"It leads back to itself: {' → '.join([*trail, source])}."
            raise DefinitionError(message, code="trait_cycle", path="/trait")
        trail.append(source)
        source = reads.get(source)


def _checked(text: object, field: str, *, most: int, empty: bool = False) -> str:
    clean = text.strip() if isinstance(text, str) else ""
    if not isinstance(text, str) or "\0" in text or (not clean and not empty):
        raise SegmentError(f"Give a {field}.", code="invalid", path=f"/{field}")
    if len(clean) > most:
        raise SegmentError(f"The {field} may have {most} characters at most.", code="too_long", path=f"/{field}")
    return clean
