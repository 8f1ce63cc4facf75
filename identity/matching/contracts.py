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


OTHERS = "household"
"""The field of an explanation that says how well relatives or namesakes would explain the pair."""
OTHERS_TOLD = "relatives or namesakes may look like this too"


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


class Labelled(msgspec.Struct, frozen=True):
    """What a person said of two rows of a table: one and the same, or not."""

    one: int
    other: int
    same: bool
    weight: float = 1.0


class LabelledPair(msgspec.Struct, frozen=True):
    """What a person said of two records. `sampled` ones were drawn at random, each for `weight` pairs like it."""

    one: dict[str, list[str]]
    other: dict[str, list[str]]
    same: bool
    weight: float = 1.0
    sampled: bool = False


class MatchSettings(msgspec.Struct, frozen=True):
    """How `match` works. The defaults serve any table; nothing here needs tuning to one."""

    threshold: float = 0.5
    """Probability from which two clusters are one person."""
    pairs_per_record: float = 24.0
    """Budget: different candidate pairs in all, as a multiple of the number of records."""
    spare_pairs: int = 20_000
    """Pairs in all of blocking keys that are used although a probe finds little."""
    largest_block: int = 100
    """Records that share a blocking key in greater number are compared only if they share a second one."""
    largest_cluster: int = 100
    """Clusters never grow beyond this many records."""
    probe: int = 1000
    """Pairs of a blocking key that are looked at before it is used."""
    sample: int = 60_000
    """Random pairs that stand for all that are no candidates."""
    fewest: int = 60
    """Below so many records nothing is estimated: the default weights are used."""
    seed: int = 20


class MatchWarning(msgspec.Struct, frozen=True):
    """Something about the data that a person can act on. `code` is stable."""

    code: str
    column: str
    message: str
    count: int = 0
    value: str = ""
    """The value it is about, if any. It may be a person's: mask it as the column is masked."""


class PassReport(msgspec.Struct, frozen=True):
    """What one blocking key brought, per class of block sizes."""

    key: str
    block_size: int
    pairs: int
    kept: bool
    found: float
    """Share of the probed pairs that are likely matches which no earlier key finds."""


class MatchReport(msgspec.Struct, frozen=True):
    records: int
    pairs: int
    passes: tuple[PassReport, ...]
    dropped_blocks: int
    dropped_pairs: int
    clusters: int
    expected_matches: float
    """How many of all pairs are one person, by the model."""
    coverage: float
    """Share of the expected matches that two or more blocking keys find: a key lost would hardly be missed."""
    seconds: dict[str, float]
    """CPU seconds by step."""
    warnings: tuple[MatchWarning, ...] = ()


class LevelWeight(msgspec.Struct, frozen=True):
    level: str
    m: float
    """Share of the pairs of one person at this level, of those where the field is known on both sides."""
    u: float
    """Share of random pairs."""
    weight: float
    """Log2 of m / u."""


class FieldLevels(msgspec.Struct, frozen=True):
    field: str
    levels: list[LevelWeight]
