"""Which segments read which events, properties and traits: for the data dictionary."""

from collections import defaultdict

from ingestion.messages import FIXED_NAMES
from segments.ast import Account, Condition, DefinitionError, Event, Stage, Trait, parse
from segments.dependencies import streams_of
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
            for key in _keys(part):
                found[key].add((slug, name))
    return {key: sorted(segments, key=lambda pair: pair[1]) for key, segments in found.items()}


def _keys(condition: Condition) -> list[Key]:
    if isinstance(condition, Trait):
        return [("trait", "", condition.trait.text)]
    if isinstance(condition, Account):
        return [("property", FIXED_NAMES["group"], condition.trait.text)]  # where they are told
    return [key for stream in streams_of(condition) for key in _keys_of(stream)]


def _keys_of(stream: Event | Stage) -> list[Key]:
    taken = stream.of if isinstance(stream, Event) else stream.same
    paths = [test.property.text for test in stream.where] + ([taken.text] if taken else [])
    return [
        key for name in stream.events for key in [("event", "", name), *(("property", name, path) for path in paths)]
    ]
