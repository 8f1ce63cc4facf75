"""Build columns and keep them, in steps that a worker can be killed in: each is one transaction.

A column is right at any moment because every change of a profile is noted in the transaction that makes it. Whoever
reads takes blocks, patch and notes from one snapshot, and asks the profiles' own rows where a note names them. A step
sees one snapshot too: what it packs is what profiles said in it, and it takes away the notes of that snapshot alone.
So a change that it could not see has a note that it leaves.

One step at a time (the lock is taken before the snapshot), so that none works with what another is replacing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from django.conf import settings
from django.db import OperationalError, connection, transaction

from identity.columns import store
from identity.columns.dictionary import Dictionary
from identity.columns.fold import fold_notes
from identity.columns.models import TraitBlock, TraitColumn, TraitNote, TraitValues
from identity.columns.packing import ABSENT, SIZE, Ids, pack_codes, pack_flags, start_of, trim
from identity.columns.wanted import PROFILES
from identity.models import Profile

UNASKED = timedelta(days=30)
DECLINED = timedelta(days=7)
TAKEN = {"55P03", "40001"}
"""Another step holds the lock; or a trait was asked for at the same time."""

State = TraitColumn.State


@dataclass(frozen=True, slots=True)
class Limits:
    """When a step is due: from how many profiles on columns are kept, and how many may be noted, or in the patch.

    With fewer profiles, their rows are read as quickly; each that is noted costs whoever reads some microseconds.
    """

    smallest: int = 1_000
    noted: int = 1_000
    notes: int = 200
    patched: int = 32_768


LIMITS = Limits()


def take_step(*, now: datetime, limits: Limits = LIMITS) -> bool:
    """Do what is due, or a part of it; returns whether more is. False too where another worker is at it."""
    is_outermost = not connection.in_atomic_block
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            if is_outermost:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("LOCK TABLE trait_column IN SHARE UPDATE EXCLUSIVE MODE NOWAIT")
            return _step(now=now, limits=limits)
    except OperationalError as error:
        if getattr(error.__cause__, "pgcode", None) in TAKEN:
            return False
        raise


def build_all(*, now: datetime) -> None:
    """Everything that is wanted and noted, at once."""
    while take_step(now=now, limits=Limits(smallest=0, noted=1)):
        pass


def _step(*, now: datetime, limits: Limits) -> bool:
    # 1. Nothing, where it is switched off or not worth it. 2. Columns that nobody asks for go. 3. What changed is
    # folded in. 4. The next block of what is being built.
    if not settings.IDENTITY_TRAIT_COLUMNS:
        _clear()
        return False
    columns = list(TraitColumn.objects.order_by("pk"))
    profiles = next((column for column in columns if column.path == PROFILES), None)
    if profiles is None:
        TraitNote.objects.all().delete()
        if len(Profile.objects.values_list("pk")[: limits.smallest]) < limits.smallest:
            return False
        TraitColumn.objects.create(path=PROFILES, asked_at=now)
        return True
    traits = _wanted([column for column in columns if column is not profiles], now=now)
    if _are_noted(limits):
        for trait in fold_notes(profiles, traits, patch_most=limits.patched):
            _decline(trait, now=now)
            traits.remove(trait)
    return _build([profiles, *traits], now=now)


def _clear() -> None:
    for model in (TraitBlock, TraitValues, TraitNote, TraitColumn):
        model.objects.all().delete()


def _wanted(traits: Sequence[TraitColumn], *, now: datetime) -> list[TraitColumn]:
    """Without those that nobody has asked for, and those that were declined lately."""
    unasked = [trait.pk for trait in traits if trait.asked_at < now - UNASKED]
    if unasked:
        store.remove(unasked)
        TraitColumn.objects.filter(pk__in=unasked).delete()
    wanted = []
    for trait in traits:
        if trait.declined_at is not None and trait.declined_at < now - DECLINED:
            trait.state, trait.declined_at = State.BUILDING, None
            trait.save()
        if trait.pk not in unasked and trait.state != State.DECLINED:
            wanted.append(trait)
    return wanted


def _are_noted(limits: Limits) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*), coalesce(sum(length(profiles)), 0) / 8 FROM trait_note")
        notes, noted = cursor.fetchone()
    return bool(noted >= limits.noted or notes >= limits.notes)


def _decline(trait: TraitColumn, *, now: datetime) -> None:
    store.remove([trait.pk])
    trait.state, trait.built_to, trait.declined_at = State.DECLINED, 0, now
    trait.save()


# --- Building -----------------------------------------------------------------------------------------------


def _build(columns: Sequence[TraitColumn], *, now: datetime) -> bool:
    """One block of those that have come least far; returns whether there was one."""
    building = [column for column in columns if column.state == State.BUILDING]
    if not building:
        return False
    least = min(column.built_to for column in building)
    behind = [column for column in building if column.built_to == least]
    first = Profile.objects.filter(pk__gte=least).order_by("pk").values_list("pk", flat=True).first()
    if first is None:
        for column in behind:
            column.state = State.BUILT
            column.save()
        return True
    start = start_of(first)
    rows = store.fetch_range([column.path for column in behind], start=start, end=start + SIZE)
    places = np.array([row[0] - start for row in rows], dtype=np.int64)
    for number, column in enumerate(behind, 1):
        column.built_to = start + SIZE
        column.save()
        if column.path == PROFILES:
            _build_profiles(column, start, places)
        else:
            _build_trait(column, start, places, [row[number] for row in rows], now=now)
    return True


def _build_profiles(column: TraitColumn, start: int, places: Ids) -> None:
    flags = np.zeros(SIZE, np.bool_)
    flags[places] = True
    store.write_blocks(column.pk, {start: (1, pack_flags(flags))})


def _build_trait(column: TraitColumn, start: int, places: Ids, texts: list[str | None], *, now: datetime) -> None:
    dictionary = Dictionary(store.fetch([column.pk], blocks=False, notes=False).columns[column.pk].values)
    codes = np.full(SIZE, ABSENT, np.int32)
    codes[places] = dictionary.code(texts)
    if dictionary.is_too_large:
        _decline(column, now=now)
        return
    store.write_blocks(column.pk, {start: pack_codes(trim(codes))})
    store.write_values(column.pk, dictionary.stored, dictionary.texts[dictionary.stored :])
