"""Durations, dates and calendar periods.

What counts as a date in a trait, a property or a definition is ISO 8601 in this form, and nothing else:
``2026-03-01``, ``2026-03-01T09:30``, ``2026-03-01 09:30:15.123``, each time with ``Z``, ``+02``, ``+0200`` or
``+02:00`` behind it if it names its offset. `ISO` accepts exactly the days that exist, and is written so that
Python and PostgreSQL read it alike: a text that matches can be cast without an error.
"""

import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
MICROSECOND = timedelta(microseconds=1)

_YEAR = "([0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"  # not 0000
_DAY = (
    f"({_YEAR}-(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])"
    f"|{_YEAR}-(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    f"|{_YEAR}-02-(0[1-9]|1[0-9]|2[0-8])"
    "|(([0-9]{2}(0[48]|[2468][048]|[13579][26]))|(0[48]|[2468][048]|[13579][26])00)-02-29)"
)
_TIME = "[T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,9})?)?"
_OFFSET = "(Z|[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?)"
ISO = f"^{_DAY}({_TIME}{_OFFSET}?)?$"
HAS_OFFSET = "[T ].*[Z+-]"

_ISO = re.compile(ISO.replace("$", r"\Z"))
_HAS_OFFSET = re.compile(HAS_OFFSET)


def is_iso(text: str) -> bool:
    return _ISO.match(text) is not None


def instant(text: str, zone: str) -> datetime:
    """The instant that `text` names, to the microsecond; `zone` is used where it has no offset of its own."""
    shortened = re.sub(r"([.][0-9]{6})[0-9]+", r"\1", text)
    found = datetime.fromisoformat(shortened)
    if not _HAS_OFFSET.search(text):
        found = found.replace(tzinfo=ZoneInfo(zone))
    return found.astimezone(UTC)


def local_day(moment: datetime, zone: str) -> date:
    return moment.astimezone(ZoneInfo(zone)).date()


def start_of(day: date, zone: str) -> datetime:
    """The first instant of a calendar day."""
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def period_days(period: str, today: date) -> tuple[date, date, date]:
    """First day, the day after the last, and the day on which the period means other days."""
    tomorrow = today + timedelta(days=1)
    monday = today - timedelta(days=today.weekday())
    next_monday = monday + timedelta(weeks=1)
    first = today.replace(day=1)
    next_first = (first + timedelta(days=32)).replace(day=1)
    return {
        "today": (today, tomorrow, tomorrow),
        "yesterday": (today - timedelta(days=1), today, tomorrow),
        "this_week": (monday, next_monday, next_monday),
        "last_week": (monday - timedelta(weeks=1), monday, next_monday),
        "this_month": (first, next_first, next_first),
        "last_month": ((first - timedelta(days=1)).replace(day=1), first, next_first),
    }[period]
