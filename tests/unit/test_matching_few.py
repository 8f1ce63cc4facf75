"""Few records are judged one by one, many with arrays: both say the same."""

import random
from itertools import combinations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.matching import ColumnType, Explanation, Scorer, default_model, match
from identity.matching import scorer as scorer_module
from identity.matching.contracts import Record
from identity.matching.model import Model

PERSON = {
    "first": ColumnType.GIVEN_NAME,
    "last": ColumnType.SURNAME,
    "sex": ColumnType.SEX,
    "born": ColumnType.BIRTH_DATE,
    "age": ColumnType.AGE,
    "email": ColumnType.EMAIL,
    "work": ColumnType.EMAIL,
    "phone": ColumnType.PHONE,
    "ssn": ColumnType.NATIONAL_ID,
    "street": ColumnType.STREET,
    "number": ColumnType.HOUSE_NUMBER,
    "zip": ColumnType.POSTCODE,
    "city": ColumnType.CITY,
    "state": ColumnType.STATE,
    "plan": ColumnType.CATEGORY,
    "other": ColumnType.IGNORE,
}
REGISTER = {
    "name": ColumnType.FULL_NAME,
    "maiden": ColumnType.SURNAME,
    "born": ColumnType.BIRTH_DATE,
    "address": ColumnType.ADDRESS,
    "second": ColumnType.ADDRESS,
    "city": ColumnType.CITY,
    "email": ColumnType.EMAIL,
}
BOTH = {
    "name": ColumnType.FULL_NAME,
    "first": ColumnType.GIVEN_NAME,
    "last": ColumnType.SURNAME,
    "sex": ColumnType.SEX,
}
LAYOUTS = {"person": PERSON, "register": REGISTER, "both": BOTH, "bare": {"name": ColumnType.FULL_NAME}, "none": {}}

FIRST = [
    "Robert", "Bob", "Roberto", "Rob", "R", "Anna", "Ann", "Hanna", "Anna-Maria", "Maria", "Ana", "José", "Jose",
    "Müller", "Nguyen", "李", "Smith", "Smyth",
]  # fmt: skip
LAST = [
    "Smith", "Smyth", "Schmidt", "Schmitt", "Müller", "Mueller", "Nguyen", "Robert", "O'Brien", "Smith-Jones",
    "Jones", "Garcia", "李", "X",
]  # fmt: skip
TEXTS = {
    "first": FIRST,
    "last": LAST,
    "maiden": LAST,
    "name": [f"{one} {two}" for one in FIRST[:8] for two in LAST[:6]] + ["Smith, Robert", "Cher", "Mr Bob Smith Jr"],
    "sex": ["m", "f", "male", "Frau", "?", "x"],
    "born": ["1980-05-03", "1980-03-05", "1980-05-04", "03/05/1980", "1981-05-03", "1900-01-01", "19800503", "1975"],
    "age": ["40", "41", "43", "4x", "0"],
    "email": [
        "bob.smith@gmail.com", "bobsmith@gmail.com", "bob.smith@firm.example", "bsmith1@gmail.com",
        "b.smith2@gmail.com",        "smith.bob@yahoo.com", "bob.smith", "test@test.com", "rs@x.io",
        "robert_smith99@firm.example", "ROB+a@gmail.com",
    ],
    "phone": ["+44 7700 900123", "07700900123", "7700900124", "07700 900 321", "123456", "٠١٢٣٤٥٦٧٨٩", "555"],
    "ssn": ["123-45-6789", "123456789", "123-45-6780", "12345", "000", "A1B2C3D4"],
    "street": ["Main Street", "Main St", "Mian St", "High Road", "St. James Ave", "-", "Hauptstraße"],
    "number": ["12", "12a", "012", "21", "7"],
    "address": ["12 Main Street", "12 Main St", "Main St 21", "High Road 7", "Flat", "12"],
    "second": ["12 Main Street", "PO Box 7"],
    "zip": ["12345", "12345-6789", "SW1A 1AA", "SW1A1AB", "01234", "1234"],
    "city": ["London", "Londn", "St Albans", "Saint Albans", "Lisbon", "N/A", "Springfield", "Springfeild"],
    "state": ["CA", "ca", "NY"],
    "plan": ["gold", "Gold", "free"],
    "other": ["x"],
}  # fmt: skip
TEXTS["work"] = TEXTS["email"]
NASTY = ["", " ", "🙂", "null", "a", "a" * 5000, "\u202eمرحبا", "0", "éé", "- -", "1 2 3", "2003-13-45"]


def values(column: str) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(TEXTS[column]) | st.sampled_from(NASTY) | st.text(max_size=12), max_size=3)


def records(types: dict[str, ColumnType]) -> st.SearchStrategy[Record]:
    return st.fixed_dictionaries({}, optional={column: values(column) for column in types})


def model_of(types: dict[str, ColumnType]) -> Model:
    """With frequencies, crowded keys and day-first dates, so that all of it is used."""

    plain = default_model(types, formats={"born": (True, True)}, people=1000)
    draw = random.Random(3)
    shares = {
        field.name: {
            text.lower(): draw.choice([0.0002, 0.001, 0.02]) for column in types for text in (TEXTS.get(column, ()))
        }
        | {"12 main st": 0.01, "main st 12": 0.01, "main st": 0.003}
        for field in plain.fields
    }
    return msgspec.structs.replace(plain, frequencies=shares, rarest={field.name: 0.0001 for field in plain.fields})


MODELS = {name: model_of(types) for name, types in LAYOUTS.items()}


def with_arrays(scorer: Scorer, patch: pytest.MonkeyPatch) -> Scorer:
    patch.setattr(scorer_module, "FEW_RECORDS", -1)
    patch.setattr(scorer_module, "FEW_PAIRS", -1)
    return scorer


@pytest.mark.parametrize("layout", LAYOUTS)
class TestFewRecords:
    @settings(max_examples=10, deadline=None, derandomize=True)
    @given(data=st.data())
    def test_have_the_same_keys(self, layout: str, data: st.DataObject) -> None:
        given_ = data.draw(st.lists(records(LAYOUTS[layout]), min_size=1, max_size=4))
        scorer = Scorer(MODELS[layout])

        one_by_one = scorer.keys(given_)

        with pytest.MonkeyPatch.context() as patch:
            assert one_by_one == with_arrays(scorer, patch).keys(given_)

    @settings(max_examples=14, deadline=None, derandomize=True)
    @given(data=st.data())
    def test_have_the_same_keys_as_rows(self, layout: str, data: st.DataObject) -> None:
        given_ = data.draw(st.lists(records(LAYOUTS[layout]), min_size=1, max_size=4))
        held = Scorer(MODELS[layout]).keys(given_)
        crowded = sorted({key for keys in held for key in keys[:: data.draw(st.integers(1, 4))]})
        scorer = Scorer(msgspec.structs.replace(MODELS[layout], crowded=crowded if data.draw(st.booleans()) else []))

        rows = list(zip(*(column.tolist() for column in scorer.key_rows(given_)), strict=True))

        assert set(rows) == {(at, key) for at, keys in enumerate(scorer.keys(given_)) for key in keys}

    @settings(max_examples=14, deadline=None, derandomize=True)
    @given(data=st.data())
    def test_have_the_same_scores(self, layout: str, data: st.DataObject) -> None:
        one = data.draw(records(LAYOUTS[layout]))
        others = data.draw(st.lists(records(LAYOUTS[layout]), min_size=1, max_size=6))
        scorer = Scorer(MODELS[layout])

        scores = scorer.score(one, others)
        said = [scorer.explain(one, other) for other in others[:2]]

        with pytest.MonkeyPatch.context() as patch:
            again = with_arrays(scorer, patch)
            assert np.allclose(scores, again.score(one, others), rtol=0, atol=1e-9)
            assert said == [again.explain(one, other) for other in others[:2]]

    @settings(max_examples=8, deadline=None, derandomize=True)
    @given(data=st.data())
    def test_are_explained_as_in_a_table_that_was_matched(self, layout: str, data: st.DataObject) -> None:
        given_ = data.draw(st.lists(records(LAYOUTS[layout]), min_size=2, max_size=5))
        columns = {column: [one.get(column) for one in given_] for column in LAYOUTS[layout]}
        pairs = np.array(list(combinations(range(len(given_)), 2)))
        matched = match(columns, LAYOUTS[layout], model=MODELS[layout])

        told = matched.waterfalls.explain(pairs) if columns else []

        for (one, other), text in zip(pairs.tolist(), told, strict=bool(columns)):
            said, expected = (
                msgspec.json.decode(text, type=Explanation),
                Scorer(MODELS[layout]).explain(given_[one], given_[other]),
            )
            assert [(f.field, f.level, f.one, f.other) for f in said.fields] == [
                (f.field, f.level, f.one, f.other) for f in expected.fields
            ]
            assert np.allclose(
                [said.prior, said.score, said.probability, *(f.weight for f in said.fields)],
                [expected.prior, expected.score, expected.probability, *(f.weight for f in expected.fields)],
                rtol=0,
                atol=1e-5,
            )
