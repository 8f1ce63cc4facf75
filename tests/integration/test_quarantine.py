"""Quarantine: each message once, counted for ever, mended, replayed once."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from django.db import connection

from cdp import pipeline
from cdp.kernel.embedded.home import REPOSITORY
from cdp.kernel.ids import message_uuid
from ingestion import operations as sources
from ingestion.models import HourlyCount, Source
from ingestion.quarantine import check, operations, queries
from ingestion.quarantine.contracts import Criteria
from ingestion.quarantine.errors import QuarantineError
from ingestion.quarantine.fix import read_steps
from ingestion.quarantine.models import QuarantinedMessage, Reason, ReasonHour, Replay
from ingestion.settings import QuarantineSettings, SourceSettings
from tests.factories.ingestion import NOW, message, track
from tests.integration.conftest import drain_all, rows

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NAME_IT = read_steps([{"op": "rename", "path": "/name_of_event", "to": "event"}])


def nameless(number: int = 0, **fields: Any) -> dict[str, Any]:
    """A track message whose event stands in the wrong field."""
    return message(event=..., name_of_event="Seen", **{"messageId": f"bad-{number}"} | fields)


def replay_all(now: Any = NOW, *, limit: int = 500) -> None:
    while pipeline.replay(now=now, limit=limit):
        pass


def stored_events() -> list[tuple[Any, ...]]:
    return rows("SELECT n.name, e.id::text, e.ts, e.received_at FROM event e JOIN event_name n ON n.id = e.name_id")


class TestKeep:
    def test_the_same_bad_message_twenty_times_is_one_row(self, accept):
        for n in range(5):
            accept(*(nameless() for _ in range(4)), now=NOW + n * HOUR)
            drain_all(NOW + n * HOUR)

        held = QuarantinedMessage.objects.get()
        assert (held.times, held.received_at, held.last_received_at) == (20, NOW, NOW + 4 * HOUR)
        reason = Reason.objects.get()
        assert (reason.code, reason.path, reason.times) == ("event_missing", "/event", 20)
        assert list(ReasonHour.objects.order_by("hour").values_list("messages", flat=True)) == [4] * 5

    def test_without_an_id_its_bytes_tell_it(self, accept):
        accept(*(nameless(messageId=...) for _ in range(3)), nameless(messageId=..., userId="other"))
        drain_all(NOW)

        assert sorted(QuarantinedMessage.objects.values_list("times", flat=True)) == [1, 3]

    def test_the_same_id_of_another_source_is_another_message(self, accept):
        other, _ = sources.create_source(slug="app", name="App", now=NOW)
        accept(nameless())
        accept(nameless(), source_id=other.pk)
        drain_all(NOW)

        assert QuarantinedMessage.objects.count() == 2

    def test_groups_by_code_place_and_event(self, accept):
        accept(nameless(1), nameless(2), message(timestamp="soon", messageId="x"), message(type="buy", messageId="y"))
        drain_all(NOW)

        found = {(r.code, r.path): r.held for r in queries.reasons(now=NOW)}
        assert found.pop(("event_missing", "/event")) == 2
        assert found == {("timestamp_invalid", "/timestamp"): 1, ("type_unknown", "/type"): 1}

    def test_many_names_of_events_share_a_reason(self, accept, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("ingestion.quarantine.keep.MOST_REASONS", 5)
        accept(*(message(event=f"E{n}", timestamp="soon") for n in range(9)))
        drain_all(NOW)

        assert Reason.objects.count() == 6
        assert sum(Reason.objects.values_list("times", flat=True)) == 9


class TestSearch:
    @pytest.mark.parametrize(
        ("criteria", "found"),
        [
            (Criteria(message_id="bad-1"), {"bad-1"}),
            (Criteria(text="Käse"), {"bad-2"}),
            (Criteria(text="%"), set()),
            (Criteria(event="Sold"), {"late"}),
            (Criteria(code="timestamp_invalid"), {"late"}),
            (Criteria(path="/event"), {"bad-1", "bad-2"}),
            (Criteria(since=NOW + HOUR), {"late"}),
            (Criteria(until=NOW + HOUR), {"bad-1", "bad-2"}),
            (Criteria(state="discarded"), set()),
        ],
    )
    def test_finds_by(self, accept, criteria: Criteria, found: set[str]):
        accept(nameless(1))
        accept(nameless(2, properties={"what": "Käse"}))
        accept(message(event="Sold", timestamp="soon", messageId="late"), now=NOW + HOUR)
        drain_all(NOW + HOUR)

        # the factories write text as \u escapes, as some senders do: what is looked for is the message as it came
        if criteria.text == "Käse":
            criteria = msgspec.structs.replace(criteria, text="K\\u00e4se")
        assert {row.message_id for row in queries.matching(criteria)} == found

    def test_finds_a_person_under_every_kind_of_identifier(self, accept):
        from ingestion.people import hashes_of_anyone

        accept(
            nameless(1, userId="anna"),
            nameless(2, userId=..., anonymousId="anna"),
            nameless(3, traits={"email": "Anna@Example.com"}),
        )
        drain_all(NOW)

        def by(text: str) -> set[str]:
            return {m.message_id for m in queries.matching(Criteria(people=tuple(hashes_of_anyone(text))))}

        assert by("anna") == {"bad-1", "bad-2"}
        assert by("anna@example.COM") == {"bad-3"}


class TestDiscard:
    def test_can_be_undone(self, accept):
        accept(nameless(1), nameless(2))
        drain_all(NOW)

        assert operations.discard(criteria=Criteria(message_id="bad-1"), reason="a test", by="erin", now=NOW) == 1
        gone = QuarantinedMessage.objects.get(message_id="bad-1")
        assert (gone.state, gone.discard_reason, gone.closed_by) == ("discarded", "a test", "erin")
        assert operations.restore(criteria=Criteria(state="discarded")) == 1
        assert set(QuarantinedMessage.objects.values_list("state", flat=True)) == {"held"}


class TestReplay:
    def test_stores_the_message_as_it_would_have_been(self, accept, source: Source):
        sent = nameless(
            timestamp="2026-03-10T11:00:00Z", sentAt=..., originalTimestamp=..., properties={"revenue": "5"}
        )
        # The sender's clock is an hour slow, which only the batch says; its context is the message's too.
        accept(sent, sentAt="2026-03-10T11:00:00Z", context={"app": {"name": "shop"}})
        drain_all(NOW)

        operations.start_replay(source=source, criteria=Criteria(), steps=NAME_IT, now=NOW + 3 * DAY)
        replay_all(NOW + 3 * DAY)

        assert stored_events() == [("Seen", str(message_uuid(source_id=source.pk, message_id="bad-0")), NOW, NOW)]
        assert json.loads(rows("SELECT context FROM event")[0][0]) == {"app": {"name": "shop"}}
        replay = Replay.objects.get()
        assert (replay.state, replay.done, replay.stored, replay.failed) == ("done", 1, 1, 0)
        closed = QuarantinedMessage.objects.get()
        assert (closed.state, bytes(closed.payload)) == ("replayed", b"")

    def test_of_one_leaves_the_others(self, accept, source: Source):
        accept(nameless(1), nameless(2))
        drain_all(NOW)
        one = QuarantinedMessage.objects.get(message_id="bad-2")

        operations.start_replay(source=source, criteria=Criteria(ids=(one.pk,)), steps=NAME_IT, now=NOW)
        replay_all()

        states = dict(QuarantinedMessage.objects.values_list("message_id", "state"))
        assert (states, len(stored_events())) == ({"bad-1": "held", "bad-2": "replayed"}, 1)

    def test_twice_doubles_nothing(self, accept, source: Source):
        accept(*(nameless(n) for n in range(7)))
        drain_all(NOW)

        for _ in range(2):
            operations.start_replay(source=source, criteria=Criteria(), steps=NAME_IT, now=NOW)
        replay_all(limit=2)

        assert len(stored_events()) == 7
        assert list(Replay.objects.order_by("pk").values_list("stored", "done")) == [(7, 7), (0, 0)]

    def test_of_what_the_sender_has_mended_himself_is_a_duplicate(self, accept, source: Source):
        accept(nameless(1))
        drain_all(NOW)
        accept(message(messageId="bad-1", event="Seen"), now=NOW + HOUR)
        drain_all(NOW + HOUR)

        operations.start_replay(source=source, criteria=Criteria(), steps=NAME_IT, now=NOW + HOUR)
        replay_all(NOW + HOUR)

        assert len(stored_events()) == 1
        assert Replay.objects.get().duplicates == 1

    def test_that_fails_again_comes_back_with_the_new_reason_before_the_old(self, accept, source: Source):
        accept(nameless(1, timestamp="soon"))
        drain_all(NOW)
        before = bytes(QuarantinedMessage.objects.get().payload)

        operations.start_replay(source=source, criteria=Criteria(), steps=NAME_IT, now=NOW + HOUR)
        replay_all(NOW + HOUR)

        again = QuarantinedMessage.objects.get()
        assert (again.state, again.code, again.path, again.event) == (
            "held",
            "timestamp_invalid",
            "/timestamp",
            "Seen",
        )
        assert [(old["code"], old["path"]) for old in again.history] == [("event_missing", "/event")]
        assert bytes(again.payload) == before
        assert Replay.objects.get().failed == 1
        counts = dict(HourlyCount.objects.values_list("outcome", "events"))
        assert counts == {"quarantined": 1}

    def test_of_a_message_that_postgres_cannot_keep_spares_the_others(self, accept, source: Source):
        accept(*(nameless(n) for n in range(3)))
        drain_all(NOW)
        poison = QuarantinedMessage.objects.get(message_id="bad-1")
        poison.edited = b'{"type":"track","event":"Seen","messageId":"bad-1","userId":"u","properties":{"n":1e400000}}'
        poison.save()

        operations.start_replay(source=source, criteria=Criteria(), steps=NAME_IT, now=NOW)
        replay_all()

        assert len(stored_events()) == 2
        poison.refresh_from_db()
        assert (poison.state, poison.code) == ("held", "not_storable")

    def test_of_a_request_that_could_not_be_read_takes_its_messages_in(self, source: Source):
        body = b'{"batch":[{"type":"track","event":"A","userId":"u","messageId":"1"},{"type":"track","userId":"u"}]'
        sources.accept(source_id=source.pk, kind="batch", events=2, body=body, remote_addr="", now=NOW)
        drain_all(NOW)
        whole = QuarantinedMessage.objects.get()
        operations.edit(message=whole, payload=body + b"}")

        operations.start_replay(source=source, criteria=Criteria(ids=(whole.pk,)), now=NOW)
        replay_all()

        assert [name for name, *_ in stored_events()] == ["A"]
        assert sorted(QuarantinedMessage.objects.values_list("state", "code")) == [
            ("held", "event_missing"),
            ("replayed", "json_invalid"),
        ]

    def test_can_be_cancelled_between_batches(self, accept, source: Source):
        accept(*(nameless(n) for n in range(6)))
        drain_all(NOW)
        started = operations.start_replay(source=source, criteria=Criteria(), steps=NAME_IT, now=NOW)

        pipeline.replay(now=NOW, limit=2)
        operations.cancel_replay(replay_id=started.pk, now=NOW)
        replay_all(limit=2)

        started.refresh_from_db()
        assert (started.state, started.done, len(stored_events())) == ("cancelled", 2, 2)
        assert QuarantinedMessage.objects.filter(state="held").count() == 4

    def test_takes_only_what_was_there_when_it_was_asked_for(self, accept, source: Source):
        accept(nameless(1))
        drain_all(NOW)
        operations.start_replay(source=source, criteria=Criteria(), steps=NAME_IT, now=NOW)
        accept(nameless(2))
        drain_all(NOW)

        replay_all()

        assert QuarantinedMessage.objects.get(state="held").message_id == "bad-2"

    def test_of_nothing_is_refused(self, source: Source):
        with pytest.raises(QuarantineError) as refused:
            operations.start_replay(source=source, criteria=Criteria(code="no_such"), now=NOW)

        assert refused.value.code == "nothing_matches"


# A worker that dwells in its third batch, when everything is written and nothing committed.
WORKER = """
import sys, time
import django
from django.conf import settings

django.setup()
settings.DATABASES["default"]["NAME"] = sys.argv[1]
from datetime import datetime
from cdp import pipeline
from ingestion.quarantine import operations

settle, batches = operations.settle_replay, []

def dwell(*args, **values):
    settle(*args, **values)
    batches.append(args)
    if len(batches) == 3:
        print("in the middle", flush=True)
        time.sleep(60)

operations.settle_replay = dwell
while pipeline.replay(now=datetime.fromisoformat(sys.argv[2]), limit=10):
    pass
"""


class TestKilledWorker:
    def test_loses_nothing_doubles_nothing_and_another_goes_on(self, accept, source: Source):
        accept(*(nameless(n) for n in range(60)))
        drain_all(NOW)
        operations.start_replay(source=source, criteria=Criteria(), steps=NAME_IT, now=NOW)
        command = [sys.executable, "-c", WORKER, connection.settings_dict["NAME"], NOW.isoformat()]
        environment = os.environ | {"DJANGO_SETTINGS_MODULE": "cdp.settings"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True, cwd=REPOSITORY) as worker:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "in the middle\n"
            worker.send_signal(signal.SIGKILL)
        assert Replay.objects.get().done == 20  # two batches are settled, the third has not happened
        _wait_until_free()

        replay_all(limit=10)

        assert len(stored_events()) == 60
        done = Replay.objects.get()
        assert (done.state, done.done, done.stored, done.duplicates) == ("done", 60, 60, 0)


def _wait_until_free() -> None:
    """PostgreSQL notices within moments that the killed worker's session is gone."""
    for _ in range(100):
        if not rows("SELECT 1 FROM pg_stat_activity WHERE state = 'idle in transaction' AND pid <> pg_backend_pid()"):
            return
        time.sleep(0.1)


class TestPreview:
    def test_says_what_a_replay_does(self, accept, source: Source):
        accept(*(nameless(n, **({"timestamp": "soon"} if n % 3 == 0 else {})) for n in range(9)))
        drain_all(NOW)

        tried = check.preview(source=source, criteria=Criteria(), steps=NAME_IT)
        operations.start_replay(source=source, criteria=Criteria(), steps=NAME_IT, now=NOW)
        replay_all()

        done = Replay.objects.get()
        assert (tried.total, tried.checked, tried.accepted) == (9, 9, 6)
        assert (done.stored, done.failed) == (6, 3)
        assert tried.problems == [("timestamp_invalid", "/timestamp", 3)]
        assert [example.accepted for example in tried.examples] == [True, True, False]
        assert '"name_of_event": "Seen"' in tried.examples[0].before
        assert '"event": "Seen"' in tried.examples[0].after


class TestRetention:
    def test_drops_messages_and_never_counts(self, accept, source: Source):
        accept(nameless(1))
        accept(nameless(2), now=NOW + 25 * DAY)
        drain_all(NOW + 25 * DAY)

        assert operations.drop_expired(now=NOW + 31 * DAY) == 1

        assert QuarantinedMessage.objects.get().message_id == "bad-2"
        assert Reason.objects.get().times == 2
        assert sum(ReasonHour.objects.values_list("messages", flat=True)) == 2

    def test_is_what_the_source_says(self, accept, source: Source):
        sources.change_settings(source=source, settings=SourceSettings(quarantine=QuarantineSettings(keep_days=3)))
        accept(nameless(1))
        drain_all(NOW)

        assert operations.drop_expired(now=NOW + 4 * DAY) == 1


class TestRefusedBatch:
    @pytest.fixture(autouse=True)
    def limit(self, source: Source) -> None:
        settings = SourceSettings(quarantine=QuarantineSettings(refuse_above=25))
        sources.change_settings(source=source, settings=settings)

    def test_is_quarantined_whole_and_can_be_replayed(self, accept, source: Source):
        accept(nameless(1), track("A"), track("B"), nameless(2))
        accept(track("C"), nameless(3), track("D"), track("E"))

        drained = drain_all(NOW)

        assert (drained.stored, drained.quarantined) == (3, 5)
        assert sorted(name for name, *_ in stored_events()) == ["C", "D", "E"]
        refused = Reason.objects.filter(code="batch_refused")
        assert {reason.event for reason in refused} == {"A", "B"}
        operations.start_replay(source=source, criteria=Criteria(code="batch_refused"), now=NOW)
        replay_all()
        assert sorted(name for name, *_ in stored_events()) == ["A", "B", "C", "D", "E"]
