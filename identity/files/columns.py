"""Which columns of a file say who somebody is, and of what type each is."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from identity.files.errors import FileError, unknown
from identity.files.texts import Table
from identity.files.together import find_joined
from identity.matching.contracts import Columns, ColumnType
from identity.matching.headers import is_of_an_event, is_of_somebody_else, read_header

KEYS = re.compile(
    r"unnamed.*|__index_level_\d+__|rid|rownum"
    r"|(index|row|record|rec|unique|truth|true|entity|cluster|person|customer|user|client|member|profile|account"
    r"|contact|source|simulant|internal|external|object)?[ _.-]*(ids?|uid|uuid|guid|key|pk|index|row|cluster|truth)",
    re.IGNORECASE,
)
"""Names of columns that number records and say nothing of the person, or give away the answer."""
NUMBERS_OF_THINGS = frozenset({ColumnType.CATEGORY, ColumnType.NATIONAL_ID, ColumnType.IGNORE})
"""What a key may be mistaken for."""
FEWEST = 20
"""Rows from which a column with one value is taken to have no other."""
EXAMPLES = 3


@dataclass(frozen=True)
class ColumnUse:
    """What is made of a column. Not compared if the type is IGNORE, and then `why` says why."""

    name: str
    type: ColumnType
    filled: float
    distinct: int
    examples: tuple[str, ...]
    why: str = ""


def parse_types(options: Sequence[str]) -> dict[str, ColumnType]:
    """`column=type,…` as on the command line. Raises FileError."""
    types = {}
    for part in ",".join(options).split(","):
        if not part.strip():
            continue
        name, equals, word = part.rpartition("=")
        if not equals or not name.strip():
            raise FileError(f"--types takes column=type, and this is not: {part}", code="bad_types", path="/types")
        try:
            types[name.strip()] = ColumnType(word.strip().lower())
        except ValueError:
            message = f"{word.strip()} is no type of column.{unknown(word.strip().lower(), list(ColumnType))}"
            raise FileError(message, code="unknown_type", path=f"/types/{name.strip()}") from None
    return types


def choose_columns(
    table: Table,
    *,
    guess: Callable[[Columns], Mapping[str, ColumnType]],
    told: Mapping[str, ColumnType],
    truth: str | None,
) -> tuple[list[ColumnUse], dict[str, list[str | None]]]:
    """How each column is taken, and the values of those that are compared. The truth is never among them.

    Raises FileError for names that the file does not have, and where nothing is left to compare.
    """
    for name, option in [(name, "types") for name in told] + ([(truth, "truth")] if truth is not None else []):
        if name not in table.names:
            message = f"The file has no column {name}.{unknown(name, table.names)}"
            raise FileError(message, code="unknown_column", path=f"/{option}")
    columns = {name: table.column(name) for name in table.names if name != truth}
    guessed = guess({name: texts for name, texts in columns.items() if name not in told})
    uses = [
        use_of(name, columns.get(name, []), guessed=guessed.get(name), told=told.get(name), truth=truth)
        for name in table.names
    ]
    used = {use.name: columns[use.name] for use in uses if use.type is not ColumnType.IGNORE}
    uses, used = join_columns(uses, used, columns, told=told)
    if not used:
        raise FileError(
            "No column says who somebody is: all are empty, keys or not recognised. Name them with "
            "--types column=type,…; types are " + ", ".join(ColumnType) + ".",
            code="no_usable_column",
        )
    return uses, used


def join_columns(
    uses: list[ColumnUse],
    used: dict[str, list[str | None]],
    columns: Mapping[str, list[str | None]],
    *,
    told: Mapping[str, ColumnType],
) -> tuple[list[ColumnUse], dict[str, list[str | None]]]:
    """Columns that are one thing become one column. What somebody said of a column is left as it is."""
    types = {use.name: use.type for use in uses if use.name in columns and use.name not in told}
    joined = find_joined({name: columns[name] for name in types}, types)
    parts = {name: one.name for one in joined for name in one.of}
    kept = [
        replace(use, type=ColumnType.IGNORE, why=f"part of “{parts[use.name]}”") if use.name in parts else use
        for use in uses
    ]
    made = [use_of(one.name, one.texts, guessed=one.type, told=None, truth=None) for one in joined]
    left = {name: texts for name, texts in used.items() if name not in parts}
    return made + kept, {one.name: one.texts for one in joined} | left


def use_of(
    name: str,
    texts: Sequence[str | None],
    *,
    guessed: ColumnType | None,
    told: ColumnType | None,
    truth: str | None,
) -> ColumnUse:
    if name == truth:
        return ColumnUse(name, ColumnType.IGNORE, 0.0, 0, (), "the truth, by which the result is measured")
    known = [text for text in texts if text is not None]
    distinct = dict.fromkeys(known)
    kind, why = decide(name, rows=len(texts), filled=len(known), distinct=len(distinct), guessed=guessed, told=told)
    return ColumnUse(name, kind, len(known) / len(texts), len(distinct), tuple(distinct)[:EXAMPLES], why)


def decide(
    name: str, *, rows: int, filled: int, distinct: int, guessed: ColumnType | None, told: ColumnType | None
) -> tuple[ColumnType, str]:
    """What a person said holds, except that nothing can be compared where there is nothing."""
    if not filled:
        return ColumnType.IGNORE, "empty"
    if told is not None:
        return told, "as you said" if told is ColumnType.IGNORE else ""
    kind = guessed or ColumnType.IGNORE
    if distinct == 1 and filled >= FEWEST and kind is not ColumnType.IGNORE:
        return ColumnType.IGNORE, "one and the same value wherever it is filled: it tells nobody apart"
    if kind in NUMBERS_OF_THINGS or (kind is ColumnType.PHONE and read_header(name)[0] is not ColumnType.PHONE):
        if filled == rows == distinct and rows > 1:
            return ColumnType.IGNORE, "a key: unique in every row, so no evidence"
        if KEYS.fullmatch(name):
            return ColumnType.IGNORE, "named like a key of records, not like a property of people"
    return kind, why_ignored(name) if kind is ColumnType.IGNORE else ""


def why_ignored(name: str) -> str:
    if is_of_an_event(name):
        return "says when or what happened, not who somebody is"
    if is_of_somebody_else(name):
        return "of somebody else, or of a firm"
    return "not recognised as a property of people"
