"""Identity through the whole drain: who is one person, in whatever order and pieces the messages come."""

import itertools
from typing import Any

import pytest

from cdp.chunk import Drained
from identity import queries
from ingestion import operations
from tests.factories.ingestion import NOW, batch_body, identify, message, track
from tests.integration.conftest import at_once, drain_all, rows


def profile_of(kind: str, value: str) -> int:
    found = queries.lookup(kind=kind, value=value)
    assert found is not None
    return found


def events_of(profile_id: int) -> list[str]:
    return [
        name
        for (name,) in rows(
            "SELECT n.name FROM event e JOIN event_name n ON n.id = e.name_id WHERE profile_id = %s ORDER BY ts, 1",
            profile_id,
        )
    ]


def drain(accept, *messages: dict[str, Any], now=NOW) -> Drained:
    accept(*messages, now=now)
    return drain_all(now)


class TestStitching:
    def test_an_anonymous_visitor_becomes_known_and_keeps_the_past(self, accept):
        drain(accept, track("Viewed", userId=..., anonymousId="a-1"))
        visitor = profile_of("anonymous_id", "a-1")

        drain(accept, identify(userId="u-1", anonymousId="a-1", traits={"email": "Ann@Example.org"}))
        drain(
            accept,
            track("Bought", userId="u-1"),
            track("Mailed", userId=..., context={"traits": {"email": "ann@example.org"}}),
        )

        assert profile_of("user_id", "u-1") == profile_of("email", "ann@example.org") == visitor
        assert sorted(events_of(visitor)) == ["Bought", "Identify", "Mailed", "Viewed"]
        assert queries.get_profile(profile_id=visitor).identifiers == {
            "user_id": ["u-1"],
            "email": ["ann@example.org"],
            "anonymous_id": ["a-1"],
        }

    def test_two_profiles_that_meet_become_the_older_one(self, accept):
        drain(
            accept,
            identify(userId="u-1", traits={"plan": "pro", "city": "Rome"}, timestamp="2026-03-01T00:00:00Z"),
            track("A"),
        )
        drain(
            accept,
            track("B", userId=..., anonymousId="a-1"),
            identify(
                userId=..., anonymousId="a-1", traits={"city": "Oslo", "age": 5}, timestamp="2026-03-02T00:00:00Z"
            ),
        )
        older, younger = profile_of("user_id", "u-1"), profile_of("anonymous_id", "a-1")

        drain(accept, track("C", userId="u-1", anonymousId="a-1"))

        assert older < younger
        assert profile_of("anonymous_id", "a-1") == older
        assert sorted(events_of(older)) == ["A", "B", "C", "Identify", "Identify"]
        view = queries.get_profile(profile_id=younger)
        assert view.id == older
        assert view.traits == {"plan": "pro", "city": "Oslo", "age": 5}
        assert rows("SELECT id FROM profile") == [(older,)]
        assert rows("SELECT profile_id, canonical_id FROM profile_alias") == [(younger, older)]

    def test_a_chain_of_merges_leads_to_the_oldest(self, accept):
        for n in range(1, 5):
            drain(accept, track("Seen", userId=..., anonymousId=f"a-{n}"))
        ids = [profile_of("anonymous_id", f"a-{n}") for n in range(1, 5)]
        mail = {"traits": {"email": "ann@example.org"}}
        drain(
            accept,
            track("M", userId=..., anonymousId="a-4", context=mail),
            track("M", userId=..., anonymousId="a-3", context=mail),
        )
        drain(
            accept,
            track("M", userId=..., anonymousId="a-3", context=mail),
            track("M", userId=..., anonymousId="a-2", context=mail),
        )
        drain(
            accept,
            track("M", userId=..., anonymousId="a-2", context=mail),
            track("M", userId=..., anonymousId="a-1", context=mail),
        )

        assert {queries.canonical_id(id_) for id_ in ids} == {ids[0]}
        assert len(events_of(ids[0])) == 10
        assert rows("SELECT id FROM profile") == [(ids[0],)]

    def test_a_merge_is_noted_for_both_and_what_happened_beside_it(self, accept):
        drain(accept, track("A", userId="u-1"), track("B", userId=..., anonymousId="a-1"))
        rows("DELETE FROM change RETURNING 1")
        ids = sorted([profile_of("user_id", "u-1"), profile_of("anonymous_id", "a-1")])

        drain(accept, track("C", userId="u-1", anonymousId="a-1"))

        person = profile_of("user_id", "u-1")
        noted = rows("SELECT unnest(profile_ids), merged FROM change ORDER BY 2, 1")
        assert noted == [(person, False), *((id_, True) for id_ in ids)]

    def test_a_merge_and_further_events_in_one_chunk(self, accept):
        drain(accept, track("A", userId="u-1"), track("B", userId=..., anonymousId="a-1"))

        drain(
            accept,
            track("C", userId=..., anonymousId="a-1"),
            identify(userId=..., anonymousId="a-1", traits={"x": 1}),
            track("D", userId="u-1", anonymousId="a-1"),
            track("E", userId=..., anonymousId="a-1"),
        )

        person = profile_of("user_id", "u-1")
        assert sorted(events_of(person)) == ["A", "B", "C", "D", "E", "Identify"]
        assert queries.get_profile(profile_id=person).traits == {"x": 1}


class TestAlias:
    @pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
    def test_makes_two_known_users_one_in_any_order(self, accept, order: tuple[int, ...]):
        messages = [
            identify(userId="old", traits={"plan": "pro"}, timestamp="2026-03-01T00:00:00Z"),
            identify(userId="new", traits={"plan": "free", "city": "Rome"}, timestamp="2026-03-02T00:00:00Z"),
            message(type="alias", event=..., userId="new", previousId="old"),
        ]

        for number in order:
            drain(accept, messages[number], messages[number])

        person = profile_of("user_id", "new")
        assert profile_of("user_id", "old") == person
        assert sorted(events_of(person)) == ["Alias", "Identify", "Identify"]
        assert queries.get_profile(profile_id=person).traits == {"plan": "free", "city": "Rome"}
        assert rows("SELECT count(*) FROM identity_conflict_group") == [(0,)]

    def test_makes_a_visitor_known_who_comes_later(self, accept):
        drain(accept, message(type="alias", event=..., userId="u-1", previousId="a-1"))
        drain(accept, track("Viewed", userId=..., anonymousId="a-1"))

        assert events_of(profile_of("user_id", "u-1")) == ["Alias", "Viewed"]

    def test_never_makes_two_users_of_one_browser_one(self, accept):
        drain(accept, track("Viewed", userId=..., anonymousId="kiosk"))
        for user in ("u-1", "u-2"):
            drain(accept, message(type="alias", event=..., userId=user, previousId="kiosk"))

        assert profile_of("user_id", "u-1") == profile_of("anonymous_id", "kiosk") != profile_of("user_id", "u-2")

    def test_holds_where_two_workers_meet_the_statement_and_its_subject_at_once(self, source):
        """Neither sees what the other has not committed: without the lock the statement would be lost."""
        for number in range(8):
            said = message(type="alias", event=..., userId=f"new-{number}", previousId=f"old-{number}")
            for body in (said, track("Seen", userId=f"old-{number}")):
                operations.accept(
                    source_id=source.pk, kind="batch", events=1, body=batch_body([body]), remote_addr="", now=NOW
                )
            at_once(2, lambda _: drain_all(NOW, max_events=1))

        for number in range(8):
            assert profile_of("user_id", f"new-{number}") == profile_of("user_id", f"old-{number}")


class TestExternalIds:
    def test_lead_to_the_person(self, accept):
        card = {"externalIds": [{"id": "C-7", "type": "Card", "collection": "users"}]}
        drain(accept, track("Bought", userId="u-1", context=card))
        drain(accept, track("Returned", userId=..., context=card))

        assert events_of(profile_of("user_id", "u-1")) == ["Bought", "Returned"]
        assert profile_of("card", "C-7") == profile_of("user_id", "u-1")


class TestLimits:
    def test_two_users_of_one_browser_never_merge(self, accept):
        for user in ("u-1", "u-2", "u-1", "u-2"):
            drain(accept, track(f"By {user}", userId=user, anonymousId="shared"))

        first, second = profile_of("user_id", "u-1"), profile_of("user_id", "u-2")
        assert first != second
        assert profile_of("anonymous_id", "shared") == first
        assert (events_of(first), events_of(second)) == (["By u-1"] * 2, ["By u-2"] * 2)
        assert rows("SELECT DISTINCT kind, value, reason FROM identity_conflict_group") == [
            ("anonymous_id", "shared", "merge_refused")
        ]

    def test_nor_in_one_chunk(self, accept):
        drain(accept, *(track("X", userId=f"u-{n % 3}", anonymousId="kiosk") for n in range(9)))

        assert len({profile_of("user_id", f"u-{n}") for n in range(3)}) == 3

    def test_a_sixth_browser_stays_unlinked(self, accept):
        drain(
            accept,
            *(track("X", userId="u-1", anonymousId=f"a-{n}", timestamp=f"2026-03-01T00:00:0{n}Z") for n in range(6)),
        )

        assert queries.get_profile(profile_id=profile_of("user_id", "u-1")).identifiers["anonymous_id"] == [
            f"a-{n}" for n in range(5)
        ]
        assert len(events_of(profile_of("user_id", "u-1"))) == 6
