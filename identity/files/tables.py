"""CSV and Parquet files as columns of text, and back with one column more.

What is written has the same rows in the same order, the values as they were, and for CSV the delimiter, encoding and
line ends of the original.
"""

import codecs
import contextlib
import csv
import datetime as dt
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import psutil
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from identity.files.errors import FileError
from identity.files.texts import CsvTable, Table, known, read_csv, unique_names

BYTES_A_BYTE = {"CSV": 25, "Parquet": 100}
"""Memory that reading and matching take at most for each byte of the file; see benchmarks/identity_million.py."""


def read_table(path: Path, *, header: bool | None = None, any_size: bool = False) -> "CsvTable | ParquetTable":
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
    table: CsvTable | ParquetTable = ParquetTable(path) if parquet else read_csv(path, header=header)
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


def arrow_of(table: CsvTable) -> pa.Table:
    columns = zip(table.names, table.values, strict=True)
    return pa.table({name: pa.array([text or None for text in texts], pa.string()) for name, texts in columns})


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


def write_table(path: Path, table: CsvTable | ParquetTable, *, name: str, clusters: Sequence[int]) -> None:
    """Whole or not at all: written beside, then renamed. The ending `.parquet` or `.pq` asks for Parquet."""
    try:
        with beside(path) as file:
            if path.suffix.lower() in {".parquet", ".pq"}:
                columns = arrow_of(table) if isinstance(table, CsvTable) else table.arrow()
                pyarrow.parquet.write_table(with_column(columns, name, clusters), file)
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
