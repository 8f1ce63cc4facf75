"""Tables as columns of text, and CSV files as such tables.

Everything is read as text, so that a postcode keeps its leading zeros.
"""

import codecs
import contextlib
import csv
import io
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from identity.files.errors import FileError

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
SAMPLE = 200
"""Rows by which delimiter and header are recognised."""
LONGEST_FIELD = 1_000_000
"""Characters. More than that is a quotation mark that is never closed."""
MISSING = frozenset({"", "null", "nan", "none", "n/a", "#n/a", "<na>", "\\n"})
BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}

Column = Sequence[str | None]


class Table(ABC):
    """A file that was read. Column names are made unique; `described` says how it was understood."""

    names: list[str]
    described: str
    warnings: list[str]

    @property
    @abstractmethod
    def rows(self) -> int: ...

    @abstractmethod
    def column(self, name: str) -> list[str | None]:
        """As text; None where nothing is known."""


def known(text: str | None) -> str | None:
    """What programs write for nothing is nothing; `NA` only in capitals, as R writes it: Na is a surname."""
    if text is None or text == "NA":
        return None
    return None if text.strip().lower() in MISSING else text


# --- CSV ----------------------------------------------------------------------------------------------------
@dataclass
class CsvTable(Table):
    header: list[str] | None
    """As written; None where the file names no columns."""
    names: list[str]
    values: list[Sequence[str]]
    """By column, as written."""
    delimiter: str
    encoding: str
    line_end: str
    warnings: list[str]

    def __post_init__(self) -> None:
        headed = "" if self.header else ", no header"
        self.described = f"CSV, {DELIMITERS[self.delimiter]}, {self.encoding.upper().removesuffix('-SIG')}{headed}"

    @property
    def rows(self) -> int:
        return len(self.values[0])

    def column(self, name: str) -> list[str | None]:
        texts = self.values[self.names.index(name)]
        cleaned = {text: known(text) for text in set(texts)}
        return [cleaned[text] for text in texts]


def read_csv(path: Path, *, header: bool | None) -> CsvTable:
    encoding = encoding_of(path)
    csv.field_size_limit(LONGEST_FIELD)
    with path.open(encoding=encoding, newline="") as file:
        sample = file.read(1 << 18)
    if "\0" in sample:
        raise FileError(f"{path} is neither CSV nor Parquet: it has binary content.")
    line_end = "\r\n" if "\r\n" in sample else "\n" if "\n" in sample else "\r" if "\r" in sample else "\n"
    delimiter = delimiter_of(sample)
    with path.open(encoding=encoding, newline="") as file:
        rows = numbered_rows(csv.reader(file, delimiter=delimiter), path)
        first = next(rows, None)
        if first is None:
            raise FileError(f"{path} is empty.", code="empty_file")
        some = list(islice(rows, SAMPLE))
        headed = header if header is not None else looks_like_header(first[1], [row for _, row in some])
        if not headed:
            some.insert(0, first)
        width = len(first[1])
        values, short = columns_of(chain(some, rows), width=width, path=path)
    warnings = []
    if short:
        warnings.append(f"{short:,} rows have fewer fields than the first; the missing ones are taken as empty.")
    if not headed and header is None:
        warnings.append("The first row looks like data and not like names of columns; say --header if it names them.")
    if encoding == "cp1252":
        warnings.append("The file is not UTF-8; it is read as Windows-1252. Look whether accents came out right.")
    names = unique_names(first[1] if headed else [""] * width)
    return CsvTable(first[1] if headed else None, names, values, delimiter, encoding, line_end, warnings)


def encoding_of(path: Path) -> str:
    """By its byte order mark; else UTF-8 if all of it is; else Windows-1252, or Latin-1 where that is impossible."""
    with path.open("rb") as file:
        start = file.read(3)
        for mark, encoding in BOMS.items():
            if start.startswith(mark):
                return encoding
        for encoding in ("utf-8", "cp1252"):
            file.seek(0)
            decoder = codecs.getincrementaldecoder(encoding)()
            try:
                while block := file.read(1 << 20):
                    decoder.decode(block)
                decoder.decode(b"", final=True)
            except UnicodeDecodeError:
                continue
            return encoding
    return "latin-1"


def delimiter_of(sample: str) -> str:
    """The one by which most of the first rows have as many fields as the first, and more than one."""

    def fit(delimiter: str) -> tuple[float, int]:
        with contextlib.suppress(csv.Error):
            reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
            widths = [len(row) for row in islice(reader, SAMPLE) if row]
            if widths and widths[0] > 1:
                return Counter(widths)[widths[0]] / len(widths), widths[0]
        return 0.0, 0

    return max(DELIMITERS, key=fit)


def numbered_rows(reader: Any, path: Path) -> Iterator[tuple[int, list[str]]]:
    """With the number of the line each ends on; blank lines are no rows."""
    try:
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        raise FileError(
            f"Line {reader.line_num} of {path} is not CSV: {error}. Is a quotation mark never closed?"
        ) from error


def columns_of(rows: Iterator[tuple[int, list[str]]], *, width: int, path: Path) -> tuple[list[Sequence[str]], int]:
    """Turned by blocks, so that rows and columns are never both held whole; and how many rows were too short."""
    columns: list[list[str]] = [[] for _ in range(width)]
    short = 0
    while block := list(islice(rows, 10_000)):
        for at, (line, row) in enumerate(block):
            if len(row) < width:
                short += 1
                block[at] = (line, row + [""] * (width - len(row)))
            elif len(row) > width and any(row[width:]):
                raise FileError(
                    f"Line {line} of {path} has {len(row)} fields and the first has {width}: "
                    f"is a value with a delimiter in it not quoted?",
                    code="ragged_row",
                )
        for column, texts in zip(columns, zip(*(row[:width] for _, row in block), strict=True), strict=True):
            column.extend(texts)
    return list(columns), short


DATA = re.compile(r"[^@\s]+@[^@\s]+\.\w+|[+-]?\d[\d\s.,/:-]*")


def looks_like_header(first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Names are not numbers, dates or e-mail addresses, differ, and do not come again below themselves."""
    cells = [cell.strip() for cell in first]
    if any(DATA.fullmatch(cell) for cell in cells):
        return False
    named = [cell for cell in cells if cell]
    if len(set(named)) < len(named) / 2:
        return False
    again = sum(
        any(at < len(row) and row[at].strip() == cell for row in rows) for at, cell in enumerate(cells) if cell
    )
    return bool(named) and again <= len(named) / 3


def unique_names(names: Sequence[str]) -> list[str]:
    taken: set[str] = set()
    result = []
    for number, given in enumerate(names, 1):
        name = base = given.strip() or f"column_{number}"
        count = 1
        while name in taken:
            count += 1
            name = f"{base}_{count}"
        taken.add(name)
        result.append(name)
    return result
