"""What was found of records, told of profiles: a merged one is the records of its origins, which are one already."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

import msgspec
import numpy as np

from .comparisons import Comparison
from .groups import Bridge
from .judge import Pairs
from .matcher import HOPELESS, MatchResult
from .profiles import Profiles
from .table import Floats, Ints
from .waterfalls import Texts, Waterfalls

AT_ONCE = 20_000
"""Pairs of profiles that are judged at once, to bound memory."""

_json = msgspec.json.Encoder().encode


def by_profile(result: MatchResult, owner: Ints) -> MatchResult:
    """The same, where a record belongs to the profile of this number; numbers count from 0, without gaps.

    Pairs of profiles of one record each are what their records are. Others are judged by all records of both.
    """
    rows = len(owner)
    count = int(owner.max()) + 1 if rows else 0
    if np.array_equal(owner, np.arange(rows)):
        return result
    first = np.unique(owner, return_index=True)[1]
    size = np.bincount(owner, minlength=count)
    pairs = owner[result.pairs]
    single = (size[pairs] == 1).all(axis=1)
    near = (pairs[:, 0] != pairs[:, 1]) & ~single & (result.scores > HOPELESS)
    several = np.unique(np.sort(pairs[near], axis=1), axis=0)
    waterfalls = ProfileWaterfalls(cast("Waterfalls", result.waterfalls), owner, first, size)
    scores = waterfalls.judge(several)
    bridges = tuple(
        Bridge(bridge.cluster, int(owner[bridge.one]), int(owner[bridge.other]), bridge.score)
        for bridge in result.suspicious
        if owner[bridge.one] != owner[bridge.other]
    )
    return replace(
        result,
        clusters=result.clusters[first],
        households=result.households[first],
        suspicious=bridges,
        pairs=np.concatenate([np.sort(pairs[single], axis=1), several]),
        scores=np.concatenate([result.scores[single], scores]),
        probabilities=np.concatenate([result.probabilities[single], result.model.probability(scores)]),
        waterfalls=waterfalls,
    )


@dataclass(frozen=True)
class ProfileWaterfalls:
    """Explains pairs of profiles by those of their records."""

    records: Waterfalls
    owner: Ints
    first: Ints
    size: Ints

    def judge(self, pairs: Pairs) -> Floats:
        """Log2 odds of pairs of which one has several records."""
        parts = [self._profiles(pairs[at : at + AT_ONCE]).scores for at in range(0, len(pairs), AT_ONCE)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def explain(self, pairs: Pairs) -> Texts:
        """`Explanation` as JSON, pair by pair."""
        single = (self.size[pairs] == 1).all(axis=1)
        alone = iter(self.records.explain(self.first[pairs[single]]))
        several = self._profiles(pairs[~single])
        jointly = iter(several.explain(range(len(several.pairs)), self._text))
        return [next(alone) if one else _json(next(jointly)).decode() for one in single.tolist()]

    def _profiles(self, pairs: Pairs) -> Profiles:
        """Over the judge's records, which are in another order than those that were given."""
        owner = np.empty_like(self.owner)
        owner[self.records.place] = self.owner
        return Profiles(self.records.judge, self.records.model, pairs, owner)

    def _text(self, record: int, comparison: Comparison, rank: int) -> str:
        return self.records.text(int(self._given[record]), comparison, rank)

    @cached_property
    def _given(self) -> Ints:
        return np.argsort(self.records.place)
