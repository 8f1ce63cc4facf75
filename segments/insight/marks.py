"""Who is in which of a few sets: a byte for each person, with a bit for each set.

PostgreSQL hands over the ids of one set after the other, packed. Put beside each other there, they would go through a
hash table of everybody, which takes five times as long.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cdp.kernel.copy import read_rows
from segments.sql import Sql, sql

_AT_ONCE = 1 << 20  # people; they are widened for being counted


def ids_of(people: Sql) -> NDArray[np.int64]:
    """Of SQL that yields `(profile_id)`."""
    packed = sql("SELECT string_agg(int8send(b.profile_id), '') FROM ({people}) AS b", people=people)
    ((ids,),) = read_rows(packed.text, packed.params)
    return np.frombuffer(ids or b"", ">i8").astype(np.int64)


def marked(sets: Sequence[Sql]) -> NDArray[np.uint8]:
    """By id, a bit for each of up to eight sets that this person is in, the first set's being 1.

    A set yields `(profile_id)`. Ids are given one after the other, so there are not many more of them than people.
    """
    marks = np.zeros(0, np.uint8)
    for place, people in enumerate(sets):
        ids = ids_of(people)
        end = int(ids.max(initial=-1)) + 1
        if end > len(marks):
            marks = np.concatenate([marks, np.zeros(end - len(marks), np.uint8)])
        marks[ids] |= np.uint8(1 << place)
    return marks


def combinations(sets: Sequence[Sql]) -> dict[int, int]:
    """How many people are in exactly which of the sets, by their bits."""
    counts = np.zeros(1 << len(sets), np.int64)
    marks = marked(sets)
    for start in range(0, len(marks), _AT_ONCE):
        counts += np.bincount(marks[start : start + _AT_ONCE], minlength=len(counts))
    return {mask: count for mask, count in enumerate(counts.tolist()) if mask and count}
