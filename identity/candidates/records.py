"""From a profile to what the matcher compares: columns with all values that are known, the leading one first.

Pure. A value is text; what is empty, absurdly long or no text at all is left out, so that nothing a source sends can
slow the matcher down.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from identity.candidates.contracts import Fields, Person
from identity.matching.contracts import ColumnType, Record

MAX_VALUES = 8
MAX_LENGTH = 200

# Segment's reserved traits and the spellings that people use for them; compared without case, `_` and `-`.
# https://segment.com/docs/connections/spec/identify/#traits
KNOWN: Mapping[ColumnType, tuple[str, ...]] = {
    ColumnType.GIVEN_NAME: ("firstname", "givenname", "forename", "first"),
    ColumnType.SURNAME: ("lastname", "surname", "familyname", "last"),
    ColumnType.FULL_NAME: ("name", "fullname"),
    ColumnType.BIRTH_DATE: ("birthday", "dateofbirth", "birthdate", "dob"),
    ColumnType.SEX: ("gender", "sex"),
    ColumnType.EMAIL: ("email", "emailaddress", "mail"),
    ColumnType.PHONE: ("phone", "phonenumber", "mobile", "mobilephone", "telephone", "cell"),
    ColumnType.STREET: ("address.street", "street", "address.line1", "streetaddress", "addressline1"),
    ColumnType.CITY: ("address.city", "city", "town"),
    ColumnType.POSTCODE: ("address.postalcode", "postalcode", "postcode", "zip", "zipcode", "address.zip"),
    ColumnType.STATE: ("address.state", "state", "region", "province"),
    ColumnType.CATEGORY: ("address.country", "country"),
    ColumnType.ADDRESS: ("address",),
    ColumnType.NATIONAL_ID: ("nationalid", "ssn", "socialsecuritynumber", "taxid", "passport"),
}
IDENTIFIERS: Mapping[ColumnType, tuple[str, ...]] = {
    ColumnType.EMAIL: ("email",),
    ColumnType.PHONE: ("phone",),
}
# Segment's other reserved traits, and what describes a customer without telling who it is.
UNTELLING = frozenset(
    {
        "age", "avatar", "company", "createdat", "description", "id", "title", "username", "website", "logins",
        "plan", "synthetic",
    }
)  # fmt: skip
IDENTIFYING = frozenset({ColumnType.EMAIL, ColumnType.PHONE, ColumnType.NATIONAL_ID})
"""Types of which one value belongs to one person, as a rule; where very many share one, it is no evidence."""


def known_type(path: str) -> ColumnType | None:
    """What a trait of this name is, by convention; None where convention is silent."""
    plain = path.lower().replace("_", "").replace("-", "")
    if plain in UNTELLING:
        return ColumnType.IGNORE
    return next((type_ for type_, names in KNOWN.items() if plain in names), None)


def record_of(person: Person, fields: Fields) -> Record:
    """The person's values by column. A full name is taken apart where the deployment also knows its parts."""
    return _recorder(tuple(fields)).record(person)


def unite(records: Iterable[Record]) -> Record:
    """What several records of one profile say together, those of the first first."""
    united: dict[str, dict[str, None]] = {}
    for record in records:
        for column, values in record.items():
            united.setdefault(column, {}).update(dict.fromkeys(values))
    return {column: list(values)[:MAX_VALUES] for column, values in united.items()}


class _Recorder:
    """Makes records by some fields: what is known before a person is seen is found out once."""

    def __init__(self, fields: Fields) -> None:
        telling = [field for field in fields if field.type is not ColumnType.IGNORE]
        self._plan = [(one.column, [path.split(".") for path in one.traits], one.identifiers) for one in telling]
        columns = {field.type: field.column for field in reversed(fields)}
        self._given, self._surname = columns.get(ColumnType.GIVEN_NAME), columns.get(ColumnType.SURNAME)
        self._full = columns.get(ColumnType.FULL_NAME) if self._given and self._surname else None

    def record(self, person: Person) -> Record:
        record: dict[str, list[str]] = {}
        for column, paths, kinds in self._plan:
            values: list[str] = []
            for path in paths:
                value: Any = person.traits
                for name in path:
                    value = value.get(name) if isinstance(value, dict) else None
                if value is not None:
                    values += _texts(value)
            for kind in kinds:
                for known in person.identifiers.get(kind, ()):
                    values += _texts(known)
            if values:
                record[column] = values if len(values) == 1 else list(dict.fromkeys(values))[:MAX_VALUES]
        return self._with_one_spelling_of_names(record) if self._full in record else record

    def _with_one_spelling_of_names(self, record: dict[str, list[str]]) -> Record:
        given, surname, names = self._given or "", self._surname or "", record.pop(self._full or "")
        if given in record or surname in record:
            return record
        parts = [_parts(name) for name in names]
        for column, values in ((given, [one for one, _ in parts if one]), (surname, [two for _, two in parts if two])):
            if values:
                record[column] = list(dict.fromkeys(values))
        return record


_recorder = lru_cache(maxsize=8)(_Recorder)


def _texts(value: Any) -> Sequence[str]:
    if isinstance(value, str):
        # A name of 10 kB is a mistake, and its beginning would be a mistaken name.
        text = " ".join(value.replace("\0", "").split()) if len(value) <= MAX_LENGTH else ""
        return (text,) if text else ()
    if isinstance(value, list):
        return [text for item in value[:MAX_VALUES] if not isinstance(item, list) for text in _texts(item)]
    if isinstance(value, int | float) and not isinstance(value, bool):
        text = str(int(value)) if value == value // 1 else str(value)
        return (text,) if len(text) <= MAX_LENGTH else ()
    return ()


def _parts(name: str) -> tuple[str, str]:
    last, comma, first = name.partition(",")
    if comma:
        return first.strip(), last.strip()
    first, _, last = name.rpartition(" ")
    return (first, last) if first else (last, "")
