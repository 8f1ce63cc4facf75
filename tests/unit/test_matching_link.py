"""Profile linkage, against an oracle that looks at every pair of clusters."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.matching import link
from tests.oracles import matching as oracle

N = 8
SCORES = st.dictionaries(
    st.tuples(st.integers(0, N - 1), st.integers(0, N - 1)).filter(lambda pair: pair[0] < pair[1]),
    st.integers(-40, 40).map(lambda value: value / 4),
    max_size=20,
)


def linked(scores: dict[tuple[int, int], float], **choices: object) -> np.ndarray:
    pairs = np.asarray(list(scores), dtype=np.int64).reshape(-1, 2)
    return link(pairs, np.asarray(list(scores.values())), N, **choices)


def partition(clusters: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(clusters == one).tolist()) for one in np.unique(clusters)}


class TestLink:
    @settings(max_examples=60, deadline=None)
    @given(SCORES)
    def test_does_what_the_oracle_does(self, scores):
        assert partition(linked(scores)) == oracle.link(scores, N)

    @settings(max_examples=30, deadline=None)
    @given(SCORES, st.randoms(use_true_random=False))
    def test_does_not_mind_the_order_of_pairs(self, scores, random):
        shuffled = list(scores.items())
        random.shuffle(shuffled)

        assert partition(linked(dict(shuffled))) == partition(linked(scores))

    def test_does_not_chain_two_people_through_one_odd_record(self):
        ann, bob = [(0, 1), (0, 2), (1, 2)], [(3, 4), (3, 5), (4, 5)]
        scores = dict.fromkeys(ann + bob, 9.0) | {(one, other): -9.0 for one in range(3) for other in range(3, 6)}

        clusters = linked(scores | {(2, 3): 5.0})

        assert partition(clusters) >= {frozenset({0, 1, 2}), frozenset({3, 4, 5})}

    def test_keeps_apart_what_must_never_be_one(self):
        clusters = linked({(0, 1): 9.0, (1, 2): 8.0, (0, 2): 7.0}, never=[(0, 2)])

        assert clusters[0] != clusters[2]

    def test_joins_what_must_be_one_whatever_the_score(self):
        clusters = linked({(0, 1): -30.0}, must=[(0, 1)])

        assert clusters[0] == clusters[1]

    def test_never_grows_beyond_the_largest(self):
        clusters = linked({(a, b): 9.0 for a in range(N) for b in range(a + 1, N)}, largest=4)

        assert np.bincount(clusters).max() <= 4
