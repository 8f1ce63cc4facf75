"""Why an event did not arrive: an answer for everything that can become of a message."""

from datetime import timedelta
from typing import Any

import pytest
import redis
from django.test import Client
from django.utils import timezone

from cdp.console.why import explain
from cdp.kernel.access.roles import Role
from cdp.kernel.wake import client as valkey
from consent.models import Purpose
from consent.operations import record_consent
from ingestion import operations as sources
from ingestion.models import Source
from ingestion.trace import drops, refusals
from ingestion.trace.models import DroppedMessage, RefusedRequests
from tests.factories.access import make_user
from tests.factories.ingestion import NOW, message, track
from tests.integration.conftest import drain_all, rows

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def nothing_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "_rests_until", 0.0)
    for key in valkey().scan_iter("cdp:refused:*"):
        valkey().delete(key)


@pytest.fixture
def objected(source: Source) -> Purpose:
    """The source asks for a purpose that u-1 has said no to."""
    purpose = Purpose.objects.create(slug="a", name="Analytics", kind="collection", requires_opt_in=False)
    Source.objects.update(purpose=purpose)
    record_consent(subjects=[("user_id", "u-1")], purpose="a", state="denied", method="form", happened_at=NOW, now=NOW)
    return purpose


def outcomes(**query: str) -> list[tuple[str, str]]:
    return [(one.outcome, one.event) for one in explain(now=NOW, **query).findings]


class TestExplain:
    def test_a_stored_message(self, accept):
        accept(track("A", messageId="m-1", userId="u-1"))
        drain_all(NOW)

        (one,) = explain(message_id="m-1", now=NOW).findings
        (event_id, profile_id) = rows("SELECT id::text, profile_id FROM event")[0]
        assert (one.outcome, one.event_id, one.profile_id) == ("stored", event_id, profile_id)
        assert outcomes(identifier="u-1") == [("stored", "A")]
        assert outcomes(text="m-1") == [("stored", "A")]

    def test_a_stored_message_that_was_seen_long_ago(self, accept):
        accept(track("A", messageId="m-1", timestamp="2025-01-01T00:00:00Z"))
        drain_all(NOW)
        rows("DELETE FROM seen_message RETURNING 1")

        assert outcomes(message_id="m-1") == [("stored", "A")]

    def test_a_message_that_waits(self, accept):
        accept(track("A", messageId="m-1", userId="u-1"))

        assert outcomes(message_id="m-1") == [("waiting", "")]
        assert outcomes(identifier="u-1") == [("waiting", "")]

    def test_a_quarantined_message(self, accept):
        accept(message(messageId="m-1", event="A", timestamp="soon", userId="u-1"))
        drain_all(NOW)

        (one,) = explain(message_id="m-1", now=NOW).findings
        assert one.outcome == "quarantined"
        assert "timestamp_invalid" in one.words
        assert "/timestamp" in one.words
        assert outcomes(identifier="u-1") == [("quarantined", "A")]

    def test_a_duplicate(self, accept):
        for _ in range(2):
            accept(track("A", messageId="m-1"))
            drain_all(NOW)

        assert sorted(outcomes(message_id="m-1")) == [("duplicate", "A"), ("stored", "A")]

    def test_a_message_of_somebody_who_does_not_consent(self, accept, objected: Purpose):
        accept(track("A", messageId="m-1", userId="u-1", anonymousId="v-1", properties={"secret": 1}))
        drain_all(NOW)

        (one,) = explain(identifier="u-1", now=NOW).findings
        assert (one.outcome, one.event, one.message_id) == ("no_consent", "A", "m-1")
        assert "Analytics" in one.words
        assert outcomes(identifier="v-1") == outcomes(message_id="m-1") == [("no_consent", "A")]
        (kept,) = rows("SELECT string_agg(d::text, ' ') FROM dropped_message d")[0]
        assert "u-1" not in kept
        assert "secret" not in kept

    def test_a_message_that_never_came_with_what_was_refused(self, source: Source, client: Client):
        client.post("/v1/track", b"{}", content_type="application/json", headers={"X-Write-Key": "nonsense"})

        answer = explain(message_id="m-1", now=timezone.now())

        assert answer.findings == []
        assert [(row.source_id, row.status, row.code, row.requests) for row in answer.refused] == [
            (0, 401, "write_key_unknown", 1)
        ]


class TestDrops:
    def test_are_forgotten_in_time(self, accept, objected: Purpose):
        accept(track("A"))
        drain_all(NOW)

        assert drops.drop_expired(now=NOW + 13 * DAY) == 0
        assert drops.drop_expired(now=NOW + 15 * DAY) == 2
        assert not DroppedMessage.objects.exists()

    def test_of_a_duplicate_in_one_chunk_are_one_row(self, accept):
        accept(*(track("A", messageId="m-1") for _ in range(9)))
        drain_all(NOW)

        assert DroppedMessage.objects.count() == 1

    def test_take_ids_that_postgres_does_not_know(self, accept):
        accept(*(track("A", messageId="\x00") for _ in range(2)))
        drain_all(NOW)

        assert DroppedMessage.objects.get().message_id == "\ufffd"


class TestRefusals:
    def refuse(self, client: Client, **headers: str) -> int:
        body = b'{"event": "A", "userId": "u"}'
        return client.post("/v1/track", body, content_type="application/json", headers=headers).status_code

    def test_are_counted_under_the_source_of_a_revoked_key(self, client: Client, source: Source, key: str):
        sources.revoke_write_key(key_id=source.write_keys.get().pk, now=NOW)

        assert [self.refuse(client, **{"X-Write-Key": key}) for _ in range(3)] == [401] * 3
        refusals.flush(now=timezone.now())
        refusals.flush(now=timezone.now())

        (row,) = RefusedRequests.objects.all()
        assert (row.source_id, row.status, row.requests) == (source.pk, 401, 3)

    def test_of_a_paused_source(self, client: Client, source: Source, key: str):
        sources.set_source_state(source=source, state="paused")

        assert self.refuse(client, **{"X-Write-Key": key}) == 403
        refusals.flush(now=timezone.now())

        assert RefusedRequests.objects.get().code == "source_paused"

    def test_are_answered_though_redis_is_down(self, client: Client, source: Source, monkeypatch):
        nowhere = redis.Redis(port=1, socket_connect_timeout=1)
        monkeypatch.setattr(refusals, "client", lambda: nowhere)

        assert self.refuse(client, **{"X-Write-Key": "nonsense"}) == 401


class TestScreen:
    def show(self, **query: Any) -> str:
        client = Client()
        client.force_login(make_user(Role.ANALYST))
        answer = client.get("/sources/why/", query)
        assert answer.status_code == 200
        return answer.content.decode()

    def test_asks(self, database: None):
        assert "Find out" in self.show()

    def test_answers_in_words(self, accept):
        accept(message(messageId="m-1", event="A", timestamp="soon"))
        drain_all(NOW)

        shown = self.show(q="m-1")
        assert "Quarantined:" in shown
        assert "Mend and replay it" in shown
        assert "Never received" in self.show(q="m-2")
        self.show(q="\x00")
