"""What changed between two plans, in lines that a person can read."""

from collections.abc import Iterator, Mapping
from typing import Any

from ingestion.plans.contracts import DEFAULT_ACTIONS, KIND_LABELS, Difference, Kind

_NESTED = ("properties", "items", "required")


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    """From `old` to `new`: added (+), removed (−) and changed (~), event by event."""
    return list(_plan(old, new))


def _plan(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    yield from _actions("All events", old, new, defaults=True)
    before, after = old.get("events", {}), new.get("events", {})
    for name in sorted(before.keys() | after.keys()):
        yield from _part(name, before.get(name), after.get(name))
    for key, title in (("traits", "Traits of people"), ("group_traits", "Traits of groups")):
        yield from _part(title, old.get(key), new.get(key))


def _part(name: str, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> Iterator[Difference]:
    if old is None or new is None:
        if new is not None:
            yield Difference("+", name, f"added, {_size(new)}")
        elif old is not None:
            yield Difference("−", name, "removed")
        return
    if old.get("description", "") != new.get("description", ""):
        yield Difference("~", name, "description changed")
    yield from _actions(name, old, new)
    yield from _schema(name, old.get("schema", {}), new.get("schema", {}))


def _size(part: Mapping[str, Any]) -> str:
    number = len(part.get("schema", {}).get("properties", {}))
    return f"{number} propert{'y' if number == 1 else 'ies'}"


def _actions(
    place: str, old: Mapping[str, Any], new: Mapping[str, Any], *, defaults: bool = False
) -> Iterator[Difference]:
    before, after = old.get("actions", {}), new.get("actions", {})
    for kind in Kind:
        usual = DEFAULT_ACTIONS[kind].value if defaults else "as for all events"
        was, now = before.get(kind.value, usual), after.get(kind.value, usual)
        if was != now:
            yield Difference("~", place, f"{KIND_LABELS[kind].lower()}: {was} → {now}")


def _schema(place: str, old: Any, new: Any) -> Iterator[Difference]:
    if not isinstance(old, dict) or not isinstance(new, dict):
        if old != new:
            yield Difference("~", place, "schema changed")
        return
    yield from _properties(place, old, new)
    if isinstance(old.get("items"), dict) and isinstance(new.get("items"), dict):
        yield from _schema(f"{place}[]", old["items"], new["items"])
    elif old.get("items") != new.get("items"):
        yield Difference("~", place, "what its items are changed")
    for key in dict.fromkeys([*old, *new]):
        if key not in _NESTED and key != "x-seen" and old.get(key) != new.get(key):
            yield Difference("~", place, f"{_word(key)}: {_said(old, key)} → {_said(new, key)}")


def _properties(place: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    before, after = _map(old, "properties"), _map(new, "properties")
    needed_before, needed_after = _list(old, "required"), _list(new, "required")
    for name in dict.fromkeys([*before, *after]):
        inner = f"{place} · {name}" if "·" not in place else f"{place}.{name}"
        if name not in after:
            yield Difference("−", inner, "removed")
        elif name not in before:
            kind = after[name].get("type", "any type") if isinstance(after[name], dict) else "any type"
            needed = ", required" if name in needed_after else ""
            yield Difference("+", inner, f"added, {kind if isinstance(kind, str) else ' or '.join(kind)}{needed}")
        else:
            yield from _schema(inner, before[name], after[name])
    for name in dict.fromkeys([*needed_before, *needed_after]):
        if (name in needed_before) != (name in needed_after) and (name in before) == (name in after):
            inner = f"{place} · {name}" if "·" not in place else f"{place}.{name}"
            yield Difference("~", inner, "now required" if name in needed_after else "no longer required")


def _map(schema: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = schema.get(key, {})
    return found if isinstance(found, dict) else {}


def _list(schema: Mapping[str, Any], key: str) -> list[Any]:
    found = schema.get(key, [])
    return found if isinstance(found, list) else []


def _word(key: str) -> str:
    words = {"additionalProperties": "other properties", "enum": "allowed values"}
    return words.get(key, key)


def _said(schema: Mapping[str, Any], key: str) -> str:
    if key == "additionalProperties":
        return "not allowed" if schema.get(key) is False else "allowed"
    if key not in schema:
        return "none"
    value = schema[key]
    text = ", ".join(str(one) for one in value) if isinstance(value, list) else str(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
