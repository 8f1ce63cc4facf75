"""The quarantine, the live view and the trace over the API."""

import json
from typing import Any

import pytest
from rest_framework.test import APIClient

from cdp import pipeline
from cdp.kernel.access.roles import Role
from ingestion.live import feed
from ingestion.models import Source
from ingestion.quarantine.models import QuarantinedMessage, Reason
from tests.factories.access import make_user
from tests.factories.ingestion import NOW, message, track
from tests.integration.conftest import drain_all, rows

HOME = "/api/v1/quarantine/"
RENAME = [{"op": "rename", "path": "/name", "to": "event"}]


@pytest.fixture
def api(database: None) -> APIClient:
    client = APIClient()
    client.force_authenticate(make_user(Role.ENGINEER))
    return client


@pytest.fixture
def held(accept) -> Reason:
    accept(*(message(event=..., name="Seen", messageId=f"bad-{n}", userId=f"u-{n}") for n in range(3)))
    drain_all(NOW)
    return Reason.objects.get()


def replay_all() -> None:
    while pipeline.replay(now=NOW):
        pass


class TestList:
    def test_comes_in_pages(self, api: APIClient, held: Reason):
        first = api.get(HOME, {"page_size": 2}).json()
        second = api.get(first["next"]).json()

        assert (len(first["results"]), len(second["results"])) == (2, 1)
        ids = [row["message_id"] for row in first["results"] + second["results"]]
        assert sorted(ids) == ["bad-0", "bad-1", "bad-2"]
        assert second["next"] is None
        assert json.loads(first["results"][0]["payload"])["name"] == "Seen"

    @pytest.mark.parametrize(
        ("query", "found"),
        [({"person": "u-1"}, 1), ({"person": "null"}, 0), ({"code": "x"}, 0), ({"state": "discarded"}, 0), ({}, 3)],
    )
    def test_filters(self, api: APIClient, held: Reason, query: dict[str, str], found: int):
        assert len(api.get(HOME, query).json()["results"]) == found

    def test_needs_the_scope(self, held: Reason):
        client = APIClient()
        assert client.get(HOME).status_code in {401, 403}
        client.force_authenticate(make_user(Role.ANALYST))
        assert client.get(HOME).status_code == 200
        assert client.post(f"{HOME}replay/", {"source": "shop"}).status_code == 403


class TestReasons:
    def test_count_what_came_and_what_waits(self, api: APIClient, held: Reason):
        (found,) = api.get(f"{HOME}reasons/", {"source": "shop"}).json()

        assert (found["code"], found["path"], found["times"], found["held"]) == ("event_missing", "/event", 3, 3)


class TestReplay:
    def test_is_tried_started_watched(self, api: APIClient, held: Reason):
        asked = {"source": "shop", "filter": {"reason": held.pk}, "operations": RENAME}

        tried = api.post(f"{HOME}preview/", asked, format="json").json()
        started = api.post(f"{HOME}replay/", asked, format="json")
        replay_all()
        done = api.get(f"{HOME}replays/{started.json()['id']}/").json()

        assert (tried["accepted"], tried["checked"], started.status_code) == (3, 3, 202)
        assert (done["state"], done["stored"], done["failed"]) == ("done", 3, 0)

    def test_of_one_that_was_mended(self, api: APIClient, held: Reason):
        one = QuarantinedMessage.objects.get(message_id="bad-1")
        bad = api.post(f"{HOME}{one.pk}/replay/", {"payload": '{"type": "track", "userId": "u"}'}, format="json")
        good = {"payload": '{"type": "track", "userId": "u", "event": "Seen"}'}

        answer = api.post(f"{HOME}{one.pk}/replay/", good, format="json")
        replay_all()

        assert (bad.status_code, bad.json()["code"], bad.json()["path"]) == (400, "event_missing", "/event")
        assert answer.status_code == 202
        assert rows("SELECT count(*) FROM event") == [(1,)]

    @pytest.mark.parametrize(
        ("asked", "path"),
        [
            ({"operations": [{"op": "remove", "path": "x"}]}, "/operations/0/path"),
            ({"filter": {"since": "soon"}}, "/filter/since"),
        ],
    )
    def test_says_what_is_wrong_with_it(self, api: APIClient, held: Reason, asked: dict[str, Any], path: str):
        answer = api.post(f"{HOME}replay/", {"source": "shop"} | asked, format="json")

        assert (answer.status_code, answer.json()["path"]) == (400, path)

    def test_is_cancelled(self, api: APIClient, held: Reason):
        started = api.post(f"{HOME}replay/", {"source": "shop"}, format="json").json()

        answer = api.post(f"{HOME}replays/{started['id']}/cancel/")

        assert answer.json()["state"] == "cancelled"
        replay_all()
        assert QuarantinedMessage.objects.filter(state="held").count() == 3


class TestDiscard:
    def test_and_restore(self, api: APIClient, held: Reason):
        asked = {"filter": {"reason": held.pk}, "reason": "a test"}

        assert api.post(f"{HOME}discard/", asked, format="json").json() == {"messages": 3}
        assert api.post(f"{HOME}restore/", {"filter": {"message_id": "bad-1"}}, format="json").json() == {
            "messages": 1
        }


class TestLive:
    @pytest.fixture(autouse=True)
    def nothing_yet(self, source: Source) -> None:
        feed.forget(source_id=source.pk)

    def test_goes_on_after_its_cursor(self, api: APIClient, accept, source: Source):
        accept(track("A"))
        drain_all(NOW)
        first = api.get("/api/v1/sources/shop/live/").json()
        accept(track("B", userId="ben"))
        drain_all(NOW)

        second = api.get("/api/v1/sources/shop/live/", {"after": first["cursor"]}).json()

        assert [row["event"] for row in first["results"]] == ["A"]
        assert [(row["event"], row["people"]) for row in second["results"]] == [("B", [["user_id", "ben"]])]
        assert api.get("/api/v1/sources/shop/live/", {"after": "x"}).status_code == 400
        assert api.get("/api/v1/sources/none/live/").status_code == 404


class TestTrace:
    def test_answers_by_message_and_by_person(self, api: APIClient, held: Reason):
        by_id = api.get("/api/v1/events/trace/", {"message_id": "bad-1"}).json()
        by_person = api.get("/api/v1/events/trace/", {"identifier": "u-1"}).json()

        assert by_id["findings"] == by_person["findings"]
        assert by_id["findings"][0]["outcome"] == "quarantined"
        assert api.get("/api/v1/events/trace/").json()["code"] == "query_missing"
