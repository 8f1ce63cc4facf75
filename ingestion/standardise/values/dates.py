"""Dates and times to ISO 8601. What could mean two days is not read unless somebody says which is meant."""

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Any, Literal
from zoneinfo import ZoneInfo

from dateutil import parser as dateutil_parser

from ingestion.standardise.values.contracts import BadOptionsError, Options, Standardiser, Unreadable

NOT_A_DATE = Unreadable("not a date")

_ISO = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ].+)?|\d{8}(?:T.+)?|\d{4}-W\d{2}-\d")
_NUMERIC = re.compile(r"(\d{1,4})([./-])(\d{1,2})\2(\d{1,4})(?:[T\s,]+(.+))?")
_TIME = re.compile(
    r"(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,6})\d*)?)?\s*([ap])?(?:\.?m\.?)?\s*(Z|UTC|GMT|[+-]\d{2}:?\d{2})?",
    re.IGNORECASE,
)
_EPOCH = re.compile(r"-?\d{1,17}(?:\.\d+)?")
_YEAR = re.compile(r"(?<!\d)\d{4}(?!\d)")
_LETTERS = re.compile(r"[^\W\d_]{3}")
_FILLINGS = (datetime(2001, 1, 1), datetime(2004, 2, 28))  # noqa: DTZ001 - a moment that is compared and not kept


_MONTHS: list[Any] = [
    ("Jan", "January", "Januar", "Jänner", "janvier", "enero", "gennaio", "januari", "janeiro"),
    ("Feb", "February", "Februar", "février", "fevrier", "febrero", "febbraio", "februari", "fevereiro"),
    ("Mar", "March", "März", "Maerz", "mars", "marzo", "maart", "março"),
    ("Apr", "April", "avril", "abril", "aprile"),
    ("May", "May", "Mai", "mayo", "maggio", "mei", "maio"),
    ("Jun", "June", "Juni", "juin", "junio", "giugno", "junho"),
    ("Jul", "July", "Juli", "juillet", "julio", "luglio", "julho"),
    ("Aug", "August", "août", "aout", "agosto", "augustus", "augusti"),
    ("Sep", "Sept", "September", "septembre", "septiembre", "settembre", "setembro"),
    ("Oct", "October", "Oktober", "Okt", "octobre", "octubre", "ottobre", "outubro"),
    ("Nov", "November", "novembre", "noviembre", "novembro"),
    ("Dec", "December", "Dezember", "Dez", "décembre", "decembre", "diciembre", "dicembre", "dezembro"),
]


class _Months(dateutil_parser.parserinfo):
    """English as dateutil has it, and the months of the languages around."""

    MONTHS = _MONTHS
    JUMP = [*dateutil_parser.parserinfo.JUMP, "de", "del", "den", "der", "le", "um", "uhr", "à", "alle", "las"]


_parser = dateutil_parser.parser(_Months())


class DateOptions(Options, frozen=True):
    order: Literal["", "day_first", "month_first"] = ""
    """How `01/02/2024` is meant; without it such a date cannot be read (`25/12/2024` can)."""
    formats: tuple[str, ...] = ()
    """Formats of one's own, tried first, as of Python's strptime: `%d%m%y`."""
    output: Literal["as_given", "date", "datetime"] = "as_given"
    timezone: str = ""
    """The zone of times that name none: `Europe/Berlin`. Without it they stay without."""
    epoch: Literal["", "s", "ms"] = ""
    """Whether numbers are seconds or milliseconds since 1970."""


def iso_date(options: DateOptions) -> Standardiser:
    """`31.12.2024` → `2024-12-31`, `Mar 5, 2024 2:30 pm` → `2024-03-05T14:30:00`."""
    zone = _zone(options.timezone)
    for index, form in enumerate(options.formats):
        _check_format(form, f"/formats/{index}")

    def standardise(value: Any) -> Any:
        try:
            found = _read(value, options)
        except (ValueError, OverflowError, OSError):  # the last where seconds since 1970 are far beyond the calendar
            return NOT_A_DATE
        return found if isinstance(found, Unreadable) else _write(found, options, zone)

    return standardise


def _zone(name: str) -> tzinfo | None:
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        raise BadOptionsError(f"{name!r} is no time zone.", code="timezone_unknown", path="/timezone") from None


def _check_format(form: str, path: str) -> None:
    try:
        text = datetime(2024, 11, 23, 14, 45, 6, tzinfo=UTC).strftime(form)
        again = datetime.strptime(text, form)  # noqa: DTZ007 - only whether it can be read
    except ValueError:
        again = None
    if again is None or (again.year, again.month, again.day) != (2024, 11, 23):
        raise BadOptionsError(f"{form!r} does not name year, month and day.", code="format_invalid", path=path)


def _read(value: Any, options: DateOptions) -> date | datetime | Unreadable:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return NOT_A_DATE
    text = str(value).strip()
    if options.epoch and _EPOCH.fullmatch(text):
        return datetime.fromtimestamp(float(text) / (1_000 if options.epoch == "ms" else 1), UTC)
    if not isinstance(value, str):
        return NOT_A_DATE
    if _ISO.fullmatch(text):
        return _read_iso(text)
    for form in options.formats:
        try:
            found = datetime.strptime(text, form)  # noqa: DTZ007 - the zone is the rule's
        except ValueError:
            continue
        return found if "%H" in form or "%I" in form else found.date()
    numeric = _NUMERIC.fullmatch(text)
    return _read_numeric(numeric, options.order) if numeric else _read_words(text)


def _read_iso(text: str) -> date | datetime:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return datetime.fromisoformat(text.replace(" +", "+"))


def _read_numeric(match: re.Match[str], order: str) -> date | datetime | Unreadable:
    first, _, middle, last, time = match.groups()
    if len(first) == 4:
        day = date(int(first), int(middle), int(last))
    elif len(last) != 4:
        return Unreadable("a year of two digits")
    else:
        one, two = int(first), int(middle)
        if not order and one <= 12 and two <= 12 and one != two:
            return Unreadable("day or month first?")
        day_first = order == "day_first" or (not order and one > 12)
        day = date(int(last), two, one) if day_first else date(int(last), one, two)
    return _with_time(day, time) if time else day


def _with_time(day: date, text: str) -> datetime | Unreadable:
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return NOT_A_DATE
    hour, minute, second, fraction, half, offset = match.groups()
    hours = int(hour)
    if half:
        if not 1 <= hours <= 12:
            return NOT_A_DATE
        hours = hours % 12 + (12 if half.lower() == "p" else 0)
    micros = int((fraction or "0").ljust(6, "0"))
    return datetime(day.year, day.month, day.day, hours, int(minute), int(second or 0), micros, tzinfo=_offset(offset))


def _offset(text: str | None) -> tzinfo | None:
    if not text:
        return None
    if text[0] not in "+-":
        return UTC
    digits = text[1:].replace(":", "")
    delta = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-delta if text[0] == "-" else delta)


def _read_words(text: str) -> date | datetime | Unreadable:
    """With the month as a word. A part that is missing would be filled from the default: two of them must agree."""
    if len(text) > 60 or not _LETTERS.search(text) or not _YEAR.search(text):
        return NOT_A_DATE
    one, two = (_parser.parse(text, default=filling, tzinfos=_named_zone) for filling in _FILLINGS)
    if one != two:
        return Unreadable("a part of the date is missing")
    return one if re.search(r"\d:\d|\d\s*[ap]\.?m", text, re.IGNORECASE) else one.date()


def _named_zone(name: str | None, offset: int | None) -> tzinfo | None:
    if name is None and offset is None:
        return None
    if offset is not None:
        return timezone(timedelta(seconds=offset))
    if name in {"UTC", "GMT", "Z"}:
        return UTC
    raise ValueError(name)


def _write(found: date | datetime, options: DateOptions, zone: tzinfo | None) -> str:
    if options.output == "date":
        return (found.date() if isinstance(found, datetime) else found).isoformat()
    if not isinstance(found, datetime):
        if options.output == "as_given":
            return found.isoformat()
        found = datetime(found.year, found.month, found.day)  # noqa: DTZ001 - the zone follows
    return (found.replace(tzinfo=zone) if zone and found.tzinfo is None else found).isoformat()
