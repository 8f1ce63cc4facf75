"""Read profiles and traits of everybody, as they are in the snapshot of the caller's transaction.

That transaction is to be REPEATABLE READ: what is packed and noted, and the rows of those whom notes name, are read by
one statement after another.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db import connection
from numpy.typing import NDArray

from identity.columns import store
from identity.columns.contracts import TraitColumn
from identity.columns.packing import (
    ABSENT,
    KEEP,
    PATCH,
    Flags,
    Ids,
    Layout,
    starts_of,
    unpack_codes,
    unpack_ids,
    unpack_words,
    where_true,
    wide_enough,
)
from identity.columns.paths import load_lines, load_values, steps_of
from identity.columns.wanted import PROFILES, built_columns

MOST_NOTED = 100_000
"""Profiles that notes name; with more, as where no worker has folded them for hours, the rows of all are read."""


def read_profiles() -> NDArray[np.int64]:
    """The ids of all profiles, ascending."""
    return _read(())[0]


def read_trait(path: str) -> TraitColumn:
    """One trait of everybody; see `read_traits`."""
    return read_traits([path])[path]


def read_traits(paths: Collection[str]) -> Mapping[str, TraitColumn]:
    """Traits of everybody by their dotted paths, read together.

    Raises:
        ValueError: where a path leads through a list (`products[].name`).
    """
    for path in paths:
        steps_of(path)
    profiles, columns = _read(paths)
    return {path: TraitColumn(profiles, *columns[path]) for path in paths}


Values = tuple[NDArray[np.signedinteger[Any]], Sequence[Any]]


def _read(paths: Collection[str]) -> tuple[Ids, dict[str, Values]]:
    """Who there is, and the columns of these traits."""
    columns = built_columns(paths)
    if PROFILES not in columns:
        return _all_ids(), {path: _read_rows(path) for path in paths}
    kept = store.fetch(columns.values())
    noted = unpack_ids(kept.notes.values())
    if len(noted) > MOST_NOTED:
        return _all_ids(), {path: _read_rows(path) for path in paths}
    packed = sorted(columns.keys() - {PROFILES})
    rows = store.fetch_rows(packed, ids=noted) if len(noted) else []
    profiles = _lay_profiles(kept.columns[columns[PROFILES]], noted, [row[0] for row in rows])
    found = {
        path: profiles.lay(kept.columns[columns[path]], [row[number] for row in rows])
        for number, path in enumerate(packed, 1)
    }
    return profiles.ids, found | {path: _read_rows(path) for path in set(paths) - set(packed)}


@dataclass(frozen=True, slots=True)
class _Profiles:
    """Who there is. `there` are their places; `noted` of those that notes name, `patched` of those in the patch."""

    layout: Layout
    patched: NDArray[np.intp]
    noted: NDArray[np.intp]
    there: Flags | slice
    ids: Ids

    def lay(self, stored: store.Stored, texts: list[str | None]) -> Values:
        """Blocks, then the patch, then `texts`, the values of those that notes name."""
        values = load_lines(stored.values)
        codes = self.layout.lay_codes(stored.blocks, wide_enough(len(values) + len(texts)))
        if stored.patch is not None:
            words = unpack_codes(*stored.patch)
            told = words != KEEP
            codes[self.patched[told]] = words[told]
        own: dict[str, int] = {}
        codes[self.noted] = [
            ABSENT if text is None else own.setdefault(text, len(values) + len(own)) for text in texts
        ]
        return codes[self.there], values + load_values(own) if own else values


def _lay_profiles(stored: store.Stored, noted: Ids, existing: Sequence[int]) -> _Profiles:
    """Of the `noted`, these exist."""
    found = np.array(existing, dtype=np.int64)
    patched, in_patch = _patch_of(stored)
    starts = np.array([start for start in stored.blocks if start != PATCH], dtype=np.int64)
    layout = Layout(np.unique(np.concatenate([starts, starts_of(patched), starts_of(found)])))
    flags = layout.lay_flags(stored.blocks)
    flags[layout.place(patched)] = in_patch
    flags[layout.place(noted[layout.has(noted)])] = False
    flags[layout.place(found)] = True
    there = where_true(flags)
    return _Profiles(layout, layout.place(patched), layout.place(found), there, layout.ids_at(there))


def _patch_of(profiles: store.Stored) -> tuple[Ids, Flags]:
    if profiles.patch is None:
        return np.empty(0, np.int64), np.empty(0, np.bool_)
    return unpack_words(profiles.patch[1])


def _all_ids() -> Ids:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM profile ORDER BY id")
        return np.fromiter((id_ for (id_,) in cursor), dtype=np.int64)


def _read_rows(path: str) -> Values:
    """From every profile's row."""
    rows = sorted(store.fetch_range([path], start=0, end=2**63 - 1))
    places: dict[str, int] = {}
    codes = [ABSENT if text is None else places.setdefault(text, len(places)) for _, text in rows]
    return np.array(codes, dtype=np.int32), load_values(places)
