"""Where a field lies: `price`, `address.city`, every item of a list by `products[].price` or `tags[]`."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ingestion.standardise.values.contracts import BadOptionsError

MAX_PATH = 200
MAX_STEPS = 8


class Slot(NamedTuple):
    """One value: what holds it, under which key, and its address within the fields (`/products/0/price`)."""

    holder: Any
    key: Any
    address: str


Finder = Callable[[dict[str, Any]], Iterator[Slot]]


def split(path: str, *, at: str = "/field") -> list[str]:
    """The steps of a path; `[]` is one of its own.

    Raises:
        BadOptionsError: with `at` as its path.
    """
    steps: list[str] = []
    for part in path.split("."):
        name = part
        brackets = 0
        while name.endswith("[]"):
            name, brackets = name[:-2], brackets + 1
        steps += [name, *["[]"] * brackets]
        if not name or name != name.strip() or "[" in name:
            raise BadOptionsError(f"{path!r} is no path of a field.", code="path_invalid", path=at)
    if len(path) > MAX_PATH or len(steps) > MAX_STEPS:
        raise BadOptionsError("This path is too long.", code="path_too_long", path=at)
    return steps


def finder(path: str) -> Finder:
    """Finds the values under a path that are there; none is made."""
    steps = split(path)
    if len(steps) > 1:
        return lambda fields: _walk(fields, steps, "")
    name, address = steps[0], f"/{_escaped(steps[0])}"
    return lambda fields: iter((Slot(fields, name, address),) if name in fields else ())


def _walk(holder: Any, steps: list[str], address: str) -> Iterator[Slot]:
    step, *rest = steps
    if step == "[]":
        if not isinstance(holder, list):
            return
        keys: Any = range(len(holder))
    elif isinstance(holder, dict) and step in holder:
        keys = (step,)
    else:
        return
    for key in keys:
        place = f"{address}/{_escaped(str(key))}"
        if rest:
            yield from _walk(holder[key], rest, place)
        else:
            yield Slot(holder, key, place)


def siblings(path: str, to: str) -> tuple[list[str], list[str], list[str]]:
    """What two paths have in common up to their last list, and how each goes on within it.

    Raises:
        BadOptionsError: where a value would have to leave its list.
    """
    source, target = split(path), split(to, at="/options/to")
    if "[]" not in source and "[]" not in target:
        return [], source, target
    end = len(source) - source[::-1].index("[]") if "[]" in source else 0
    common = source[:end]
    if target[:end] != common or "[]" in target[end:] or not source[end:] or not target[end:]:
        message = "A value of a list stays within its item: products[].cost to products[].price."
        raise BadOptionsError(message, code="list_left", path="/options/to")
    return common, source[end:], target[end:]


def items(fields: dict[str, Any], common: list[str]) -> Iterator[tuple[dict[str, Any], str]]:
    """The objects under a path that ends in a list (or the fields themselves), with their addresses."""
    if not common:
        yield fields, ""
        return
    for slot in _walk(fields, common, ""):
        found = slot.holder[slot.key]
        if isinstance(found, dict):
            yield found, slot.address


def get(holder: Any, steps: list[str]) -> Any:
    """The value under these names, or `...` where there is none."""
    for step in steps:
        if not isinstance(holder, dict) or step not in holder:
            return ...
        holder = holder[step]
    return holder


def put(holder: dict[str, Any], steps: list[str], value: Any) -> bool:
    """Set the value under these names, making objects on the way; False where something else is in the way."""
    *way, last = steps
    for step in way:
        inner = holder.setdefault(step, {})
        if not isinstance(inner, dict):
            return False
        holder = inner
    holder[last] = value
    return True


def drop(holder: dict[str, Any], steps: list[str]) -> None:
    """Take the value away; an object that it leaves empty goes too."""
    *way, last = steps
    inner = get(holder, way) if way else holder
    inner.pop(last, None)
    if way and not inner:
        drop(holder, way)


def address_of(base: str, steps: list[str]) -> str:
    return base + "".join(f"/{_escaped(step)}" for step in steps)


def _escaped(name: str) -> str:
    """As RFC 6901 writes a name in an address."""
    return name.replace("~", "~0").replace("/", "~1") if "~" in name or "/" in name else name


def flatten(value: Any, path: str = "", *, depth: int = 4) -> Iterator[tuple[str, Any]]:
    """Every single value with its path, those of lists under `[]`; at most 50 items of a list."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key and "." not in key and "[" not in key and key == key.strip() and depth:
                yield from flatten(inner, f"{path}.{key}" if path else key, depth=depth - 1)
    elif isinstance(value, list):
        for inner in value[:50] if depth else []:
            yield from flatten(inner, f"{path}[]", depth=depth - 1)
    elif path:
        yield path, value
