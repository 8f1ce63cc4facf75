"""Matching, slowly and obviously: profile linkage by looking at every pair of clusters, EM one pair at a time."""

import math
from itertools import combinations


def link(scores: dict[tuple[int, int], float], n: int, *, threshold: float = 0.0) -> set[frozenset[int]]:
    """Merge what is mutually best by the mean of the best 70% of the scores between two clusters, until nothing is."""
    clusters = [frozenset([at]) for at in range(n)]

    def between(one: frozenset[int], other: frozenset[int]) -> float | None:
        known = [scores[min(a, b), max(a, b)] for a in one for b in other if (min(a, b), max(a, b)) in scores]
        best = sorted(known, reverse=True)[: math.ceil(0.7 * len(known) - 1e-9)]
        return sum(best) / len(best) if best else None

    while True:
        values = {}
        for one, other in combinations(sorted(clusters, key=min), 2):
            value = between(one, other)
            if value is not None and value > threshold:
                values[one, other] = value
        ranked = sorted(values, key=lambda pair: (-values[pair], min(pair[0]), min(pair[1])))
        best: dict[frozenset[int], tuple[frozenset[int], frozenset[int]]] = {}
        for pair in ranked:
            for end in pair:
                best.setdefault(end, pair)
        merging = [pair for pair in ranked if best[pair[0]] == pair and best[pair[1]] == pair]
        if not merging:
            return set(clusters)
        for one, other in merging:
            clusters.remove(one)
            clusters.remove(other)
            clusters.append(one | other)
