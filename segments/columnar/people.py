"""Everybody, by their ids, and where what is gathered about one of them stands in an array."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
Places = NDArray[np.int64]

Kept = TypeVar("Kept", bound=np.generic)

_SPARSE = 4
_SPARSE_ANYWAY = 1 << 20


class People:
    """Arrays about people are by id as long as most ids are taken, which spares looking places up for every event."""

    def __init__(self, ids: NDArray[np.int64]) -> None:
        """`ids` ascend."""
        self.ids = ids
        self.count = len(ids)
        first, end = (int(ids[0]), int(ids[-1]) + 1) if self.count else (0, 0)
        self._by_id = end <= _SPARSE * self.count + _SPARSE_ANYWAY
        self.size = end if self._by_id else self.count
        self._all: slice | NDArray[np.int64] = slice(first, end) if end - first == self.count else ids

    def locate(self, profiles: NDArray[np.int64]) -> tuple[Places, Flags | None]:
        """Where each of them stands, and which exist: None for all. The places of others mean nothing.

        By id there are places of nobody too; nobody reads what is gathered there.
        """
        if not len(profiles):
            return profiles, None
        if self._by_id:
            return profiles, None if profiles.max() < self.size else profiles < self.size
        if not self.count:
            return profiles, np.zeros(len(profiles), bool)
        places = np.searchsorted(self.ids, profiles)
        places[places == self.count] = 0
        return places, self.ids[places] == profiles

    def everybody(self, gathered: NDArray[Kept]) -> NDArray[Kept]:
        """What was gathered by place, for each of `ids`."""
        return gathered[self._all] if self._by_id else gathered
