"""The statistics of a list, worked out the slow and obvious way."""

import json
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any


def numbers_of(values: Sequence[Any]) -> list[float]:
    return [float(value) for value in values if type(value) in {int, float}]


def distinct(values: Sequence[Any]) -> int:
    return len({json.dumps(value) for value in values if value is not None and not isinstance(value, dict | list)})


def counts(values: Sequence[Any]) -> Counter[str]:
    return Counter(json.dumps(value, ensure_ascii=False) for value in values if value is not None)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that has more than `share` of the others (by rank) at or below it."""
    ordered = sorted(values)
    return ordered[int(share * (len(ordered) - 1))]


def is_outlier(value: float, history: Sequence[float], *, max_z: float, fence: float) -> tuple[bool, bool]:
    """By z-score and by Tukey's fences, from the raw numbers."""
    mean, deviation = statistics.fmean(history), statistics.pstdev(history)
    first, third = quantile(history, 0.25), quantile(history, 0.75)
    reach = fence * (third - first)
    return abs(value - mean) > max_z * deviation, not first - reach <= value <= third + reach


def silent_minutes(minutes: Sequence[Any], *, days: frozenset[int], start: int, end: int) -> int:
    """How many of these minutes lie in the opening hours."""
    return sum(1 for at in minutes if at.weekday() in days and start <= at.hour < end)
