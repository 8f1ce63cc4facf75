"""What a computed trait is made of, from JSON.

    measure    {"kind": "measure", "event", "where"?, "measure", "of"?, "window"?}
    rfm        {"kind": "rfm", "event", "where"?, "of", "window"?}
    lifecycle  {"kind": "lifecycle", "event", "where"?, "new", "active", "dormant"}
    tiers      {"kind": "tiers", "trait", "tiers": [{"from", "label"}…], "otherwise"?}

Events, tests, paths and windows are those of the segment language, and are read by its parser.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from segments.ast import DefinitionError, Duration, Event, Path, Trait, parse

MOST_TIERS = 20
MOST_LABEL = 60


class Take(StrEnum):
    """What is taken of the events: the measures of segments, and those that only a trait can hold."""

    COUNT = "count"
    SUM = "sum"
    AVG = "avg"
    MIN = "min"
    MAX = "max"
    DISTINCT = "distinct"
    DAYS = "days"
    FIRST = "first"
    LAST = "last"
    MOST_FREQUENT = "most_frequent"
    FIRST_AT = "first_at"
    LAST_AT = "last_at"


WITHOUT_OF = frozenset({Take.COUNT, Take.DAYS, Take.FIRST_AT, Take.LAST_AT})


@dataclass(frozen=True)
class Measured:
    take: Take
    events: Event


@dataclass(frozen=True)
class Rfm:
    """How recently, how often and how much, each scored 1 to 5 by the quintiles of everybody."""

    events: Event


@dataclass(frozen=True)
class Lifecycle:
    """`new` since the first event, then `active`, `dormant` and at last churned since the newest one."""

    events: Event
    new: Duration
    active: Duration
    dormant: Duration


@dataclass(frozen=True)
class Tiers:
    """A label for a number: that of the highest bound that it reaches."""

    trait: Path
    tiers: tuple[tuple[float, str], ...]
    otherwise: str | None


Definition: TypeAlias = Measured | Rfm | Lifecycle | Tiers

_KEYS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "measure": (("event", "measure"), ("where", "of", "window")),
    "rfm": (("event", "of"), ("where", "window")),
    "lifecycle": (("event", "new", "active", "dormant"), ("where",)),
    "tiers": (("trait", "tiers"), ("otherwise",)),
}
# How the segment language is asked to read the events of each.
_READ_AS: Mapping[Take, dict[str, Any]] = {
    Take.MOST_FREQUENT: {"measure": "distinct", "op": "gte", "value": 0},
    Take.FIRST_AT: {"measure": "count", "op": "gte", "value": 0},
    Take.LAST_AT: {"measure": "count", "op": "gte", "value": 0},
    Take.FIRST: {"measure": "first", "op": "is_true"},
    Take.LAST: {"measure": "last", "op": "is_true"},
}


def read(raw: object) -> Definition:
    """
    Raises:
        DefinitionError: for the first thing that is wrong, with its path.
    """
    if not isinstance(raw, dict):
        raise DefinitionError("A definition is an object.", code="wrong_type", path="")
    kind = raw.get("kind")
    if not isinstance(kind, str) or kind not in _KEYS:
        message = f"The kind is one of {', '.join(_KEYS)}."
        raise DefinitionError(message, code="unknown_kind", path="/kind")
    _check_keys(raw, kind)
    match kind:
        case "measure":
            return _measured(raw)
        case "rfm":
            return Rfm(_events(raw, {"measure": "sum", "op": "gte", "value": 0, "of": raw["of"]}))
        case "lifecycle":
            return _lifecycle(raw)
        case _:
            return _tiers(raw)


def reads_trait(definition: Definition) -> str | None:
    """The name of the trait that it follows from, if it follows from one."""
    return definition.trait.root if isinstance(definition, Tiers) else None


def events_of(definition: Definition) -> tuple[str, ...]:
    return () if isinstance(definition, Tiers) else definition.events.events


def _check_keys(raw: Mapping[str, Any], kind: str) -> None:
    required, optional = _KEYS[kind]
    for key in required:
        if raw.get(key) in (None, "", []):
            raise DefinitionError(f"This kind needs `{key}`.", code="missing_key", path=f"/{key}")
    for key in raw:
        if key not in {"kind", *required, *optional}:
            raise DefinitionError(f"`{key}` is not known here.", code="unknown_key", path=f"/{key}")


def _measured(raw: Mapping[str, Any]) -> Measured:
    try:
        take = Take(raw["measure"])
    except ValueError:
        message = f"The measure is one of {', '.join(Take)}."
        raise DefinitionError(message, code="unknown_measure", path="/measure") from None
    of = raw.get("of")
    if take in WITHOUT_OF and of:
        raise DefinitionError(f"`{take}` looks at events, so it takes no `of`.", code="of_not_allowed", path="/of")
    asked = _READ_AS.get(take) or {"measure": take.value, "op": "gte", "value": 0}
    return Measured(take, _events(raw, asked | ({"of": of} if of else {})))


def _events(raw: Mapping[str, Any], asked: Mapping[str, Any]) -> Event:
    given = {key: raw[key] for key in ("where", "window") if raw.get(key) is not None}
    node = parse({"type": "event", "event": raw["event"], **given, **asked})
    if not isinstance(node, Event):
        raise TypeError(node)
    return node


def _lifecycle(raw: Mapping[str, Any]) -> Lifecycle:
    events = _events(raw, {"measure": "count", "op": "gte", "value": 0})
    new, active, dormant = (_duration(raw[key], f"/{key}") for key in ("new", "active", "dormant"))
    if not new.delta <= active.delta < dormant.delta:
        message = "New is at most as long as active, and active is shorter than dormant."
        raise DefinitionError(message, code="wrong_order", path="/active")
    return Lifecycle(events, new, active, dormant)


def _duration(raw: object, at: str) -> Duration:
    """Read by the language's parser, as a window is."""
    try:
        node = parse({"type": "event", "event": "x", "window": {"last": raw}})
    except DefinitionError as error:
        raise DefinitionError(error.message, code=error.code, path=at) from error
    duration = getattr(getattr(node, "window", None), "duration", None)
    if not isinstance(duration, Duration):
        raise TypeError(node)
    return duration


def _tiers(raw: Mapping[str, Any]) -> Tiers:
    node = parse({"type": "trait", "trait": raw["trait"], "op": "exists"})
    if not isinstance(node, Trait):
        raise TypeError(node)
    if not node.trait.single:
        message = "Tiers are of one number, so the path cannot go through a list."
        raise DefinitionError(message, code="invalid_path", path="/trait")
    listed = raw["tiers"]
    if not isinstance(listed, list) or len(listed) > MOST_TIERS:
        raise DefinitionError(f"Give 1 to {MOST_TIERS} tiers.", code="wrong_value_type", path="/tiers")
    tiers = tuple(_tier(one, f"/tiers/{place}") for place, one in enumerate(listed))
    if len({bound for bound, _ in tiers}) < len(tiers):
        raise DefinitionError("Two tiers begin at the same number.", code="repeated", path="/tiers")
    otherwise = raw.get("otherwise")
    return Tiers(
        node.trait,
        tuple(sorted(tiers, reverse=True)),
        None if otherwise in (None, "") else _label(otherwise, "/otherwise"),
    )


def _tier(raw: object, at: str) -> tuple[float, str]:
    if not isinstance(raw, dict) or raw.keys() != {"from", "label"}:
        raise DefinitionError("A tier has a `from` and a `label`.", code="wrong_type", path=at)
    try:
        parse({"type": "trait", "trait": "x", "op": "gte", "value": raw["from"]})
    except DefinitionError as error:
        raise DefinitionError(error.message, code=error.code, path=f"{at}/from") from error
    return raw["from"], _label(raw["label"], f"{at}/label")


def _label(raw: object, at: str) -> str:
    if not isinstance(raw, str) or not raw.strip() or len(raw) > MOST_LABEL or not raw.isprintable():
        raise DefinitionError(f"A label is a text of 1 to {MOST_LABEL} characters.", code="invalid_label", path=at)
    return raw.strip()
