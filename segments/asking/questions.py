"""Who is asked what."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np

from segments.asking.arrays import Flags, Ids, ids_of


@dataclass(frozen=True)
class Questions:
    """Which segments are asked about which profiles: `asked` has a row per segment and a column per profile.

    Both are in the order of their ids.
    """

    segments: Ids
    profiles: Ids
    asked: Flags

    @classmethod
    def of(cls, pairs: Iterable[tuple[Collection[int], Collection[int]]]) -> "Questions":
        """Each of `pairs` asks these segments about these profiles."""
        kept = [(sorted(segments), sorted(profiles)) for segments, profiles in pairs if segments and profiles]
        segments = ids_of(sorted(set().union(*(each for each, _ in kept))))
        profiles = ids_of(sorted(set().union(*(each for _, each in kept))))
        asked = np.zeros((len(segments), len(profiles)), dtype=np.bool_)
        for some, people in kept:
            asked[np.ix_(np.searchsorted(segments, some), np.searchsorted(profiles, people))] = True
        return cls(segments, profiles, asked)

    def __len__(self) -> int:
        """How many answers are wanted."""
        return int(self.asked.sum())

    def also(self, pairs: Collection[tuple[int, int]]) -> "Questions":
        """These and those: a segment and a profile each."""
        if not pairs:
            return self
        more, whom = np.array(list(pairs), dtype=np.int64).T
        segments, profiles = np.union1d(self.segments, more), np.union1d(self.profiles, whom)
        asked = np.zeros((len(segments), len(profiles)), dtype=np.bool_)
        asked[np.ix_(np.searchsorted(segments, self.segments), np.searchsorted(profiles, self.profiles))] = self.asked
        asked[np.searchsorted(segments, more), np.searchsorted(profiles, whom)] = True
        return Questions(segments, profiles, asked)

    def pairs(self, among: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
        """Those of them, a segment and a profile each, that are asked here."""
        rows = {segment: row for row, segment in enumerate(self.segments.tolist())}
        columns = {profile: column for column, profile in enumerate(self.profiles.tolist())}
        return {
            (segment, profile)
            for segment, profile in among
            if segment in rows and profile in columns and self.asked[rows[segment], columns[profile]]
        }

    def about(self, segment_ids: Iterable[int]) -> "Questions":
        """Those of them to these segments, which are among them."""
        rows = np.searchsorted(self.segments, sorted(segment_ids))
        asked = self.asked[rows]
        people = asked.any(axis=0)
        return Questions(self.segments[rows], self.profiles[people], asked[:, people])
