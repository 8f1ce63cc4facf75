"""Score records one at a time, as they arrive: the keys to look others up by, the odds, and why."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from .block import PASSES, Keys, make_keys, mix
from .comparisons import Comparison
from .contracts import OTHERS, OTHERS_TOLD, Explanation, FieldEvidence, Record
from .few import FewJudge, Judged
from .judge import Judge, frequencies_of_model
from .keyrows import key_rows
from .model import Model, unpack
from .profiles import Profiles
from .rowkeys import KeyMaker
from .rowlevels import FewComparer, RowComparer
from .rows import Reader, Row
from .score import Evidence, score
from .table import Flags, Floats, Ints, Table, build_records

MOST_CROWDED = 6
"""Crowded keys of a record that are combined with each other."""

FEW_RECORDS = 64
FEW_PAIRS = 6_000
"""Up to which records are read one by one."""


class Scorer:
    """Judges records by a model. Holds no records: it is cheap to make and safe to keep."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.weights = unpack(model)

    @property
    def largest_block(self) -> int:
        """Blocks of more records than this are not worth comparing."""
        return max(self.model.passes.values(), default=100)

    @cached_property
    def _passes(self) -> list[tuple[str, ...]]:
        return [names for names in PASSES if not self.model.passes or " + ".join(names) in self.model.passes]

    @cached_property
    def _crowded(self) -> frozenset[int]:
        return frozenset(self.model.crowded)

    def keys(self, records: Sequence[Record]) -> list[list[int]]:
        """Signed 64-bit blocking keys of each record. Two records are worth comparing if they share one.

        A key that too many records share does not count alone: it is combined with the record's other such keys.
        """
        if len(records) <= FEW_RECORDS:
            return [self._spread(self._keys_of(record)) for record in records]
        table = self._table(records)
        found: list[dict[int, None]] = [{} for _ in records]
        for keys in make_keys(table, self._passes):
            _add(found, keys, table)
        return [self._spread(list(keys)) for keys in found]

    def key_rows(self, records: Sequence[Record]) -> tuple[Ints, Ints]:
        """The same of many, as two arrays: the place of the record, and its key. One may come twice."""
        table = self._table(records)
        made = make_keys(table, self._passes)
        return key_rows(table, made, crowded=self._in_order, most_crowded=MOST_CROWDED, spread=self._spread)

    @cached_property
    def _in_order(self) -> Ints:
        return np.asarray(sorted(self._crowded), dtype=np.int64)

    def _keys_of(self, record: Record) -> list[int]:
        reader, maker, _ = self._one_by_one
        return maker.keys(reader.read(record))

    @cached_property
    def _one_by_one(self) -> tuple[Reader, KeyMaker, RowComparer]:
        reader, model = Reader(self.model.types, self.model.formats), self.model
        by = RowComparer(reader, self.weights.comparisons, model.frequencies, model.rarest)
        return reader, KeyMaker(reader, self._passes), by

    @cached_property
    def _few(self) -> FewJudge:
        return FewJudge(self.weights, self._one_by_one[2])

    def _spread(self, keys: list[int]) -> list[int]:
        crowded = [key for key in keys if key in self._crowded][:MOST_CROWDED]
        if not crowded:
            return keys
        both = [_signed(mix(one, other)) for at, one in enumerate(crowded) for other in crowded[at + 1 :]]
        return [key for key in keys if key not in self._crowded] + both

    def score(self, record: Record, others: Sequence[Record]) -> Floats:
        """Log2 odds that the record and each other are one person."""
        if not others:
            return np.zeros(0)
        judge = self.judge_of([record, *others], len(others))
        pairs = np.stack([np.zeros(len(others), dtype=np.int64), np.arange(1, len(others) + 1)], axis=1)
        return judge.score(pairs)

    def score_pairs(self, pairs: Sequence[tuple[Record, Record]]) -> Floats:
        judge = self.judge_of([record for pair in pairs for record in pair], len(pairs))
        return judge.score(np.arange(2 * len(pairs), dtype=np.int64).reshape(-1, 2))

    def evidence_of(self, pairs: Sequence[tuple[Record, Record]]) -> Evidence:
        judge = self.judge_of([record for pair in pairs for record in pair], len(pairs))
        return judge.evidence(np.arange(2 * len(pairs), dtype=np.int64).reshape(-1, 2))

    def score_among(self, records: Sequence[Record], pairs: Ints) -> Floats:
        """Log2 odds of pairs (n × 2 indices) of these records: each record is cleaned once, however many it meets."""
        return self.judge_among(records, pairs).scores

    def judge_among(self, records: Sequence[Record], pairs: Ints) -> "Judgement":
        """The same, with what is needed to explain some of them."""
        if not len(pairs):
            return Judgement(self, records, pairs)
        read = self._read(records) if len(pairs) <= FEW_PAIRS else None
        if read is None or any(len(rows) > 1 for rows in read):
            return Judgement(self, records, pairs, judge=self.judge_of(records, len(pairs), read=read))
        return Judgement(self, records, pairs, judged=self._few.judge([row for (row,) in read], pairs))

    def judge_profiles(self, profiles: Sequence[Sequence[Record]], pairs: Ints) -> "Judgement | ProfilesJudgement":
        """Of pairs (n × 2 indices) of profiles, each of which is the records of its origins, at least one.

        Two profiles of one record each are judged as their records are, others as profile linkage judges clusters.
        """
        if all(len(records) == 1 for records in profiles):
            return self.judge_among([record for (record,) in profiles], pairs)
        return ProfilesJudgement(self, profiles, pairs)

    def explain(self, one: Record, other: Record) -> Explanation:
        """The waterfall of a pair: prior and weights add up to the score."""
        return self.explain_among((one, other), np.asarray([[0, 1]]))[0]

    def explain_among(self, records: Sequence[Record], pairs: Ints) -> list[Explanation]:
        """The waterfalls of pairs (n × 2 indices) of these records."""
        return self.judge_among(records, pairs).explain(range(len(pairs)))

    def words(self, comparison: int, level: int) -> str:
        known = self._told.get((comparison, level))
        if known is None:
            known = self._told[comparison, level] = self.weights.comparisons[comparison].words(level)
        return known

    @cached_property
    def _told(self) -> dict[tuple[int, int], str]:
        return {}

    def _read(self, records: Sequence[Record]) -> list[list[Row]]:
        read = self._one_by_one[0].read
        return [read(record) for record in records]

    def _table(self, records: Sequence[Record]) -> Table:
        return build_records(records, self.model.types, self.model.formats)

    def judge_of(self, records: Sequence[Record], pairs: int, *, read: list[list[Row]] | None = None) -> Judge:
        """A judge of these records, made for so many pairs: of few, one by one is faster than with arrays."""
        if pairs <= FEW_PAIRS:
            return self._judge_few(read or self._read(records))
        table = self._table(records)
        return Judge(table, self.weights, frequencies_of_model(self.weights.comparisons, table, self.model))

    def _judge_few(self, read: Sequence[list[Row]]) -> Judge:
        reader, _, by = self._one_by_one
        owner = np.repeat(np.arange(len(read)), [len(rows) for rows in read])
        comparer = FewComparer([row for rows in read for row in rows], self.weights.comparisons, by)
        return Judge(Table(reader.layout, {}, owner, len(read)), self.weights, {}, comparer=comparer)


class Judgement:
    """Scores of pairs of records, and why, for those of which somebody asks."""

    def __init__(
        self,
        scorer: Scorer,
        records: Sequence[Record],
        pairs: Ints,
        *,
        judge: Judge | None = None,
        judged: Judged | None = None,
    ) -> None:
        """`judge` has yet to judge them, unless they were `judged`."""
        self._scorer, self._records, self._pairs = scorer, records, pairs
        self._judge, self._judged = judge, judged

    @cached_property
    def scores(self) -> Floats:
        if self._judged is not None:
            return self._judged.scores
        return self._judge.score(self._pairs) if self._judge is not None else np.zeros(0)

    def explain(self, places: Sequence[int]) -> list[Explanation]:
        """The waterfalls of the pairs at these places."""
        if not places:
            return []
        pairs, weights, model = self._pairs[places], self._scorer.weights, self._scorer.model
        ranks: list[Any] | None = None
        if self._judged is not None:
            of = self._judged.of(places)
            levels, gains, learned, totals = (
                of.levels.T - weights.offsets,
                of.against[:, :, 0].T,
                of.learned.T,
                of.scores,
            )
        elif self._judge is not None:
            evidence, compared, rows = self._judge.explain(pairs)
            levels, gains, learned = compared.levels, evidence.weights[:, :, 0], evidence.learned
            totals = score(evidence, weights)
            ranks = (rows - np.searchsorted(self._judge.table.owner, pairs)[:, None, :]).tolist()
        kept = 1 - weights.learned_share
        prior = kept * float(weights.shares[0] - weights.shares[1]) + weights.learned_shift
        each = (kept * gains.astype(np.float64) + learned).tolist()
        chances, levels_of, scores = model.probability(totals).tolist(), levels.tolist(), totals.tolist()
        found = []
        for place, (one, other) in enumerate(pairs.tolist()):
            sides = (self._records[one], self._records[other])
            fields = [
                FieldEvidence(
                    comparison.name,
                    self._scorer.words(at, levels_of[place][at]),
                    each[place][at],
                    *map(_text, sides, (comparison, comparison), ranks[place][at] if ranks else (0, 0)),
                )
                for at, comparison in enumerate(weights.comparisons)
            ]
            rest = scores[place] - prior - sum(field.weight for field in fields)
            fields.append(FieldEvidence(OTHERS, OTHERS_TOLD, rest))
            found.append(Explanation(prior, tuple(fields), scores[place], chances[place]))
        return found


class ProfilesJudgement:
    """Scores of pairs of profiles, some of several records, and why, for those of which somebody asks."""

    def __init__(self, scorer: Scorer, profiles: Sequence[Sequence[Record]], pairs: Ints) -> None:
        self._records = [record for records in profiles for record in records]
        height = np.array([len(records) for records in profiles])
        first = np.cumsum(height) - height
        several: Flags = np.asarray((height[pairs] > 1).any(axis=1))
        self._place = np.where(several, np.cumsum(several), np.cumsum(~several)) - 1
        self._several = several
        self._singly = scorer.judge_among(self._records, first[pairs[~several]])
        owner = np.repeat(np.arange(len(profiles)), height)
        crossed = int((height[pairs[several, 0]] * height[pairs[several, 1]]).sum())
        self._jointly = Profiles(scorer.judge_of(self._records, crossed), scorer.model, pairs[several], owner)

    @cached_property
    def scores(self) -> Floats:
        found = np.empty(len(self._several))
        found[~self._several], found[self._several] = self._singly.scores, self._jointly.scores
        return found

    def explain(self, places: Sequence[int]) -> list[Explanation]:
        """The waterfalls of the pairs at these places."""
        return (
            [
                (self._jointly.explain([at], self._text) if jointly else self._singly.explain([at]))[0]
                for at, jointly in zip(self._place[places].tolist(), self._several[places].tolist(), strict=True)
            ]
            if places
            else []
        )

    def _text(self, record: int, comparison: Comparison, rank: int) -> str:
        return _text(self._records[record], comparison, rank)


def _add(found: list[dict[int, None]], keys: Keys, table: Table) -> None:
    for array in keys.arrays:
        for owner, key in zip(table.owner.tolist(), array.view(np.int64).tolist(), strict=True):
            if key:
                found[owner][key] = None


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _text(record: Record, comparison: Comparison, rank: int) -> str:
    """The values as they were given, of the row of the record that was compared."""
    texts = []
    for column in comparison.columns:
        values = record.get(column) or ()
        if len(values) > 1:
            values = list(dict.fromkeys(values))
        if values:
            texts.append(values[rank] if rank < len(values) else values[0])
    return ", ".join(texts)
