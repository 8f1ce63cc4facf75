"""Probabilistic matching: which records are one person, and why. Pure: no Django, no database. R: C2, B4"""

from .contracts import (
    Columns,
    ColumnType,
    Explanation,
    FieldEvidence,
    Labelled,
    LabelledPair,
    MatchReport,
    MatchSettings,
    MatchWarning,
    Record,
    Types,
)
from .groups import Bridge
from .guess import guess_types
from .learn import Quality, Sample, choose_to_ask, draw_sample, estimate_quality, learn
from .link import link
from .match import MatchResult, match
from .model import Model, default_model
from .scorer import Scorer

__all__ = [
    "Bridge",
    "ColumnType",
    "Columns",
    "Explanation",
    "FieldEvidence",
    "Labelled",
    "LabelledPair",
    "MatchReport",
    "MatchResult",
    "MatchSettings",
    "MatchWarning",
    "Model",
    "Quality",
    "Record",
    "Sample",
    "Scorer",
    "Types",
    "choose_to_ask",
    "default_model",
    "draw_sample",
    "estimate_quality",
    "guess_types",
    "learn",
    "link",
    "match",
]
