"""Seeded random people, events and definitions, nasty on purpose; what happens to them is up to the test."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from tests.oracles.segments import Chosen, Happening, Person, holds

# The night after this, clocks in Berlin go forward; a month ends two days later.
START = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)
EARLIEST = datetime(2026, 2, 1, tzinfo=UTC)
LATEST = datetime(2026, 5, 31, tzinfo=UTC)
ZONES = ("UTC", "Europe/Berlin", "Pacific/Auckland")

NAMES = ("Order Completed", "Product Viewed", "Login", "Never Seen")
VALUE_PROPERTY = {"Order Completed": "revenue"}
DURATIONS = ("1s", "90s", "10m", "1h", "24h", "2d", "7d", "1w", "30d")
TEXTS = ("red", "RED wine", "Ärger", "ärger", "İstanbul", "ΣΟΦΟΣ", "straße", "5", "", "%_\\", "true", "null", "日本")
NUMBERS = (0, 1, 2, 5, 5.0, -3, 0.1, 0.2, 0.30, 19.99, 250, 500, 1e3, 123456.78)
HUGE = (1e300, -1e300, 1e-320, 10**30)
DATES = (
    "2026-03-28",
    "2026-03-29",
    "2026-03-29T02:30",
    "2026-03-30T10:00:00Z",
    "2026-03-28 13:00:00.5+01:00",
    "2026-03-20T12:00:00.123456Z",
    "2026-04-02T00:00:00+0530",
    "2026-03-28T12:00:00Z",
    "2027-01-01",
    "1990-03-30",
    "1988-02-29",
    "2000-12-31T23:30-11",
    "9999-12-31",
    "0002-01-01",
)
NO_DATES = (
    "2026-02-30",
    "2025-02-29",
    "0000-01-01",
    "2026-13-01",
    "2026-3-1",
    "tomorrow",
    "2026-03-28T25:00",
    " 2026-03-28",
)
PATHS = (
    "color",
    "address.city",
    "when",
    "flag",
    "revenue",
    "products[].category",
    "products[].price",
    "tags[]",
    "a.b.c",
)
SINGLE_PATHS = tuple(path for path in PATHS if "[]" not in path)
NUMBER_OPS = ("eq", "neq", "gt", "gte", "lt", "lte", "between")
ALL_OPS = (
    *NUMBER_OPS, "in", "not_in", "contains", "not_contains", "starts_with", "ends_with", "exists", "not_exists",
    "before", "after", "within_last", "within_next", "is_true", "is_false", "anniversary_within",
)  # fmt: skip
_TEXT_OPS = ("eq", "neq", "in", "in", "not_in", "contains", "contains", "not_contains", "starts_with", "ends_with")
_NUMBER_OPS = ("eq", "gt", "gte", "lt", "lte", "between", "in")
OPS_OF = {
    "color": _TEXT_OPS,
    "city": _TEXT_OPS,
    "category": _TEXT_OPS,
    "tags[]": _TEXT_OPS,
    "revenue": _NUMBER_OPS,
    "price": _NUMBER_OPS,
    "c": _NUMBER_OPS,
    "flag": ("is_true", "is_false", "eq", "exists"),
    "when": ("before", "after", "within_last", "within_last", "within_next", "within_next", "anniversary_within"),
}
PURPOSES = ("newsletter", "ads")
STATES = ("granted", "granted", "granted", "denied", "withdrawn", "expired")
STANDINGS = ("granted", "denied", "unknown")
PERIODS = ("today", "yesterday", "this_week", "last_week", "this_month", "last_month")


class World:
    """Everything random about one case."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.zone = ZONES[seed % len(ZONES)]
        self.serial = 0
        self.segments: dict[str, dict[str, Any]] = {}
        self.nameable: list[str] = []  # of them, those that a definition may name without leading to itself
        self.accounts = [self.properties() for _ in range(3)]
        self.ledger: list[Chosen] = []

    # --- People ---------------------------------------------------------------------------------------------

    def person(self) -> Person:
        count = self.random.choice((0, 1, 3, 6, 10))
        person = Person(self.properties(), [self.happening(START) for _ in range(count)], ledger=self.ledger)
        person.accounts = self.random.sample(self.accounts, self.random.choice((0, 0, 1, 1, 2)))
        for _ in range(self.random.choice((0, 1, 1, 2))):
            identifier = self.identifier()
            for _ in range(self.random.choice((0, 1, 1, 2))):
                self.ledger.append(self.chosen(identifier, START))
            person.identifiers[identifier] = self.moment(START)
        return person

    def identifier(self) -> str:
        self.serial += 1
        return f"u-{self.seed}-{self.serial}"

    def chosen(self, identifier: str, now: datetime) -> Chosen:
        """A choice of by now; what is granted often ends, at once or soon."""
        self.serial += 1
        state = self.random.choice(STATES)
        expires = now + self.random.choice((-1, 0, 1, 1, 1)) * delta(self.random.choice(DURATIONS))
        return Chosen(
            identifier,
            self.random.choice(PURPOSES),
            state,
            min(self.moment(now), now),
            expires if self.random.random() < 0.6 else None,
            self.serial,
        )

    def happening(self, now: datetime) -> Happening:
        self.serial += 1
        name = self.random.choice(NAMES[:3])
        return Happening(name, self.moment(now), self.serial, self.properties(), self.properties())

    def moment(self, now: datetime) -> datetime:
        """Mostly the last weeks; often exactly where a window begins or a day does; sometimes still to come."""
        kind = self.random.random()
        if kind < 0.35:
            edge = self.random.choice(DURATIONS[:-1])
            moment = now - delta(edge) + timedelta(microseconds=self.random.choice((-1, 0, 1)))
        elif kind < 0.5:
            hours = self.random.choice((-24, -13, -12, -11, 0, 10, 11, 12))
            midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
            moment = midnight + timedelta(hours=hours, microseconds=self.random.choice((-1, 0, 1)))
        elif kind < 0.65:
            moment = now + timedelta(seconds=self.random.choice((0, 1, 3_600, 86_400, 200_000)))
        else:
            moment = now - timedelta(seconds=self.random.randrange(40 * 86_400))
        return min(max(moment, EARLIEST), LATEST)

    def properties(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key in ("color", "when", "flag", "revenue"):
            if self.random.random() < 0.8:
                found[key] = self.value(key)
        if self.random.random() < 0.6:
            found["products"] = self.random.choice((None, 3, "x", {"category": "red"}, self.products()))
        if self.random.random() < 0.5:
            found["tags"] = self.random.choice(([], self.random.sample(TEXTS, 2), ["red", None, 5, ["red"]]))
        if self.random.random() < 0.5:
            found["address"] = self.random.choice(({"city": self.value("color")}, {}, "Berlin", [{"city": "red"}]))
        if self.random.random() < 0.3:
            found["a"] = self.random.choice(({"b": {"c": self.value("revenue")}}, {"b": [1]}, {"b": None}))
        return found

    def products(self) -> list[Any]:
        items: list[Any] = [
            {"category": self.value("color"), "price": self.value("revenue")} for _ in range(self.random.randrange(4))
        ]
        return [*items, *self.random.choice(([], [None], ["loose"], [{}], [[{"category": "red"}]]))]

    def value(self, key: str) -> Any:
        """Mostly what belongs there, and everything else too."""
        usual = {"color": TEXTS, "when": DATES, "flag": (True, False), "revenue": NUMBERS}[key]
        if self.random.random() < 0.85:
            return self.random.choice(usual)
        return self.random.choice(
            (*TEXTS, *DATES, *NO_DATES, *NUMBERS, *HUGE, True, False, None, {}, [], [1, "red"], {"x": 1})
        )

    # --- Definitions ----------------------------------------------------------------------------------------

    def telling_definition(self, people: Iterable[Person], now: datetime) -> dict[str, Any]:
        """One that, if luck allows, some of these people are in and others are not."""
        crowd = list(people)
        for _ in range(10):
            definition = self.definition()
            if 0 < sum(holds(definition, person, now, self.zone, self.segments) for person in crowd) < len(crowd):
                break
        return definition

    def definition(self, depth: int = 0) -> dict[str, Any]:
        kind = self.random.random()
        if depth < 3 and kind < 0.45:
            parts = [self.definition(depth + 1) for _ in range(self.random.choice((1, 2, 2, 3)))]
            return {"type": self.random.choice(("all", "any")), "of": parts}
        if depth < 3 and kind < 0.55:
            return {"type": "not", "of": self.definition(depth + 1)}
        if self.nameable and self.random.random() < 0.15:
            return {"type": "segment", "segment": self.random.choice(self.nameable)}
        if kind < 0.65:
            return self.trait()
        if kind < 0.7:
            return self.trait() | {"type": "account"}
        if kind < 0.75:
            return {
                "type": "consent",
                "purpose": self.random.choice(PURPOSES),
                "state": self.random.choice(STANDINGS),
            }
        return self.sequence() if kind < 0.84 else self.event()

    def trait(self) -> dict[str, Any]:
        path = self.random.choice((*PATHS, "when", "when"))
        return {"type": "trait", "trait": path, **self.test(path)}

    def event(self) -> dict[str, Any]:
        measure = self.random.choice(
            ("count", "count", "count", "sum", "sum", "avg", "min", "max", "distinct", "days", "first", "last")
        )
        node: dict[str, Any] = {"type": "event", "event": self.event_names(), "measure": measure}
        if self.random.random() < 0.35:
            paths = self.random.sample((*PATHS, "when", "when"), self.random.choice((1, 1, 2)))
            node["where"] = [{"property": self.somewhere(path), **self.test(path)} for path in paths]
        if self.random.random() < 0.1:
            low, high = sorted(self.random.choices(range(24), k=2))
            hours = {"property": "event.hour", "op": "between", "value": [low, high]}
            days = {"property": "event.weekday", "op": "in", "value": [6, 7]}
            node["where"] = [self.random.choice((hours, days)), *node.get("where", [])]
        if measure in {"first", "last"}:
            node["of"] = self.somewhere(self.random.choice(SINGLE_PATHS))
            node |= self.test(node["of"], without=("exists", "not_exists"))
        else:
            if measure not in {"count", "days"}:
                node["of"] = self.somewhere(
                    self.random.choice(("revenue", "revenue", "products[].price", "products[].category", "a.b.c"))
                )
            node |= self.number_test(measure)
        if self.random.random() < 0.75:
            node["window"] = self.window()
        if measure in {"count", "sum"} and node["op"] in {"gt", "gte"} and self.random.random() < 0.4:
            node["span"] = self.random.choice(DURATIONS)
        return node

    def sequence(self) -> dict[str, Any]:
        """Often of the same few events, so that they can be more than one step."""
        steps = [self.step(first=not place) for place in range(self.random.choice((2, 2, 3, 3, 4)))]
        node: dict[str, Any] = {"type": "sequence", "steps": steps}
        if self.random.random() < 0.5:
            node["window"] = self.window()
        return node

    def step(self, *, first: bool) -> dict[str, Any]:
        found: dict[str, Any] = {"event": self.event_names()}
        if self.random.random() < 0.2:
            path = self.random.choice((*PATHS, "when"))
            found["where"] = [{"property": self.somewhere(path), **self.test(path)}]
        if first:
            return found
        if self.random.random() < 0.4:
            found["absent"] = True
        if self.random.random() < 0.5:
            found["within"] = self.random.choice(DURATIONS)
        if self.random.random() < 0.3:
            found["same"] = self.random.choice(("color", "flag", "context.flag", "revenue", "event.weekday"))
        return found

    def somewhere(self, path: str) -> str:
        """In the event's properties, or now and then in its context."""
        return f"context.{path}" if self.random.random() < 0.15 else path

    def event_names(self) -> str | list[str]:
        if self.random.random() < 0.6:
            return self.random.choice((*NAMES[:3], *NAMES[:3], *NAMES))
        return self.random.sample(NAMES, 2)

    def window(self) -> dict[str, Any]:
        kind = self.random.random()
        if kind < 0.6:
            return {"last": self.random.choice((*DURATIONS, "7d", "30d", "30d"))}
        if kind < 0.85:
            tz = self.random.choice((None, "America/New_York", "Asia/Kathmandu"))
            return {"calendar": self.random.choice(PERIODS)} | ({"tz": tz} if tz else {})
        bounds = {"after": "2026-03-20", "before": "2026-03-29T12:00:00Z"}
        return {key: bounds[key] for key in self.random.choice((["after"], ["before"], ["after", "before"]))}

    def number_test(self, measure: str) -> dict[str, Any]:
        small = measure in {"count", "distinct", "days"}
        pool = (0, 1, 2, 3) if small else (0, 0.3, 1, 5, 19.99, 250, 500.5, -3)
        op = self.random.choice(NUMBER_OPS)
        if op == "between":
            return {"op": op, "value": sorted(self.random.choices(pool, k=2))}
        return {"op": op, "value": self.random.choice(pool)}

    def test(self, path: str, *, without: tuple[str, ...] = ()) -> dict[str, Any]:
        """Mostly an operator that suits what is usually found at the path."""
        suitable = OPS_OF.get(path.rpartition(".")[2], ALL_OPS) if self.random.random() < 0.8 else ALL_OPS
        op = self.random.choice([op for op in suitable if op not in without])
        match op:
            case "eq" | "neq":
                return {"op": op, "value": self.scalar()}
            case "in" | "not_in":
                return {"op": op, "value": [self.scalar() for _ in range(self.random.choice((2, 4, 12)))]}
            case "gt" | "gte" | "lt" | "lte":
                return {"op": op, "value": self.random.choice(NUMBERS)}
            case "between":
                return {"op": op, "value": sorted(self.random.choices(NUMBERS, k=2))}
            case "contains" | "not_contains" | "starts_with" | "ends_with":
                return {"op": op, "value": self.random.choice(("r", "R", "ä", "Σ", "i", "%", "_", "ß", "red", "日"))}
            case "before" | "after":
                return {"op": op, "value": self.random.choice([date for date in DATES if "0002" < date < "9999"])}
            case "within_last" | "within_next":
                return {"op": op, "value": self.random.choice(DURATIONS)}
            case "anniversary_within":
                return {"op": op, "value": self.random.choice(("0d", "1d", "7d", "4w"))}
        return {"op": op}

    def scalar(self) -> Any:
        return self.random.choice((*TEXTS, *NUMBERS, True, False, "2026-03-28"))


def delta(text: str) -> timedelta:
    return timedelta(seconds=int(text[:-1]) * {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}[text[-1]])
