"""Text, booleans in words, and values that a table names."""

import re
import unicodedata
from collections.abc import Callable
from typing import Any, Literal

from ingestion.standardise.values.contracts import BadOptionsError, Options, Standardiser, Unreadable

MAX_TABLE = 5_000
_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"[^\s\-–/]+")


def tidy(text: str) -> str:
    """No space around, single ones inside, and one spelling of what Unicode can spell in two ways."""
    return _SPACE.sub(" ", unicodedata.normalize("NFC", text)).strip()


def fold(text: str) -> str:
    """What two spellings of the same word have in common."""
    return tidy(text).casefold()


def _capitalise(text: str) -> str:
    return text[:1].upper() + text[1:].lower()


_CASES: dict[str, Callable[[str], str]] = {
    "keep": str,
    "lower": str.lower,
    "upper": str.upper,
    "title": lambda text: _WORD.sub(lambda word: _capitalise(word[0]), text),
    "sentence": _capitalise,
}


class TextOptions(Options, frozen=True):
    case: Literal["keep", "lower", "upper", "title", "sentence"] = "keep"


def text(options: TextOptions) -> Standardiser:
    """Trim, collapse white space, set the case. Numbers become text: `12` → `"12"`."""
    change = _CASES[options.case]

    def standardise(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return Unreadable("not text")
        found = tidy(str(value))
        for _ in range(4):  # letters whose capitals are several, which fold once more
            before, found = found, tidy(change(found))
            if found == before:
                break
        return found

    return standardise


YES = (
    "yes",
    "y",
    "true",
    "t",
    "1",
    "on",
    "ja",
    "j",
    "wahr",
    "oui",
    "vrai",
    "sí",
    "si",
    "sì",
    "sim",
    "tak",
    "da",
    "да",
)
NO = ("no", "n", "false", "f", "0", "off", "nein", "falsch", "non", "faux", "não", "nao", "nee", "nie", "nej", "нет")


class BooleanOptions(Options, frozen=True):
    yes: tuple[str, ...] = YES
    no: tuple[str, ...] = NO


def boolean(options: BooleanOptions) -> Standardiser:
    """`ja` → true, `0` → false. Words of one's own replace the common ones."""
    both = {fold(word) for word in options.yes} & {fold(word) for word in options.no}
    if both:
        raise BadOptionsError(f"{min(both)!r} cannot mean both.", code="word_twice", path="/no")
    words = {fold(word): True for word in options.yes} | {fold(word): False for word in options.no}

    def standardise(value: Any) -> Any:
        if isinstance(value, bool):
            return value
        if not isinstance(value, str | int | float):
            return Unreadable("neither yes nor no")
        found = words.get(fold(f"{value:g}" if isinstance(value, float) else str(value)))
        return Unreadable("neither yes nor no") if found is None else found

    return standardise


class MappingOptions(Options, frozen=True):
    table: dict[str, str | None] = {}
    unknown: Literal["keep", "null", "flag"] = "keep"
    case_sensitive: bool = False


def mapping(options: MappingOptions) -> Standardiser:
    """A table of spellings: `{"m": "male", "herr": "male"}`. What it leads to stands for itself."""
    key: Callable[[str], str] = tidy if options.case_sensitive else fold
    if len(options.table) > MAX_TABLE:
        raise BadOptionsError(f"A table has up to {MAX_TABLE:,} lines.", code="table_too_long", path="/table")
    table = _table(options.table, key)

    def standardise(value: Any) -> Any:
        found = table.get(key(_spelling(value)), Unreadable("not in the table"))
        if not isinstance(found, Unreadable) or options.unknown == "flag":
            return found
        return value if options.unknown == "keep" else None

    return standardise


def _table(given: dict[str, str | None], key: Callable[[str], str]) -> dict[str, str | None]:
    table: dict[str, str | None] = {}
    for word, target in given.items():
        if table.setdefault(key(word), target) != target:
            raise BadOptionsError(f"{word!r} stands there twice.", code="line_twice", path=f"/table/{word}")
    for word, target in given.items():
        if target is None:
            continue
        if table.get(key(target), target) != target:
            message = f"{word!r} leads to {target!r}, which leads on. Say where both lead in the end."
            raise BadOptionsError(message, code="line_leads_on", path=f"/table/{word}")
    return {key(target): target for target in given.values() if target is not None} | table


def _spelling(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)
