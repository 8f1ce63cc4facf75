"""Why many pairs of a matched table are one person or not: what `Scorer.explain` says of one pair, as JSON at once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from .comparisons import Comparison
from .contracts import OTHERS, OTHERS_TOLD, Columns
from .judge import Judge
from .model import Model
from .score import score
from .table import MOST_VALUES, Floats, Ints, values_of

Pairs = npt.NDArray[np.int64]
Texts = list[str]

_json = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Waterfalls:
    """Of one table, by the places that its records had when they were given."""

    judge: Judge
    model: Model
    columns: Columns
    """As they were given."""
    place: Ints
    """By record as given: its number in the judge's table."""
    _words: dict[tuple[int, int], str] = field(default_factory=dict)

    def explain(self, pairs: Pairs) -> Texts:
        """`Explanation` as JSON, pair by pair."""
        if not len(pairs):
            return []
        judge, weights = self.judge, self.judge.weights
        evidence, compared, rows = judge.explain(self.place[pairs])
        ranks = rows - np.searchsorted(judge.table.owner, self.place[pairs])[:, None, :]
        totals = score(evidence, weights)
        kept = 1 - weights.learned_share
        prior = kept * float(weights.shares[0] - weights.shares[1]) + weights.learned_shift
        each = kept * evidence.weights[:, :, 0].astype(np.float64) + evidence.learned
        pieces: list[Sequence[str]] = []
        for at, comparison in enumerate(weights.comparisons):
            pieces.append(self._heads(at, comparison, compared.levels[:, at]))
            pieces.append(_numbers(each[:, at]))
            ones, others = self._texts(comparison, pairs, ranks[:, at])
            pieces += [ones, others]
        rest = _numbers(totals - prior - each.sum(axis=1))
        end = (rest, _numbers(totals), _numbers(self.model.probability(totals)))
        begin, told = f'{{"prior":{_json(prior).decode()},"fields":[', _json(OTHERS).decode()
        others_head = f'{{"field":{told},"level":"{OTHERS_TOLD}","weight":'
        return [
            f'{begin}{"".join(fields)}{others_head}{left},"one":"","other":""}}],"score":{total},"probability":{chance}}}'
            for fields, left, total, chance in zip(zip(*pieces, strict=True), *end, strict=True)
        ]

    def text(self, record: int, comparison: Comparison, rank: int) -> str:
        """What a record as given says, in this row of its values."""
        return _text([self.columns[name][record] for name in comparison.columns if name in self.columns], rank)

    def _heads(self, at: int, comparison: Comparison, levels: npt.NDArray[Any]) -> Texts:
        """A field's name and the level's words, up to the weight."""
        found, place = np.unique(levels, return_inverse=True)
        heads = [
            f'{{"field":{_json(comparison.name).decode()},"level":{self._told(at, comparison, level)},"weight":'
            for level in found.tolist()
        ]
        return _chosen(heads, place)

    def _told(self, at: int, comparison: Comparison, level: int) -> str:
        known = self._words.get((at, level))
        if known is None:
            known = self._words[at, level] = _json(comparison.words(level)).decode()
        return known

    def _texts(self, comparison: Comparison, pairs: Pairs, ranks: Pairs) -> tuple[Texts, Texts]:
        """What both sides say, behind the weight; each record's value is looked up once."""
        found, place = np.unique(pairs * MOST_VALUES + ranks, return_inverse=True)
        cells = [self.columns[name] for name in comparison.columns if name in self.columns]
        texts = [
            _json(_text([column[at // MOST_VALUES] for column in cells], at % MOST_VALUES)).decode()
            for at in found.tolist()
        ]
        one, other = place.reshape(-1, 2).T
        return _chosen([f',"one":{text}' for text in texts], one), _chosen(
            [f',"other":{text}}},' for text in texts], other
        )


def _text(cells: Sequence[Any], rank: int) -> str:
    """The values as they were given, of the row of the record that was compared."""
    texts = []
    for cell in cells:
        if cell.__class__ is str:
            texts.append(cell)
        elif values := values_of(cell):
            texts.append(values[rank] if rank < len(values) else values[0])
    return ", ".join(texts)


def _numbers(values: Floats) -> Texts:
    return _json(values.tolist()).decode()[1:-1].split(",")


def _chosen(texts: Texts, place: npt.NDArray[Any]) -> Texts:
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    found: Texts = array[place.ravel()].tolist()
    return found
