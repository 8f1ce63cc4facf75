"""Cleaning values, guessing types, and tables that are not as they should be."""

import time

import numpy as np
import pytest

from identity.matching import ColumnType, Labelled, LabelledPair, Scorer, default_model, guess_types, learn, match
from identity.matching import normalise as clean

PERSON = {"given": ColumnType.GIVEN_NAME, "surname": ColumnType.SURNAME, "dob": ColumnType.BIRTH_DATE}
CONTACT = PERSON | {"email": ColumnType.EMAIL}


class TestNormalise:
    @pytest.mark.parametrize(
        ("change", "value", "expected"),
        [
            (clean.given_name, "Dr. José", "jose"),
            (clean.surname, "O'Brien, Jr.", "obrien"),
            (clean.surname, "الحسن", "lhsn"),
            (clean.given_name, "🙂", None),
            (clean.given_name, "  N/A ", None),
            (clean.full_name, "Smith, Mr John", "john smith"),
            (clean.birth_date, "1980-05-03T00:00:00Z", "19800503"),
            (clean.birth_date, "5 Mar 1980", "19800305"),
            (clean.birth_date, "195-01-14", "1950114"),
            (clean.birth_date, "soon", None),
            (clean.birth_date, "315532800", "19800101"),
            (clean.birth_date, "29281.0", "19800301"),
            (clean.full_name, "王小明", "xiaoming wang"),
            (clean.full_name, "Jones, N/A", "jones"),
            (clean.full_name, "unknown", None),
            (clean.birth_date, "-86400000.0", "19670407"),
            (clean.birth_date, "-315619200000", "19600101"),
            (clean.email, "John.Smith+news@GoogleMail.com", "johnsmith@gmail.com"),
            (clean.phone, "+44 (0)20 7946 0018", "079460018"),
            (clean.phone, "0000000000", None),
            (clean.phone, "001-508-653-9602x4606", "086539602"),
            (clean.age, "1980", "1980"),
            (clean.surname, "Acme Pty Ltd.", "acme"),
            (clean.street, "12 North Main Street", "12 n main st"),
            (clean.postcode, "12345-6789", "12345"),
            (clean.sex, "Woman", "f"),
        ],
    )
    def test_brings_a_value_into_the_form_it_is_compared_in(self, change, value, expected):
        assert change(value) == expected

    @pytest.mark.parametrize("kind", list(clean.NORMALISERS))
    @pytest.mark.parametrize(
        "value", ["", " ", "a", "-", "0", "x" * 10_000, "1" * 10_000, "🙂", "שלום", "\x00", "12/"]
    )
    def test_takes_any_text(self, kind, value):
        result = clean.NORMALISERS[kind](value)

        assert result is None or len(result) <= 4 * clean.LONGEST


class TestGuessTypes:
    def test_knows_columns_by_their_names_and_values(self):
        columns = {
            "firstName": ["Ann"], "Last Name": ["Lee"], "DOB": ["1980-01-02"], "zip": ["12345"], "customer_id": ["7"],
            "contact": ["a@b.com"], "x1": ["ann@lee.com"],
        }  # fmt: skip

        guessed = guess_types(columns)

        assert [kind.value for kind in guessed.values()] == [
            "given_name", "surname", "birth_date", "postcode", "ignore", "email", "email",
        ]  # fmt: skip


def people(count: int) -> dict[str, list[str | None]]:
    random = np.random.default_rng(7)
    syllables = ["ba", "do", "ki", "lu", "me", "na", "po", "ra", "si", "tu"]
    name = lambda: "".join(random.choice(syllables, 3))  # noqa: E731
    return {
        "given": [name() for _ in range(count)],
        "surname": [name() for _ in range(count)],
        "dob": [
            f"{random.integers(1940, 2005)}-{random.integers(1, 13):02}-{random.integers(1, 29):02}"
            for _ in range(count)
        ],
        "email": [f"{name()}{at}@example.org" for at in range(count)],
    }


class TestBadInput:
    def test_makes_nobody_of_everybody_who_shares_an_address(self):
        columns = people(600) | {"email": ["test@test.com"] * 600}
        start = time.process_time()

        result = match(columns, CONTACT)

        assert np.bincount(result.clusters).max() <= 3
        assert "constant_column" in {warning.code for warning in result.report.warnings}
        assert time.process_time() - start < 10

    def test_does_not_take_placeholders_for_birth_dates(self):
        columns = people(600)
        columns["dob"][:60] = ["1900-01-01"] * 60

        result = match(columns, CONTACT)

        assert np.bincount(result.clusters).max() <= 3
        assert [(w.code, w.count) for w in result.report.warnings if w.column == "dob"] == [("placeholder_date", 60)]

    @pytest.mark.parametrize("given", [None, "", "x", "y" * 10_000, "שרה", "Zoë 🙂"], ids=range(6))
    def test_takes_names_of_any_kind(self, given):
        columns = people(200)
        columns["given"][:100] = [given] * 100

        result = match(columns, CONTACT)

        assert np.bincount(result.clusters).max() <= 3

    def test_warns_of_empty_columns(self):
        result = match(people(80) | {"dob": [None] * 80}, CONTACT)

        assert [w.code for w in result.report.warnings if w.column == "dob"] == ["empty_column"]


class TestManyValues:
    def test_takes_the_best_of_all_values_of_a_record(self):
        columns = people(200)
        columns["email"][0] = ["old@example.org", "ann@example.org"]
        columns["email"][1] = ("ann@example.org",)
        for name in ("given", "surname", "dob"):
            columns[name][1] = columns[name][0]

        result = match(columns, CONTACT)

        assert result.clusters[0] == result.clusters[1]

    def test_scores_the_best_of_all_values(self):
        scorer = Scorer(default_model(CONTACT, people=1000))
        one = {"given": ["Ann"], "surname": ["Lee"], "email": ["old@x.org", "ann@lee.org"]}

        alike, unlike = scorer.score(one, [one | {"email": ["ann@lee.org"]}, one | {"email": ["other@z.org"]}])

        assert alike > unlike + 5


class TestLearn:
    def test_needs_some_answers(self):
        model = default_model(CONTACT)

        assert learn(model, [LabelledPair({"given": ["Ann"]}, {"given": ["Ann"]}, same=True)]) == model

    def test_believes_people_more_than_its_start(self):
        model = default_model(CONTACT)
        one = {"given": ["Ann"], "surname": ["Lee"]}
        married = {"given": ["Ann"], "surname": ["Fox"]}
        other = {"given": ["Bob"], "surname": ["Fox"]}
        answers = [LabelledPair(one, married, same=True)] * 20 + [LabelledPair(one, other, same=False)] * 20

        learnt = learn(model, answers)

        assert Scorer(learnt).score(one, [married])[0] > Scorer(model).score(one, [married])[0]

    def test_lets_a_table_be_matched_with_answers(self):
        columns = people(100)
        labels = [Labelled(at, at + 1, same=False) for at in range(30)]

        assert len(match(columns, CONTACT, labels=labels).clusters) == 100
