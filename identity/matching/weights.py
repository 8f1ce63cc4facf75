"""What a model holds of each level of agreement: how often it is seen among matches and others, and what it weighs."""

import math

import numpy as np

from .comparisons import Comparison
from .contracts import FieldLevels, LevelWeight
from .model import FieldWeights, Model, unpack

LEAST = 1e-9


def field_levels(model: Model) -> list[FieldLevels]:
    """Every field of a model by its levels. Of fields judged together, each part, averaged over the others."""
    found = []
    for comparison, field in zip(unpack(model).comparisons, model.fields, strict=True):
        for place, part in enumerate(comparison.parts):
            name = comparison.name if len(comparison.parts) == 1 else f"{comparison.name}: {part.name}"
            found.append(FieldLevels(name, _levels(comparison, field, place)))
    return found


def _levels(comparison: Comparison, field: FieldWeights, place: int) -> list[LevelWeight]:
    """Level 0 is `missing`; it says nothing, and is left out."""
    at = comparison.combinations[:, place]
    known = np.all(comparison.combinations > 0, axis=1)
    shares = []
    for logs in (field.match, field.random):
        each = np.bincount(at[known], weights=np.exp2(np.asarray(logs)[known]), minlength=comparison.shape[place])[1:]
        shares.append(each / max(each.sum(), LEAST))
    words = comparison.parts[place].words[1:]
    return [
        LevelWeight(word, float(m), float(u), math.log2(max(m, LEAST) / max(u, LEAST)))
        for word, m, u in zip(words, *shares, strict=True)
    ]
