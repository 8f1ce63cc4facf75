"""Conditions of one shape are worked out together: NumPy takes as long for three numbers as for three hundred.

Each has a block of places of its own: that of profile `p` for the condition `n` is `n * count + p`.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from datetime import datetime, timedelta

import numpy as np

from segments.asking.arrays import Ids, instant, length
from segments.asking.streams import Events

AT_ONCE = 200_000  # events, counted once for every condition that looks at them


def alike(shapes: Sequence[Hashable], sizes: Sequence[int]) -> Iterator[list[int]]:
    """The numbers of those that have the same shape, of so many events that memory holds them side by side."""
    groups: defaultdict[Hashable, list[int]] = defaultdict(list)
    for number, shape in enumerate(shapes):
        groups[shape].append(number)
    for numbers in groups.values():
        some: list[int] = []
        events = 0
        for number in numbers:
            if some and events + sizes[number] > AT_ONCE:
                yield some
                some, events = [], 0
            some.append(number)
            events += sizes[number]
        yield some


def stack(parts: Sequence[Events], count: int) -> Events:
    """The events of the first condition, of the second, and so on; each has `count` profiles."""
    if len(parts) == 1:
        return parts[0]
    block = np.repeat(np.arange(len(parts)) * count, [len(part.at) for part in parts])
    return Events(
        np.concatenate([part.place for part in parts]) + block,
        np.concatenate([part.at for part in parts]),
        np.concatenate([part.value for part in parts]),
    )


def instants(moments: Sequence[datetime | None]) -> Ids:
    """One for each condition of a shape that has them."""
    return np.array([instant(moment) for moment in moments if moment], dtype=np.int64)


def lengths(deltas: Sequence[timedelta | None]) -> Ids:
    """One for each condition of a shape that has them."""
    return np.array([length(delta) for delta in deltas if delta is not None], dtype=np.int64)
