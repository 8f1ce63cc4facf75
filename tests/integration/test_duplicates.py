"""People who are in the base more than once: the same to the letter, and likely the same. R: B4"""

import json
from typing import Any

import pytest
from django.test import Client

from identity.candidates.models import Candidate, MatchRecord
from identity.duplicates.operations import report_duplicates
from identity.duplicates.queries import pairs_by_probability
from identity.models import Profile
from tests.factories.access import make_user
from tests.factories.ingestion import NOW, identify
from tests.integration.conftest import drain_all

ANNA = {"given_name": ["Anna"], "surname": ["Smith"], "birth_date": ["1990-01-01"]}


@pytest.fixture
def three(accept: Any) -> list[int]:
    """Profiles of three people, Anna 0 to Anna 2; returns their ids in this order."""
    for number in range(3):
        accept(identify(userId=f"u-{number}", traits={"name": f"Anna {number}"}))
        drain_all(NOW)
    MatchRecord.objects.all().delete()
    return list(Profile.objects.order_by("pk").values_list("pk", flat=True))


def record(profile_id: int, **fields: list[str]) -> None:
    MatchRecord.objects.create(profile_id=profile_id, origin_id=profile_id, record=json.dumps(fields))


def candidate(one: int, other: int, probability: float, **fields: Any) -> Candidate:
    evidence = {
        "fields": [
            {"field": "email", "level": "the same", "weight": 12.0},
            {"field": "surname", "level": "the same", "weight": 6.0},
            {"field": "city", "level": "different", "weight": -3.0},
        ]
    }
    return Candidate.objects.create(
        one_id=one, other_id=other, score=3, probability=probability, evidence=evidence, found_at=NOW, updated_at=NOW,
        **fields,
    )  # fmt: skip


class TestReport:
    def test_finds_those_who_say_exactly_the_same(self, three: list[int]):
        record(three[0], **ANNA)
        record(three[1], **{name: [value.upper() for value in values] for name, values in ANNA.items()})
        record(three[2], **(ANNA | {"surname": ["Jones"]}))

        found = report_duplicates(now=NOW)

        assert found is not None
        assert (found.records, found.groups, found.profiles, found.examples) == (3, 1, 2, [three[:2]])

    def test_leaves_out_what_tells_too_little(self, three: list[int]):
        record(three[0], given_name=["Anna"])
        record(three[1], given_name=["Anna"])

        found = report_duplicates(now=NOW)

        assert found is not None
        assert (found.records, found.groups) == (0, 0)

    def test_says_what_pairs_that_wait_have_in_common(self, three: list[int]):
        pair = candidate(three[0], three[1], 0.97)
        candidate(three[0], three[2], 0.6, state=Candidate.State.REJECTED)

        found = report_duplicates(now=NOW)

        assert found is not None
        assert found.shared == [{"fields": ["email", "surname"], "pairs": 1, "probability": 0.97, "pair": pair.pk}]
        by_label = {one.label: (one.waiting, one.rejected) for one in pairs_by_probability()}
        assert by_label["95% to 99%"] == (1, 0)
        assert by_label["50% to 80%"] == (0, 1)

    def test_is_shown(self, three: list[int], client: Client):
        client.force_login(make_user("marketer"))
        empty = client.get("/profiles/duplicates/").content.decode()
        record(three[0], **ANNA)
        record(three[1], **ANNA)
        candidate(three[0], three[1], 0.97)
        report_duplicates(now=NOW)

        shown = client.get("/profiles/duplicates/").content.decode()

        assert "Not counted yet" in empty
        assert "email, surname" in shown
        assert "Anna 1" in shown
        assert client.post("/profiles/duplicates/").status_code == 403
