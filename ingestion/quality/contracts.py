"""What screens and API get to see of a source's quality."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

LOAD_STATES = ["complete", "waiting", "incomplete"]


@dataclass(frozen=True, slots=True)
class PropertyProfile:
    """One property of an event over the days looked at. Rates are shares of the events looked at."""

    path: str
    type: str
    types: dict[str, int]
    present: int
    null_rate: float
    distinct: int
    distinct_is_exact: bool
    top: list[tuple[Any, int]]
    low: float | None
    high: float | None
    mean: float | None
    deviation: float | None
    quantiles: dict[str, float]
    shortest: int | None
    longest: int | None
    first_seen_at: datetime | None
    last_seen_at: datetime | None
    badges: list[str] = field(default_factory=list)
    fill: list[float] = field(default_factory=list)
    """The share of events that had a value, by day, the oldest first."""


@dataclass(frozen=True, slots=True)
class EventProfile:
    """`events` and `flagged` are exact, `seen` is how many of them the statistics rest on."""

    name: str
    events: int
    flagged: int
    seen: int
    last_seen_at: datetime | None
    badges: list[str]
    per_day: list[int]
    properties: list[PropertyProfile]


@dataclass(frozen=True, slots=True)
class HourBalance:
    """Acknowledged at the door against what became of it; `difference` is 0 where nothing was lost or doubled."""

    hour: datetime
    acknowledged: int
    waiting: int
    outcomes: dict[str, int]

    @property
    def difference(self) -> int:
        return self.acknowledged - self.waiting - sum(self.outcomes.values())


@dataclass(frozen=True, slots=True)
class Freshness:
    """When the last event came, and whether that is too long ago by the source's own promise."""

    last_at: datetime | None
    expected_minutes: int | None
    silent: timedelta | None
    overdue: bool


@dataclass(frozen=True, slots=True)
class ScorePart:
    """A fifth of the score: what it says in a sentence, and what to do about it."""

    key: str
    label: str
    score: int | None
    sentence: str
    advice: str


@dataclass(frozen=True, slots=True)
class SourceScore:
    """`score` is None until there is something to judge."""

    score: int | None
    letter: str
    word: str
    parts: list[ScorePart]


@dataclass(frozen=True, slots=True)
class LoadCheck:
    """A load as it was announced against what was stored. None: the sender did not say."""

    key: str
    stated: int
    stored: int
    missing: int
    checksum_matches: bool | None
    waiting: int
    state: str
