"""What this room's codes are called on a screen."""

from identity.kinds.rules import DEFAULTS, OTHERS, KindSettings

REASONS = {
    "merge_refused": "Merge refused",
    "limit_reached": "Limit reached",
    "limit_reached_weekly": "Weekly limit reached",
    "limit_reached_monthly": "Monthly limit reached",
    "limit_reached_yearly": "Yearly limit reached",
    "never_linked": "Declared to be two",
    "blocked": "Blocked value",
    "blocked_pattern": "Blocked pattern",
    "too_short": "Too short",
    "too_uniform": "Too few different characters",
    "unreadable": "Not of this kind",
    "disabled": "Kind is off",
}
TROUBLES = (
    "merge_refused", "limit_reached", "limit_reached_weekly", "limit_reached_monthly", "limit_reached_yearly",
    "never_linked",
)  # fmt: skip
"""Reasons for which identifiers that met were not linked; the others say why a value leads to nobody."""

EXPLAINED = {
    "": "This value leads to one person.",
    "nobody": "Everywhere, such a value means nobody.",
    "blocked": "The value is on the list of blocked values.",
    "blocked_pattern": "The value matches a blocked pattern.",
    "too_short": "The value is shorter than the kind demands.",
    "too_uniform": "The value has fewer different letters and digits than the kind demands.",
    "unreadable": "The value is none of this kind.",
    "disabled": "The kind is switched off.",
}
COLOURS = ("1", "2", "3", "4", "5", "6", "7", "8")


def label_of(kind: str, settings: KindSettings | None = None) -> str:
    if settings is not None and settings.label:
        return settings.label
    return DEFAULTS[kind].label if kind in DEFAULTS else kind.replace("_", " ").capitalize()


def limits_in_words(settings: KindSettings) -> str:
    """`1`, `5, and 2 a week`, `no limit`."""
    ever = "no limit" if settings.limit_ever is None else f"{settings.limit_ever:,}"
    units = {"yearly": "a year", "monthly": "a month", "weekly": "a week"}
    return ", ".join([ever, *(f"{limit:,} {units[period.value]}" for period, limit in settings.periods)])


def in_address(kind: str) -> str:
    """A kind as a part of an address."""
    return "_others" if kind == OTHERS else kind


def from_address(text: str) -> str:
    return OTHERS if text == "_others" else text
