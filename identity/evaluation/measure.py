"""All profiles matched by a version of the model, and what that shows: the job of an evaluation."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from django.db import connection
from numpy.typing import NDArray

from identity import matching
from identity.candidates.full import build_everybody, load_everybody, match_population
from identity.candidates.live import Live, live_by, load_live, load_settings
from identity.candidates.models import Label, MatchModel
from identity.candidates.population import Population, drop_shared
from identity.candidates.runs import Progress
from identity.evaluation.contracts import LabelReport, Mistake, Pass, ProfilesReport, Unlinkables
from identity.matching import evaluate
from identity.matching.contracts import PassReport, Record
from identity.models import ProfileAlias

MOST_MISTAKES = 50
MOST_WARNINGS = 20
UNLINKABLE_SAMPLE = 2_000
UNLINKABLE_AT = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9999]
LOW, HIGH = -30.0, 40.0
"""Log2 odds of the outermost bins of the histogram."""


def measure_profiles(*, model: MatchModel | None, progress: Progress) -> ProfilesReport:
    """What the version `model` makes of all profiles; without one, the weights that are shipped.

    1. everybody is matched by it, without writing anything, and without what people said;
    2. what people said of pairs is held against it, and against the version before it;
    3. the rest is counted: sizes, scores, passes, and records that say too little.
    """
    live = live_by(load_settings(), model)
    threshold = live.settings.accept_above
    population = _read(live, progress)
    progress.begin("Matching")
    result = match_population(population, live.fields, model=live.model, threshold=threshold, heeding=False)
    progress.begin("Holding labels against it")
    labels = list(Label.objects.filter(withdrawn_at=None).order_by("id"))
    scores = score_labels(labels, live.scorer)
    wrong, missed = label_mistakes(labels, scores, live)
    earlier = previous_version(model)
    progress.begin("Comparing records with themselves")
    unlinkables = measure_unlinkables(population, live)
    return ProfilesReport(
        profiles=len(population.ids),
        pairs=len(result.pairs),
        threshold=threshold,
        labels=label_report(labels, scores, live, model),
        previous=_of_earlier(earlier, labels) if earlier is not None else None,
        sizes=evaluate.cluster_sizes(result.clusters) if len(population.ids) else [],
        origins=count_origins(),
        histogram=histogram(population.ids, result.pairs, result.scores, labels, scores),
        unlinkables=unlinkables,
        passes=sum_passes(result.report.passes),
        coverage=result.report.coverage,
        wrong=wrong,
        missed=missed,
        warnings=[one.message for one in result.report.warnings][:MOST_WARNINGS],
    )


def _read(live: Live, progress: Progress) -> Population:
    now_live = load_live()
    read = load_everybody if live.fields == now_live.fields else build_everybody
    population = read(live.fields, progress)
    drop_shared(population, live.fields)
    return population


# --- Labels -------------------------------------------------------------------------------------------------
def score_labels(labels: Sequence[Label], scorer: "matching.Scorer") -> NDArray[np.float64]:
    """Log2 odds of each labelled pair, as its two records were when somebody looked at them."""
    return np.array([float(scorer.score(row.one, [row.other])[0]) for row in labels], dtype=np.float64)


def label_report(
    labels: Sequence[Label], scores: NDArray[np.float64], live: Live, model: MatchModel | None
) -> LabelReport | None:
    """From the pairs that were drawn at random, if there are such; else from all, which were asked for being hard."""
    if not labels:
        return None
    sampled = any(row.sampled for row in labels)
    chosen = np.array([row.sampled or not sampled for row in labels])
    same = np.array([row.same for row in labels], dtype=np.int8)[chosen]
    weights = np.array([row.weight if sampled else 1.0 for row in labels])[chosen]
    probabilities = live.model.probability(scores[chosen])
    return LabelReport(
        model_id=live.model_id,
        same=int(same.sum()),
        different=int(len(same) - same.sum()),
        sampled=sampled,
        blind=sum(row.blind for row in labels),
        learnt_from=count_learnt_from(labels, model),
        quality=evaluate.labelled_quality(probabilities, same, live.settings.accept_above, weights=weights),
        curve=evaluate.quality_by_threshold(probabilities, same, weights=weights),
        coverage=share_blocked_together([row for row in labels if row.same], live.scorer),
    )


def count_learnt_from(labels: Sequence[Label], model: MatchModel | None) -> int:
    """Labels that the version was estimated with: what it learnt by heart proves little."""
    if model is None or not model.summary.get("labels"):
        return 0
    return sum(row.labelled_at <= model.created_at for row in labels)


def share_blocked_together(labels: Sequence[Label], scorer: "matching.Scorer") -> float:
    """A pair without a common blocking key is never compared, whatever it would score."""
    keys = scorer.keys([record for row in labels for record in (row.one, row.other)])
    together = sum(not set(one).isdisjoint(other) for one, other in zip(keys[::2], keys[1::2], strict=True))
    return evaluate.share(together, len(labels))


def label_mistakes(
    labels: Sequence[Label], scores: NDArray[np.float64], live: Live
) -> tuple[list[Mistake], list[Mistake]]:
    """Labelled pairs that the threshold parts from what was said of them, the surest mistakes first."""
    probabilities = live.model.probability(scores).tolist()
    found = [
        (row.same, Mistake(row.one_id, row.other_id, float(score), probability, row.pk))
        for row, score, probability in zip(labels, scores.tolist(), probabilities, strict=True)
        if row.same != (probability >= live.settings.accept_above)
    ]
    wrong = sorted((one for same, one in found if not same), key=lambda one: -one.score)
    missed = sorted((one for same, one in found if same), key=lambda one: one.score)
    return wrong[:MOST_MISTAKES], missed[:MOST_MISTAKES]


def previous_version(model: MatchModel | None) -> MatchModel | None:
    """The version that was live before this one."""
    if model is None:
        return None
    earlier = MatchModel.objects.exclude(pk=model.pk).exclude(activated_at=None)
    if model.activated_at is not None:
        earlier = earlier.filter(activated_at__lt=model.activated_at)
    return earlier.order_by("-activated_at").first()


def _of_earlier(model: MatchModel, labels: Sequence[Label]) -> LabelReport | None:
    live = live_by(load_settings(), model)
    return label_report(labels, score_labels(labels, live.scorer), live, model)


# --- Counts -------------------------------------------------------------------------------------------------
def histogram(
    ids: Sequence[int],
    pairs: evaluate.Pairs,
    scores: NDArray[np.float64],
    labels: Sequence[Label],
    label_scores: NDArray[np.float64],
) -> evaluate.Histogram:
    """All compared pairs; those that were labelled count as what was said, by the records that were looked at."""
    lead = leading({id_ for row in labels for id_ in (row.one_id, row.other_id)})
    labelled = {tuple(sorted((lead[row.one_id], lead[row.other_id]))) for row in labels}
    places = {id_: place for place, id_ in enumerate(ids)}
    width = len(ids) + 1
    known = [
        min(places[one], places[other]) * width + max(places[one], places[other])
        for one, other in labelled
        if one in places and other in places
    ]
    ordered = np.sort(pairs, axis=1) if len(pairs) else np.empty((0, 2), dtype=np.int64)
    unlabelled = scores[~np.isin(ordered[:, 0].astype(np.int64) * width + ordered[:, 1], known)]
    same = np.array([int(row.same) for row in labels] + [evaluate.UNKNOWN] * len(unlabelled), dtype=np.int8)
    return evaluate.score_histogram(np.concatenate([label_scores, unlabelled]), same, low=LOW, high=HIGH, bins=35)


def leading(ids: set[int]) -> dict[int, int]:
    """Where each id leads now; one that was not absorbed leads to itself."""
    found = ProfileAlias.objects.filter(profile_id__in=ids).values_list("profile_id", "canonical_id")
    return {id_: id_ for id_ in ids} | dict(found)


def count_origins() -> list[evaluate.SizeCount]:
    """Profiles by how many origins they consist of now."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT size, count(*) FROM (SELECT 1 + count(a.profile_id) AS size FROM profile p"
            " LEFT JOIN profile_alias a ON a.canonical_id = p.id GROUP BY p.id) AS s GROUP BY size ORDER BY size"
        )
        return [evaluate.SizeCount(size, count, size * count) for size, count in cursor.fetchall()]


def sum_passes(passes: Sequence[PassReport]) -> list[Pass]:
    """One line a blocking key, over its classes of block sizes, the most productive first."""
    by_key: dict[str, list[PassReport]] = {}
    for one in passes:
        by_key.setdefault(one.key, []).append(one)
    return sorted((_sum(key, parts) for key, parts in by_key.items()), key=lambda one: (not one.kept, -one.pairs))


def _sum(key: str, parts: Sequence[PassReport]) -> Pass:
    kept = [part for part in parts if part.kept]
    counted = kept or parts
    pairs = sum(part.pairs for part in counted)
    found = sum(part.found * part.pairs for part in counted) / pairs if pairs else 0.0
    return Pass(key, pairs, found, bool(kept))


def measure_unlinkables(population: Population, live: Live) -> Unlinkables:
    """From records spread evenly over all."""
    size = min(UNLINKABLE_SAMPLE, len(population.ids))
    places = np.unique(np.linspace(0, max(0, len(population.ids) - 1), size).astype(int)).tolist() if size else []
    records: list[Mapping[str, Any]] = [population.record(place) for place in places]
    scores = np.array([_with_itself(record, live.scorer) for record in records], dtype=np.float64)
    probabilities = live.model.probability(scores)
    return Unlinkables(len(records), UNLINKABLE_AT, evaluate.unlinkable_share(probabilities, UNLINKABLE_AT))


def _with_itself(record: Record, scorer: "matching.Scorer") -> float:
    return float(scorer.score(record, [record])[0])
