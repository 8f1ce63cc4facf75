"""How good a matching is: against every definition, computed the slow way."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.matching import evaluate
from tests.oracles import matching_quality as oracle

labelled = st.lists(st.tuples(st.integers(0, 5), st.integers(-1, 5)), max_size=25)
scored = st.lists(st.tuples(st.integers(-4, 4), st.sampled_from([-1, 0, 1])), max_size=30)


def arrays(rows: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    table = np.array(rows, dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


class TestCompareClusters:
    @given(labelled)
    @settings(max_examples=150, deadline=None)
    def test_counts_as_if_every_pair_were_listed(self, rows):
        clusters, truth = arrays(rows)

        found = evaluate.compare_clusters(clusters, truth)

        assert (found.true_positives, found.false_positives, found.false_negatives) == oracle.pair_counts(
            clusters.tolist(), truth.tolist()
        )

    @given(labelled)
    @settings(max_examples=50, deadline=None)
    def test_calls_the_truth_perfect(self, rows):
        _, truth = arrays(rows)

        assert evaluate.compare_clusters(truth, truth).f1 == 1.0

    def test_never_lists_pairs(self):
        one_cluster = np.zeros(200_000, dtype=np.int64)
        started = time.process_time()

        found = evaluate.compare_clusters(one_cluster, one_cluster)

        assert found.true_positives == 200_000 * 199_999 // 2
        assert time.process_time() - started < 2


class TestBCubed:
    @given(labelled)
    @settings(max_examples=150, deadline=None)
    def test_is_the_mean_over_records(self, rows):
        clusters, truth = arrays(rows)

        found = evaluate.b_cubed(clusters, truth)

        assert (found.precision, found.recall) == pytest.approx(oracle.b_cubed(clusters.tolist(), truth.tolist()))


class TestClusterSizes:
    def test_counts_clusters_and_records_by_size(self):
        sizes = evaluate.cluster_sizes(np.array([7, 7, 3, 9, 9, 9, 4]))

        assert [(s.size, s.clusters, s.records) for s in sizes] == [(1, 2, 2), (2, 1, 2), (3, 1, 3)]


class TestQualityByThreshold:
    @given(scored)
    @settings(max_examples=150, deadline=None)
    def test_is_right_at_each_threshold(self, rows):
        scores, same = arrays(rows)

        curve = evaluate.quality_by_threshold(scores.astype(float), same)

        for at, threshold in enumerate(curve.thresholds):
            expected = oracle.at_threshold(scores.tolist(), same.tolist(), threshold)
            assert (curve.precision[at], curve.recall[at]) == pytest.approx(expected)

    def test_counts_pairs_that_were_never_proposed_as_missed(self):
        curve = evaluate.quality_by_threshold(np.array([3.0]), np.array([1]), never_proposed=3)

        assert curve.recall == [0.25]

    def test_lets_a_sampled_pair_stand_for_many(self):
        curve = evaluate.quality_by_threshold(np.array([3.0, 3.0]), np.array([1, 0]), weights=np.array([9.0, 1.0]))

        assert curve.precision == [0.9]

    def test_is_thinned_for_charts(self):
        curve = evaluate.quality_by_threshold(np.arange(5_000.0), np.ones(5_000, dtype=int), points=100)

        assert len(curve.thresholds) == 100
        assert (curve.thresholds[0], curve.thresholds[-1]) == (4_999, 0)


class TestBlockingCoverage:
    def test_is_the_share_of_true_pairs_proposed(self):
        truth = np.array([1, 1, 1, 2, 2, -1])
        pairs = np.array([[0, 1], [1, 0], [3, 4], [0, 3], [0, 5]])

        assert evaluate.blocking_coverage(pairs, truth) == 2 / 4

    def test_misses_nothing_where_there_is_nothing_to_find(self):
        assert evaluate.blocking_coverage(np.empty((0, 2), dtype=np.int64), np.array([1, 2])) == 1.0


class TestScoreHistogram:
    def test_parts_pairs_by_what_is_known_of_them(self):
        histogram = evaluate.score_histogram(
            np.array([-50.0, -1.0, 1.0, 99.0]), np.array([0, -1, 1, 1]), low=-10, high=10, bins=2
        )

        assert histogram.edges == [-10, 0, 10]
        assert (histogram.matches, histogram.non_matches, histogram.unknown) == ([0, 2], [1, 0], [1, 0])


class TestUnlinkableShare:
    def test_is_the_share_of_records_below_each_threshold(self):
        assert evaluate.unlinkable_share(np.array([1.0, 5.0, 9.0, 9.0]), [0, 5, 6, 10]) == [0, 0.25, 0.5, 1]


class TestMistakes:
    def test_lists_those_first_that_the_score_was_surest_of(self):
        pairs = np.array([[0, 1], [1, 2], [0, 2], [3, 4], [3, 5]])
        clusters, truth = np.array([0, 0, 0, 1, 2, 2]), np.array([0, 9, 0, 5, 5, 5])

        wrong, missed = evaluate.mistakes(pairs, np.array([4.0, 6.0, 9.0, -1.0, -3.0]), clusters, truth)

        assert wrong.tolist() == [1, 0]
        assert missed.tolist() == [4, 3]


class TestLabelledQuality:
    def test_is_unsure_in_proportion_to_the_sample(self):
        scores, same = np.array([5.0] * 9 + [5.0, -5.0]), np.array([1] * 9 + [0, 1])

        few = evaluate.labelled_quality(scores, same, 0.0)
        many = evaluate.labelled_quality(np.tile(scores, 50), np.tile(same, 50), 0.0)

        assert few.precision.value == many.precision.value == 0.9
        assert few.precision.low < many.precision.low < 0.9 < many.precision.high < few.precision.high
        assert few.f1.low < few.f1.value < few.f1.high

    def test_knows_nothing_without_labels(self):
        quality = evaluate.labelled_quality(np.array([]), np.array([]), 0.0)

        assert (quality.pairs, quality.precision.low, quality.precision.high) == (0, 0.0, 1.0)

    @given(st.lists(st.tuples(st.booleans(), st.floats(0.1, 10)), min_size=1, max_size=30))
    @settings(max_examples=60, deadline=None)
    def test_keeps_the_value_inside_its_interval(self, cases):
        hits, weights = np.array([hit for hit, _ in cases]), np.array([weight for _, weight in cases])

        interval = evaluate.wilson(hits, weights)

        assert 0 <= interval.low <= interval.value <= interval.high <= 1


class TestTruthCodes:
    def test_takes_blanks_for_unknown(self):
        assert evaluate.truth_codes(["a", None, " ", "b", "a ", 7]).tolist() == [0, -1, -1, 1, 0, 2]
