"""What a stratified sample says of a threshold, against a count of everything."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.matching.evaluate import Interval
from identity.review.estimate import (
    EDGES,
    Judged,
    expected_by_model,
    kappa,
    labels_needed,
    probability_of,
    score_of,
    stratum_of,
    weigh,
)

PAIRS = st.lists(st.tuples(st.floats(-12, 14, allow_nan=False), st.booleans()), min_size=1, max_size=60)


def judge_all(pairs: list[tuple[float, bool]]) -> list[Judged]:
    sizes = [sum(stratum_of(other) == stratum_of(score) for other, _ in pairs) for score, _ in pairs]
    return [
        Judged(score, float(same), stratum_of(score), size) for (score, same), size in zip(pairs, sizes, strict=True)
    ]


class TestSample:
    @given(PAIRS, st.floats(-6, 12))
    def test_is_exact_where_everything_was_judged(self, pairs: list[tuple[float, bool]], threshold: float):
        point = weigh(judge_all(pairs)).at(threshold)

        claimed = [same for score, same in pairs if score >= threshold]
        true = [score for score, same in pairs if same]
        assert point.precision.value == pytest.approx(sum(claimed) / len(claimed) if claimed else 1.0)
        assert point.recall.value == pytest.approx(
            sum(score >= threshold for score in true) / len(true) if true else 1.0
        )

    def test_holds_the_truth_in_its_interval_nearly_always(self):
        chance = random.Random(3)
        pairs = [(score := chance.gauss(1, 5), chance.random() < probability_of(score)) for _ in range(5_000)]
        strata: dict[int, list[tuple[float, bool]]] = {}
        for pair in pairs:
            strata.setdefault(stratum_of(pair[0]), []).append(pair)
        claimed = [same for score, same in pairs if score >= 2]
        truth = sum(claimed) / len(claimed)

        held = 0
        for _ in range(100):
            sample = weigh(
                Judged(score, float(same), stratum, len(members))
                for stratum, members in strata.items()
                for score, same in chance.sample(members, min(25, len(members)))
            )
            found = sample.at(2.0).precision
            held += found.low <= truth <= found.high

        assert held >= 90

    def test_counts_judges_who_disagree_half_each_way(self):
        point = weigh([Judged(5.0, 0.5, 5, 10), Judged(5.0, 1.0, 5, 10)]).at(0.0)

        assert point.precision.value == pytest.approx(0.75)

    def test_knows_nothing_without_labels(self):
        point = weigh([]).at(3.0)

        assert (point.precision.low, point.precision.high) == (0.0, 1.0)


class TestStrata:
    def test_part_the_scores_at_the_edges(self):
        assert [stratum_of(edge) for edge in EDGES] == list(range(1, len(EDGES) + 1))
        assert stratum_of(-100) == 0

    @given(st.floats(-30, 30))
    def test_scores_and_probabilities_lead_back_to_each_other(self, score: float):
        assert score_of(probability_of(score)) == pytest.approx(score, abs=1e-3)


class TestLabelsNeeded:
    def test_shrinks_with_the_square_root(self):
        assert labels_needed(Interval(0.9, 0.84, 0.96), 100, wanted=0.03) == 300

    def test_is_none_where_the_estimate_is_good(self):
        assert labels_needed(Interval(0.99, 0.98, 1.0), 500) == 0

    def test_begins_with_what_any_share_takes(self):
        assert labels_needed(Interval(1.0, 0.0, 1.0), 0, wanted=0.05) == 385


class TestKappa:
    def test_is_one_where_all_agree(self):
        assert kappa([("same", "same"), ("different", "different")]) == (1.0, 1.0)

    def test_is_nought_for_chance(self):
        pairs = [(one, other) for one in ("same", "different") for other in ("same", "different")]

        assert kappa(pairs) == (0.5, pytest.approx(0.0))

    def test_of_nothing_is_nothing(self):
        assert kappa([]) is None


class TestExpectedByModel:
    def test_counts_what_lies_above(self):
        found = expected_by_model([(0.0, 10, 5.0), (4.0, 10, 10.0)], grid=(0.0, 2.0, 6.0))

        assert [(one.precision, round(one.recall, 3)) for one in found] == [(0.75, 1.0), (1.0, 0.667), (None, 0.0)]
