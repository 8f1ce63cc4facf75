"""Synthetic people: the same in every run, reachable by nobody."""

import re
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from cdp.demo import people

HOUSEHOLDS = range(1, 2_501)
NOW = datetime(2026, 5, 17, tzinfo=UTC)


class TestPerson:
    def test_is_the_same_every_time(self):
        people._places.cache_clear()
        before = people.person(7)
        people._places.cache_clear()

        assert people.person(7) == before

    def test_shares_no_address_with_another(self):
        everybody = [people.person(household) for household in HOUSEHOLDS]

        for field in ("user_id", "email", "phone"):
            assert len({getattr(person, field) for person in everybody}) == len(everybody)

    def test_cannot_be_reached(self):
        for household in HOUSEHOLDS:
            person = people.person(household)

            assert person.email.endswith("@example.com")
            assert re.fullmatch(r"\+1\d{3}55501\d\d", person.phone)
            assert person.email.isascii()

    def test_says_that_it_is_synthetic(self):
        assert people.person(1).traits()["synthetic"] is True


class TestChoices:
    def test_are_the_same_every_time(self):
        assert people.choices(3, until=NOW) == people.choices(3, until=NOW)

    def test_have_ids_of_their_own(self):
        ids = [choice.external_id for household in HOUSEHOLDS for choice in people.choices(household, until=NOW)]

        assert len(ids) == len(set(ids))

    def test_lie_in_the_past_and_a_withdrawal_after_its_grant(self):
        for household in HOUSEHOLDS:
            made = {choice.external_id: choice for choice in people.choices(household, until=NOW)}
            assert all(NOW - timedelta(days=366) < choice.happened_at < NOW for choice in made.values())
            for choice in made.values():
                if choice.state == "withdrawn":
                    grant = made[choice.external_id.removesuffix("2") + "1"]
                    assert (grant.state, grant.happened_at < choice.happened_at) == ("granted", True)

    def test_are_made_in_the_shares_that_are_documented(self):
        made = Counter(
            (choice.purpose, choice.state)
            for household in HOUSEHOLDS
            for choice in people.choices(household, until=NOW)
        )

        for purpose, (granted, denied, withdrawn) in people.CHOICES.items():
            assert made[purpose, "granted"] / 2_500 == pytest.approx(granted + withdrawn, abs=0.03)
            assert made[purpose, "denied"] / 2_500 == pytest.approx(denied, abs=0.03)
            assert made[purpose, "withdrawn"] / 2_500 == pytest.approx(withdrawn, abs=0.03)
