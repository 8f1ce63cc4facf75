"""Tables of kinds that nobody tuned matching to: their people are made here, with what befalls records."""

import csv
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from identity.files.run import Outcome, Request, match_file

SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "er")]
People = list[dict[str, str]]
Cell = Callable[[dict[str, str]], str]


def word(draw: random.Random, length: int) -> str:
    return "".join(draw.choice(SYLLABLES) for _ in range(length)).title()


def people(count: int, draw: random.Random) -> People:
    given = [word(draw, 2) for _ in range(80)]
    towns = [word(draw, 3) for _ in range(15)]
    found = []
    for _ in range(count):
        first, last = draw.choice(given), word(draw, 2) + word(draw, 1).lower()
        found.append(
            {
                "given": first, "surname": last, "street": f"{word(draw, 2)}weg", "number": str(draw.randint(1, 150)),
                "city": draw.choice(towns), "zip": f"{draw.randint(10000, 10300)}",
                "phone": f"0{draw.randint(10**8, 10**9 - 1)}",
                "email": f"{first}.{last}{draw.randint(1, 99)}@gmx.de".lower(),
                "year": f"{draw.randint(1940, 2004)}", "month": f"{draw.randint(1, 12):02}",
                "day": f"{draw.randint(1, 28):02}",
            }
        )  # fmt: skip
    return found


def befallen(person: dict[str, str], draw: random.Random) -> dict[str, str]:
    """A record of a person: some values are missing, some misspelt."""
    record = dict(person)
    for name, value in person.items():
        if draw.random() < 0.1:
            record[name] = ""
        elif draw.random() < 0.05 and len(value) > 4 and name not in {"year", "month", "day"}:
            at = draw.randrange(1, len(value) - 1)
            record[name] = value[:at] + value[at + 1] + value[at] + value[at + 2 :]
    return record


def matched(
    folder: Path, cells: dict[str, Cell], *, persons: int, records: int, seed: int = 1, delimiter: str = ","
) -> tuple[Outcome, list[str]]:
    """What `match_file` makes of it, and the clusters of the rows."""
    draw = random.Random(seed)
    rows = [(who, befallen(person, draw)) for who, person in enumerate(people(persons, draw)) for _ in range(records)]
    draw.shuffle(rows)
    source, out = folder / "in.csv", folder / "out.csv"
    with source.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow([*cells, "who"])
        writer.writerows([*(cell(record) for cell in cells.values()), who] for who, record in rows)
    outcome = match_file(Request(source, out, truth="who"))
    with out.open(encoding="utf-8") as file:
        return outcome, [row["cluster"] for row in csv.DictReader(file, delimiter=delimiter)]


def said(name: str) -> Cell:
    return lambda record: record[name]


def birth(form: str) -> Cell:
    return lambda record: form.format(**record) if record["year"] and record["month"] and record["day"] else ""


PLAIN: dict[str, Cell] = {
    "first_name": said("given"), "last_name": said("surname"), "dob": birth("{year}-{month}-{day}"),
    "email": said("email"), "city": said("city"),
}  # fmt: skip


def f1(outcome: Outcome) -> float:
    assert outcome.measured is not None
    return outcome.measured.pairs.f1


class TestMatchFile:
    @pytest.mark.parametrize(
        ("cells", "delimiter"),
        [
            (
                {
                    "Vorname": said("given"), "Name": said("surname"), "Geb.-Datum": birth("{day}.{month}.{year}"),
                    "Straße": said("street"), "Hausnr.": said("number"), "PLZ": said("zip"), "Tel.": said("phone"),
                },
                ";",
            ),
            ({"nom": said("surname"), "prénom": said("given"), "né_le": birth("{day}/{month}/{year}"),
              "ville": said("city"), "téléphone": said("phone")}, "\t"),
            ({"姓": said("surname"), "名": said("given"), "生年月日": birth("{year}/{month}/{day}"),
              "電話番号": said("phone")}, ","),
            ({"fname_c1": said("given"), "lname_c1": said("surname"), "by": said("year"), "bm": said("month"),
              "bd": said("day"), "pt_addr_zip": said("zip")}, ","),
            ({"traits.name": lambda r: f"{r['surname']}, {r['given']}", "traits.email": said("email"),
              "Create Date": lambda r: "2024-01-0" + (r["day"] or "1")[-1]}, ","),
        ],
        ids=["german", "french", "japanese", "parts-of-dates", "export"],
    )  # fmt: skip
    def test_reads_tables_of_other_countries_and_systems(self, tmp_path, cells, delimiter):
        outcome, _ = matched(tmp_path, cells, persons=200, records=3, delimiter=delimiter)

        assert f1(outcome) >= 0.95

    def test_finds_people_of_many_records_whole(self, tmp_path):
        outcome, clusters = matched(tmp_path, PLAIN, persons=40, records=25)

        assert f1(outcome) >= 0.99
        assert len(set(clusters)) <= 45

    def test_invents_nobody_where_all_are_different(self, tmp_path):
        _, clusters = matched(tmp_path, PLAIN, persons=500, records=1)

        assert len(set(clusters)) >= 499

    def test_tells_few_rows_apart_and_together(self, tmp_path):
        outcome, clusters = matched(tmp_path, PLAIN, persons=12, records=2)

        assert f1(outcome) >= 0.9
        assert len(clusters) == 24

    def test_is_not_misled_by_keys_and_constants(self, tmp_path):
        keys = iter(range(7_000_000_000, 8_000_000_000, 13))
        cells = {"Customer No": lambda _: str(next(keys)), "tenant": lambda _: "acme", "amount": lambda r: r["number"]}

        outcome, _ = matched(tmp_path, PLAIN | cells, persons=200, records=2)

        types = {use.name: use.type.value for use in outcome.uses}
        assert types["Customer No"] == "ignore"
        assert f1(outcome) >= 0.98

    def test_joins_what_two_sources_call_by_two_names(self, tmp_path):
        turn = np.random.default_rng(1).integers(0, 2, 1000).tolist()
        cells: dict[str, Cell] = {
            "first_name": said("given"), "last_name": said("surname"),
            "home_phone": lambda r: r["phone"] if turn[int(r["number"] or 0)] else "",
            "mobile": lambda r: r["phone"] if not turn[int(r["number"] or 0)] else "",
        }  # fmt: skip

        outcome, _ = matched(tmp_path, cells, persons=300, records=3)

        assert "home_phone / mobile" in {use.name for use in outcome.uses}
        assert f1(outcome) >= 0.95

    def test_knows_names_in_either_order_and_names_of_nobody(self, tmp_path):
        draw = random.Random(3)

        def full(record: dict[str, str]) -> str:
            given, surname = record["given"] or draw.choice(["unknown", "N/A", ""]), record["surname"]
            return draw.choice([f"{given} {surname}", f"{surname} {given}", f"{surname}, {given}"])

        cells = {"name": full, "phone": said("phone"), "birth": birth("{year}{month}{day}")}

        outcome, _ = matched(tmp_path, cells, persons=200, records=3)

        assert f1(outcome) >= 0.97
