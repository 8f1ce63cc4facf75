"""Steps that mend a message: each a small change at a JSON pointer, applied one after the other. Pure.

A pointer may hold `*` for every element of a list (or every field of an object): `/properties/products/*/price`.
A step whose place a message does not have leaves that message as it is. What is no JSON object comes back unchanged.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, assert_never

import msgspec

from ingestion.quarantine.errors import FixError

MOST_STEPS = 20
TRUE, FALSE = frozenset({"true", "yes", "1", "on"}), frozenset({"false", "no", "0", "off"})

_encode = msgspec.json.Encoder().encode


class Step(msgspec.Struct, frozen=True, tag_field="op", forbid_unknown_fields=True):
    """One change of a message."""


class Rename(Step, frozen=True, tag="rename"):
    """Move a field elsewhere; `to` may be a plain name, for the same parent. What stood there is replaced."""

    path: str
    to: str


class Set(Step, frozen=True, tag="set"):
    """Put a value there, whatever stood there; objects on the way are made."""

    path: str
    value: Any


class Remove(Step, frozen=True, tag="remove"):
    """Take a field away."""

    path: str


class Convert(Step, frozen=True, tag="convert"):
    """Give a value another type: "12,50" to the number 12.5. What cannot be read as that type stays."""

    path: str
    to: str


class NameEvent(Step, frozen=True, tag="event"):
    """Give the event another name."""

    to: str


AnyStep = Rename | Set | Remove | Convert | NameEvent
Steps = tuple[AnyStep, ...]


def read_steps(raw: Any) -> Steps:
    """From JSON, checked.

    Raises:
        FixError: with the path of the step that makes no sense.
    """
    try:
        steps = msgspec.convert(raw, tuple[AnyStep, ...])
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at `")
        path = place.rstrip("`").replace("$", "").replace(".", "/").replace("[", "/").replace("]", "")
        raise FixError(text, path=path) from None
    if len(steps) > MOST_STEPS:
        raise FixError(f"A fix may have {MOST_STEPS} steps.", path=f"/{MOST_STEPS}")
    for index, step in enumerate(steps):
        _check(step, f"/{index}")
    return steps


def stored_form(steps: Steps) -> list[dict[str, Any]]:
    stored: list[dict[str, Any]] = msgspec.to_builtins(steps)
    return stored


def apply(payload: bytes, steps: Sequence[AnyStep]) -> bytes:
    """The message with all steps done; the same bytes where none of them found anything to do."""
    if not steps:
        return payload
    try:
        message = msgspec.json.decode(payload)
        before = msgspec.json.decode(payload)
    except (ValueError, RecursionError):
        return payload
    if not isinstance(message, dict):
        return payload
    for step in steps:
        _do(step, message)
    return payload if _same(message, before) else _encode(message)


def _check(step: AnyStep, where: str) -> None:
    match step:
        case NameEvent():
            if not step.to.strip():
                raise FixError("Say the new name of the event.", path=f"{where}/to")
            return
        case Rename():
            _check_pointer(step.path, f"{where}/path")
            if step.to.startswith("/"):
                _check_pointer(step.to, f"{where}/to")
                if "*" in step.to.split("/") or "*" in step.path.split("/"):
                    raise FixError("With * the new name must be a plain name, in the same place.", path=f"{where}/to")
            elif not step.to:
                raise FixError("Say the new name of the field.", path=f"{where}/to")
        case Convert():
            _check_pointer(step.path, f"{where}/path")
            if step.to not in CONVERSIONS:
                raise FixError(f"The types are {', '.join(CONVERSIONS)}.", path=f"{where}/to")
        case Set() | Remove():
            _check_pointer(step.path, f"{where}/path")
        case _:
            assert_never(step)


def _check_pointer(pointer: str, where: str) -> None:
    if not pointer.startswith("/") or pointer == "/" or len(pointer) > 200:
        raise FixError("A path begins with / and names a field, such as /properties/price.", path=where)


def _do(step: AnyStep, message: dict[str, Any]) -> None:
    match step:
        case NameEvent():
            message["event"] = step.to.strip()
        case Set():
            for parent, key in _places(message, _parts(step.path), make=True):
                _put(parent, key, step.value)
        case Remove():
            for parent, key in list(_places(message, _parts(step.path))):
                del parent[key]
        case Convert():
            convert = CONVERSIONS[step.to]
            for parent, key in _places(message, _parts(step.path)):
                _put(parent, key, convert(parent[key]))
        case Rename():
            _rename(message, step)
        case _:
            assert_never(step)


def _rename(message: dict[str, Any], step: Rename) -> None:
    """A field keeps its place among its siblings where it only gets another name."""
    for parent, key in list(_places(message, _parts(step.path))):
        if step.to.startswith("/"):
            value = parent.pop(key)
            for target, name in _places(message, _parts(step.to), make=True):
                _put(target, name, value)
        elif isinstance(parent, dict) and key != step.to:
            parent.pop(step.to, None)
            items = [(step.to if name == key else name, value) for name, value in parent.items()]
            parent.clear()
            parent.update(items)


def _put(parent: Any, key: Any, value: Any) -> None:
    parent[key] = value


def _places(node: Any, parts: list[str], *, make: bool = False) -> Iterator[tuple[Any, Any]]:
    """Every `(parent, key)` that a pointer leads to; with `make` the last key need not exist yet."""
    head, *rest = parts
    for key in _keys(node, head, make=make):
        if not rest:
            yield node, key
            continue
        if make and isinstance(node, dict) and node.get(key) is None:
            node[key] = {}
        yield from _places(node[key], rest, make=make)


def _keys(node: Any, part: str, *, make: bool) -> list[Any]:
    if isinstance(node, dict):
        if part == "*":
            return list(node)
        return [part] if make or part in node else []
    if isinstance(node, list):
        if part == "*":
            return list(range(len(node)))
        return [int(part)] if part.isascii() and part.isdigit() and len(part) < 7 and int(part) < len(node) else []
    return []


def _parts(pointer: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/")]


def _same(one: Any, other: Any) -> bool:
    """Equal and of the same types: in Python 1, 1.0 and True are equal."""
    return _encode(one) == _encode(other)


# --- Other types ----------------------------------------------------------------------------------------------


def _to_number(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if not isinstance(value, str):
        return value
    text = value.strip().replace("\u00a0", "").replace(" ", "").replace("'", "")
    text = "".join(letter for letter in text if letter.isascii() and (letter.isdigit() or letter in "+-.,eE"))
    return _read_number(_with_point(text), value)


def _with_point(text: str) -> str:
    """Of "1.234,5" and "1,234.5" the last mark is the decimal one; a single comma is decimal unless three follow."""
    comma, point = text.rfind(","), text.rfind(".")
    if comma > point:
        lone = text.count(",") == 1 and (point >= 0 or len(text) - comma != 4)
        return text.replace(".", "").replace(",", ".") if lone else text.replace(",", "")
    return text.replace(",", "")


def _read_number(text: str, otherwise: Any) -> Any:
    try:
        number = msgspec.json.decode(text.lstrip("+").encode())
    except (ValueError, RecursionError):
        return otherwise
    return number if isinstance(number, int | float) else otherwise


def _to_integer(value: Any) -> Any:
    number = _to_number(value)
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _to_text(value: Any) -> Any:
    if isinstance(value, str) or value is None:
        return value
    return _encode(value).decode()


def _to_boolean(value: Any) -> Any:
    word = _to_text(value)
    folded = word.strip().casefold() if isinstance(word, str) else ""
    return True if folded in TRUE else False if folded in FALSE else value


def _to_list(value: Any) -> Any:
    return value if isinstance(value, list) or value is None else [value]


def _to_object(value: Any) -> Any:
    """JSON inside a text, as senders make that encode twice."""
    if not isinstance(value, str):
        return value
    try:
        inner = msgspec.json.decode(value)
    except (ValueError, RecursionError):
        return value
    return inner if isinstance(inner, dict | list) else value


CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "number": _to_number,
    "integer": _to_integer,
    "text": _to_text,
    "boolean": _to_boolean,
    "list": _to_list,
    "object": _to_object,
}
