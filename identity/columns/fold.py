"""Take what changed into the columns: first into the patch, and from time to time from there into the blocks."""

from collections.abc import Sequence

import numpy as np

from identity.columns import store
from identity.columns.dictionary import Dictionary
from identity.columns.models import TraitColumn
from identity.columns.packing import (
    ABSENT,
    KEEP,
    PATCH,
    Codes,
    Flags,
    Ids,
    Layout,
    pack_codes,
    pack_flags,
    pack_words,
    starts_of,
    trim,
    unpack_codes,
    unpack_ids,
    unpack_words,
)

CHUNKS_MOST = 32
"""Values that came one after another are kept as one again."""
WORN_FROM = 1_000

State = TraitColumn.State
Patch = tuple[Ids, Flags]


def fold_notes(profiles: TraitColumn, traits: Sequence[TraitColumn], *, patch_most: int) -> list[TraitColumn]:
    """Take in what notes tell, and remove them; returns the columns that have become too large to be kept."""
    # 1. What the patch has, and who changed. 2. Each column's word on all of them. 3. A large patch goes into blocks.
    kept = store.fetch([profiles.pk, *(trait.pk for trait in traits)], blocks=False)
    touched = unpack_ids(kept.notes.values())
    before = _patch_of(kept.columns[profiles.pk])
    rows = store.fetch_rows([trait.path for trait in traits], ids=touched)
    found = np.array([row[0] for row in rows], dtype=np.int64)
    patch = _widen(before, touched, found)
    store.write_blocks(profiles.pk, {PATCH: (8, pack_words(*patch))})
    dictionaries = {}
    for number, trait in enumerate(traits, 1):
        dictionary = dictionaries[trait.pk] = Dictionary(kept.columns[trait.pk].values)
        codes = _patch_codes(kept.columns[trait.pk], before[0], patch[0])
        codes[np.searchsorted(patch[0], touched)] = ABSENT
        codes[np.searchsorted(patch[0], found)] = dictionary.code(row[number] for row in rows)
        store.write_blocks(trait.pk, {PATCH: pack_codes(codes)})
        _keep_values(trait, dictionary)
    store.remove_notes(kept.notes)
    if len(patch[0]) > patch_most or any(one.is_too_large for one in dictionaries.values()):
        return _empty_patch(profiles, traits, patch)
    return []


def _patch_of(stored: store.Stored) -> Patch:
    if stored.patch is None:
        return np.empty(0, np.int64), np.empty(0, np.bool_)
    return unpack_words(stored.patch[1])


def _widen(before: Patch, touched: Ids, found: Ids) -> Patch:
    """The patch with those who were touched; `found` are those of them that exist."""
    ids = np.union1d(before[0], touched)
    existing = np.zeros(len(ids), np.bool_)
    existing[np.searchsorted(ids, before[0])] = before[1]
    existing[np.searchsorted(ids, touched)] = False
    existing[np.searchsorted(ids, found)] = True
    return ids, existing


def _patch_codes(stored: store.Stored, before: Ids, ids: Ids) -> Codes:
    """A column that is younger than the patch has no word on those in it: its blocks are younger too."""
    codes = np.full(len(ids), KEEP, np.int32)
    if stored.patch is not None:
        codes[np.searchsorted(ids, before)] = unpack_codes(*stored.patch)
    return codes


def _keep_values(trait: TraitColumn, dictionary: Dictionary) -> None:
    if len(dictionary.chunks) > CHUNKS_MOST:
        store.remove_values([trait.pk])
        dictionary.stored = 0
    store.write_values(trait.pk, dictionary.stored, dictionary.texts[dictionary.stored :])


def _empty_patch(profiles: TraitColumn, traits: Sequence[TraitColumn], patch: Patch) -> list[TraitColumn]:
    """Write the patch into the blocks, a column after another."""
    _empty_profiles(profiles, patch)
    too_large = [trait for trait in traits if not _empty_trait(trait, patch[0])]
    store.remove_patches([profiles.pk, *(trait.pk for trait in traits)])
    return too_large


def _empty_profiles(profiles: TraitColumn, patch: Patch) -> None:
    stored = store.fetch([profiles.pk], values=False, notes=False).columns[profiles.pk]
    layout = _layout(profiles, stored, patch[0])
    flags = layout.lay_flags(stored.blocks)
    here = layout.has(patch[0])
    flags[layout.place(patch[0][here])] = patch[1][here]
    touched = set(starts_of(patch[0]).tolist())
    store.write_blocks(
        profiles.pk, {start: (1, pack_flags(flags[part])) for start, part in layout.parts() if start in touched}
    )


def _empty_trait(trait: TraitColumn, ids: Ids) -> bool:
    """False where it has too many values to be kept."""
    stored = store.fetch([trait.pk], notes=False).columns[trait.pk]
    if stored.patch is None:
        return True
    words = unpack_codes(*stored.patch)
    layout = _layout(trait, stored, ids)
    codes = layout.lay_codes(stored.blocks, np.int32)
    here = layout.has(ids) & (words != KEEP)
    codes[layout.place(ids[here])] = words[here]
    dictionary = Dictionary(stored.values)
    touched = set(starts_of(ids).tolist())
    if _is_worn(dictionary, codes):
        codes = dictionary.rewrite(codes)
        if dictionary.is_too_large:
            return False
        store.remove_values([trait.pk])
        store.write_values(trait.pk, 0, dictionary.texts)
        touched = set(layout.starts.tolist())
    store.write_blocks(
        trait.pk, {start: pack_codes(trim(codes[part])) for start, part in layout.parts() if start in touched}
    )
    return True


def _layout(column: TraitColumn, stored: store.Stored, ids: Ids) -> Layout:
    """Its blocks, and those that new profiles begin; of what is still being built, the rest comes by itself."""
    begun = np.array([start for start in stored.blocks if start != PATCH], dtype=np.int64)
    starts = np.union1d(begun, starts_of(ids))
    return Layout(starts[starts < column.built_to] if column.state == State.BUILDING else starts)


def _is_worn(dictionary: Dictionary, codes: Codes) -> bool:
    """Whether more of its values are past than in use."""
    used = np.count_nonzero(np.bincount(codes[codes != ABSENT], minlength=len(dictionary.texts)))
    return dictionary.is_too_large or len(dictionary.texts) > 2 * int(used) + WORN_FROM
