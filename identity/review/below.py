"""Pairs below the threshold of asking: they are kept nowhere, so some profiles' neighbours are scored afresh. R: C3"""

import random
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

import msgspec

from identity.candidates.live import Live, load_live
from identity.candidates.lookup import find_neighbours
from identity.candidates.models import MatchKey, MatchRecord
from identity.candidates.store import load_records
from identity.review.estimate import EDGES, score_of, stratum_of

PROFILES = 300
Key = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Below:
    """Some pairs of a stratum, as keys and scores, and about how many of it there are."""

    pairs: dict[Key, float]
    about: float


def look_below(*, chance: random.Random, besides: Collection[Key], profiles: int = PROFILES) -> dict[int, Below]:
    """Per stratum, pairs that score below the threshold of asking but not far below, from a sample of profiles.

    A pair is found from either side: of a share `f` of all profiles, by 1 - (1 - f)².
    """
    live = load_live()
    ids = list(MatchRecord.objects.order_by("profile_id").values_list("profile_id", flat=True).distinct())
    if not ids:
        return {}
    asked = sorted(chance.sample(ids, min(profiles, len(ids))))
    share = len(asked) / len(ids)
    found: defaultdict[int, dict[Key, float]] = defaultdict(dict)
    highest = score_of(live.settings.review_above)
    for key, score in _scored(asked, live).items():
        if EDGES[0] <= score < highest and key not in besides:
            found[stratum_of(score)][key] = score
    return {stratum: Below(pairs, len(pairs) / (1 - (1 - share) ** 2)) for stratum, pairs in sorted(found.items())}


def explain(keys: Collection[Key]) -> dict[Key, dict[str, object]]:
    """The evidence of each pair, as candidates keep it."""
    scorer = load_live().scorer
    records = load_records({id_ for key in keys for id_ in key})
    return {
        (one, other): msgspec.to_builtins(scorer.explain(records[one], records[other]))
        for one, other in keys
        if one in records and other in records
    }


def _scored(ids: Collection[int], live: Live) -> dict[Key, float]:
    keys: defaultdict[int, set[int]] = defaultdict(set)
    for profile_id, key in MatchKey.objects.filter(profile_id__in=list(ids)).values_list("profile_id", "key"):
        keys[profile_id].add(key)
    neighbours = find_neighbours(keys).of
    records = load_records({id_ for asker, near in neighbours.items() for id_ in (asker, *near)})
    found: dict[Key, float] = {}
    for asker, near in neighbours.items():
        others = [id_ for id_ in near if id_ in records]
        if asker not in records or not others:
            continue
        scores = live.scorer.score(records[asker], [records[id_] for id_ in others])
        for other, probability in zip(others, live.model.probability(scores).tolist(), strict=True):
            found[min(asker, other), max(asker, other)] = score_of(probability)
    return found
