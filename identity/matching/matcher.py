"""Match a table: which of its records are one person."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from .block import Blocking, block, shares_key, unique_pairs
from .compare import Compared, count_frequencies, counted
from .comparisons import Comparison
from .contracts import Columns, ColumnType, Labelled, MatchReport, MatchSettings, Types
from .estimate import estimate, find_patterns
from .groups import Bridge, find_bridges, find_households
from .judge import Judge, frequencies_by_entity, frequencies_of_model
from .learning import learn_weights
from .linkage import link
from .model import Model, default_model, pack_fields, unpack
from .table import Flags, Floats, Ints, Table, build_table, guess_date_format
from .warn import find_warnings
from .waterfalls import Waterfalls

Pairs = npt.NDArray[np.int64]
Two = tuple[int, int]
MOST_ESTIMATED = 300_000
"""Candidate pairs that weights are estimated from; of more, a random part."""
SURE = 6.0
"""Log2 odds from which two records count as one person where people are counted."""
HOPELESS = -8.0
"""Log2 odds below which a pair joins no clusters."""
SMALL_WORLD = 1000
"""People among whom a table too small to estimate from is taken to be a part."""
MOST_FREQUENCIES = 5000
"""Values of a field whose frequency a model holds."""
COVERAGE_SAMPLE = 5000


class Explains(Protocol):
    def explain(self, pairs: Pairs) -> list[str]:
        """`Explanation` as JSON, pair by pair."""


@dataclass(frozen=True)
class MatchResult:
    clusters: Ints
    """By record: the number of its cluster, from 0, in order of first appearance."""
    households: Ints
    """By record: the number of its household. Clusters of one household are different people."""
    suspicious: tuple[Bridge, ...]
    """Clusters that hang by a weak link, the weakest first."""
    pairs: Pairs
    """Candidate pairs, the smaller index first."""
    scores: Floats
    """Log2 odds that a pair is one person, by itself."""
    probabilities: Floats
    model: Model
    report: MatchReport
    waterfalls: "Explains"
    """Explains any pairs of the records, as long as their columns are as they were."""


class _Clock:
    """CPU seconds by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        start = time.process_time()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.process_time() - start, 4)


def match(
    columns: Columns,
    types: Types,
    *,
    settings: MatchSettings = MatchSettings(),  # noqa: B008 - frozen
    model: Model | None = None,
    labels: Sequence[Labelled] = (),
    never: Iterable[Two] = (),
    must: Iterable[Two] = (),
) -> MatchResult:
    """Clusters of a table's records. Pure, deterministic, and indifferent to the records' order.

    A cell may hold several values of a record, as a list or tuple, the leading one first. With `model`, nothing is
    estimated. `never` and `must` are pairs of record indices that are two people, and one.

    1. Clean the columns.  2. Find candidate pairs by blocking.  3. Compare them and a sample of all others.
    4. Estimate weights.  5. Count how frequent values are among people, and score.  6. Link.
    """
    clock = _Clock()
    with clock.step("clean"):
        formats = dict(model.formats) if model else _formats(columns, types)
        table, order = _in_canonical_order(build_table(columns, types, formats))
    place = np.argsort(order).tolist()
    run = _Run(table, settings, clock, formats, model)
    result = run.match(
        labels=[Labelled(place[label.one], place[label.other], label.same, label.weight) for label in labels],
        never=[(place[one], place[other]) for one, other in never],
        must=[(place[one], place[other]) for one, other in must],
    )
    return _in_given_order(result, order, columns)


def _formats(columns: Columns, types: Types) -> dict[str, tuple[bool, bool]]:
    return {
        name: guess_date_format(dict.fromkeys(v for v in list(columns[name])[:5000] if isinstance(v, str)))
        for name, kind in types.items()
        if kind is ColumnType.BIRTH_DATE and name in columns
    }


def _in_canonical_order(table: Table) -> tuple[Table, Ints]:
    """Records in the order of what they hold, so that nothing depends on the order in which they came."""
    if not table.columns or not table.records:
        return table, np.arange(table.records)
    mixed = np.zeros(table.rows, dtype=np.uint64)
    for feature in table.columns.values():
        mixed = (mixed ^ (mixed >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15) + feature.hashes
    first = np.searchsorted(table.owner, np.arange(table.records))
    order = np.argsort(mixed[first], kind="stable")
    place = np.argsort(order)
    rows = np.argsort(place[table.owner], kind="stable")
    columns = {name: type(f)(f.codes[rows], f.vocabulary) for name, f in table.columns.items()}
    return Table(table.layout, columns, place[table.owner][rows], table.records, table.oddities), order


def _in_given_order(result: MatchResult, order: Ints, columns: Columns) -> MatchResult:
    clusters = _numbered(result.clusters, order)
    bridges = tuple(
        Bridge(int(clusters[order[bridge.one]]), int(order[bridge.one]), int(order[bridge.other]), bridge.score)
        for bridge in result.suspicious
    )
    return replace(
        result,
        clusters=clusters,
        households=_numbered(result.households, order),
        suspicious=bridges,
        pairs=np.sort(order[result.pairs], axis=1).reshape(-1, 2),
        waterfalls=replace(cast("Waterfalls", result.waterfalls), place=np.argsort(order), columns=columns),
    )


def _numbered(groups: Ints, order: Ints) -> Ints:
    """Groups of records in their given order, numbered as they first appear."""
    given = np.empty(len(order), dtype=np.int64)
    given[order] = groups
    _, first, names = np.unique(given, return_index=True, return_inverse=True)
    result: Ints = np.argsort(np.argsort(first))[names]
    return result


@dataclass
class _Run:
    """One matching of one table, its records in canonical order."""

    table: Table
    settings: MatchSettings
    clock: _Clock
    formats: Mapping[str, tuple[bool, bool]]
    given: Model | None

    def match(self, *, labels: Sequence[Labelled], never: Sequence[Two], must: Sequence[Two]) -> MatchResult:
        self.random = np.random.default_rng(self.settings.seed)
        judge, start = self._start()
        with self.clock.step("block"):
            likely = _Likely(judge, start)
            blocking = block(self.table, likely=likely, settings=self.settings, random=self.random)
            pairs = self._record_pairs(blocking)
        compared: Compared | None = None
        if self.given is None and self.table.records >= self.settings.fewest:
            judge, compared = self._estimate(judge, pairs)
        if labels:
            judge = self._learn(judge, labels)
        with self.clock.step("score"):
            if compared is None:
                scores, at_home = judge.judge_and_remember(pairs, above=HOPELESS)
            else:
                scores, at_home = judge.judge(pairs, compared)
        model = self.given or self._pack(start, judge, blocking)
        with self.clock.step("link"):
            threshold = model.odds_at(self.settings.threshold)
            near = scores > HOPELESS
            if compared is not None:
                judge.remember(pairs[near], compared.take(near))
            clusters = self._link(judge, pairs[near], scores[near], threshold=threshold, never=never, must=must)
        chances = model.probability(scores)
        report = self._report(blocking, pairs, chances, clusters)
        households = find_households(clusters, pairs, at_home)
        bridges = find_bridges(clusters, pairs, scores)
        explains = Judge(self.table, judge.weights, {}, comparer=judge.comparer)
        waterfalls = Waterfalls(explains, model, {}, np.arange(self.table.records))
        return MatchResult(clusters, households, bridges, pairs, scores, chances, model, report, waterfalls)

    def _start(self) -> tuple[Judge, Model]:
        """What pairs are judged by before anything is estimated."""
        table = self.table
        model = self.given or default_model(table.layout.types, formats=self.formats, people=table.records)
        weights = unpack(model)
        with self.clock.step("clean"):
            frequencies = (
                frequencies_of_model(weights.comparisons, table, self.given)
                if self.given
                else count_frequencies(weights.comparisons, table, among=self._world())
            )
        return Judge(table, weights, frequencies), model

    def _world(self) -> int:
        """What two of six records share is not common in the world: few records say nothing of frequencies."""
        return SMALL_WORLD if self.table.records < self.settings.fewest else 1

    def _record_pairs(self, blocking: Blocking) -> Pairs:
        if self.table.single:
            return blocking.pairs
        return unique_pairs(self.table.owner[blocking.pairs].reshape(-1, 2), self.table.records)

    def _estimate(self, judge: Judge, pairs: Pairs) -> tuple[Judge, Compared]:
        comparisons, records = judge.weights.comparisons, self.table.records
        with self.clock.step("compare"):
            compared = judge.compare_leading(pairs)
            chosen = np.arange(len(pairs))
            if len(pairs) > MOST_ESTIMATED:
                chosen = np.sort(self.random.choice(len(pairs), MOST_ESTIMATED, replace=False))
            others, each = self._random_pairs(pairs)
            levels = np.concatenate([compared.levels[chosen], judge.compare_leading(others).levels])
        with self.clock.step("estimate"):
            candidates = np.full(len(chosen), len(pairs) / max(1, len(chosen)))
            counts = np.concatenate([candidates, np.full(len(others), each)])
            patterns = find_patterns(levels, counts, comparisons)
            weights = estimate(comparisons, patterns, records=records, sampled=max(each, 1.0))
            odds, _ = Judge(self.table, weights, judge.comparer.frequencies).judge(pairs, compared)
            entity = _components(pairs[odds > SURE], records)
            return Judge(self.table, weights, frequencies_by_entity(comparisons, self.table, entity)), compared

    def _random_pairs(self, known: Pairs) -> tuple[Pairs, float]:
        """Pairs that are no candidates, and how many such pairs each stands for."""
        n = self.table.records
        drawn = unique_pairs(self.random.integers(0, n, (min(self.settings.sample, 4 * n * n), 2)), n)
        drawn = drawn[~_among(drawn[:, 0] * n + drawn[:, 1], known[:, 0] * n + known[:, 1])]
        left = n * (n - 1) / 2 - len(known)
        return drawn, max(left, 0.0) / max(1, len(drawn))

    def _learn(self, judge: Judge, labels: Sequence[Labelled]) -> Judge:
        pairs = np.asarray([(label.one, label.other) for label in labels], dtype=np.int64)
        same = np.asarray([label.same for label in labels])
        weight = np.asarray([label.weight for label in labels], dtype=np.float64)
        weights = learn_weights(judge.weights, judge.evidence(pairs), same, weight)
        return Judge(self.table, weights, judge.comparer.frequencies)

    def _link(
        self,
        judge: Judge,
        pairs: Pairs,
        scores: Floats,
        *,
        threshold: float,
        never: Sequence[Two],
        must: Sequence[Two],
    ) -> Ints:
        return link(
            pairs,
            scores,
            self.table.records,
            threshold=threshold,
            score_groups=judge.score_groups,
            largest=self.settings.largest_cluster,
            never=never,
            must=must,
        )

    def _pack(self, start: Model, judge: Judge, blocking: Blocking) -> Model:
        stored, rarest = {}, {}
        for comparison in judge.weights.comparisons:
            if (frequency := judge.comparer.frequencies.get(comparison.name)) is not None:
                stored[comparison.name], rarest[comparison.name] = _most_frequent(comparison, self.table, frequency)
        return Model(
            types=dict(start.types),
            fields=pack_fields(judge.weights),
            shares=[round(share, 4) for share in judge.weights.shares.tolist()],
            formats=start.formats,
            frequencies=stored,
            rarest=rarest,
            passes=blocking.kept,
            crowded=blocking.crowded.view(np.int64).tolist(),
            prior_shift=judge.weights.learned_shift,
            learned_share=judge.weights.learned_share,
            threshold=self.settings.threshold,
            records=self.table.records,
        )

    def _report(self, blocking: Blocking, pairs: Pairs, chances: Floats, clusters: Ints) -> MatchReport:
        return MatchReport(
            records=self.table.records,
            pairs=len(pairs),
            passes=tuple(blocking.passes),
            dropped_blocks=blocking.dropped_blocks,
            dropped_pairs=blocking.dropped_pairs,
            clusters=int(np.count_nonzero(np.bincount(clusters))),
            expected_matches=float(chances.sum()),
            coverage=self._coverage(blocking, pairs, chances),
            seconds=self.clock.seconds,
            warnings=find_warnings(self.table),
        )

    def _coverage(self, blocking: Blocking, pairs: Pairs, chances: Floats) -> float:
        """The share of likely matches that more than one pass finds."""
        likely = pairs[chances > 0.5]
        if not len(likely) or not self.table.single:
            return 1.0
        drawn = likely[self.random.integers(0, len(likely), min(COVERAGE_SAMPLE, len(likely)))]
        times = sum((shares_key(keys, drawn).astype(np.int64) for keys in blocking.covered), np.zeros(len(drawn)))
        return float((times > 1).mean())


@dataclass(frozen=True)
class _Likely:
    """How likely pairs of rows are one person, by the weights that blocking starts from."""

    judge: Judge
    model: Model

    def __call__(self, rows: Pairs) -> Floats:
        pairs = self.judge.table.owner[rows]
        return np.where(pairs[:, 0] == pairs[:, 1], 0.0, self.model.probability(self.judge.score(pairs)))


def _among(values: Ints, ordered: Ints) -> Flags:
    """Which values are among the others, which are in order."""
    if not len(ordered):
        return np.zeros(len(values), dtype=bool)
    return np.asarray(ordered[np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)] == values)


def _components(pairs: Pairs, n: int) -> Ints:
    graph = coo_matrix((np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    return np.asarray(component, dtype=np.int64)


def _most_frequent(comparison: Comparison, table: Table, frequency: Floats) -> tuple[dict[str, float], float]:
    feature = counted(comparison, table)
    if feature is None or not len(frequency) or not frequency.any():
        return {}, 0.0
    rarest = float(frequency[frequency > 0].min())
    common = np.flatnonzero(frequency > 1.5 * rarest)
    common = common[np.argsort(-frequency[common], kind="stable")][:MOST_FREQUENCIES]
    return {str(feature.vocabulary[at]): float(f"{frequency[at]:.4g}") for at in common.tolist()}, rarest
