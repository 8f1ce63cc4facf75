"""Score records one at a time, as they arrive: the keys to look others up by, the odds, and why."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from .block import PASSES, Keys, make_keys, mix
from .compare import Comparison, Packed
from .contracts import OTHERS, Explanation, FieldEvidence, Record
from .few import FewJudge
from .judge import Judge, frequencies_of_model
from .model import Model, unpack
from .rowkeys import KeyMaker
from .rowlevels import FewComparer, RowComparer
from .rows import Reader, Row
from .score import Evidence, score
from .table import Floats, Ints, Table, build_records

MOST_CROWDED = 6
"""Crowded keys of a record that are combined with each other."""

FEW_RECORDS = 64
FEW_PAIRS = 300
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
        judge = self._judge([record, *others], len(others))
        pairs = np.stack([np.zeros(len(others), dtype=np.int64), np.arange(1, len(others) + 1)], axis=1)
        return judge.score(pairs)

    def score_pairs(self, pairs: Sequence[tuple[Record, Record]]) -> Floats:
        judge = self._judge([record for pair in pairs for record in pair], len(pairs))
        return judge.score(np.arange(2 * len(pairs), dtype=np.int64).reshape(-1, 2))

    def evidence_of(self, pairs: Sequence[tuple[Record, Record]]) -> Evidence:
        judge = self._judge([record for pair in pairs for record in pair], len(pairs))
        return judge.evidence(np.arange(2 * len(pairs), dtype=np.int64).reshape(-1, 2))

    def score_among(self, records: Sequence[Record], pairs: Ints) -> Floats:
        """Log2 odds of pairs (n × 2 indices) of these records: each record is cleaned once, however many it meets."""
        if not len(pairs):
            return np.zeros(0)
        rows = self._single_rows(records, len(pairs))
        return self._judge(records, len(pairs)).score(pairs) if rows is None else self._few.judge(rows, pairs).scores

    def explain(self, one: Record, other: Record) -> Explanation:
        """The waterfall of a pair: prior and weights add up to the score."""
        return self.explain_among((one, other), np.asarray([[0, 1]]))[0]

    def explain_among(self, records: Sequence[Record], pairs: Ints) -> list[Explanation]:
        """The waterfalls of pairs (n × 2 indices) of these records."""
        if not len(pairs):
            return []
        rows = self._single_rows(records, len(pairs))
        if rows is None:
            judge = self._judge(records, len(pairs))
            evidence, compared, chosen = judge.explain(pairs)
            ranks = (chosen - np.searchsorted(judge.table.owner, pairs)[:, None, :]).tolist()
            totals = score(evidence, self.weights)
            return self._tell(records, pairs, evidence=evidence, levels=compared.levels, totals=totals, ranks=ranks)
        judged = self._few.judge(rows, pairs)
        evidence = Evidence(judged.against.transpose(1, 0, 2), self.weights.known[judged.levels.T], judged.learned.T)
        levels = judged.levels.T - self.weights.offsets
        return self._tell(records, pairs, evidence=evidence, levels=levels, totals=judged.scores, ranks=None)

    def _tell(
        self,
        records: Sequence[Record],
        pairs: Ints,
        *,
        evidence: Evidence,
        levels: Ints | Packed,
        totals: Floats,
        ranks: list[list[tuple[int, int]]] | None,
    ) -> list[Explanation]:
        """`ranks`: by pair and comparison, which of either record's values were compared; the leading ones if None."""
        kept = 1 - self.weights.learned_share
        prior = kept * float(self.weights.shares[0] - self.weights.shares[1]) + self.weights.learned_shift
        weights = (kept * evidence.weights[:, :, 0].astype(np.float64) + evidence.learned).tolist()
        chances, levels_of = self.model.probability(totals).tolist(), levels.tolist()
        leading = (0, 0)
        found = []
        for place, (one, other) in enumerate(pairs.tolist()):
            sides = (records[one], records[other])
            fields = [
                FieldEvidence(
                    comparison.name,
                    self._words(at, levels_of[place][at]),
                    weights[place][at],
                    *map(_text, sides, (comparison, comparison), ranks[place][at] if ranks else leading),
                )
                for at, comparison in enumerate(self.weights.comparisons)
            ]
            total = float(totals[place])
            rest = total - prior - sum(field.weight for field in fields)
            fields.append(FieldEvidence(OTHERS, "relatives or namesakes may look like this too", rest))
            found.append(Explanation(prior, tuple(fields), total, chances[place]))
        return found

    def _words(self, comparison: int, level: int) -> str:
        known = self._told.get((comparison, level))
        if known is None:
            known = self._told[comparison, level] = self.weights.comparisons[comparison].words(level)
        return known

    @cached_property
    def _told(self) -> dict[tuple[int, int], str]:
        return {}

    def _single_rows(self, records: Sequence[Record], pairs: int) -> list[Row] | None:
        """The records of few pairs, one by one, if each has one value of everything; else None."""
        if pairs > FEW_PAIRS:
            return None
        read = self._one_by_one[0].read
        rows = []
        for record in records:
            found = read(record)
            if len(found) > 1:
                return None
            rows.append(found[0])
        return rows

    def _table(self, records: Sequence[Record]) -> Table:
        return build_records(records, self.model.types, self.model.formats)

    def _judge(self, records: Sequence[Record], pairs: int) -> Judge:
        """A judge of these records, made for so many pairs: of few, one by one is faster than with arrays."""
        if pairs <= FEW_PAIRS:
            return self._judge_few(records)
        table = self._table(records)
        return Judge(table, self.weights, frequencies_of_model(self.weights.comparisons, table, self.model))

    def _judge_few(self, records: Sequence[Record]) -> Judge:
        reader, _, by = self._one_by_one
        read = [reader.read(record) for record in records]
        owner = np.repeat(np.arange(len(read)), [len(rows) for rows in read])
        comparer = FewComparer([row for rows in read for row in rows], self.weights.comparisons, by)
        return Judge(Table(reader.layout, {}, owner, len(read)), self.weights, {}, comparer=comparer)


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
