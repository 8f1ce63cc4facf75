"""Rules that the data itself suggests: the range of a number, the list of a text with few values."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ingestion.quality.contracts import EventProfile, PropertyProfile
from ingestion.quality.models import ValueRule
from ingestion.quality.summary import NUMBER, TEXT

MIN_VALUES = 20
MAX_CHOICES = 10
MAX_SUGGESTIONS = 30


@dataclass(frozen=True, slots=True)
class RuleIdea:
    event: str
    path: str
    low: float | None = None
    high: float | None = None
    allowed: tuple[Any, ...] = ()
    seen: int = 0


def rule_ideas(profiles: Iterable[EventProfile], rules: Sequence[ValueRule]) -> list[RuleIdea]:
    """For properties without a rule, those with the most values first."""
    ruled = {(rule.event, rule.path) for rule in rules}
    found = [
        idea
        for profile in profiles
        for one in profile.properties
        if (profile.name, one.path) not in ruled and (idea := _idea(profile.name, one)) is not None
    ]
    return sorted(found, key=lambda idea: (-idea.seen, idea.event, idea.path))[:MAX_SUGGESTIONS]


def _idea(event: str, one: PropertyProfile) -> RuleIdea | None:
    if one.present < MIN_VALUES:
        return None
    if one.type == NUMBER and one.low is not None and one.high is not None and one.low < one.high:
        low = 0.0 if one.low >= 0 else -round_up(-one.low)
        return RuleIdea(event, one.path, low=low, high=round_up(one.high), seen=one.present)
    total = sum(count for _, count in one.top)
    few = one.type == TEXT and 1 < one.distinct <= min(MAX_CHOICES, len(one.top))
    if few and one.distinct_is_exact and total >= one.present:
        return RuleIdea(event, one.path, allowed=tuple(value for value, _ in one.top), seen=one.present)
    return None


def round_up(value: float) -> float:
    """To two significant digits, away from zero: 237 gives 240."""
    if value <= 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return round(math.ceil(value / step - 1e-9) * step, 12)
