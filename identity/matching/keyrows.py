"""The blocking keys of many records as two arrays: whose, and which. The same as `Scorer.keys` gives one by one."""

from collections.abc import Callable, Sequence

import numpy as np

from .block import Keys, mix_arrays
from .table import Ints, Table

Spread = Callable[[list[int]], list[int]]
"""A record's keys, those that too many share combined with each other."""


def key_rows(
    table: Table, made: Sequence[Keys], *, crowded: Ints, most_crowded: int, spread: Spread
) -> tuple[Ints, Ints]:
    """The record and the key of each row, in no order; one may come twice. `crowded` is in order."""
    arrays = [array.view(np.int64) for keys in made for array in keys.arrays]
    if not arrays:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    matrix = np.stack(arrays, axis=1)
    if not len(crowded):
        return _flat(table.owner, matrix)
    # A record of several rows, or of several keys of a pass, may hold one twice: those are few, and taken one by one.
    height = np.bincount(table.owner, minlength=table.records)[table.owner]
    plain = (height == 1) if len(arrays) == len(made) else np.zeros(table.rows, dtype=bool)
    parts = [_flat(table.owner[plain], _combine(matrix[plain], crowded, most_crowded))]
    parts.append(_one_by_one(table.owner[~plain], matrix[~plain], spread))
    owners, keys = zip(*parts, strict=True)
    return np.concatenate(owners), np.concatenate(keys)


def _flat(owner: Ints, matrix: Ints) -> tuple[Ints, Ints]:
    row, _ = known = np.nonzero(matrix)
    return owner[row], matrix[known]


def _combine(matrix: Ints, crowded: Ints, most: int) -> Ints:
    """Crowded keys do not count alone: in their place stand the pairs of a row's first ones."""
    place = np.minimum(np.searchsorted(crowded, matrix), len(crowded) - 1)
    busy = crowded[place] == matrix
    rank = np.where(busy, np.cumsum(busy, axis=1), 0)
    first = [np.where(rank == at, matrix, 0).sum(axis=1).view(np.uint64) for at in range(1, most + 1)]
    both = [
        np.where(other > 0, mix_arrays(one, other) | np.uint64(1), np.uint64(0))
        for at, one in enumerate(first)
        for other in first[at + 1 :]
    ]
    return np.concatenate([np.where(busy, 0, matrix), np.stack(both, axis=1).view(np.int64)], axis=1)


def _one_by_one(owner: Ints, matrix: Ints, spread: Spread) -> tuple[Ints, Ints]:
    """Keys in the order of their passes, as `spread` wants them."""
    found: dict[int, dict[int, None]] = {}
    for column in matrix.T.tolist():
        for record, key in zip(owner.tolist(), column, strict=True):
            if key:
                found.setdefault(record, {})[key] = None
    rows = [(record, key) for record, keys in found.items() for key in spread(list(keys))]
    both = np.asarray(rows, dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]
