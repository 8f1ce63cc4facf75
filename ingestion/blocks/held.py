"""What is in blocks: which stretches of time, and who is not to be taken from them."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from django.db import connection
from numpy.typing import NDArray

from cdp.kernel.copy import read_rows as copy_out
from ingestion.blocks.stretches import DAY, TICK, Stretch

MOST_NOTED = 5_000  # profiles; beyond that, or a twentieth of its events, a block is not worth mending
FEW_NOTED = 100


@dataclass(frozen=True, slots=True)
class Tile:
    """The events of a name in a stretch of time, `since` and `until` in ticks; `parts` are its columns."""

    since: int
    until: int
    events: int
    parts: frozenset[int]
    noted: frozenset[int] = field(default=frozenset())

    @property
    def stretch(self) -> Stretch:
        return self.since * TICK, self.until * TICK

    @property
    def is_mendable(self) -> bool:
        return len(self.noted) <= max(FEW_NOTED, min(self.events // 20, MOST_NOTED))


@dataclass(frozen=True, slots=True)
class Moves:
    """Profiles that were absorbed since blocks were built, in order, and whom they lead to."""

    profiles: NDArray[np.int64]
    leads: NDArray[np.int64]

    def follow(self, profile_ids: Iterable[int]) -> NDArray[np.int64]:
        """The profiles that these lead to, each once."""
        ids = np.fromiter(profile_ids, dtype=np.int64)
        found: NDArray[np.int64] = np.unique(self.apply(np.sort(ids)))
        return found

    def apply(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Ids that are in order, each as the one that it leads to; changes the array."""
        if not self.profiles.size or not ids.size:
            return ids
        first = np.searchsorted(ids, self.profiles)
        first, met = _met(ids, first, self.profiles)
        count = np.searchsorted(ids, self.profiles[met], side="right") - first
        ids[spread(first, count)] = np.repeat(self.leads[met], count)
        return ids

    def whence(self, leading: NDArray[np.int64]) -> NDArray[np.int64]:
        """These profiles, and those that lead to them, in order."""
        found: NDArray[np.int64] = np.union1d(leading, self.profiles[np.isin(self.leads, leading)])
        return found


def places_of(ids: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where any of the wanted stand among ids; both are in order."""
    first, met = _met(ids, np.searchsorted(ids, wanted), wanted)
    return spread(first, np.searchsorted(ids, wanted[met], side="right") - first)


def spread(first: NDArray[np.int64], count: NDArray[np.int64]) -> NDArray[np.int64]:
    """The places of stretches that begin at `first` and are so long."""
    offsets = np.cumsum(count) - count
    places: NDArray[np.int64] = np.arange(count.sum()) + np.repeat(first - offsets, count)
    return places


def _met(
    ids: NDArray[np.int64], first: NDArray[np.int64], wanted: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of places where the wanted would stand, those where they do, and which of the wanted these are."""
    if not ids.size:
        return first[:0], first[:0]
    met = np.flatnonzero(ids[np.minimum(first, ids.size - 1)] == wanted)
    return first[met], met


def tiles_of(name_id: int, stretch: Stretch) -> list[Tile]:
    """What blocks there are of a name in a stretch of time, in order."""
    since, until = stretch
    with connection.cursor() as cursor:
        cursor.execute(_TILES, {"name": name_id, "since": since // TICK, "until": -(-until // TICK)})
        found = cursor.fetchall()
        if not found:
            return []
        first, last = found[0][0], found[-1][1]
        cursor.execute(_NOTED, {"name": name_id, "first": first * TICK // DAY, "last": (last * TICK - 1) // DAY})
        noted: defaultdict[int, set[int]] = defaultdict(set)
        for day, profile_ids in cursor.fetchall():
            noted[day].update(profile_ids)
    return [
        Tile(begins, ends, events, frozenset(parts), _noted(noted, begins, ends))
        for begins, ends, events, parts in found
    ]


def _noted(noted: Mapping[int, set[int]], since: int, until: int) -> frozenset[int]:
    if not noted:
        return frozenset()
    days = range(since * TICK // DAY, (until * TICK - 1) // DAY + 1)
    return frozenset().union(*(noted[day] for day in days if day in noted))


def read_moves() -> Moves:
    """All that merges moved since the oldest block was built."""
    ((profiles, leads),) = copy_out(_MOVES, {})
    return Moves(_ids(profiles), _ids(leads))


def _ids(packed: memoryview | None) -> NDArray[np.int64]:
    return np.frombuffer(packed or b"", dtype=">i8").astype(np.int64)


def fetch_parts(
    name_id: int, tiles: Sequence[Tile], *, parts: Collection[int], more: Mapping[int, Collection[int]]
) -> dict[int, dict[int, memoryview]]:
    """The packed columns of some tiles, by their beginnings and parts; `more` are parts that only some need."""
    found: dict[int, dict[int, memoryview]] = {tile.since: {} for tile in tiles}
    wanted = sorted({(tile.since, part) for tile in tiles for part in {*parts, *more.get(tile.since, ())}})
    values = {"name": name_id, "since": [since for since, _ in wanted], "part": [part for _, part in wanted]}
    for since, part, data in copy_out(_PARTS, values):
        if since is not None and part is not None and data is not None:
            found[int.from_bytes(since, "big", signed=True)][int.from_bytes(part, "big", signed=True)] = data
    return found


_TILES = """
SELECT since, until, events, array_agg(part) FROM event_block
WHERE name_id = %(name)s AND until > %(since)s AND since < %(until)s GROUP BY 1, 2, 3 ORDER BY 1
"""
_NOTED = """
SELECT day, profile_ids FROM event_block_note WHERE name_id = %(name)s AND day BETWEEN %(first)s AND %(last)s
"""
_MOVES = """
SELECT string_agg(int8send(profile_id), '' ORDER BY profile_id), string_agg(int8send(leads_to), '' ORDER BY profile_id)
FROM event_block_move
"""
# The largest come first: what PostgreSQL allocates for them serves the rest. The other way round it has memory mapped
# anew for each, which takes twice the time.
_PARTS = """
SELECT u.since, u.part, b.data FROM unnest(%(since)s::int[], %(part)s::bigint[]) AS u(since, part)
CROSS JOIN LATERAL (SELECT data FROM event_block AS o
                    WHERE o.name_id = %(name)s AND o.since = u.since AND o.part = u.part OFFSET 0) AS b
ORDER BY length(b.data) DESC
"""
