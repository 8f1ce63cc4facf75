"""Template tags of the console: times, numbers, names and charts. Listed in docs/reference/components.md."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ingestion.dictionary.masking import mask as mask_value

register = template.Library()

_STEPS = ((timedelta(minutes=1), 1, "s"), (timedelta(hours=1), 60, "min"), (timedelta(days=1), 3_600, "h"))
_DAYS = timedelta(days=14)
# From what on (a tenth less, where it would be rounded up to it), divided by what, with which letter.
_SHORT = ((999_950_000, 1_000_000_000, "B"), (999_950, 1_000_000, "M"), (10_000, 1_000, "k"))

STATE_COLOURS = {
    "active": "green",
    "live": "green",
    "delivered": "green",
    "granted": "green",
    "allowed": "green",
    "stored": "green",
    "computing": "azure",
    "pending": "azure",
    "entered": "green",
    "paused": "yellow",
    "suppressed": "yellow",
    "no_consent": "yellow",
    "duplicate": "secondary",
    "left": "secondary",
    "revoked": "secondary",
    "expired": "secondary",
    "unknown": "secondary",
    "failed": "red",
    "dead": "red",
    "disabled": "red",
    "denied": "red",
    "withdrawn": "red",
    "refused": "red",
    "quarantined": "red",
}


def humanise(moment: datetime, now: datetime) -> str:
    """`12 s ago`, `3 min ago`, `5 h ago`, `4 d ago`, then the date; the same with `in` for what is to come."""
    delta = now - moment
    distance = abs(delta)
    if distance < timedelta(seconds=2):
        return "just now"
    if distance >= _DAYS:
        local = timezone.localtime(moment)
        return f"{local.day} {local:%b %Y}"
    amount = _amount(distance)
    return f"{amount} ago" if delta > timedelta(0) else f"in {amount}"


def _amount(distance: timedelta) -> str:
    for limit, seconds, unit in _STEPS:
        if distance < limit:
            return f"{int(distance.total_seconds()) // seconds} {unit}"
    return f"{distance.days} d"


@register.filter
def ago(moment: datetime | None) -> SafeString | str:
    """A `<time>` that says how long ago, with the exact moment in its title."""
    if moment is None:
        return "never"
    exact = f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S %Z}"
    return format_html(
        '<time datetime="{}" title="{}" class="text-nowrap">{}</time>',
        moment.isoformat(),
        exact,
        humanise(moment, timezone.now()),
    )


@register.filter
def span(delta: timedelta) -> str:
    """A stretch of time, such as a delay: `40 ms`, `3 s`, `2 min`, `5 h`, `4 d`."""
    if delta < timedelta(seconds=1):
        return f"{delta // timedelta(milliseconds=1)} ms"
    return _amount(delta)


@register.filter
def number(value: float | None) -> str:
    """`12345.5` as `12,345.5`; nothing as a dash."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}".rstrip("0").rstrip(".")


@register.filter
def short_number(value: float | None) -> str:
    """`12,345` as `12.3k`, for places with little room; below ten thousand as it is."""
    if value is None:
        return "–"
    for least, divisor, letter in _SHORT:
        if abs(value) >= least:
            return f"{value / divisor:.1f}".removesuffix(".0") + letter
    return number(value)


@register.filter
def percent(share: float) -> str:
    """A share as `12.5%`; never `0%` or `100%` where it is not quite."""
    if share <= 0 or share >= 1:
        return "0%" if share <= 0 else "100%"
    shown = min(max(round(share * 100, 1), 0.1), 99.9)
    return f"{shown:g}%"


@register.filter
def state_colour(state: str) -> str:
    return STATE_COLOURS.get(str(state), "secondary")


@register.filter
def initials(name: str) -> str:
    words = [word for word in str(name).split() if word[:1].isalnum()]
    return "".join(word[0] for word in (words[:1] + words[-1:] if len(words) > 1 else words)).upper() or "?"


@register.filter
def tint(key: int | str) -> int:
    """One of six avatar colours, always the same for the same id."""
    return (int(key) if str(key).isdigit() else sum(map(ord, str(key)))) % 6


@register.filter
def value_text(value: Any) -> str:
    """A trait or property as a person reads it: text bare, the rest as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, list):
        return ", ".join(value_text(one) for one in value) or "–"
    return "–" if value is None else json.dumps(value, ensure_ascii=False)


@register.filter
def mask(value: Any, pii: str) -> Any:
    """A value as those see it who may not see it: `{{ address|mask:"contact" }}`."""
    return mask_value(value, pii)


@register.filter
def is_nested(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(one, dict | list) for one in value))


@register.filter
def pretty_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False)


@register.filter
def second_name(profile: Any) -> str:
    """The identifier that tells most beside the name that is shown already."""
    values = (value for kind in profile.identifiers.values() for value in kind)
    return next((value for value in values if value != profile.display_name), f"Profile {profile.id}")


@register.filter
def get(mapping: Mapping[Any, Any], key: Any) -> Any:
    return mapping.get(key)


@register.filter
def spark(values: list[float]) -> str:
    """The points of an SVG polyline 100 wide and 24 high."""
    top = max([*values, 1])
    last = max(len(values) - 1, 1)
    return " ".join(f"{index * 100 / last:.1f},{23 - value / top * 22:.1f}" for index, value in enumerate(values))


@register.simple_tag(takes_context=True)
def address(context: dict[str, Any], **changes: Any) -> str:
    """The present query string with some parameters set, or dropped where the value is empty: `?q=a&after=5`."""
    params = context["request"].GET.dict() | {name: str(value) for name, value in changes.items()}
    return "?" + urlencode({name: value for name, value in params.items() if value})


@register.simple_tag(takes_context=True)
def next_page(context: dict[str, Any], page: Any, name: str = "after") -> str:
    """The address of the page after this `cdp.kernel.screens.Page`; empty on the last one."""
    return address(context, **{name: page.next}) if page.next else ""


@register.simple_tag(takes_context=True)
def first_page(context: dict[str, Any], name: str = "after") -> str:
    """The way back to the first page; empty there."""
    return address(context, **{name: ""}) if context["request"].GET.get(name) else ""


@register.inclusion_tag("components/chart.html")
def chart(name: str, *, data: Mapping[str, Any], label: str, kind: str = "bars", size: str = "md") -> dict[str, Any]:
    """A chart and, for those who do not see it, the same numbers as a table.

    `data` is ``{"x": [label…], "series": [{"name", "data", "colour"?}…], "unit"?, "time"?}``; `kind` is bars,
    stacked, lines, area or diverging; `size` sm, md or lg.
    """
    series = data["series"]
    rows = [(x, [one["data"][index] for one in series]) for index, x in enumerate(data["x"])]
    return {"source": f"{name}-data", "data": data, "label": label, "kind": kind, "size": size, "rows": rows}
