"""The live view: what the drain shows of a chunk through a real Valkey, and what the console makes of it."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from django.test import Client

from cdp import chunk, pipeline
from cdp.kernel import wake
from cdp.kernel.access.roles import Role
from consent.models import Purpose
from consent.operations import record_consent
from ingestion.live import feed
from ingestion.models import Source
from tests.factories.access import make_user
from tests.factories.ingestion import NOW, message, track
from tests.integration.conftest import drain_all, rows


@pytest.fixture(autouse=True)
def redis_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_rests_until", 0.0)
    for key in wake.client().scan_iter("cdp:live:*"):
        wake.client().delete(key)


def shown(source: Source, **query: Any) -> list[tuple[str, str]]:
    return [(entry.outcome, entry.event) for entry in feed.entries(source_id=source.pk, **query)]


class TestFeed:
    def test_shows_every_outcome_with_what_came(self, accept, source: Source):
        accept(track("A", messageId="1", userId="u-1"), track("B", messageId="1"), message(event=..., messageId="2"))
        drain_all(NOW)

        found = {entry.outcome: entry for entry in feed.entries(source_id=source.pk)}

        assert set(found) == {"stored", "duplicate", "quarantined"}
        stored, held = found["stored"], found["quarantined"]
        (profile_id,) = rows("SELECT profile_id FROM event")[0]
        assert (stored.event, stored.profile_id, stored.people) == ("A", profile_id, [("user_id", "u-1")])
        assert '"messageId": "1"' in stored.payload
        assert (held.code, held.path, held.message_id) == ("event_missing", "/event", "2")

    def test_goes_on_after_what_was_seen(self, accept, source: Source):
        accept(track("A"))
        drain_all(NOW)
        (seen,) = feed.entries(source_id=source.pk)
        accept(track("B"))
        drain_all(NOW)

        assert shown(source, after=seen.id) == [("stored", "B")]
        assert shown(source, after=feed.entries(source_id=source.pk)[-1].id) == []

    def test_keeps_the_newest_few(self, accept, source: Source):
        for n in range(8):
            accept(*(track(f"E{n}") for _ in range(70)))
            drain_all(NOW)

        found = shown(source)
        assert len(found) == feed.KEPT
        assert found[-1] == ("stored", "E7")
        assert found.count(("stored", "E7")) == feed.PER_CHUNK

    def test_of_who_sends_all_the_time_shows_what_can_be_read(self, accept, source: Source, monkeypatch):
        monkeypatch.setattr(feed, "_left", {})
        showed = []
        for seconds in [100.0] * 12 + [100.5, 500.0]:
            monkeypatch.setattr(feed, "time", SimpleNamespace(time=time.time, monotonic=lambda now=seconds: now))
            accept(*(track("A") for _ in range(60)))
            feed.forget(source_id=source.pk)
            drain_all(NOW)
            showed.append(len(shown(source)))

        assert showed == [50] * 8 + [0] * 4 + [50, 50]

    def test_keeps_nothing_of_who_does_not_consent(self, accept, source: Source):
        purpose = Purpose.objects.create(slug="a", name="A", kind="collection", requires_opt_in=False)
        Source.objects.update(purpose=purpose)
        record_consent(
            subjects=[("user_id", "u-1")], purpose="a", state="denied", method="form", happened_at=NOW, now=NOW
        )
        accept(track("A", properties={"secret": 1}))
        drain_all(NOW)

        (entry,) = feed.entries(source_id=source.pk)
        assert (entry.outcome, entry.event, entry.payload, entry.people) == ("no_consent", "A", "", [])

    def test_of_a_chunk_that_is_rolled_back_shows_nothing(self, accept, source: Source, monkeypatch):
        accept(track("A"))
        monkeypatch.setattr(chunk.live, "show_after_commit", _then_fail(chunk.live.show_after_commit))

        with pytest.raises(redis.ConnectionError):
            drain_all(NOW)

        assert shown(source) == []

    def test_never_holds_the_drain_up_when_redis_is_down(self, accept, source: Source, monkeypatch):
        nowhere = redis.Redis(port=1, socket_connect_timeout=1)
        monkeypatch.setattr(feed, "client", lambda: nowhere)
        accept(track("A"))

        assert drain_all(NOW).stored == 1

    def test_keeps_nobody_waiting_who_is_told_of_the_chunk(self, accept, source: Source):
        seen: list[list[tuple[str, str]]] = []
        accept(track("A"))

        drained = pipeline.drain(now=NOW, committed=lambda: seen.append(shown(source)))
        again = pipeline.drain(now=NOW, committed=lambda: seen.append(shown(source)))

        assert (drained.stored, again.rows) == (1, 0)
        assert seen == [[]]
        assert len(shown(source)) == 1

    def test_tells_the_rate(self, accept, source: Source):
        accept(*(track("A") for _ in range(70)))
        drain_all(NOW)

        assert feed.rate(source_id=source.pk, now=time.time() + 2) == 7.0


def _then_fail(show: Any) -> Any:
    def fail(**chunk: Any) -> None:
        show(**chunk)
        raise redis.ConnectionError

    return fail


class TestScreen:
    @pytest.fixture
    def erin(self, database: None) -> Client:
        client = Client()
        client.force_login(make_user(Role.ENGINEER))
        return client

    def test_says_how_to_send_where_nothing_came(self, erin: Client, source: Source):
        page = erin.get("/sources/shop/live/").content.decode()

        assert "Nothing to see yet" in page
        assert "curl" in page

    def test_filters(self, erin: Client, accept):
        accept(track("Bought", userId="anna", properties={"sku": "x-1"}), track("Seen", userId="ben"))
        drain_all(NOW)

        def names(**query: str) -> set[str]:
            return {entry.event for entry, _ in erin.get("/sources/shop/live/feed/", query).context["rows"]}

        assert names() == {"Bought", "Seen"}
        assert names(event="bou") == {"Bought"}
        assert names(person="BEN") == {"Seen"}
        assert names(text='"sku": "x-1"') == {"Bought"}
        assert names(outcome="quarantined") == set()
        assert names(after="nonsense") == {"Bought", "Seen"}

    def test_says_so_when_redis_is_down(self, erin: Client, source: Source, monkeypatch):
        nowhere = redis.Redis(port=1, socket_connect_timeout=1)
        monkeypatch.setattr(feed, "client", lambda: nowhere)

        assert "Redis is down" in erin.get("/sources/shop/live/").content.decode()
        assert wake.client() is not nowhere
