"""What the builder suggests: event names, properties, traits and values, as the data has them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from identity import queries as identity
from ingestion import queries as ingestion

FREQUENCY_WINDOW = timedelta(days=30)
MOST = 100


def suggest(*, kind: str, events: Sequence[str], name: str, now: datetime) -> list[dict[str, Any]] | None:
    """`{"value", "type", "count"}` by falling frequency; `name` is the property or trait whose values are asked for.

    None where `kind` is none of events, properties, traits, values.
    """
    match kind:
        case "events":
            return _events(now)
        case "properties":
            found = _merged(found for event in events for found in ingestion.property_names(event=event, limit=MOST))
            return sorted(found, key=lambda entry: entry["value"].startswith(ingestion.CONTEXT))
        case "traits":
            return _merged(identity.trait_names(limit=MOST))
        case "values" if events:
            return _merged(
                found for event in events for found in ingestion.property_values(event=event, path=name, limit=MOST)
            )
        case "values":
            return _merged(identity.trait_values(trait=name, limit=MOST))
        case _:
            return None


def _events(now: datetime) -> list[dict[str, Any]]:
    counts = ingestion.event_frequencies(since=now - FREQUENCY_WINDOW)
    names = [(row.name, counts.get(row.name, 0)) for row in ingestion.event_names()]
    return [{"value": name, "count": count} for name, count in sorted(names, key=lambda pair: (-pair[1], pair[0]))]


def _merged(found: Iterable[Any]) -> list[dict[str, Any]]:
    """The same name or value seen in several events, once, with the type that it has most often."""
    counts: Counter[Any] = Counter()
    types: dict[Any, Counter[str]] = {}
    for seen in found:
        key = (isinstance(seen.value, bool), seen.value)  # true and 1 are equal in Python, not in JSON
        counts[key] += seen.count
        types.setdefault(key, Counter())[seen.type] += seen.count
    return [
        {"value": key[1], "type": types[key].most_common(1)[0][0], "count": count}
        for key, count in counts.most_common(MOST)
    ]
