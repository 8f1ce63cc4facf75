"""Two workers at once, whose chunks are about the same people: neither waits for the other's to end."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction

import identity.merging.operations
from cdp import pipeline
from identity.models import Merge
from ingestion import deferred, event_log, inbox
from ingestion.contracts import Incoming, Person
from ingestion.trace import queries as trace
from tests.factories.ingestion import NOW, identify, message, track
from tests.integration.conftest import at_once, drain_all, rows

SOON = 20.0
CLAIMED = 32
"""Requests that a worker takes at least, where so many wait."""


@contextmanager
def held_elsewhere(*profile_ids: int) -> Iterator[None]:
    """Another session writes to these profiles until the block ends."""
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT FROM profile WHERE id = ANY(%s) FOR NO KEY UPDATE", [list(profile_ids)])
            held.set()
            over.wait(SOON)
        connection.close()

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(hold)
        assert held.wait(SOON)
        try:
            yield
        finally:
            over.set()
            holding.result()


def home(user: str) -> int:
    ((found,),) = rows("SELECT profile_id FROM identifier WHERE kind = 'user_id' AND value = %s", user)
    assert isinstance(found, int)
    return found


def traits(user: str) -> dict[str, Any]:
    ((found,),) = rows("SELECT traits FROM profile WHERE id = %s", home(user))
    known: dict[str, Any] = json.loads(found)
    return known


def waiting() -> list[tuple[str, int]]:
    return rows("SELECT kind, events FROM inbox ORDER BY id")


@pytest.fixture
def anna(accept: Any) -> int:
    accept(identify(userId="anna", traits={"city": "Oslo"}, timestamp="2026-03-01T10:00:00Z"))
    drain_all(NOW)
    return home("anna")


class TestTraitsOfSomebodyWhoIsBusy:
    def test_are_put_off_with_the_event_stored(self, accept: Any, anna: int):
        accept(identify(userId="anna", traits={"city": "Rome"}), track("Viewed", userId="anna"))

        with held_elsewhere(anna):
            drained = pipeline.drain(now=NOW)
            assert (drained.stored, traits("anna"), waiting()) == (2, {"city": "Oslo"}, [(deferred.KIND, 0)])
        again = pipeline.drain(now=NOW)

        assert (again.rows, again.stored, again.duplicates, waiting()) == (1, 0, 0, [])
        assert traits("anna") == {"city": "Rome"}
        assert rows("SELECT count(*) FROM event") == [(3,)]

    def test_are_told_to_whom_it_concerns_when_they_are_written(self, accept: Any, anna: int):
        accept(identify(userId="anna", messageId="moved", traits={"city": "Rome"}))
        with held_elsewhere(anna):
            pipeline.drain(now=NOW)
        rows_before = rows("SELECT count(*) FROM change WHERE traits = '{city}'")
        counted = rows("SELECT outcome, sum(events)::int FROM hourly_count GROUP BY 1")
        requests = rows("SELECT sum(requests)::int, sum(events)::int FROM quality_receipt")
        assert trace.waiting("moved") == [], "it has arrived"

        pipeline.drain(now=NOW)

        assert rows("SELECT count(*) FROM change WHERE traits = '{city}'") == [(rows_before[0][0] + 1,)]
        ((told,),) = rows("SELECT count(*) FROM trait_history h JOIN event e ON e.id = h.event_id")
        assert told == 2, "the history names the message that set it"
        assert rows("SELECT outcome, sum(events)::int FROM hourly_count GROUP BY 1") == counted
        assert rows("SELECT sum(requests)::int, sum(events)::int FROM quality_receipt") == requests

    def test_of_others_in_the_chunk_are_written_at_once(self, accept: Any, anna: int):
        accept(identify(userId="anna", traits={"city": "Rome"}), identify(userId="ben", traits={"city": "Lyon"}))

        with held_elsewhere(anna):
            pipeline.drain(now=NOW)
            assert traits("ben") == {"city": "Lyon"}
            assert len(waiting()) == 1

    def test_an_older_one_does_not_win_because_it_is_written_later(self, accept: Any, anna: int):
        accept(identify(userId="anna", traits={"city": "Rome"}, timestamp="2026-03-02T10:00:00Z"))
        with held_elsewhere(anna):
            pipeline.drain(now=NOW)
        with transaction.atomic():
            held_back = inbox.claim(max_events=100)
            assert [row.kind for row in held_back] == [deferred.KIND]
            accept(identify(userId="anna", traits={"city": "Lyon"}, timestamp="2026-03-03T10:00:00Z"))

        drain_all(NOW)

        assert traits("anna") == {"city": "Lyon"}

    def test_follow_the_person_through_a_merge(self, accept: Any, anna: int):
        accept(identify(userId="anna", traits={"plan": "pro"}))
        accept(message(anonymousId="phone", userId=...))
        with held_elsewhere(anna):
            pipeline.drain(now=NOW)
        ((phone,),) = rows("SELECT profile_id FROM identifier WHERE value = 'phone'")
        merge = identity.merging.operations.merge_profiles(
            one=phone, other=anna, cause=Merge.Cause.PERSON, evidence={}, now=NOW
        )

        drain_all(NOW)

        assert traits("anna") == {"city": "Oslo", "plan": "pro"}
        identity.merging.operations.undo_merge(merge_id=merge.pk, now=NOW)
        assert traits("anna") == {"city": "Oslo", "plan": "pro"}
        assert rows("SELECT traits FROM profile WHERE id = %s", phone) == [("{}",)]

    def test_that_cannot_be_stored_go_to_the_quarantine(self, source: Any, anna: int):
        bad = Incoming(
            source_id=source.pk, type="identify", name="Identify", message_id="bad", id=b"0" * 16, ts=1, received=1,
            person=Person((("user_id", "anna"),)), properties=b"{}", context=b"{}", traits={"city": "Ro\0me"},
            numbers=(), row=None, place=0,  # type: ignore[arg-type]
        )  # fmt: skip
        good = Incoming(
            source_id=source.pk, type="identify", name="Identify", message_id="good", id=b"1" * 16, ts=1, received=1,
            person=Person((("user_id", "anna"),)), properties=b"{}", context=b"{}", traits={"plan": "pro"},
            numbers=(), row=None, place=0,  # type: ignore[arg-type]
        )  # fmt: skip
        deferred.put_off([bad, good])

        drain_all(NOW)

        assert waiting() == []
        assert traits("anna") == {"city": "Oslo", "plan": "pro"}
        assert rows("SELECT code, message_id FROM quarantined_message") == [("not_storable", "bad")]

    def test_that_cannot_be_read_go_there_too(self, source: Any, anna: int):
        inbox.append_packed([inbox.packed_row(source.pk, deferred.KIND, 0, b'{"traits": {}}', received=1)])

        drain_all(NOW)

        assert waiting() == []
        assert rows("SELECT code FROM quarantined_message") == [("type_mismatch",)]


@pytest.fixture
def meeting(monkeypatch: pytest.MonkeyPatch) -> threading.Barrier:
    """Nobody appends to the event log before the other worker is about to do so as well."""
    barrier = threading.Barrier(2)
    append: Callable[..., None] = event_log.append

    def together(*given: Any, **named: Any) -> None:
        barrier.wait(SOON)
        append(*given, **named)

    monkeypatch.setattr(event_log, "append", together)
    return barrier


def drain_two(accept: Any, *messages: dict[str, Any]) -> int:
    """Two workers take one of these messages each, with others around it that are about nobody else."""
    for one in messages:
        accept(one)
        for number in range(CLAIMED - 1):
            accept(track("Viewed", userId=f"by {one['messageId']}, {number}"))
    return sum(at_once(2, lambda _: pipeline.drain(now=NOW, max_events=1).stored))


class TestTwoWorkers:
    def test_append_at_once_though_one_meets_a_name_that_is_new(
        self, accept: Any, anna: int, meeting: threading.Barrier
    ):
        assert drain_two(accept, track("Viewed", userId="anna"), track("Never heard of", userId="anna")) == 2 * CLAIMED

    def test_append_at_once_though_both_set_traits_of_the_same_person(
        self, accept: Any, anna: int, meeting: threading.Barrier
    ):
        older = identify(userId="anna", traits={"city": "Rome"}, timestamp="2026-03-02T10:00:00Z")
        newer = identify(userId="anna", traits={"city": "Lyon"}, timestamp="2026-03-03T10:00:00Z")

        assert drain_two(accept, older, newer) == 2 * CLAIMED

    def test_append_at_once_though_both_count_conflicts(
        self, accept: Any, monkeypatch: pytest.MonkeyPatch, request: Any
    ):
        for person in ("1", "2"):
            accept(message(userId=f"own-{person}", anonymousId=f"shared-{person}"), message(userId=f"other-{person}"))
        drain_all(NOW)
        request.getfixturevalue("meeting")
        met = [message(userId=f"other-{person}", anonymousId=f"shared-{person}") for person in ("1", "2")]

        assert drain_two(accept, *met) == 2 * CLAIMED
        assert rows("SELECT sum(messages)::int FROM identity_conflict_day") == [(2,)]
