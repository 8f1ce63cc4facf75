"""Identity through the whole drain: who is one person, in whatever order and pieces the messages come."""

import itertools
import json
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp import pipeline
from identity import queries
from ingestion import inbox, messages, operations
from tests.factories.ingestion import NOW, SourceFactory, batch_body, identify, inbox_row, track
from tests.integration.conftest import at_once, drain_all, rows, wipe
from tests.oracles.identity import partition


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


def drain(accept, *messages: dict[str, Any], now=NOW) -> pipeline.Drained:
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

    def test_a_merge_touches_every_segment_of_both(self, accept):
        drain(accept, track("A", userId="u-1"), track("B", userId=..., anonymousId="a-1"))
        rows("DELETE FROM change RETURNING 1")
        ids = sorted([profile_of("user_id", "u-1"), profile_of("anonymous_id", "a-1")])

        drain(accept, track("C", userId="u-1", anonymousId="a-1"))

        assert rows("SELECT unnest(profile_ids), merged FROM change ORDER BY 1") == [(id_, True) for id_ in ids]

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


class TestLimits:
    def test_two_users_of_one_browser_never_merge(self, accept):
        for user in ("u-1", "u-2", "u-1", "u-2"):
            drain(accept, track(f"By {user}", userId=user, anonymousId="shared"))

        first, second = profile_of("user_id", "u-1"), profile_of("user_id", "u-2")
        assert first != second
        assert profile_of("anonymous_id", "shared") == first
        assert (events_of(first), events_of(second)) == (["By u-1"] * 2, ["By u-2"] * 2)
        assert rows("SELECT DISTINCT kind, value, reason FROM identity_conflict") == [
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


# --- Any order, any chunks, any repetition ------------------------------------------------------------------

PEOPLE = 3
IDENTIFIERS = st.sampled_from(["userId", "anonymousId", "other browser", "email"])


@st.composite
def histories(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Messages of a few people, each with identifiers of that person only: no limit is ever hit."""
    found = []
    for number in range(draw(st.integers(2, 14))):
        person = draw(st.integers(1, PEOPLE))
        carried = draw(st.sets(IDENTIFIERS, min_size=1, max_size=3))
        fields: dict[str, Any] = {"messageId": f"m-{number}", "userId": None}
        if "userId" in carried:
            fields["userId"] = f"u-{person}"
        if "other browser" in carried:
            fields["anonymousId"] = f"b-{person}"
        if "anonymousId" in carried:
            fields["anonymousId"] = f"a-{person}"
        traits = {} if "email" not in carried else {"email": f"{person}@Example.org"}
        fields["timestamp"] = f"2026-0{draw(st.integers(1, 3))}-01T00:00:0{draw(st.integers(0, 4))}Z"
        if draw(st.booleans()):
            traits |= draw(st.dictionaries(st.sampled_from("xyz"), st.sampled_from([1, 2, "a", None, [1], 1.5])))
            found.append(identify(**fields, traits=traits))
        else:
            found.append(track(f"Event {number % 3}", **fields, context={"traits": traits}))
    return found


def picture() -> set[Any]:
    """Everything that must not depend on order: people with their identifiers, traits, stamps and events."""
    people = rows(
        "SELECT p.id, p.traits::text, p.provenance::text,"
        " ARRAY(SELECT i.kind || ':' || i.value FROM profile_identifier i WHERE i.profile_id = p.id ORDER BY 1),"
        " ARRAY(SELECT e.id::text FROM event e WHERE e.profile_id = p.id ORDER BY 1)"
        " FROM profile p"
    )
    homes = rows("SELECT kind || ':' || value, profile_id FROM identifier")
    assert sorted(homes) == sorted((identifier, id_) for id_, _, _, held, _ in people for identifier in held)
    return {
        (
            json.dumps(json.loads(traits), sort_keys=True),
            json.dumps(json.loads(stamps), sort_keys=True),
            *map(tuple, lists),
        )
        for _, traits, stamps, *lists in people
    }


def chunks(items: Sequence[Any], cuts: Iterable[int]) -> list[list[Any]]:
    edges = [0, *sorted(cut % (len(items) + 1) for cut in cuts), len(items)]
    return [list(items[start:end]) for start, end in itertools.pairwise(edges) if start < end]


MANY = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


class TestAnyOrder:
    """The same messages give the same people; what their identifiers and events are, a slow union-find says."""

    @MANY
    @given(histories(), st.randoms(use_true_random=False), st.lists(st.integers(0, 30), max_size=4))
    def test_chunks_and_repetition_give_the_same_people(self, database, history, rng, cuts):
        expected = replay([history])
        shuffled = history + rng.choices(history, k=len(history) // 2)
        rng.shuffle(shuffled)

        found = replay(chunks(shuffled, cuts))

        assert found == expected
        assert {(held, events) for _, _, held, events in found} == people_by_oracle(history)

    @settings(MANY, max_examples=10)
    @given(histories(), st.randoms(use_true_random=False))
    def test_and_so_do_several_workers_at_once(self, database, history, rng):
        expected = replay([history])
        shuffled = history + rng.choices(history, k=len(history))
        rng.shuffle(shuffled)

        found = replay([[item] for item in shuffled], workers=4)

        assert found == expected


def replay(pieces: list[list[dict[str, Any]]], *, workers: int = 0) -> set[Any]:
    """The people that come of it: drained piece by piece, or all at the end by several workers."""
    wipe()
    SourceFactory(id=1)
    for piece in pieces:
        operations.accept(
            source_id=1, kind="batch", events=len(piece), body=batch_body(piece), remote_addr="", now=NOW
        )
        if not workers:
            drain_all(NOW)
    if workers:
        at_once(workers, lambda _: drain_all(NOW, max_events=3))
    assert inbox.depth()[0] == 0
    return picture()


def people_by_oracle(history: list[dict[str, Any]]) -> set[Any]:
    """Identifiers and events of each person, without limits."""
    decoded = list(messages.decode_row(inbox_row(batch_body(history), source_id=1)))
    return {
        (
            tuple(sorted(f"{kind}:{value}" for kind, value in part)),
            tuple(sorted(str(uuid.UUID(bytes=item.id)) for item in decoded if item.identifiers[0] in part)),
        )
        for part in partition(item.identifiers for item in decoded)
    }
