"""What a definition is made of. A `match` over these ends in `assert_never`."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import TypeAlias

from consent.policy import Standing
from segments.ast import times

Scalar: TypeAlias = str | bool | int | float


class Op(StrEnum):
    EQ = "eq"
    NEQ = "neq"
    IN = "in"
    NOT_IN = "not_in"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    BETWEEN = "between"
    CONTAINS = "contains"
    NOT_CONTAINS = "not_contains"
    STARTS_WITH = "starts_with"
    ENDS_WITH = "ends_with"
    EXISTS = "exists"
    NOT_EXISTS = "not_exists"
    BEFORE = "before"
    AFTER = "after"
    WITHIN_LAST = "within_last"
    WITHIN_NEXT = "within_next"
    IS_TRUE = "is_true"
    IS_FALSE = "is_false"
    ANNIVERSARY_WITHIN = "anniversary_within"


# Each is the exact complement of its counterpart: whoever has no country is "not Germany".
NEGATIVE = {
    Op.NEQ: Op.EQ,
    Op.NOT_IN: Op.IN,
    Op.NOT_CONTAINS: Op.CONTAINS,
    Op.NOT_EXISTS: Op.EXISTS,
}


class Measure(StrEnum):
    COUNT = "count"
    SUM = "sum"
    AVG = "avg"
    MIN = "min"
    MAX = "max"
    DISTINCT = "distinct"
    DAYS = "days"
    FIRST = "first"
    LAST = "last"


NUMERIC_MEASURES = frozenset(Measure) - {Measure.FIRST, Measure.LAST}


class Period(StrEnum):
    TODAY = "today"
    YESTERDAY = "yesterday"
    THIS_WEEK = "this_week"
    LAST_WEEK = "last_week"
    THIS_MONTH = "this_month"
    LAST_MONTH = "last_month"


@dataclass(frozen=True)
class Duration:
    """`30d`: an amount and one of the units s, m, h, d, w."""

    amount: int
    unit: str

    @property
    def text(self) -> str:
        return f"{self.amount}{self.unit}"

    @property
    def delta(self) -> timedelta:
        return times.UNITS[self.unit] * self.amount


@dataclass(frozen=True)
class Moment:
    """A date or timestamp as it was written; one without an offset is meant in the deployment's time zone."""

    text: str

    def instant(self, zone: str) -> datetime:
        return times.instant(self.text, zone)


@dataclass(frozen=True)
class Step:
    """A key of an object; with `each`, every element of the list found there."""

    key: str
    each: bool = False


@dataclass(frozen=True)
class Path:
    """`address.city`, or `products[].category` for any element of a list.

    Of an event, `context.page.path` leads into its context, everything else into its properties.
    """

    steps: tuple[Step, ...]

    @cached_property
    def text(self) -> str:
        return ".".join(step.key + "[]" * step.each for step in self.steps)

    @property
    def root(self) -> str:
        return self.steps[0].key

    @property
    def single(self) -> bool:
        """Whether it leads to one value at most."""
        return not any(step.each for step in self.steps)

    @property
    def of_time(self) -> str | None:
        """`event.hour` and `event.weekday` are no properties: they tell when an event happened."""
        keys = tuple(step.key for step in self.steps)
        return keys[1] if self.single and len(keys) == 2 and keys[0] == "event" and keys[1] in OF_TIME else None

    @property
    def inside_context(self) -> "Path | None":
        """The rest of an event's path that leads into the context; None where it leads into the properties."""
        leads = len(self.steps) > 1 and self.steps[0] == CONTEXT
        return Path(self.steps[1:]) if leads else None


CONTEXT = Step("context")
OF_TIME = ("hour", "weekday")
"""Of an event's instant in the deployment's time zone: 0 to 23; 1 for Monday to 7 for Sunday."""


Value: TypeAlias = Scalar | tuple[Scalar, ...] | Moment | Duration | None


@dataclass(frozen=True)
class Test:
    """An operator with what it compares to."""

    __test__ = False  # no test class, whatever pytest thinks of its name

    op: Op
    value: Value = None


@dataclass(frozen=True)
class Where:
    """A test of a property, which an event has to pass to count."""

    property: Path
    test: Test


@dataclass(frozen=True)
class Last:
    duration: Duration


@dataclass(frozen=True)
class Between:
    """`after <= ts < before`; either may be open."""

    after: Moment | None
    before: Moment | None


@dataclass(frozen=True)
class Calendar:
    period: Period
    tz: str | None = None


Window: TypeAlias = Last | Between | Calendar


@dataclass(frozen=True)
class Trait:
    trait: Path
    test: Test


@dataclass(frozen=True)
class Account:
    """A trait of any account that the person belongs to. A negative test is the exact complement."""

    trait: Path
    test: Test


@dataclass(frozen=True)
class Consent:
    """What stands of the person's choices about a purpose, as `consent.policy` judges them."""

    purpose: str
    state: Standing


@dataclass(frozen=True)
class Event:
    events: tuple[str, ...]
    where: tuple[Where, ...]
    measure: Measure
    of: Path | None
    test: Test
    window: Window | None = None
    span: Duration | None = None


@dataclass(frozen=True)
class Stage:
    """A step of a sequence: an event that has to follow, or with `absent` one that must not.

    `same` ties it to the step before by a property that is equal in both.
    """

    events: tuple[str, ...]
    where: tuple[Where, ...] = ()
    within: Duration | None = None
    absent: bool = False
    same: Path | None = None


@dataclass(frozen=True)
class Sequence:
    """Steps that happened one after the other; the first of them in the window."""

    stages: tuple[Stage, ...]
    window: Window | None = None


@dataclass(frozen=True)
class InSegment:
    """Whoever another segment's definition holds for, at the same instant."""

    slug: str


@dataclass(frozen=True)
class Given:
    """Whoever was put into a manual segment: by hand, by upload or by the API."""

    slug: str


@dataclass(frozen=True)
class All:
    of: tuple["Node", ...]


@dataclass(frozen=True)
class Any:
    of: tuple["Node", ...]


@dataclass(frozen=True)
class Not:
    of: "Node"


Condition: TypeAlias = Trait | Account | Event | Sequence | InSegment | Given | Consent
Node: TypeAlias = All | Any | Not | Condition
