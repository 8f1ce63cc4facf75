"""Profiles merged by hand or by messages, and what taking a merge back restores."""

import contextlib
import threading
import time
from typing import Any

import pytest
from django.db import connection, transaction

import segments.operations
from cdp import pipeline
from identity import queries
from identity.merging import operations as merging
from identity.merging.contracts import Parting
from identity.merging.errors import MergeRefusedError
from identity.merging.queries import constraints_of, merges_of
from identity.merging.split import split_profile
from identity.models import Merge
from ingestion import inbox, operations
from tests.factories.ingestion import NOW, batch_body, identify, message, track
from tests.integration.conftest import at_once, drain_all, rows
from tests.integration.test_identity_flow import drain, events_of, profile_of

ANN, BOB = ("user_id", "ann"), ("anonymous_id", "b-1")
BOTH = {"userId": "ann", "anonymousId": "b-1"}


def of_ann(event: str, **fields: Any) -> dict[str, Any]:
    return track(event, userId="ann", **fields)


def of_bob(event: str, **fields: Any) -> dict[str, Any]:
    return track(event, userId=..., anonymousId="b-1", **fields)


@pytest.fixture
def two(accept) -> tuple[int, int]:
    """Ann and Bob, who have something of everything."""
    drain(
        accept,
        identify(userId="ann", traits={"city": "Rome", "plan": "pro"}, timestamp="2026-03-01T00:00:00Z"),
        of_ann("A"),
        message(type="group", event=..., userId="ann", groupId="acme"),
    )
    drain(
        accept,
        identify(userId=..., anonymousId="b-1", traits={"city": "Oslo"}, timestamp="2026-03-02T00:00:00Z"),
        of_bob("B"),
        message(type="group", event=..., userId=..., anonymousId="b-1", groupId="acme"),
    )
    return profile_of(*ANN), profile_of(*BOB)


def merge(one: int, other: int, **fields: Any) -> Merge:
    return merging.merge_profiles(
        **({"one": one, "other": other, "cause": Merge.Cause.PERSON, "evidence": {}, "now": NOW} | fields)
    )


def undo(merge_id: int, **fields: Any) -> None:
    merging.undo_merge(merge_id=merge_id, now=NOW, **fields)


def picture() -> dict[str, list[tuple[Any, ...]]]:
    """Everything that belongs to profiles, but for the transition log, the merges and when something was written."""
    return {
        "profile": rows("SELECT id, traits, provenance, parts, created_at FROM profile ORDER BY id"),
        "identifier": rows("SELECT kind, value, profile_id, origin_id FROM identifier ORDER BY 1, 2"),
        "held": rows("SELECT * FROM profile_identifier ORDER BY 1, 2, 3"),
        "event": rows("SELECT profile_id, origin_id, ts, id, name_id, properties::text FROM event ORDER BY id"),
        "account": rows("SELECT profile_id, account_id, origin_id, last_seen_at FROM account_member ORDER BY 1, 2, 3"),
        "history": rows("SELECT profile_id, origin_id, at, event_id, traits FROM trait_history ORDER BY event_id"),
        "alias": rows("SELECT profile_id, canonical_id FROM profile_alias ORDER BY 1"),
    }


class TestMergeProfiles:
    def test_moves_everything_to_the_older_one_and_says_how_much(self, two):
        ann, bob = two

        made = merge(bob, ann, evidence={"reason": "They told us."})

        assert (made.survivor_id, made.absorbed_id, made.one_origin, made.other_origin) == (ann, bob, bob, ann)
        assert made.moved == {"identifiers": 1, "traits": 1, "accounts": 1, "sessions": 0, "events": 3}
        assert sorted(events_of(ann)) == ["A", "B", "Group", "Group", "Identify", "Identify"]
        assert queries.get_profile(profile_id=bob).id == ann
        assert queries.get_profile(profile_id=ann).traits == {"city": "Oslo", "plan": "pro"}
        assert [view.evidence for view in merges_of(bob)] == [{"reason": "They told us."}]

    def test_touches_every_segment_of_both(self, two):
        rows("DELETE FROM change RETURNING 1")

        merge(*two)

        assert rows("SELECT profile_ids, merged FROM change") == [(list(two), True)]

    def test_refuses_one_with_itself(self, two):
        with pytest.raises(MergeRefusedError) as refused:
            merge(two[0], two[0])

        assert refused.value.code == "same_profile"

    def test_refuses_a_stranger(self, two):
        with pytest.raises(MergeRefusedError) as refused:
            merge(two[0], 10**15)

        assert refused.value.code == "not_found"

    def test_refuses_two_users_unless_a_person_says_so(self, accept):
        drain(accept, track("A", userId="u-1"), track("B", userId="u-2"))
        pair = profile_of("user_id", "u-1"), profile_of("user_id", "u-2")

        with pytest.raises(MergeRefusedError) as refused:
            merge(*pair, cause=Merge.Cause.MATCH)
        merge(*pair)

        assert refused.value.code == "limit_reached"
        assert queries.get_profile(profile_id=pair[0]).identifiers == {"user_id": ["u-1", "u-2"]}

    def test_by_a_message_is_a_merge_with_its_evidence(self, accept, two, source):
        drain(accept, track("Met", **BOTH, messageId="m-1"))

        (made,) = merges_of(two[0])
        assert (made.survivor_id, made.absorbed_id, made.cause) == (*two, "identifier")
        assert made.evidence == {
            "identifiers": [list(ANN), list(BOB)],
            "source_id": source.pk,
            "message_id": "m-1",
        }
        assert made.moved["events"] == 3

    def test_by_an_alias_says_so(self, accept, two):
        drain(accept, message(type="alias", event=..., userId="ann", previousId="b-1"))

        (made,) = merges_of(two[0])
        assert made.cause == "alias"
        assert made.evidence["identifiers"] == [list(ANN), list(BOB)]


class TestUndoMerge:
    def test_restores_both_sides_to_the_letter(self, two):
        before = picture()
        made = merge(*two)

        undo(made.pk)

        assert picture() == before

    def test_sends_what_came_since_to_the_right_side(self, accept, two):
        ann, bob = two
        made = merge(ann, bob)
        drain(
            accept,
            of_ann("A2"),
            of_bob("B2", context={"traits": {"email": "bob@example.org"}}),
            identify(userId="ann", traits={"city": "Bern"}, timestamp="2026-03-03T00:00:00Z"),
            identify(userId=..., anonymousId="b-1", traits={"age": 7}, timestamp="2026-03-03T00:00:00Z"),
            message(type="group", event=..., userId=..., anonymousId="b-1", groupId="umbrella"),
        )
        assert queries.get_profile(profile_id=ann).traits == {"city": "Bern", "plan": "pro", "age": 7}

        undo(made.pk)

        assert sorted(events_of(ann)) == ["A", "A2", "Group", "Identify", "Identify"]
        assert sorted(events_of(bob)) == ["B", "B2", "Group", "Group", "Identify", "Identify"]
        assert queries.get_profile(profile_id=ann).traits == {"city": "Bern", "plan": "pro"}
        assert queries.get_profile(profile_id=bob).traits == {"city": "Oslo", "age": 7}
        assert profile_of("email", "bob@example.org") == bob
        members = (
            "SELECT m.profile_id, a.group_id FROM account_member m JOIN account a ON a.id = m.account_id ORDER BY 1, 2"
        )
        assert rows(members) == [(ann, "acme"), (bob, "acme"), (bob, "umbrella")]

    def test_parts_only_what_that_merge_held_together(self, accept):
        for n in range(4):
            drain(accept, track(f"E{n}", userId=..., anonymousId=f"a-{n}"))
        ids = [profile_of("anonymous_id", f"a-{n}") for n in range(4)]
        merge(ids[3], ids[2])
        middle = merge(ids[2], ids[1])
        merge(ids[3], ids[0])

        undo(middle.pk)

        assert {n: queries.canonical_id(ids[n]) for n in range(4)} == {0: ids[0], 1: ids[1], 2: ids[0], 3: ids[0]}
        assert sorted(events_of(ids[0])) == ["E0", "E2", "E3"]
        assert events_of(ids[1]) == ["E1"]

    def test_of_the_eldest_leaves_the_others_to_the_next(self, accept):
        for n in range(3):
            drain(accept, track(f"E{n}", userId=..., anonymousId=f"a-{n}"))
        ids = [profile_of("anonymous_id", f"a-{n}") for n in range(3)]
        first = merge(ids[0], ids[1])
        merge(ids[2], ids[1])

        undo(first.pk)

        assert [queries.canonical_id(id_) for id_ in ids] == [ids[0], ids[1], ids[1]]
        assert sorted(events_of(ids[1])) == ["E1", "E2"]

    def test_keeps_the_same_message_from_merging_them_again(self, accept, two, source):
        ann, bob = two
        drain(accept, track("Met", **BOTH, messageId="m-1"))
        undo(merges_of(ann)[0].id)

        drain(accept, track("Met", **BOTH, messageId="m-1"), track("Met again", **BOTH))

        assert (profile_of(*ANN), profile_of(*BOB)) == two
        assert sorted(events_of(ann)) == ["A", "Group", "Identify", "Met", "Met again"]
        conflicts = rows("SELECT kind, value, reason FROM identity_conflict_group")
        assert ("anonymous_id", "b-1", "never_linked") in conflicts
        assert [(one.one_profile, one.other_profile, one.kind) for one in constraints_of(bob)] == [(ann, bob, "never")]

    def test_lets_them_merge_again_where_that_is_wished(self, accept, two):
        drain(accept, track("Met", **BOTH))
        undo(merges_of(two[0])[0].id, never_again=False)

        drain(accept, track("Met again", **BOTH))

        assert profile_of(*ANN) == profile_of(*BOB) == two[0]

    def test_brings_back_members_and_sends_others_away(self, accept, two):
        ann, bob = two
        both = {"type": "event", "event": ["A", "B"], "measure": "count", "op": "gte", "value": 2}
        one = {"type": "event", "event": "B", "measure": "count", "op": "gte", "value": 1}
        for slug, definition in (("both", both), ("one", one)):
            made = segments.operations.create_segment(slug=slug, name=slug, definition=definition, now=NOW)
            segments.operations.recompute(segment_id=made.pk, now=NOW)
        made = merge(ann, bob)
        pipeline.evaluate(now=NOW)
        assert members() == {("both", ann), ("one", ann)}

        undo(made.pk)
        pipeline.evaluate(now=NOW)

        assert members() == {("one", bob)}
        since = "SELECT kind, profile_id FROM transition WHERE cause = 'merge' ORDER BY id"
        assert sorted(rows(since)[-3:]) == [("entered", bob), ("left", ann), ("left", ann)]

    def test_happens_once(self, two):
        made = merge(*two)
        undo(made.pk)

        with pytest.raises(MergeRefusedError) as refused:
            undo(made.pk)

        assert refused.value.code == "already_undone"

    def test_is_refused_where_a_person_says_that_they_are_one(self, accept, two):
        made = merge(*two)
        drain(accept, of_bob("X", context={"traits": {"email": "x@example.org"}}), track("Y", userId="carl"))
        carl = profile_of("user_id", "carl")
        merging.require(one=carl, other=two[1], actor=None, now=NOW)
        merging.require(one=carl, other=two[0], actor=None, now=NOW)

        with pytest.raises(MergeRefusedError) as refused:
            undo(made.pk)

        assert refused.value.code == "must_linked"


class TestConstraints:
    def test_a_never_link_keeps_messages_from_merging_two(self, accept, two):
        merging.forbid(one=two[0], other=two[1], actor=None, reason="Twins", now=NOW)

        drain(accept, track("Met", **BOTH))

        assert (profile_of(*ANN), profile_of(*BOB)) == two
        assert "Met" in events_of(two[0])

    def test_a_lifted_one_keeps_nobody(self, accept, two):
        merging.forbid(one=two[0], other=two[1], actor=None, now=NOW)
        merging.lift(one=two[1], other=two[0])

        drain(accept, track("Met", **BOTH))

        assert profile_of(*ANN) == profile_of(*BOB)

    def test_holds_for_what_either_has_become_part_of(self, accept, two):
        ann, bob = two
        drain(accept, track("C", userId=..., anonymousId="c-1"))
        carl = profile_of("anonymous_id", "c-1")
        merging.forbid(one=ann, other=bob, actor=None, now=NOW)
        merge(carl, bob)

        drain(accept, track("Met", userId="ann", anonymousId="c-1"))
        with pytest.raises(MergeRefusedError) as refused:
            merge(ann, carl)

        assert refused.value.code == "never_linked"
        assert profile_of("anonymous_id", "c-1") == bob != profile_of(*ANN)

    def test_a_must_link_merges_at_once(self, two):
        merging.require(one=two[0], other=two[1], actor=None, reason="Seen both.", now=NOW)

        assert profile_of(*ANN) == profile_of(*BOB)
        assert [one.cause for one in merges_of(two[0])] == ["person"]


class TestPreview:
    def test_of_a_merge_says_what_would_win_and_changes_nothing(self, two):
        before = picture()

        seen = merging.preview_merge(one=two[1], other=two[0])

        assert (seen.survivor.profile.id, seen.absorbed.profile.id) == two
        assert [(one.name, one.one, one.other, one.merged) for one in seen.traits] == [
            ("city", "Rome", "Oslo", "Oslo"),
            ("plan", "pro", None, "pro"),
        ]
        assert seen.identifiers == {"user_id": ["ann"], "anonymous_id": ["b-1"]}
        assert (seen.survivor.events, seen.absorbed.events) == (3, 3)
        assert seen.survivor.accounts == ("acme",)
        assert not seen.refusals
        assert picture() == before

    def test_of_a_merge_says_why_it_would_not_happen(self, two):
        merging.forbid(one=two[0], other=two[1], actor=None, now=NOW)

        assert list(merging.preview_merge(one=two[0], other=two[1]).refusals) == ["never_linked"]

    def test_of_an_undo_says_what_each_side_gets(self, two):
        ann, bob = two
        made = merge(ann, bob)
        before = picture()

        seen = merging.preview_undo(merge_id=made.pk)

        assert (seen.kept.profile.id, seen.restored.profile.id) == two
        assert seen.kept.profile.traits == {"city": "Rome", "plan": "pro"}
        assert seen.restored.profile.traits == {"city": "Oslo"}
        assert seen.restored.profile.identifiers == {"anonymous_id": ["b-1"]}
        assert (seen.kept.events, seen.restored.events) == (3, 3)
        assert picture() == before


def members() -> set[tuple[str, int]]:
    return set(rows("SELECT s.slug, m.profile_id FROM membership m JOIN segments_segment s ON s.id = m.segment_id"))


class TestWhatWorkersRemember:
    def test_does_not_outlive_an_undo(self, accept, two):
        made = merge(*two)
        drain(accept, of_bob("B2"))
        drain(accept, of_bob("B3"))
        undo(made.pk)

        accept(of_bob("B4"))
        drain_all(NOW)

        assert "B4" in events_of(two[1])


class TestSplitProfile:
    def test_by_whole_origins_takes_their_merges_back(self, accept):
        for n in range(4):
            drain(accept, track(f"E{n}", userId=..., anonymousId=f"a-{n}"))
        ids = [profile_of("anonymous_id", f"a-{n}") for n in range(4)]
        merge(ids[0], ids[1])
        merge(ids[1], ids[2])
        merge(ids[2], ids[3])

        parting = split(ids[0], ("anonymous_id", "a-1"), ("anonymous_id", "a-3"))

        assert (parting.profile_id, parting.restored_id) == (ids[0], ids[1])
        assert [queries.canonical_id(id_) for id_ in ids] == [ids[0], ids[1], ids[0], ids[1]]
        assert sorted(events_of(ids[0])) == ["E0", "E2"]
        assert sorted(events_of(ids[1])) == ["E1", "E3"]

    def test_of_one_origin_begins_another_with_the_events_that_name_it(self, accept):
        drain(
            accept,
            identify(userId="ann", anonymousId="a-1", traits={"city": "Rome"}, timestamp="2026-03-01T00:00:00Z"),
            of_ann("A"),
            identify(
                userId=...,
                anonymousId="a-1",
                traits={"email": "bob@example.org", "city": "Oslo"},
                timestamp="2026-03-02T00:00:00Z",
            ),
            track("B", userId="ann", context={"traits": {"email": "Bob@example.org"}}),
        )
        ann = profile_of(*ANN)
        assert queries.get_profile(profile_id=ann).traits == {"city": "Oslo", "email": "bob@example.org"}

        parting = split(ann, ("email", "bob@example.org"))

        bob = profile_of("email", "bob@example.org")
        assert (parting.profile_id, parting.restored_id) == (ann, bob)
        assert sorted(events_of(ann)) == ["A", "Identify"]
        assert sorted(events_of(bob)) == ["B", "Identify"]
        assert queries.get_profile(profile_id=ann).traits == {"city": "Rome"}
        assert queries.get_profile(profile_id=bob).traits == {"city": "Oslo", "email": "bob@example.org"}
        assert [one.kind for one in constraints_of(bob)] == ["never"]

    def test_takes_the_visits_of_a_browser_along(self, accept):
        page = {
            "context": {
                "userAgent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/130.0",
                "library": {"name": "analytics.js"},
            }
        }
        drain(
            accept,
            identify(userId="ann", anonymousId="a-1", **page),
            track("Phone", userId="ann", anonymousId="a-1", **page),
            track("Server", userId="ann"),
            track("Laptop", userId="ann", anonymousId="a-2", **page),
        )
        ann = profile_of(*ANN)
        assert "Session Started" in events_of(ann)

        split(ann, ("anonymous_id", "a-2"))

        assert sorted(events_of(profile_of("anonymous_id", "a-2"))) == ["Laptop", "Session Started"]
        assert sorted(events_of(ann)) == ["Identify", "Phone", "Server", "Session Started"]
        devices = rows("SELECT profile_id FROM device_session ORDER BY 1")
        assert devices == [(ann,), (profile_of("anonymous_id", "a-2"),)]

    @pytest.mark.parametrize(
        ("chosen", "code"),
        [
            ([], "nothing_chosen"),
            ([("user_id", "ann")], "all_chosen"),
            ([("user_id", "nobody")], "unknown_identifier"),
        ],
        ids=["nothing", "all", "a stranger"],
    )
    def test_refuses_what_makes_no_sense(self, two, chosen, code):
        with pytest.raises(MergeRefusedError) as refused:
            split(two[0], *chosen)

        assert refused.value.code == code


def split(profile_id: int, *identifiers: tuple[str, str]) -> Parting:
    return split_profile(profile_id=profile_id, identifiers=identifiers, now=NOW)


PAGE = {"context": {"userAgent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/130.0", "library": {"name": "analytics.js"}}}


class TestVisits:
    @pytest.mark.parametrize("ended", [False, True], ids=["open", "ended"])
    def test_of_a_browser_that_both_used_are_told_anew_for_each(self, accept, ended: bool):
        drain(accept, of_ann("A", timestamp="2026-03-10T10:00:00Z"))
        drain(accept, of_bob("B1", timestamp="2026-03-10T11:00:00Z", **PAGE))
        ann, bob = profile_of(*ANN), profile_of(*BOB)
        drain(
            accept,
            track("Met", **BOTH, timestamp="2026-03-10T11:05:00Z", **PAGE),
            of_bob("B2", timestamp="2026-03-10T11:10:00Z", **PAGE),
        )
        if ended:
            pipeline.end_sessions(now=NOW)
        assert rows("SELECT count(*) FROM event WHERE properties ? 'session_id'") == [(5 if ended else 4,)]

        undo(merges_of(ann)[0].id)

        told = ["Session Ended", "Session Started"] if ended else ["Session Started"]
        assert sorted(events_of(ann)) == ["A", "Met", *told]
        assert sorted(events_of(bob)) == ["B1", "B2", *told]
        assert rows("SELECT profile_id, ended FROM device_session ORDER BY 1") == [(ann, ended), (bob, ended)]
        each = "SELECT profile_id, count(DISTINCT properties ->> 'session_id') FROM event GROUP BY 1 ORDER BY 1"
        assert rows(each) == [(ann, 1), (bob, 1)]
        counts = "SELECT profile_id, properties ->> 'events' FROM event WHERE properties ? 'bounced' ORDER BY 1"
        assert rows(counts) == ([(ann, "1"), (bob, "2")] if ended else [])


class TestSeveralAtOnce:
    """Real connections: what one has not committed, the others do not see."""

    def test_a_worker_that_waits_for_an_undo_does_not_store_by_what_it_remembers(self, accept, two):
        """It has looked up where Bob's browser leads, and gets the lock of that profile once the undo is through."""
        ann, bob = two
        made = merge(ann, bob)
        drain(accept, of_bob("B2"))
        accept(of_bob("B3"))
        looked_up, stored = threading.Event(), []

        def work() -> None:
            looked_up.set()
            stored.append(drain_all(NOW).stored)
            connection.close()

        with transaction.atomic():
            undo(made.pk)
            worker = threading.Thread(target=work)
            worker.start()
            looked_up.wait()
            wait_until_blocked()
        worker.join()

        assert stored == [1]
        assert sorted(events_of(bob)) == ["B", "B2", "B3", "Group", "Identify"]
        assert rows("SELECT DISTINCT profile_id FROM event WHERE profile_id NOT IN (SELECT id FROM profile)") == []

    def test_undos_and_merges_while_others_drain_end_with_everybody_in_place(self, source, two):
        ann, bob = two
        for number in range(24):
            for body in (of_ann(f"A{number}"), of_bob(f"B{number}")):
                operations.accept(
                    source_id=source.pk, kind="batch", events=1, body=batch_body([body]), remote_addr="", now=NOW
                )

        def work(number: int) -> None:
            if number:
                drain_all(NOW, max_events=2)
                return
            for _ in range(4):
                undo(merge(ann, bob).pk, never_again=False)

        at_once(3, work)

        assert inbox.depth()[0] == 0
        assert sorted(events_of(ann)) == sorted(["A", "Group", "Identify", *(f"A{n}" for n in range(24))])
        assert sorted(events_of(bob)) == sorted(["B", "Group", "Identify", *(f"B{n}" for n in range(24))])
        assert rows("SELECT count(*) FROM event WHERE origin_id IS NOT NULL") == [(0,)]
        assert rows("SELECT count(*) FROM profile WHERE parts IS NOT NULL") == [(0,)]

    def test_a_merge_by_hand_and_one_by_a_message_make_one(self, source, two):
        ann, bob = two
        body = batch_body([track("Met", **BOTH)])
        operations.accept(source_id=source.pk, kind="batch", events=1, body=body, remote_addr="", now=NOW)

        def work(number: int) -> None:
            if number:
                drain_all(NOW)
                return
            with contextlib.suppress(MergeRefusedError):
                merge(ann, bob)

        at_once(2, work)

        assert len(merges_of(ann)) == 1
        assert "Met" in events_of(ann)
        assert profile_of(*BOB) == ann


def wait_until_blocked() -> None:
    """Until another connection waits for a lock of ours."""
    for _ in range(400):
        if rows("SELECT 1 FROM pg_locks WHERE NOT granted LIMIT 1"):
            return
        time.sleep(0.01)
    raise AssertionError("nobody waits")
