"""Files as people have them: read as text, written back with one column more and nothing else changed."""

import contextlib
import csv
import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from identity.files.columns import choose_columns, parse_types
from identity.files.errors import FileError
from identity.files.tables import beside, check_memory, check_output, read_table, write_table
from identity.matching.contracts import ColumnType


def made(folder: Path, content: str | bytes, name: str = "in.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def written(folder: Path, content: str | bytes, *, name: str = "out.csv") -> bytes:
    table = read_table(made(folder, content))
    out = folder / name
    write_table(out, table, name="cluster", clusters=list(range(table.rows)))
    return out.read_bytes()


class TestReadCsv:
    def test_keeps_leading_zeros_and_whatever_a_date_looks_like(self, tmp_path):
        table = read_table(made(tmp_path, "name,postcode,born\nAnn,01234,3/4/99\nBob,00001,1999-04-03\n"))

        assert table.column("postcode") == ["01234", "00001"]
        assert table.column("born") == ["3/4/99", "1999-04-03"]

    @pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"], ids=["comma", "semicolon", "tab", "bar"])
    def test_recognises_the_delimiter(self, tmp_path, delimiter):
        rows = [["name", "city"], ["Ann, the first; really|so", "Bonn"], ["Bob", "Köln"]]
        path = tmp_path / "in.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter=delimiter).writerows(rows)

        table = read_table(path)

        assert [table.column(name) for name in table.names] == [["Ann, the first; really|so", "Bob"], ["Bonn", "Köln"]]

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
    def test_recognises_the_encoding(self, tmp_path, encoding):
        table = read_table(made(tmp_path, "name,city\nZoë,Düren\nMax,Köln\n".encode(encoding)))

        assert table.names == ["name", "city"]
        assert table.column("city") == ["Düren", "Köln"]

    def test_reads_quoted_line_breaks_as_one_row(self, tmp_path):
        table = read_table(made(tmp_path, 'name,address\n"Ann ""A"" Lee","1 High St\nBonn"\nBob,x\n'))

        assert table.rows == 2
        assert table.column("address")[0] == "1 High St\nBonn"

    def test_takes_what_programs_write_for_nothing_as_nothing(self, tmp_path):
        table = read_table(made(tmp_path, "a,b\nNULL,x\nNA,nan\nNa,\\N\n , y \n"))

        assert table.column("a") == [None, None, "Na", None]
        assert table.column("b") == ["x", None, None, " y "]

    def test_names_what_has_no_name_or_the_name_of_another(self, tmp_path):
        table = read_table(made(tmp_path, ",name,name\n0,Ann,Lee\n1,Bob,Fox\n"))

        assert table.names == ["column_1", "name", "name_2"]

    def test_sees_that_there_is_no_header(self, tmp_path):
        table = read_table(made(tmp_path, "Ann,Lee,ann@x.org\nBob,Fox,bob@x.org\n"))

        assert (table.rows, table.names) == (2, ["column_1", "column_2", "column_3"])
        assert "header" in table.warnings[0]

    def test_is_told_that_there_is_a_header(self, tmp_path):
        assert read_table(made(tmp_path, "2023,2024\na,b\n"), header=True).names == ["2023", "2024"]

    def test_fills_up_short_rows_and_says_so(self, tmp_path):
        table = read_table(made(tmp_path, "a,b,c\n1,2,3\n4\n\n5,6,7,\n"))

        assert table.column("b") == ["2", None, "6"]
        assert "1 rows" in table.warnings[0]

    @pytest.mark.parametrize(
        ("content", "code", "says"),
        [
            (b"", "empty_file", "is empty"),
            (b"\n\n", "empty_file", "is empty"),
            (b"name,city\n", "empty_file", "no rows"),
            (b"a,b\n1,2\n1,2,3\n", "ragged_row", "Line 3"),
            (b"PK\x03\x04 spreadsheet", "unreadable_file", "spreadsheet"),
            (b"\x1f\x8b\x08\x00", "unreadable_file", "compressed"),
            (b"PAR1 cut off", "unreadable_file", "Parquet"),
            (b"\x00\x01\x02\x03" * 50, "unreadable_file", "binary"),
            (b'a,b\n"x,' + b"y" * 1_100_000, "unreadable_file", "quotation mark"),
        ],
        ids=["nothing", "blank", "header-only", "ragged", "xlsx", "gzip", "parquet", "binary", "open-quote"],
    )
    def test_says_what_is_wrong_with_a_file(self, tmp_path, content, code, says):
        with pytest.raises(FileError, match=says) as raised:
            read_table(made(tmp_path, content))

        assert raised.value.code == code

    def test_says_that_there_is_no_such_file(self, tmp_path):
        with pytest.raises(FileError) as raised:
            read_table(tmp_path / "gone.csv")

        assert raised.value.code == "file_not_found"

    def test_refuses_what_would_not_fit_into_memory(self, tmp_path):
        with pytest.raises(FileError, match=r"2\.0 GB") as raised:
            check_memory(tmp_path / "big.csv", 2_000_000_000, kind="CSV", free=4_000_000_000)

        assert raised.value.code == "not_enough_memory"


class TestReadParquet:
    def test_reads_every_kind_of_column_as_text(self, tmp_path):
        table = pa.table(
            {
                "zip": pa.array([1234, None], pa.int32()),
                "float_zip": pa.array([8530.0, float("nan")]),
                "born": pa.array([dt.date(1999, 4, 3), None]),
                "at": pa.array([dt.datetime(1999, 4, 3), dt.datetime(1999, 4, 3, 12, 30)]),  # noqa: DTZ001
                "sex": pa.array(["F", "F"]).dictionary_encode(),
                "tags": pa.array([["a"], None]),
            }
        )
        pyarrow.parquet.write_table(table, tmp_path / "in.parquet")

        read = read_table(tmp_path / "in.parquet")

        assert {name: read.column(name) for name in read.names} == {
            "zip": ["1234", None],
            "float_zip": ["8530", None],
            "born": ["1999-04-03", None],
            "at": ["1999-04-03", "1999-04-03T12:30:00"],
            "sex": ["F", "F"],
            "tags": [None, None],
        }
        assert read.warnings == ["tags holds lists or bytes, which are not compared."]

    def test_writes_the_same_table_with_clusters(self, tmp_path):
        table = pa.table({"zip": pa.array([1234, None], pa.int32()), "tags": pa.array([["a"], None])})
        pyarrow.parquet.write_table(table, tmp_path / "in.parquet")
        read = read_table(tmp_path / "in.parquet")

        write_table(tmp_path / "out.parquet", read, name="cluster", clusters=[4, 4])
        write_table(tmp_path / "out.csv", read, name="cluster", clusters=[4, 4])

        out = pyarrow.parquet.read_table(tmp_path / "out.parquet")
        assert out.drop_columns(["cluster"]).equals(table)
        assert out.column("cluster").to_pylist() == [4, 4]
        assert read_table(tmp_path / "out.csv").column("zip") == ["1234", None]


class TestWriteTable:
    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            ("name;zip\r\nAnn;007\r\n", "name;zip;cluster\r\nAnn;007;0\r\n"),
            ('a,b\n"x,y",\n" z ",NULL\n', 'a,b,cluster\n"x,y",,0\n z ,NULL,1\n'),
            ("Ann,a@x.org\nBob,b@x.org", "Ann,a@x.org,0\nBob,b@x.org,1\n"),
        ],
        ids=["semicolons", "quoted", "headless"],
    )
    def test_changes_nothing_but_the_new_column(self, tmp_path, content, expected):
        assert written(tmp_path, content).decode() == expected

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
    def test_keeps_the_encoding(self, tmp_path, encoding):
        expected = "name,city,cluster\nZoë,Düren,0\n"

        assert written(tmp_path, "name,city\nZoë,Düren\n".encode(encoding)) == expected.encode(encoding)

    def test_writes_parquet_as_text(self, tmp_path):
        written(tmp_path, "name,zip\nAnn,007\nBob,\n", name="out.parquet")

        out = pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pydict()
        assert out == {"name": ["Ann", "Bob"], "zip": ["007", None], "cluster": [0, 1]}

    def test_leaves_the_old_file_where_writing_fails(self, tmp_path):
        out = made(tmp_path, "old", "out.csv")

        with contextlib.suppress(RuntimeError), beside(out) as file:
            file.write(b"half")
            raise RuntimeError

        assert out.read_text() == "old"
        assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]

    def test_asks_before_it_replaces(self, tmp_path):
        source, out = made(tmp_path, "a"), made(tmp_path, "b", "out.csv")
        codes = []
        for path, force in [(out, False), (source, True), (tmp_path, True), (tmp_path / "no" / "out.csv", False)]:
            with pytest.raises(FileError) as raised:
                check_output(path, source=source, force=force)
            codes.append(raised.value.code)

        check_output(out, source=source, force=True)

        assert codes == ["output_exists", "same_file", "cannot_write", "cannot_write"]


class TestParseTypes:
    def test_reads_pairs_and_repetitions(self):
        assert parse_types(["first=given_name, a=b=surname", "zip=POSTCODE"]) == {
            "first": ColumnType.GIVEN_NAME,
            "a=b": ColumnType.SURNAME,
            "zip": ColumnType.POSTCODE,
        }

    @pytest.mark.parametrize(
        ("option", "code", "says"),
        [("first", "bad_types", "column=type"), ("x=surnam", "unknown_type", "Did you mean surname.*given_name")],
        ids=["no-type", "unknown"],
    )
    def test_says_what_types_there_are(self, option, code, says):
        with pytest.raises(FileError, match=says) as raised:
            parse_types([option])

        assert raised.value.code == code


class TestChooseColumns:
    @staticmethod
    def uses(folder: Path, guessed: dict, *, told=None, truth=None) -> dict[str, tuple[ColumnType, str]]:
        content = "rec_id,customer_id,name,empty,who\n1,7,Ann,,a\n2,7,Bob,,b\n3,8,Ann,,a\n"
        uses, used = choose_columns(
            read_table(made(folder, content)), guess=lambda _: guessed, told=told or {}, truth=truth
        )
        assert set(used) == {use.name for use in uses if use.type != ColumnType.IGNORE}
        return {use.name: (use.type, use.why) for use in uses}

    def test_never_uses_truth_keys_or_empty_columns(self, tmp_path):
        category = ColumnType.CATEGORY
        guessed = {"rec_id": ColumnType.NATIONAL_ID, "customer_id": category, "empty": category}

        uses = self.uses(tmp_path, guessed | {"name": ColumnType.FULL_NAME}, truth="who")

        assert uses["name"] == (ColumnType.FULL_NAME, "")
        assert {name: why.split()[0] for name, (_, why) in uses.items() if why} == {
            "rec_id": "a",
            "customer_id": "named",
            "empty": "empty",
            "who": "the",
        }

    def test_heeds_what_it_is_told(self, tmp_path):
        told = {"customer_id": ColumnType.NATIONAL_ID, "name": ColumnType.IGNORE}

        uses = self.uses(tmp_path, {"name": ColumnType.FULL_NAME}, told=told)

        assert (uses["customer_id"][0], uses["name"]) == (ColumnType.NATIONAL_ID, (ColumnType.IGNORE, "as you said"))

    @pytest.mark.parametrize(
        ("options", "code", "path"),
        [
            ({"told": {"nam": ColumnType.FULL_NAME}}, "unknown_column", "/types"),
            ({"truth": "whom"}, "unknown_column", "/truth"),
            ({}, "no_usable_column", ""),
        ],
        ids=["types", "truth", "nothing-left"],
    )
    def test_says_what_it_cannot_use(self, tmp_path, options, code, path):
        with pytest.raises(FileError) as raised:
            self.uses(tmp_path, {}, **options)

        assert (raised.value.code, raised.value.path) == (code, path)
