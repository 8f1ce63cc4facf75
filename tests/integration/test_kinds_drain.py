"""Configured kinds, through the whole drain. R: C1"""

import random
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cdp import pipeline
from identity import queries
from identity.kinds import operations
from identity.kinds import queries as kinds
from identity.kinds.rules import KindSettings
from tests.factories.ingestion import NOW, identify, track
from tests.integration.conftest import at_once, drain_all, rows
from tests.oracles.identity import partition


def configure(name: str, **changes: Any) -> None:
    settings = kinds.settings_named(name)
    operations.save_kind(settings=replace(settings, **changes), now=NOW)


def profile_of(kind: str, value: str) -> int:
    found = queries.lookup(kind=kind, value=value)
    assert found is not None
    return found


def browsing(mail: str, browser: str, **fields: Any) -> dict[str, Any]:
    return identify(userId=..., anonymousId=browser, traits={"email": mail}, **fields)


def dotted(address: str, chance: random.Random) -> str:
    """The same mailbox, as its owner might write it."""
    local, domain = address.split("@")
    place = chance.randrange(1, len(local))
    return f"{local[:place]}.{local[place:]}@{domain}" if chance.random() < 0.6 else address.upper()


class TestSpelling:
    def test_makes_addresses_one_that_the_provider_takes_for_one(self, accept):
        configure("email", options={"gmail_dots": True, "plus_tags": True})

        accept(browsing("A.n.n+shop@gmail.com", "a-1"), browsing("ann@googlemail.com", "a-2"))
        drain_all(NOW)

        assert profile_of("anonymous_id", "a-1") == profile_of("anonymous_id", "a-2")
        assert profile_of("email", "an.n@GMAIL.com") == profile_of("anonymous_id", "a-1")
        assert rows("SELECT value FROM identifier WHERE kind = 'email'") == [("ann@gmail.com",)]

    def test_keeps_the_spellings_by_which_consent_knows_people(self, accept):
        configure("email", options={"gmail_dots": True})

        accept(browsing("A.n.n@gmail.com", "a-1"), browsing("an.n@gmail.com", "a-1"))
        drain_all(NOW)

        assert rows("SELECT kind, value, said FROM identifier_spelling ORDER BY said") == [
            ("email", "ann@gmail.com", "a.n.n@gmail.com"),
            ("email", "ann@gmail.com", "an.n@gmail.com"),
        ]

    def test_of_external_ids_is_their_kinds(self, accept):
        operations.save_kind(settings=KindSettings("card", normaliser="alphanumeric"), now=NOW)

        for card in ("ab-12 34", "AB1234"):
            context = {"externalIds": [{"id": card, "type": "Card", "collection": "users"}]}
            accept(track("Bought", userId=..., context=context))
        drain_all(NOW)

        assert rows("SELECT kind, value FROM identifier") == [("card", "AB1234")]

    def test_reads_telephone_numbers_of_the_country_that_is_set(self, accept):
        accept(identify(userId="u-1", traits={"phone": "0171 5550123"}))
        drain_all(NOW)
        configure("phone", options={"country": "DE"})

        accept(identify(userId="u-1", traits={"phone": "0171 5550123"}))
        drain_all(NOW)

        assert profile_of("phone", "+49 171 5550123") == profile_of("user_id", "u-1")


class TestBlocking:
    def test_ties_nobody_together_and_is_counted(self, accept):
        configure("email", blocked=("Test@Test.com",))

        accept(*(browsing("test@test.com", f"a-{n}") for n in range(4)))
        drain_all(NOW)

        assert len({profile_of("anonymous_id", f"a-{n}") for n in range(4)}) == 4
        assert queries.lookup(kind="email", value="test@test.com") is None
        assert rows("SELECT kind, value, reason, messages FROM identity_conflict_group") == [
            ("email", "test@test.com", "blocked", 4)
        ]

    def test_sends_messages_that_name_nobody_else_to_quarantine(self, accept):
        configure("anonymous_id", patterns=("kiosk-*",))

        accept(track("Seen", userId=..., anonymousId="kiosk-7"), track("Seen", userId="u-1", anonymousId="kiosk-7"))
        drained = drain_all(NOW)

        assert (drained.stored, drained.quarantined) == (1, 1)
        assert rows("SELECT code FROM quarantined_message") == [("identifier_refused",)]

    @pytest.mark.parametrize(
        ("changes", "value"),
        [({"min_length": 4}, "abc"), ({"min_distinct": 3}, "1111-2222"), ({"enabled": False}, "u-1")],
        ids=["short", "uniform", "disabled"],
    )
    def test_covers_values_that_are_too_poor(self, accept, changes: dict[str, Any], value: str):
        configure("user_id", **changes)

        accept(track("Seen", userId=value, anonymousId="a-1"))
        drain_all(NOW)

        assert rows("SELECT kind FROM identifier") == [("anonymous_id",)]


class TestSeveralWorkers:
    @pytest.mark.parametrize("seed", range(3))
    def test_make_the_same_people_as_one_would_in_any_order(self, accept, seed: int):
        """Ten people under every spelling, a value that is blocked, and limits that nobody reaches."""
        chance = random.Random(seed)
        configure("email", options={"gmail_dots": True}, blocked=("test@test.com",), limit_weekly=2)
        configure("anonymous_id", limit_ever=4, limit_monthly=3)
        groups, said = [], []
        for _ in range(150):
            number, browser = chance.randrange(10), chance.randrange(3)
            person = [("user_id", f"u-{number}"), ("anonymous_id", f"a-{number}-{browser}")]
            address = ("email", f"person{number}@gmail.com")
            named = chance.sample([*person, address], chance.randint(1, 3))
            groups.append(named)
            sent = dict(named) | ({"email": dotted(address[1], chance)} if address in named else {})
            mail = sent.get("email", "test@test.com")
            said.append(
                track(
                    "Seen",
                    userId=sent.get("user_id", ...),
                    anonymousId=sent.get("anonymous_id", ...),
                    timestamp=f"2026-0{chance.randint(1, 3)}-0{chance.randint(1, 9)}T00:00:00Z",
                    context={"traits": {"email": mail}},
                )
            )
        for start in range(0, len(said), 5):
            accept(*said[start : start + 5], *said[start : start + 2])

        at_once(3, lambda _: drain_all(NOW, max_events=14))

        found: dict[int, set[tuple[str, str]]] = {}
        for profile_id, kind, value in rows("SELECT profile_id, kind, value FROM identifier"):
            found.setdefault(profile_id, set()).add((kind, value))
        assert {frozenset(one) for one in found.values()} == partition(groups)
        assert rows("SELECT DISTINCT reason FROM identity_conflict_group") == [("blocked",)]


class TestMemory:
    def test_of_people_goes_when_a_kind_changes(self, accept):
        for _ in range(2):
            accept(track("Seen", userId=..., anonymousId="kiosk"))
            drain_all(NOW)
        configure("anonymous_id", blocked=("kiosk",))

        accept(track("Seen", userId=..., anonymousId="kiosk"))

        assert drain_all(NOW).quarantined == 1


class TestLimits:
    def test_by_period_are_judged_by_event_time(self, accept):
        configure("anonymous_id", limit_weekly=2)

        days = {"a-1": "01", "a-2": "02", "a-3": "05", "a-4": "08"}
        for browser, day in days.items():
            accept(track("Seen", userId="u-1", anonymousId=browser, timestamp=f"2026-03-{day}T00:00:00Z"))
            drain_all(NOW)

        person = queries.get_profile(profile_id=profile_of("user_id", "u-1"))
        assert person.identifiers["anonymous_id"] == ["a-1", "a-2", "a-4"]
        assert rows("SELECT kind, value, reason, limit_of FROM identity_conflict_group") == [
            ("user_id", "u-1", "limit_reached_weekly", "anonymous_id")
        ]

    def test_protect_profiles_with_different_values_from_each_other(self, accept):
        operations.save_kind(settings=KindSettings("card", protected=True), now=NOW)

        for user, card in (("a-1", "C-1"), ("a-2", "C-2")):
            context = {"externalIds": [{"id": card, "type": "card", "collection": "users"}]}
            accept(track("Bought", userId=..., anonymousId=user, context=context))
        drain_all(NOW)
        accept(*(browsing("ann@example.org", browser) for browser in ("a-1", "a-2")))
        drain_all(NOW)

        assert profile_of("anonymous_id", "a-1") != profile_of("anonymous_id", "a-2")


class TestCrowds:
    """One value that thousands of people share."""

    @pytest.mark.parametrize("by_user", [True, False], ids=["kiosk", "one-address"])
    def test_make_no_giant_and_one_row(self, accept, by_user: bool):
        people = 1_200
        for start in range(0, people, 300):
            accept(*(self.said(number, by_user=by_user) for number in range(start, start + 300)))

        drain_all(NOW, max_events=600)

        held = rows("SELECT count(*) FROM profile_identifier GROUP BY profile_id ORDER BY 1 DESC LIMIT 1")
        assert held[0][0] <= 6
        groups = rows("SELECT kind, value, messages FROM identity_conflict_group")
        kind, value = ("anonymous_id", "kiosk") if by_user else ("email", "test@test.com")
        assert [(kind, value)] == [(row[0], row[1]) for row in groups]
        assert people - 5 <= groups[0][2] <= people
        assert rows("SELECT count(*) FROM identity_conflict_sample")[0][0] <= 20

    def test_cost_as_many_queries_as_a_handful(self, accept):
        """Ten events in a chunk, or ten thousand."""
        counts = []
        for people in (10, 10_000):
            for start in range(0, people, 1_000):
                numbers = range(start, min(start + 1_000, people))
                accept(*(self.said(100_000 * (people == 10) + number, by_user=True) for number in numbers))
            with CaptureQueriesContext(connection) as made:
                drained = pipeline.drain(now=NOW, max_events=10_000)
            assert drained.stored == people
            counts.append(len(made))

        assert counts[1] <= counts[0]

    def said(self, number: int, *, by_user: bool) -> dict[str, Any]:
        if by_user:
            return track("Seen", userId=f"u-{number}", anonymousId="kiosk")
        return browsing("test@test.com", f"a-{number}")
