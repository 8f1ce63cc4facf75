"""Guess what the columns of a table say of a person, from their names and values."""

import re
from collections.abc import Iterable, Sequence
from itertools import islice

from .contracts import Columns, ColumnType
from .normalise import birth_date, email, phone, squeeze

SAMPLE = 500

NAMES: tuple[tuple[ColumnType, str], ...] = (
    (ColumnType.EMAIL, r"e?mail|mail_?address|courriel"),
    (ColumnType.PHONE, r"(tele|mobile_?|cell_?|home_?|work_?)?phone|mobile|msisdn|tel|cell|fax|handy|telefon"),
    (
        ColumnType.NATIONAL_ID,
        (
            r"ssn|sin|nin|nino|nhs|pesel|cpf|passport|tax_?id|national_?id|(soc|social)_?sec(urity)?(_?(id|no|num|number))?"
            r"|personal_?(id|number|code)|id_?card|medicare|tfn"
        ),
    ),
    (ColumnType.BIRTH_DATE, r"dob|birth_?(date|day)|date_?of_?birth|born(_?on)?|geburtsdatum|birth"),
    (ColumnType.AGE, r"age|alter"),
    (ColumnType.SEX, r"sex|gender|geschlecht"),
    (ColumnType.INITIAL, r"(middle_?|first_?|given_?)?initials?|mi"),
    (
        ColumnType.SURNAME,
        r"sur_?name|last_?name|family_?name|lname|nachname|familienname|maiden_?name|last|(birth|previous)_?surname",
    ),
    (
        ColumnType.GIVEN_NAME,
        r"given(_?name)?|first_?name|fore_?name|fname|christian_?name|middle(_?name)?|vorname|first|second_?name|nick_?name",
    ),
    (ColumnType.FULL_NAME, r"(full|customer|person|contact|display|complete|patient|client)?_?name"),
    (
        ColumnType.HOUSE_NUMBER,
        (
            r"(street|house|building|bldg|street_?addr(ess)?|addr(ess)?)_?(no|num|nr|number)|hausnummer|unit|apt|apartment|flat"
            r"|po_?box|suite|unit_?number"
        ),
    ),
    (ColumnType.POSTCODE, r"post_?(al_?)?code|zip(_?code)?|plz|pcode"),
    (ColumnType.CITY, r"city|town|suburb|locality|municipality|ort|stadt|place|village"),
    (ColumnType.STATE, r"state|province|region|county|department|canton|land|district"),
    (ColumnType.ADDRESS, r"(full|home|mailing|postal|residential)?_?addr(ess)?"),
    (ColumnType.STREET, r"street(_?(name|address))?|address_?(line)?_?\d|addr_?\d|strasse|road|line_?\d"),
    (
        ColumnType.IGNORE,
        (
            r"(.*_)?u?u?id|rec(ord)?_?(id|no)?|rid|index|row(_?num(ber)?)?|key|cluster.*|created.*|updated.*|modified.*"
            r"|time_?stamp|.*_at|truth.*|entity.*|source_?(record_?)?id"
        ),
    ),
    (ColumnType.CATEGORY, r"race|ethnicity|nationality|country|language|occupation|title|religion|marital.*|blood.*"),
)
_NAMES = tuple((kind, re.compile(rf"(?:{pattern})_?\d?")) for kind, pattern in NAMES)
_BEFORE = re.compile(r"^(customer|person|client|user|contact|primary|secondary|main|home|work|billing|shipping|alt)_")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def guess_types(columns: Columns) -> dict[str, ColumnType]:
    """The likeliest type of every column; one that tells nothing of a person becomes `IGNORE`."""
    return {name: _guess(name, list(islice(_present(values), SAMPLE))) for name, values in columns.items()}


def _present(values: Sequence[object]) -> Iterable[str]:
    for value in values:
        chosen = (value[0] if value else None) if isinstance(value, list | tuple) else value
        if isinstance(chosen, str) and chosen.strip():
            yield chosen


def _guess(name: str, values: Sequence[str]) -> ColumnType:
    named = guess_by_name(name)
    if not values:
        return named or ColumnType.IGNORE
    if named in {ColumnType.FULL_NAME, ColumnType.GIVEN_NAME} and _share(values, _is_email) > 0.5:
        return ColumnType.EMAIL
    if named is ColumnType.STREET and _share(values, _starts_with_number) > 0.5:
        return ColumnType.ADDRESS
    return named or _guess_by_values(values)


def guess_by_name(name: str) -> ColumnType | None:
    plain = re.sub(r"[^a-z0-9]+", "_", _CAMEL.sub("_", name.strip()).lower()).strip("_")
    for candidate in (plain, _BEFORE.sub("", plain), plain.rpartition("__")[2]):
        for kind, pattern in _NAMES:
            if pattern.fullmatch(candidate):
                return kind
    return None


def _guess_by_values(values: Sequence[str]) -> ColumnType:
    if _share(values, _is_email) > 0.6:
        return ColumnType.EMAIL
    if _share(values, _is_date) > 0.6:
        return ColumnType.BIRTH_DATE
    if _share(values, _is_phone) > 0.6:
        return ColumnType.PHONE
    distinct = len({squeeze(value) for value in values})
    if distinct <= max(2, min(30, len(values) // 5)):
        return ColumnType.CATEGORY
    return ColumnType.IGNORE


def _share(values: Sequence[str], test: object) -> float:
    return sum(map(test, values)) / len(values) if callable(test) else 0.0


def _is_email(value: str) -> bool:
    return "@" in value and email(value) is not None


def _is_date(value: str) -> bool:
    found = birth_date(value)
    return found is not None and 1900 <= int(found[:4]) <= 2100 and len(re.findall(r"\d", value)) >= 6


def _is_phone(value: str) -> bool:
    return phone(value) is not None and len(re.sub(r"\D", "", value)) >= 9 and not re.search(r"[A-Za-z]{3}", value)


def _starts_with_number(value: str) -> bool:
    return re.match(r"\s*\d+\w?[\s,]+\D", value) is not None
