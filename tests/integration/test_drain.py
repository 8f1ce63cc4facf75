"""From the inbox to the event log: exact, once, and in spite of poison."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from cdp import pipeline
from cdp.chunk import Drained
from cdp.kernel.ids import message_uuid
from consent.models import Purpose
from consent.operations import record_consent
from ingestion import event_log, inbox, operations, partitions
from ingestion.models import HourlyCount, InboxItem, Source
from ingestion.quarantine.models import QuarantinedMessage
from tests.factories.ingestion import NOW, batch_body, identify, message, track
from tests.integration.conftest import at_once, drain_all, rows

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def stored() -> list[str]:
    """The names of the stored events, in the order of time."""
    return [
        name for (name,) in rows("SELECT n.name FROM event e JOIN event_name n ON n.id = e.name_id ORDER BY ts, 1")
    ]


def counts() -> dict[str, int]:
    found: dict[str, int] = {}
    for outcome, number in HourlyCount.objects.values_list("outcome", "events"):
        found[outcome] = found.get(outcome, 0) + number
    return found


def at(moment: datetime) -> str:
    return moment.isoformat()


class TestStoredRow:
    def test_is_exactly_what_was_sent(self, accept, source: Source):
        sent = track(
            "Order Completed",
            messageId="m-1",
            userId="u-1",
            timestamp="2026-03-10T11:30:00.123456Z",
            properties={
                "revenue": 12.5,
                "note": "ü 😀 \"'\\",
                "list": [1, {"deep": None}],
                "big": 12345678901234567890,
            },
            context={"ip": "1.1.1.1"},
        )
        accept(sent, context={"library": {"name": "lib"}})

        drain_all(NOW)

        (profile_id,) = rows("SELECT profile_id FROM identifier WHERE kind = 'user_id' AND value = 'u-1'")[0]
        ((ts, id_, owner, name, type_, value, properties, context, source_id, received_at),) = rows(
            "SELECT e.ts, e.id::text, e.profile_id, n.name, n.type, e.value, e.properties, e.context, e.source_id,"
            " e.received_at FROM event e JOIN event_name n ON n.id = e.name_id"
        )
        assert ts == datetime(2026, 3, 10, 11, 30, 0, 123456, UTC)
        assert uuid.UUID(id_) == message_uuid(source_id=source.pk, message_id="m-1")
        assert (owner, name, type_, value) == (profile_id, "Order Completed", "track", 12.5)
        assert json.loads(properties) == sent["properties"]
        assert json.loads(context) == {"ip": "1.1.1.0", "library": {"name": "lib"}}
        assert (source_id, received_at) == (source.pk, NOW)

    def test_lies_in_the_partition_of_its_month(self, accept):
        moments = ["2024-02-29T23:59:59.999999Z", "2024-03-01T00:00:00Z", "2000-01-01T00:00:00Z"]
        accept(*(message(timestamp=moment) for moment in moments))

        drain_all(NOW)

        assert rows("SELECT tableoid::regclass::text FROM event ORDER BY ts") == [
            ("event_2000_01",),
            ("event_2024_02",),
            ("event_2024_03",),
        ]

    def test_the_inbox_is_empty_afterwards_and_changes_are_noted(self, accept):
        accept(identify(traits={"plan": "pro"}), track("A"))

        drained = drain_all(NOW)

        assert drained == Drained(rows=1, stored=2)
        assert not InboxItem.objects.exists()
        names = dict(rows("SELECT name, id FROM event_name"))
        assert rows("SELECT events, traits, merged, created FROM change") == [
            (sorted(names.values()), ["plan"], False, True)
        ]

    def test_an_empty_inbox_is_nothing(self, database):
        assert pipeline.drain(now=NOW) == Drained()


class TestValue:
    def values(self) -> list[float | None]:
        return [value for (value,) in rows("SELECT value FROM event ORDER BY ts")]

    def send(self, accept, *properties: dict[str, Any], now: datetime = NOW) -> None:
        accept(
            *(
                track("Paid", properties=p, timestamp=at(now + timedelta(seconds=n - 50)))
                for n, p in enumerate(properties)
            ),
            now=now,
        )
        drain_all(now)

    def test_is_the_first_property_that_brought_a_number(self, accept):
        self.send(accept, {"total": "x"}, {"total": 5, "value": 7}, {"value": 8}, {"total": 9, "revenue": 10})

        assert self.values() == [None, 5, None, 9]
        assert rows("SELECT value_property FROM event_name") == [("total",)]

    def test_stays_with_its_property_in_later_chunks(self, accept):
        self.send(accept, {})
        self.send(accept, {"price": 3}, now=NOW + HOUR)
        self.send(accept, {"revenue": 4, "price": 5}, {"revenue": 6}, now=NOW + 2 * HOUR)

        assert self.values() == [None, 3, 5, None]

    def test_another_worker_may_have_chosen_the_property(self, accept):
        self.send(accept, {})
        rows("UPDATE event_name SET value_property = 'value' RETURNING id")

        self.send(accept, {"revenue": 4}, {"revenue": 4, "value": 5}, now=NOW + HOUR)

        assert self.values() == [None, None, 5]


class TestDuplicates:
    @pytest.fixture(autouse=True, params=[0, event_log.FEW], ids=["of many", "of few"])
    def mark_as_few_or_many(self, request, monkeypatch):
        monkeypatch.setattr(event_log, "FEW", request.param)

    def test_within_a_batch_are_stored_once(self, accept):
        twin = message(messageId="m-1")
        accept(twin, twin, message(messageId="m-2"))

        drained = drain_all(NOW)

        assert (drained.stored, drained.duplicates) == (2, 1)
        assert counts() == {"stored": 2, "duplicate": 1}

    def test_across_requests_of_one_chunk(self, accept):
        accept(message(messageId="m-1"))
        accept(message(messageId="m-1"))

        assert drain_all(NOW) == Drained(rows=2, stored=1, duplicates=1)

    def test_across_drains_and_days(self, accept):
        for days in (0, 1, 7):
            accept(message(messageId="m-1"), now=NOW + days * DAY)
            drain_all(NOW + days * DAY)

        assert len(stored()) == 1
        assert counts() == {"stored": 1, "duplicate": 2}

    def test_a_retry_that_was_corrected_to_another_time_is_the_same_event(self, accept):
        skewed = {"timestamp": "2026-03-10T18:00:00Z"}
        accept(message(messageId="m-1", sentAt="2026-03-10T18:00:01Z", **skewed))
        drain_all(NOW)
        accept(message(messageId="m-1", sentAt="2026-03-10T18:05:00Z", **skewed), now=NOW + HOUR)
        drain_all(NOW + HOUR)

        assert len(stored()) == 1

    def test_do_not_set_traits_at_the_time_that_they_were_corrected_to(self, accept):
        """The sender's clock is six hours ahead: sent again after the change to pro, `free` would look newer."""
        skewed = {"timestamp": "2026-03-10T18:00:00Z", "traits": {"plan": "free"}}
        accept(identify(messageId="m-1", sentAt="2026-03-10T18:00:01Z", **skewed))
        accept(identify(traits={"plan": "pro"}, timestamp=at(NOW + HOUR)), now=NOW + HOUR)
        accept(identify(messageId="m-1", sentAt="2026-03-10T16:00:00Z", **skewed), now=NOW + 2 * HOUR)

        drain_all(NOW + 2 * HOUR)

        assert rows("SELECT traits ->> 'plan' FROM profile") == [("pro",)]
        assert len(stored()) == 2

    def test_of_another_source_are_other_events(self, accept):
        other, _ = operations.create_source(name="Other", now=NOW)
        accept(message(messageId="m-1"))
        accept(message(messageId="m-1"), source_id=other.pk)

        assert drain_all(NOW).stored == 2

    def test_an_import_that_is_run_again_after_the_guard_has_forgotten_doubles_nothing(self, accept):
        history = [message(messageId=f"old-{n}", timestamp=f"2025-0{1 + n % 9}-15T12:00:00Z") for n in range(30)]
        accept(*history)
        drain_all(NOW)
        for days in (10, 20):
            accept(message(), now=NOW + days * DAY)
            drain_all(NOW + days * DAY)
        later = NOW + 30 * DAY
        assert partitions.drop_old_seen_partitions()
        assert rows("SELECT count(*) FROM seen_message") == [(2,)]

        accept(*history, message(messageId="new", timestamp="2025-01-15T12:00:00Z"), now=later)
        drained = drain_all(later)

        assert (drained.stored, drained.duplicates) == (1, 30)

    def test_a_repetition_with_a_newly_filled_user_links_it(self, accept):
        accept(message(messageId="m-1", userId=..., anonymousId="a-1"))
        drain_all(NOW)
        accept(message(messageId="m-1", userId="u-1", anonymousId="a-1"), now=NOW + HOUR)
        drained = drain_all(NOW + HOUR)

        assert (drained.stored, drained.duplicates) == (0, 1)
        assert len(rows("SELECT id FROM profile")) == 1
        assert len(rows("SELECT 1 FROM identifier WHERE value IN ('u-1', 'a-1')")) == 2

    def test_the_same_batch_twenty_times_at_once_is_stored_once(self, accept, source: Source):
        batch = [message(messageId=f"m-{n}", userId=f"u-{n % 7}", anonymousId=f"a-{n % 5}") for n in range(60)]
        body = batch_body(batch)

        def one(number: int) -> Drained:
            operations.accept(
                source_id=source.pk, kind="batch", events=60, body=body, remote_addr="", now=timezone.now()
            )
            return drain_all(max_events=60 if number % 2 else 300)

        at_once(20, one)
        drain_all()

        assert len(stored()) == 60
        assert counts() == {"stored": 60, "duplicate": 19 * 60}
        assert len(rows("SELECT id FROM profile")) == len(rows("SELECT DISTINCT profile_id FROM identifier"))

    def test_several_workers_share_the_inbox(self, accept):
        sent = {f"m-{n}" for n in range(600)}
        for start in range(0, 600, 10):
            accept(
                *(
                    message(messageId=f"m-{n}", userId=f"u-{n % 50}", anonymousId=f"a-{n % 60}")
                    for n in range(start, start + 10)
                )
            )

        results = at_once(4, lambda _: drain_all(NOW, max_events=50))

        assert sum((result for result in results), Drained()).stored == 600
        assert len(stored()) == len(sent)
        assert inbox.depth()[0] == 0


class TestOutcomes:
    def test_add_up_to_what_was_sent(self, accept):
        accept(message(messageId="m-1"), message(messageId="m-1"), 5, message(userId=...))
        accept(message(messageId="m-1"), message(messageId="m-2"), now=NOW + HOUR)

        drained = drain_all(NOW + HOUR)

        assert drained == Drained(rows=2, stored=2, duplicates=2, refused=0, quarantined=2)
        assert sorted(HourlyCount.objects.values_list("hour", "outcome", "events")) == [
            (NOW, "duplicate", 1),
            (NOW, "quarantined", 2),
            (NOW, "stored", 1),
            (NOW + HOUR, "duplicate", 1),
            (NOW + HOUR, "stored", 1),
        ]

    def test_are_added_to_what_was_counted_before(self, accept):
        for _ in range(3):
            accept(message(), message())
            drain_all(NOW)

        assert counts() == {"stored": 6}

    def test_of_a_bad_message_is_a_quarantined_row(self, accept, source: Source):
        bad = message(messageId="bad", type="purchase")
        accept(message(messageId="a"), bad, message(messageId="b"))

        drain_all(NOW)

        assert len(stored()) == 2
        item = QuarantinedMessage.objects.get()
        assert (item.source_id, item.code, item.path, item.message_id) == (source.pk, "type_unknown", "/type", "bad")
        assert json.loads(bytes(item.payload)) == bad


HUGE = b'{"type":"track","event":"E","messageId":"poison","userId":"p","properties":{"n":1e400000}}'
DEEP = b'{"type":"track","event":"E","messageId":"poison","userId":"p","properties":{"n":%s}}' % (
    b"[" * 10_000 + b"]" * 10_000
)


class TestPoison:
    def put(self, source: Source, body: bytes, *, kind: str = "batch", events: int = 1) -> None:
        operations.accept(source_id=source.pk, kind=kind, events=events, body=body, remote_addr="", now=NOW)

    @pytest.mark.parametrize(
        ("poison", "code"), [(HUGE, "not_storable"), (DEEP, "nested_too_deeply")], ids=["number", "nesting"]
    )
    def test_is_quarantined_and_the_rest_of_its_batch_is_stored(self, source: Source, poison: bytes, code: str):
        neighbours = [json.dumps(message(messageId=f"m-{n}")).encode() for n in range(4)]
        body = b'{"batch":[%s]}' % b",".join([*neighbours[:2], poison, *neighbours[2:]])
        self.put(source, body, events=5)
        self.put(source, batch_body([message(messageId="other request")]))

        drained = drain_all(NOW)

        assert drained == Drained(rows=2, stored=5, quarantined=1)
        assert counts() == {"stored": 5, "quarantined": 1}
        item = QuarantinedMessage.objects.get()
        assert (item.code, item.message_id) == (code, "poison")
        assert rows("SELECT 1 FROM identifier WHERE value = 'p'") == []
        assert inbox.depth()[0] == 0

    def test_of_several_kinds_in_several_requests(self, source: Source):
        for n in range(5):
            good = json.dumps(message(messageId=f"good-{n}", timestamp=f"202{n}-01-01T00:00:00Z")).encode()
            poison = HUGE.replace(b'"poison"', b'"poison-%d"' % n).replace(b'"E"', b'"E%d"' % n)
            self.put(source, b'{"batch":[%s,%s]}' % (good, poison), events=2)

        drained = drain_all(NOW)

        assert (drained.stored, drained.quarantined) == (5, 5)

    def test_that_our_own_code_trips_over_blocks_nothing(self, source: Source, monkeypatch: pytest.MonkeyPatch):
        name_id = event_log.name_id

        def trip(name: str) -> int:
            if name == "Unthought Of":
                raise KeyError(name)
            return name_id(name)

        monkeypatch.setattr(event_log, "name_id", trip)
        self.put(source, batch_body([message(messageId="a"), message(messageId="b", event="Unthought Of")]), events=2)

        drained = drain_all(NOW)

        assert (drained.stored, drained.quarantined, inbox.depth()[0]) == (1, 1, 0)
        assert QuarantinedMessage.objects.get().message_id == "b"

    def test_a_row_that_cannot_be_read_at_all_is_quarantined(self, source: Source):
        self.put(source, b"\xff not a batch", events=3)
        self.put(source, batch_body([message()]))

        drained = drain_all(NOW)

        assert (drained.rows, drained.stored, drained.quarantined) == (2, 1, 1)
        assert bytes(QuarantinedMessage.objects.get().payload) == b"\xff not a batch"

    def test_texts_that_postgres_does_not_know_are_cleaned(self, source: Source):
        body = rb'{"batch":[{"type":"identify","messageId":"\u0000","userId":"u","traits":{"a\u0000":"b\u0000"}},'
        body += (
            rb'{"type":"track","event":"E\u0000","userId":"u\u0000","anonymousId":"a","properties":{"p":"\u0000"}}]}'
        )
        self.put(source, body, events=2)

        assert drain_all(NOW).stored == 2
        assert rows("SELECT traits ->> 'a\ufffd' FROM profile WHERE traits <> '{}'") == [("b\ufffd",)]

    def test_an_odd_message_id_can_be_written_into_a_conflict(self, accept):
        accept(identify(userId="u-1", anonymousId="a-1"))
        drain_all(NOW)
        accept(identify(userId="u-2", anonymousId="a-1", messageId="odd\0id"))

        assert drain_all(NOW) == Drained(rows=1, stored=1)
        assert rows("SELECT message_id FROM identity_conflict_sample") == [("odd\ufffdid",)]

    def test_of_a_source_that_was_deleted_blocks_nothing(self, accept, source: Source):
        gone, _ = operations.create_source(name="Gone", now=NOW)
        gone_id = gone.pk
        gone.delete()
        accept(identify(), message(), 5, source_id=gone_id)  # its key is remembered for seconds
        accept(message())

        drained = drain_all(NOW)

        assert (drained.rows, drained.stored) == (2, 1)
        assert inbox.depth()[0] == 0


class TestConsentAtTheDoor:
    @pytest.fixture
    def purpose(self, source: Source) -> Purpose:
        purpose = Purpose.objects.create(
            slug="analytics", name="Analytics", kind=Purpose.Kind.COLLECTION, requires_opt_in=False
        )
        source.purpose = purpose
        source.save()
        return purpose

    def test_drops_and_counts_who_said_no(self, accept, purpose: Purpose):
        record_consent(
            subjects=[("user_id", "u-no")],
            purpose=purpose.slug,
            state="denied",
            method="api",
            happened_at=NOW,
            now=NOW,
        )
        accept(track("A", userId="u-no"), track("B", userId="u-yes"), track("C", userId="u-no", anonymousId="a-1"))

        drained = drain_all(NOW)

        assert drained == Drained(rows=1, stored=1, refused=2)
        assert stored() == ["B"]
        assert counts() == {"stored": 1, "no_consent": 2}
        assert rows("SELECT value FROM identifier") == [("u-yes",)]

    def test_opt_in_drops_who_said_nothing(self, accept, purpose: Purpose):
        Purpose.objects.filter(pk=purpose.pk).update(requires_opt_in=True)
        record_consent(
            subjects=[("user_id", "u-yes")],
            purpose=purpose.slug,
            state="granted",
            method="api",
            happened_at=NOW,
            now=NOW,
        )
        accept(track("A", userId="u-yes"), track("B", userId="u-silent"))

        drain_all(NOW)

        assert stored() == ["A"]

    def test_a_refused_message_may_be_sent_again_after_consent(self, accept, purpose: Purpose):
        choice = {"subjects": [("user_id", "u-1")], "purpose": purpose.slug, "method": "api"}
        record_consent(**choice, state="denied", happened_at=NOW, now=NOW)
        accept(message(messageId="m-1"))
        drain_all(NOW)
        record_consent(**choice, state="granted", happened_at=NOW + HOUR, now=NOW + HOUR)
        accept(message(messageId="m-1"), now=NOW + HOUR)

        assert drain_all(NOW + HOUR).stored == 1
