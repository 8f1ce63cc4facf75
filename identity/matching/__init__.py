"""Probabilistic matching: which records are one person, and why. Pure: no Django, no database. R: C2, B4

What is named here is loaded when it is first asked for: NumPy, SciPy, pandas and rapidfuzz cost every process seconds
at its start, and most never match anybody.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from .learning import Quality, Sample, choose_to_ask, draw_sample, estimate_quality, learn
    from .linkage import link
    from .matcher import MatchResult, match
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
    "by_profile",
    "choose_to_ask",
    "default_model",
    "draw_sample",
    "estimate_quality",
    "guess_types",
    "learn",
    "link",
    "match",
]

_HOMES = {
    "byprofile": ("by_profile",),
    "groups": ("Bridge",),
    "guess": ("guess_types",),
    "learning": ("Quality", "Sample", "choose_to_ask", "draw_sample", "estimate_quality", "learn"),
    "linkage": ("link",),
    "matcher": ("MatchResult", "match"),
    "model": ("Model", "default_model"),
    "scorer": ("Scorer",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f".{_HOME_OF.get(name, 'contracts')}", __name__), name)
    globals()[name] = found
    return found
