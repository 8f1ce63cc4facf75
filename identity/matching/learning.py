"""Learn from what people answered: weights, calibration, and what to ask next.

A logistic regression over the weights of the levels is averaged with the estimated log odds: alone, from few answers,
it can do worse than no answers at all. It is used only where it foretells answers that it has not seen better than
before.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import numpy.typing as npt

from .contracts import LabelledPair
from .model import Model, Weights, pack_fields
from .score import Evidence, score
from .scorer import Scorer
from .table import Flags, Floats

FEWEST = 20
"""Answers from which something is learnt."""
FEWEST_EACH = 5
"""Of them, at least so many of either kind."""
SHARE = 0.5
"""Weight of what was learnt from answers against what was estimated without."""
FOLDS = 5
LN2 = float(np.log(2))


def learn(model: Model, labels: Sequence[LabelledPair]) -> Model:
    """The model, bettered by answers: learned weights, and probabilities calibrated on the sampled ones.

    Answers about one pair that contradict each other both count. Too few answers change nothing.
    """
    plain = msgspec.structs.replace(
        model,
        fields=[msgspec.structs.replace(field, learned=[]) for field in model.fields],
        prior_shift=0.0,
        learned_share=0.0,
        calibration=(1.0, 0.0),
    )
    if not labels:
        return plain
    scorer = Scorer(plain)
    evidence = scorer.evidence_of([(label.one, label.other) for label in labels])
    same = np.asarray([label.same for label in labels])
    weight = np.asarray([label.weight for label in labels], dtype=np.float64)
    weights = learn_weights(scorer.weights, evidence, same, np.minimum(weight, np.median(weight) * 10))
    learnt = msgspec.structs.replace(
        plain, fields=pack_fields(weights), prior_shift=weights.learned_shift, learned_share=weights.learned_share
    )
    sampled = np.asarray([label.sampled for label in labels])
    scores = Scorer(learnt).score_pairs([(label.one, label.other) for label in labels])
    return msgspec.structs.replace(learnt, calibration=calibrate(scores[sampled], same[sampled], weight[sampled]))


def learn_weights(weights: Weights, evidence: Evidence, same: Flags, weight: Floats) -> Weights:
    """The weights with those learned from labelled pairs beside them, if they help."""
    if len(same) < FEWEST or min(same.sum(), (~same).sum()) < FEWEST_EACH:
        return weights
    features = np.where(evidence.known, evidence.weights[:, :, 0], 0.0).astype(np.float64)
    estimated = score(evidence, weights)
    if not _helps(features, estimated, same, weight):
        return weights
    fitted = _fit(features, same, weight)
    slopes = np.repeat(fitted.slopes, [comparison.size for comparison in weights.comparisons])
    gain = np.where(weights.known, weights.logs[:, 0] - weights.logs[:, 1], 0.0)
    return replace(weights, learned=SHARE * slopes * gain, learned_shift=SHARE * fitted.shift, learned_share=SHARE)


@dataclass(frozen=True)
class _Fitted:
    slopes: Floats
    shift: float

    def odds(self, features: Floats) -> Floats:
        result: Floats = features @ self.slopes + self.shift
        return result


def _fit(features: Floats, same: Flags, weight: Floats) -> _Fitted:
    """Log2 odds as a weighted sum of the fields' weights."""
    from sklearn.linear_model import LogisticRegression  # here: it costs every process that only scores seconds

    scale = 8.0
    regression = LogisticRegression(C=1.0, max_iter=500).fit(
        features / scale, same, sample_weight=weight / weight.mean()
    )
    return _Fitted(regression.coef_[0] / scale / LN2, float(regression.intercept_[0]) / LN2)


def _helps(features: Floats, estimated: Floats, same: Flags, weight: Floats) -> bool:
    """Whether the average foretells answers that were left out better than the estimate alone."""
    from sklearn.model_selection import StratifiedKFold

    before, after = np.zeros(len(same)), np.zeros(len(same))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    for seen, unseen in folds.split(features, same):
        fitted = _fit(features[seen], same[seen], weight[seen])
        mixed = (1 - SHARE) * estimated[unseen] + SHARE * fitted.odds(features[unseen])
        before[unseen], after[unseen] = _surprise(estimated[unseen], same[unseen]), _surprise(mixed, same[unseen])
    return float((weight * after).sum()) < float((weight * before).sum())


def _surprise(odds: Floats, same: Flags) -> Floats:
    """Log loss in bits, bounded: one wrong answer of a person is no catastrophe."""
    bounded = np.clip(np.where(same, odds, -odds), -20, 20)
    result: Floats = np.log2(1 + np.exp2(-bounded))
    return result


def calibrate(scores: Floats, same: Flags, weight: Floats) -> tuple[float, float]:
    """Slope and shift by Platt's method, drawn towards (1, 0) as strongly as ten answers would."""
    if len(same) < FEWEST or min(same.sum(), (~same).sum()) < FEWEST_EACH:
        return 1.0, 0.0
    bounded = np.clip(scores, -20, 20)
    each = weight / weight.mean()
    slope, shift = 1.0, 0.0
    design = np.stack([bounded, np.ones(len(bounded))], axis=1) * LN2
    for _ in range(50):
        chance = 1 / (1 + np.exp2(-(slope * bounded + shift)))
        drawn = np.asarray([(slope - 1.0) * 10, shift * 0.1])
        gradient = design.T @ (each * (chance - same)) + drawn
        curve = design.T @ (design * (each * chance * (1 - chance))[:, None]) + np.diag([10.0, 0.1])
        step = np.linalg.solve(curve, gradient)
        slope, shift = slope - float(step[0]), shift - float(step[1])
        if np.abs(step).max() < 1e-6:
            break
    return max(0.1, round(slope, 4)), round(shift, 4)


class Quality(msgspec.Struct, frozen=True):
    """What would be had if every pair from this probability on were merged."""

    threshold: float
    precision: float
    recall: float
    f1: float
    pairs: float
    """Pairs from the threshold on, by the weights of the sample."""


def estimate_quality(
    probabilities: Floats, same: Flags, weight: Floats, thresholds: Sequence[float] = ()
) -> list[Quality]:
    """Precision and recall at every threshold, from a labelled sample. `weight`: how many pairs each stands for."""
    asked = thresholds or [round(step / 100, 2) for step in range(1, 100)]
    all_matches = float(weight[same].sum())
    found = []
    for threshold in asked:
        above = probabilities >= threshold
        pairs, right = float(weight[above].sum()), float(weight[above & same].sum())
        precision = right / pairs if pairs else 1.0
        recall = right / all_matches if all_matches else 1.0
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        found.append(Quality(threshold, precision, recall, f1, pairs))
    return found


def choose_to_ask(
    levels: npt.NDArray[np.int32], probabilities: Floats, *, count: int, random: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Indices of the pairs whose answer teaches most: uncertain ones, of as many different patterns as there are.

    Half are drawn by uncertainty alone; of every pattern of levels at most one is taken before any is taken twice.
    """
    uncertainty = 4 * probabilities * (1 - probabilities) + 1e-6 * random.random(len(probabilities))
    order = np.argsort(-uncertainty, kind="stable")
    mixed = np.zeros(len(levels), dtype=np.uint64)
    for column in levels.T:
        mixed = mixed * np.uint64(1_000_003) + column.astype(np.uint64)
    _, first = np.unique(mixed[order], return_index=True)
    leading = order[np.sort(first)]
    rest = np.setdiff1d(order, leading, assume_unique=True)
    rest = rest[np.argsort(-uncertainty[rest], kind="stable")]
    return np.concatenate([leading, rest])[:count].astype(np.int64)


@dataclass(frozen=True)
class Sample:
    """Pairs drawn for labelling: their indices, and how many pairs each stands for."""

    chosen: npt.NDArray[np.int64]
    weight: Floats


def draw_sample(probabilities: Floats, *, count: int, random: np.random.Generator, strata: int = 10) -> Sample:
    """A random sample, evenly over ten classes of probability, so that quality can be estimated from few answers."""
    bins = np.minimum((probabilities * strata).astype(np.int64), strata - 1)
    present = np.unique(bins)
    chosen, weight = [], []
    for stratum in present.tolist():
        members = np.flatnonzero(bins == stratum)
        taken = random.choice(members, min(len(members), max(1, count // max(1, len(present)))), replace=False)
        chosen.append(taken)
        weight.append(np.full(len(taken), len(members) / len(taken)))
    if not chosen:
        return Sample(np.zeros(0, dtype=np.int64), np.zeros(0))
    return Sample(np.concatenate(chosen), np.concatenate(weight))
