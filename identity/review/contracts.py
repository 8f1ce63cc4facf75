"""What crosses the border of this room."""

from dataclasses import dataclass
from datetime import datetime

from identity.matching.contracts import OTHERS


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which pairs somebody wants to see; what is None or empty does not restrict."""

    least: float | None = None
    most: float | None = None
    reason: str = ""
    source_id: int | None = None
    field: str = ""
    before: datetime | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A bar of the waterfall: what `field` adds to the log2 odds, and where they stand after it."""

    field: str
    level: str
    weight: float
    total: float
    one: str = ""
    other: str = ""

    @property
    def says(self) -> str:
        """The weight in words: how many times likelier it makes one answer."""
        if abs(self.weight) < _NOTHING:
            return "says nothing"
        times = 2 ** min(abs(self.weight), _MOST)
        shown = f"{times:,.0f}" if times >= _WHOLE else f"{times:.1f}"
        return f"{shown} times likelier {'one person' if self.weight > 0 else 'two people'}"


_NOTHING = 0.05
_WHOLE = 10
_MOST = 40


@dataclass(frozen=True, slots=True)
class Waterfall:
    """The evidence of a pair, step by step: from `prior` over the steps to `score`."""

    prior: float
    steps: tuple[Step, ...]
    score: float
    probability: float

    @property
    def of_fields(self) -> tuple[Step, ...]:
        """What the fields say, without the model's allowance for relatives and namesakes."""
        return tuple(step for step in self.steps if step.field != OTHERS)

    @property
    def strongest(self) -> Step | None:
        """What speaks loudest for one person."""
        found = max(self.of_fields, key=lambda step: step.weight, default=None)
        return found if found is not None and found.weight > 0 else None

    @property
    def weakest(self) -> Step | None:
        """What speaks loudest against it."""
        found = min(self.of_fields, key=lambda step: step.weight, default=None)
        return found if found is not None and found.weight < 0 else None


@dataclass(frozen=True, slots=True)
class Progress:
    """How a day of reviewing goes."""

    waiting: int
    mine: int
    all: int
