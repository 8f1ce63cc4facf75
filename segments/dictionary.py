"""What the builder suggests: event names, properties, traits and values, as the data has them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from consent.models import Purpose
from consent.policy import Standing
from identity import queries as identity
from identity.accounts import queries as accounts
from identity.consents import queries as consents
from ingestion import queries as ingestion
from ingestion.dictionary.masking import CLEAR, Masker
from ingestion.dictionary.queries import descriptions
from ingestion.messages import FIXED_NAMES
from segments.computed.queries import labels_by_name
from segments.models import Segment

FREQUENCY_WINDOW = timedelta(days=30)
MOST = 100
GROUP = FIXED_NAMES["group"]  # whose properties the traits of accounts are
OF_TIME = (
    {"value": "event.hour", "type": "number", "count": 0, "description": "The hour of the day, 0 to 23"},
    {
        "value": "event.weekday",
        "type": "number",
        "count": 0,
        "description": "The day of the week, 1 for Monday to 7 for Sunday",
    },
)


def suggest(  # noqa: PLR0911 - one return per kind of suggestion
    *, kind: str, events: Sequence[str], name: str, now: datetime, masker: Masker = CLEAR
) -> list[dict[str, Any]] | None:
    """`{"value", "type", "count"}` by falling frequency; `name` is the property or trait whose values are asked for.

    Events, properties and traits come with the `description` that the data dictionary has. Values that the person
    may not see are left out: a masked one would match nobody. None where there is no such `kind`.
    """
    match kind:
        case "events":
            return _described(_events(now), "event", [""])
        case "properties":
            found = _merged(one for event in events for one in ingestion.property_names(event=event, limit=MOST))
            found.sort(key=lambda entry: entry["value"].startswith(ingestion.CONTEXT))
            return [*_described(found, "property", events), *OF_TIME]
        case "traits":
            return _with_computed(_described(_merged(identity.trait_names(limit=MOST)), "trait", [""]))
        case "account_traits":
            return _described(_merged(accounts.trait_names(limit=MOST)), "property", [GROUP])
        case "segments":
            return _segments()
        case "purposes":
            return _purposes(now)
        case "values":
            return [] if _is_hidden(events, name, masker) else _values(events, name)
        case "account_values":
            hidden = _is_hidden([GROUP], name, masker)
            return [] if hidden else _merged(accounts.trait_values(trait=name, limit=MOST))
        case _:
            return None


def _segments() -> list[dict[str, Any]]:
    offered = Segment.objects.exclude(state__in=Segment.AT_REST)
    rows = offered.order_by("name").values_list("slug", "name", "member_count")[:MOST]
    return [{"value": slug, "count": count, "description": name} for slug, name, count in rows]


def _purposes(now: datetime) -> list[dict[str, Any]]:
    """With how many have agreed to each."""
    agreed = consents.count_standing(state=Standing.GRANTED, now=now)
    rows = Purpose.objects.order_by("name").values_list("pk", "slug", "name")[:MOST]
    return [{"value": slug, "count": agreed.get(pk, 0), "description": name} for pk, slug, name in rows]


def _with_computed(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Computed traits say what they are, and are offered before anybody has them."""
    labels = labels_by_name()
    seen = {one["value"].partition(".")[0] for one in found}
    for one in found:
        if label := labels.get(one["value"].partition(".")[0]):
            one.setdefault("description", f"Computed: {label}")
    return found + [
        {"value": name, "type": "string", "count": 0, "description": f"Computed: {label}"}
        for name, label in sorted(labels.items())
        if name not in seen
    ]


def _values(events: Sequence[str], name: str) -> list[dict[str, Any]]:
    if not events:
        return _merged(identity.trait_values(trait=name, limit=MOST))
    return _merged(one for event in events for one in ingestion.property_values(event=event, path=name, limit=MOST))


def _described(found: list[dict[str, Any]], kind: str, events: Sequence[str]) -> list[dict[str, Any]]:
    known = descriptions(kind=kind, events=events)
    return [one | ({"description": known[one["value"]]} if one["value"] in known else {}) for one in found]


def _is_hidden(events: Sequence[str], name: str, masker: Masker) -> bool:
    """Whether values of this trait or property are masked for the person who asks."""
    places = [("property", event) for event in events] or [("trait", "")]
    return any(masker.value(kind, event, name, "Probe 1") != "Probe 1" for kind, event in places)


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
