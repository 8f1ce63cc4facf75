"""What crosses the border of this package."""

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

Columns = Mapping[str, Sequence[str | None]]
"""A table of people: by column name, one text or None for every record. All columns are equally long."""

Record = Mapping[str, Sequence[str]]
"""One person as a deployment knows them: by column name, all values that are known, the leading one first."""


class ColumnType(StrEnum):
    """What a column says of a person; it decides how its values are cleaned, compared and blocked by."""

    GIVEN_NAME = "given_name"
    SURNAME = "surname"
    FULL_NAME = "full_name"
    INITIAL = "initial"
    BIRTH_DATE = "birth_date"
    AGE = "age"
    SEX = "sex"
    EMAIL = "email"
    PHONE = "phone"
    NATIONAL_ID = "national_id"
    STREET = "street"
    HOUSE_NUMBER = "house_number"
    ADDRESS = "address"
    POSTCODE = "postcode"
    CITY = "city"
    STATE = "state"
    CATEGORY = "category"
    IGNORE = "ignore"


Types = Mapping[str, ColumnType]


class FieldEvidence(msgspec.Struct, frozen=True):
    """What one field, or several that are judged together, says of a pair."""

    field: str
    level: str
    """In words, as a person reads it: `the same`, `one letter differs`, `day and month swapped`, `missing`."""
    weight: float
    """Log2 of the Bayes factor: above 0 for the same person, below 0 against, 0 for nothing known."""
    one: str = ""
    other: str = ""


class Explanation(msgspec.Struct, frozen=True):
    """The waterfall of a pair: `prior` and the weights of all fields add up to `score`, the log2 odds."""

    prior: float
    fields: tuple[FieldEvidence, ...]
    score: float
    probability: float
