"""What crosses the border of this room."""

from dataclasses import dataclass
from enum import StrEnum

MICROS_A_DAY = 86_400_000_000


class Period(StrEnum):
    """Stretches of event time in which a profile may gain only so many values: any 7, 30 or 365 days."""

    YEARLY = "yearly"
    MONTHLY = "monthly"
    WEEKLY = "weekly"

    @property
    def micros(self) -> int:
        return {"yearly": 365, "monthly": 30, "weekly": 7}[self.value] * MICROS_A_DAY


@dataclass(frozen=True, slots=True)
class Kind:
    """What clustering has to know of a kind."""

    name: str
    priority: int
    """The lower number decides where identifiers of one event lead to different profiles."""
    limit: int
    """How many different values a profile may have."""
    periods: tuple[tuple[Period, int], ...] = ()
    """How many it may gain in a stretch of event time, per period that has a limit."""
    protected: bool = False
    """Profiles that have different values of this kind are never merged because identifiers met."""
