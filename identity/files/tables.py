"""CSV and Parquet files as columns of text, and back with one column more.

Everything is read as text, so that a postcode keeps its leading zeros. What is written has the same rows in the same
order, the values as they were, and for CSV the delimiter, encoding and line ends of the original.
"""

import codecs
import contextlib
import csv
import datetime as dt
import io
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

import psutil
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from identity.files.errors import FileError

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
SAMPLE = 200
"""Rows by which delimiter and header are recognised."""
LONGEST_FIELD = 1_000_000
"""Characters. More than that is a quotation mark that is never closed."""
MISSING = frozenset({"", "null", "nan", "none", "n/a", "#n/a", "<na>", "\\n"})
BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
BYTES_A_BYTE = {"CSV": 25, "Parquet": 100}
"""Memory that reading and matching take at most for each byte of the file; see benchmarks/identity_million.py."""

Column = Sequence[str | None]


class Table:
    """A file that was read. Column names are made unique; `described` says how it was understood."""

    names: list[str]
    described: str
    warnings: list[str]

    @property
    def rows(self) -> int:
        raise NotImplementedError

    def column(self, name: str) -> list[str | None]:
        """As text; None where nothing is known."""
        raise NotImplementedError

    def arrow(self) -> pa.Table:
        raise NotImplementedError


def read_table(path: Path, *, header: bool | None = None, any_size: bool = False) -> Table:
    """`header`: whether the first row of a CSV names the columns; recognised if None. Raises FileError."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
        size = path.stat().st_size
    except FileNotFoundError:
        raise FileError(f"There is no file {path}.", code="file_not_found") from None
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}.") from error
    if not size:
        raise FileError(f"{path} is empty.", code="empty_file")
    if start.startswith((b"PK", b"\xd0\xcf\x11\xe0")):
        raise FileError(f"{path} is a spreadsheet or an archive. Save it as CSV or Parquet.")
    if start.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")):
        raise FileError(f"{path} is compressed. Unpack it first.")
    parquet = start == b"PAR1"
    if not any_size:
        check_memory(path, size, kind="Parquet" if parquet else "CSV", free=psutil.virtual_memory().available)
    table = ParquetTable(path) if parquet else read_csv(path, header=header)
    if not table.rows:
        raise FileError(f"{path} has columns but no rows.", code="empty_file")
    return table


def check_memory(path: Path, size: int, *, kind: str, free: int) -> None:
    needed = size * BYTES_A_BYTE[kind]
    if needed > free:
        raise FileError(
            f"{path} has {size / 1e9:.1f} GB; matching it may take {needed / 1e9:.0f} GB of memory, and "
            f"{free / 1e9:.0f} GB are free. Leave out columns that say nothing of the person, or say --any-size.",
            code="not_enough_memory",
        )


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

    def arrow(self) -> pa.Table:
        return pa.table({name: pa.array([text or None for text in texts], pa.string())
                         for name, texts in zip(self.names, self.values, strict=True)})  # fmt: skip


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


# --- Parquet ------------------------------------------------------------------------------------------------
class ParquetTable(Table):
    def __init__(self, path: Path) -> None:
        try:
            self._table = pyarrow.parquet.read_table(path)
        except (pa.ArrowException, OSError) as error:
            raise FileError(f"{path} is not a whole Parquet file: {error}") from error
        self.names = unique_names(self._table.column_names)
        self.described = "Parquet"
        nested = [
            name for name, field in zip(self.names, self._table.schema, strict=True) if is_unreadable(field.type)
        ]
        self.warnings = [f"{name} holds lists or bytes, which are not compared." for name in nested]

    @property
    def rows(self) -> int:
        return int(self._table.num_rows)

    def column(self, name: str) -> list[str | None]:
        return [known(text) for text in texts_of(self._table.column(self.names.index(name)))]

    def arrow(self) -> pa.Table:
        return self._table


def is_unreadable(kind: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def texts_of(column: pa.ChunkedArray) -> list[str | None]:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if is_unreadable(column.type):
        return [None] * len(column)
    return [None if value is None else text_of(value) for value in column.to_pylist()]


def text_of(value: Any) -> str:
    """As a person would write it: whole numbers without point, midnight without time."""
    match value:
        case str():
            return value
        case float():
            return "" if value != value else f"{value:.0f}" if value.is_integer() else repr(value)  # noqa: PLR0124 (NaN)
        case dt.datetime() if value.time() == dt.time():
            return value.date().isoformat()
        case dt.date():
            return value.isoformat()
    return str(value)


# --- Writing ------------------------------------------------------------------------------------------------
def check_output(path: Path, *, source: Path, force: bool) -> None:
    """Asked before the work, not after it."""
    if path.exists() and source.exists() and path.samefile(source):
        raise FileError("OUT is IN; name another file.", code="same_file")
    if path.is_dir():
        raise FileError(f"{path} is a folder; name a file in it.", code="cannot_write")
    if path.exists() and not force:
        raise FileError(f"{path} exists; say --force to replace it.", code="output_exists")
    if not path.parent.is_dir():
        raise FileError(f"There is no folder {path.parent}.", code="cannot_write")
    if not os.access(path.parent, os.W_OK):
        raise FileError(f"The folder {path.parent} cannot be written to.", code="cannot_write")


def write_table(path: Path, table: Table, *, name: str, clusters: Sequence[int]) -> None:
    """Whole or not at all: written beside, then renamed. The ending `.parquet` or `.pq` asks for Parquet."""
    try:
        with beside(path) as file:
            if path.suffix.lower() in {".parquet", ".pq"}:
                pyarrow.parquet.write_table(with_column(table.arrow(), name, clusters), file)
            elif isinstance(table, CsvTable):
                write_csv(file, table, name=name, clusters=clusters)
            else:
                pyarrow.csv.write_csv(with_column(plain(table.arrow()), name, clusters), file)
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror}.", code="cannot_write") from error


@contextlib.contextmanager
def beside(path: Path) -> Iterator[IO[bytes]]:
    """A file in the same folder that takes the path's place once the block has ended well."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o666 & ~current_umask())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def current_umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def write_csv(file: IO[bytes], table: CsvTable, *, name: str, clusters: Sequence[int]) -> None:
    text = codecs.getwriter(table.encoding)(file)
    writer = csv.writer(text, delimiter=table.delimiter, lineterminator=table.line_end)
    if table.header is not None:
        writer.writerow([*table.header, name])
    writer.writerows(zip(*table.values, clusters, strict=True))


def with_column(table: pa.Table, name: str, clusters: Sequence[int]) -> pa.Table:
    return table.append_column(name, pa.array(clusters, pa.int64()))


def plain(table: pa.Table) -> pa.Table:
    """What CSV cannot hold is written as Python would print it."""
    for at, field in enumerate(table.schema):
        if is_unreadable(field.type):
            texts = [None if value is None else str(value) for value in table.column(at).to_pylist()]
            table = table.set_column(at, field.name, pa.array(texts, pa.string()))
    return table
