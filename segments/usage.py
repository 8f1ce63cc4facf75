"""Which segments read which events, properties and traits: for the data dictionary."""

from collections import defaultdict

from segments.ast import DefinitionError, parse
from segments.ast.nodes import Event
from segments.models import Segment
from segments.plan import conditions

Key = tuple[str, str, str]


def read_usage() -> dict[Key, list[tuple[str, str]]]:
    """`(slug, name)` of segments by `(kind, event, path)`; a definition that is no longer read is left out."""
    found: dict[Key, set[tuple[str, str]]] = defaultdict(set)
    for slug, name, definition in Segment.objects.values_list("slug", "name", "definition"):
        try:
            node = parse(definition)
        except DefinitionError:
            continue
        for part in conditions(node):
            for key in _keys(part) if isinstance(part, Event) else [("trait", "", part.trait.text)]:
                found[key].add((slug, name))
    return {key: sorted(segments, key=lambda pair: pair[1]) for key, segments in found.items()}


def _keys(part: Event) -> list[Key]:
    paths = [test.property.text for test in part.where] + ([part.of.text] if part.of else [])
    return [
        key for name in part.events for key in [("event", "", name), *(("property", name, path) for path in paths)]
    ]
