"""Sessions as people read them."""

from typing import Any


def duration_text(seconds: float) -> str:
    """`48 s`, `4 min 12 s`, `1 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def session_text(told: dict[str, Any]) -> str:
    """`4 min 12 s, 6 pages, Organic search, iPhone`, from the properties of Session Ended or Session Started."""
    parts = []
    if isinstance(seconds := told.get("duration"), int | float):
        parts.append(duration_text(seconds))
        parts.append(_counted(told))
    else:
        parts.append("under way")
    channel, device = told.get("channel"), told.get("model") or told.get("device")
    parts += [str(word)[:1].upper() + str(word)[1:] for word in (channel,) if word]
    parts += [str(device)] if device else []
    return ", ".join(part for part in parts if part)


def origin_text(enriched: Any) -> str:
    """`iPhone, Mobile Safari, NO, email`: what enrichment told of one event."""
    if not isinstance(enriched, dict):
        return ""
    found = (enriched.get("model") or enriched.get("device"), *(enriched.get(name) for name in _TOLD))
    return ", ".join(str(word) for word in found if word and word != "internal")


_TOLD = ("browser", "os", "city", "country", "channel")


def _counted(told: dict[str, Any]) -> str:
    pages, events = told.get("pages"), told.get("events")
    if pages:
        return f"{pages} page{'' if pages == 1 else 's'}"
    return f"{events} event{'' if events == 1 else 's'}" if events else ""
