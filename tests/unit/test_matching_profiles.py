"""Merged profiles are judged by what their origins say, and matched as the records that they consist of."""

import random
from itertools import combinations
from typing import Any

import msgspec
import numpy as np
import pytest

from identity.matching import ColumnType, Explanation, Scorer, by_profile, default_model, match
from identity.matching import scorer as scorer_module

TYPES = {
    "first": ColumnType.GIVEN_NAME,
    "last": ColumnType.SURNAME,
    "born": ColumnType.BIRTH_DATE,
    "email": ColumnType.EMAIL,
    "phone": ColumnType.PHONE,
    "city": ColumnType.CITY,
}
MODEL = default_model(TYPES, people=5_000)
ANNA = {"first": ["Annabel"], "last": ["Fitzgerald"], "born": ["1984-03-12"], "city": ["Whitby"]}
MARRIED = ANNA | {"last": ["Okonkwo"], "city": ["Leeds"], "phone": ["+442079460123"]}
HER_SON = {"first": ["Diego"], "last": ["Okonkwo"], "born": ["2011-07-30"], "city": ["Leeds"]} | {
    "phone": ["+442079460123"]
}


def records(count: int, *, seed: int) -> list[dict[str, list[str]]]:
    """Of a handful of people, each told in several ways; some with two values in a column."""
    draw = random.Random(seed)
    said = []
    for _ in range(count):
        person = random.Random(seed * 100 + draw.randrange(8))
        record: dict[str, list[str]] = {
            "first": [person.choice(["Anna", "Bob", "Chloe", "Diego"])],
            "last": [person.choice(["Smith", "Okafor", "Moreau"])],
            "born": [f"19{person.randrange(60, 99)}-0{person.randrange(1, 9)}-1{person.randrange(9)}"],
            "email": [f"{person.choice('abcdef')}{person.randrange(99)}@example.org"],
            "phone": [f"+4420794{person.randrange(10_000, 99_999)}"],
            "city": [person.choice(["Leeds", "Whitby"])],
        }
        for column in draw.sample(sorted(record), 2):
            record.pop(column)
        if draw.random() < 0.3:
            record["email"] = [*record.get("email", []), f"new{draw.randrange(9)}@example.org"]
        said.append(record)
    return said


def profiles(seed: int) -> list[list[dict[str, list[str]]]]:
    draw = random.Random(seed)
    return [records(draw.choice([1, 1, 1, 2, 4]), seed=seed + at % 3) for at in range(9)]


@pytest.fixture(params=range(4))
def world(request: pytest.FixtureRequest) -> Any:
    return profiles(request.param)


PAIRS = np.array(list(combinations(range(9), 2)))


class TestJudgeProfiles:
    def test_judges_records_that_stand_alone_as_ever(self, world):
        judgement = Scorer(MODEL).judge_profiles(world, PAIRS)
        alone = [at for at, (one, other) in enumerate(PAIRS) if len(world[one]) == len(world[other]) == 1]

        expected = [Scorer(MODEL).score(world[PAIRS[at, 0]][0], world[PAIRS[at, 1]])[0] for at in alone]

        assert judgement.scores[alone].tolist() == expected

    def test_says_the_same_with_arrays(self, world, monkeypatch):
        few = Scorer(MODEL).judge_profiles(world, PAIRS).scores

        monkeypatch.setattr(scorer_module, "FEW_PAIRS", -1)

        assert np.allclose(few, Scorer(MODEL).judge_profiles(world, PAIRS).scores, rtol=0, atol=1e-9)

    def test_explains_what_adds_up_to_the_score(self, world):
        judgement = Scorer(MODEL).judge_profiles(world, PAIRS)

        for at, told in enumerate(judgement.explain(range(len(PAIRS)))):
            assert told.score == judgement.scores[at]
            assert told.prior + sum(field.weight for field in told.fields) == pytest.approx(told.score)

    def test_takes_nobody_for_one_of_many_because_one_of_them_is_alike(self):
        scorer = Scorer(MODEL)
        added_up = {column: [*ANNA.get(column, []), *MARRIED.get(column, [])] for column in TYPES}
        brother = HER_SON | {"first": ["Annabel"], "born": ["1984-03-12"], "last": ["Fitzgerald"]}

        (jointly,) = scorer.judge_profiles([[ANNA, MARRIED], [brother]], np.array([[0, 1]])).scores

        assert jointly < scorer.score(added_up, [brother])[0]


class TestByProfile:
    def test_is_what_was_found_where_nobody_was_merged(self):
        found = match({column: [r.get(column) for r in records(40, seed=3)] for column in TYPES}, TYPES, model=MODEL)

        assert by_profile(found, np.arange(40)) is found

    def test_says_what_judging_profiles_says(self, world):
        owner = np.array([at for at, said in enumerate(world) for _ in said])
        rows = [record for said in world for record in said]
        must = [(row, row + 1) for row in range(len(rows) - 1) if owner[row] == owner[row + 1]]
        columns = {column: [row.get(column) for row in rows] for column in TYPES}

        found = by_profile(match(columns, TYPES, model=MODEL, must=must), owner)

        judgement = Scorer(MODEL).judge_profiles(world, found.pairs)
        assert len(found.clusters) == len(world)
        assert len(found.pairs) > 3
        assert len({tuple(pair) for pair in found.pairs.tolist()}) == len(found.pairs)
        assert (found.pairs[:, 0] < found.pairs[:, 1]).all()
        assert np.allclose(found.scores, judgement.scores, rtol=0, atol=1e-9)
        told = [msgspec.json.decode(text, type=Explanation) for text in found.waterfalls.explain(found.pairs)]
        for said, expected in zip(told, judgement.explain(range(len(found.pairs))), strict=True):
            assert [(f.field, f.level) for f in said.fields] == [(f.field, f.level) for f in expected.fields]
            assert np.allclose([f.weight for f in said.fields], [f.weight for f in expected.fields], atol=1e-5)
