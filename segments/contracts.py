"""What crosses the border of the segments room."""

from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True)
class TransitionSpan:
    """The transitions that the current transaction wrote: of these segments, with an id above `after_id`.

    Exact because whoever writes transitions of a segment holds its row until the transaction ends. `claimed` is how
    much was taken from the queue (changes, or due times): nothing means that there is nothing to do now.
    """

    segment_ids: tuple[int, ...]
    after_id: int
    entered: int
    left: int
    claimed: int = 0
    planned: int = 0
    """How many deliveries follow from them."""

    @property
    def size(self) -> int:
        return self.entered + self.left


@dataclass(frozen=True)
class Part:
    """One top-level condition of a definition: how many hold it alone, and together with those before it."""

    sentence: str
    alone: int
    cumulative: int


@dataclass(frozen=True)
class Preview:
    count: int
    sample_ids: tuple[int, ...]
    sentence: str
    took_ms: int
    total: int | None = None
    breakdown: tuple[Part, ...] = ()


@dataclass(frozen=True)
class Member:
    profile_id: int
    entered_at: datetime


@dataclass(frozen=True)
class TransitionView:
    id: int
    profile_id: int
    kind: str
    at: datetime
    cause: str
    version: int


@dataclass(frozen=True)
class TrendDay:
    """Entries and exits of one day, and how many were in at its end."""

    day: date
    entered: int
    left: int
    size: int


@dataclass(frozen=True)
class SegmentOfProfile:
    segment_id: int
    slug: str
    name: str
    entered_at: datetime


@dataclass(frozen=True)
class MoveOfProfile:
    """A person entered or left a segment; `cause` says why in words."""

    slug: str
    name: str
    kind: str
    at: datetime
    cause: str


@dataclass(frozen=True)
class SegmentOverview:
    """A line of the list of segments: `days` holds the last seven, today last."""

    id: int
    slug: str
    name: str
    description: str
    sentence: str
    state: str
    error: str
    member_count: int
    computed_at: datetime | None
    folder: str
    tags: tuple[str, ...]
    version: int
    next_version: int | None
    next_failed: bool
    has_draft: bool
    days: tuple[TrendDay, ...]

    @property
    def entered(self) -> int:
        return sum(day.entered for day in self.days)

    @property
    def left(self) -> int:
        return sum(day.left for day in self.days)
