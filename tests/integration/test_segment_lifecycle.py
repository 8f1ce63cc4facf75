"""Drafts, versions and their differences, archive, folders and tags, through HTTP. R: D1, D3"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from segments import computations, operations, users
from segments.models import Membership, Segment, Transition
from tests.factories import segments as make
from tests.factories.activation import make_destination, make_subscription
from tests.integration.test_segment_api import GERMAN, SPENT, URL, client

pytestmark = pytest.mark.django_db
FRENCH = GERMAN | {"value": "FR"}
UNFINISHED = {"type": "all", "of": [{"type": "trait", "trait": ""}]}


@pytest.fixture(scope="module", autouse=True)
def _months(django_db_setup: None, django_db_blocker: Any) -> None:
    today = datetime.now(UTC).date()
    with django_db_blocker.unblock():
        make.ensure_months(today - timedelta(days=40), today + timedelta(days=1))


@pytest.fixture
def writer() -> APIClient:
    return client("segments:read", "segments:write", "activation:write")


def add(writer: APIClient, slug: str = "x", definition: Any = GERMAN, **more: Any) -> dict[str, Any]:
    answer = writer.post(URL, {"name": slug.upper(), "slug": slug, "definition": definition, **more})
    assert answer.status_code == 201, answer.data
    compute()
    body: dict[str, Any] = writer.get(f"{URL}{slug}/").json()
    return body


def compute() -> None:
    now = datetime.now(UTC)
    for segment_id in computations.waiting(now=now):
        operations.recompute(segment_id=segment_id, now=now)


def act(writer: APIClient, what: str, *, expect: int = 200, **body: Any) -> dict[str, Any]:
    answer = writer.post(f"{URL}{what}/", body)
    assert answer.status_code == expect, answer.data
    found: dict[str, Any] = answer.json()
    return found


class TestDrafts:
    def test_a_new_one_is_kept_unfinished_and_published_once_it_can_be_read(self, writer: APIClient) -> None:
        make.make_profile({"country": "DE"})
        body = add(writer, definition=UNFINISHED, as_draft=True)
        assert (body["state"], body["version"], body["definition"]) == ("draft", 0, UNFINISHED)
        assert act(writer, "x/publish", expect=400)["code"]

        writer.patch(f"{URL}x/", {"definition": GERMAN, "as_draft": True})
        assert writer.get(f"{URL}x/").json()["state"] == "draft"
        body = act(writer, "x/publish")
        assert (body["state"], body["version"]) == ("computing", 1)
        compute()

        body = writer.get(f"{URL}x/").json()
        assert (body["state"], body["member_count"]) == ("live", 1)

    def test_one_of_a_live_segment_waits_beside_it(self, writer: APIClient) -> None:
        add(writer)

        body = writer.patch(f"{URL}x/", {"name": "Later", "definition": UNFINISHED, "as_draft": True}).json()

        assert (body["name"], body["definition"], body["state"], body["version"]) == ("X", GERMAN, "live", 1)
        assert (body["draft"]["name"], body["draft"]["definition"]) == ("Later", UNFINISHED)
        assert act(writer, "x/publish", expect=400)["path"]
        writer.patch(f"{URL}x/", {"definition": FRENCH, "as_draft": True})
        body = act(writer, "x/publish")
        assert (body["name"], body["version"], body["draft"]) == ("Later", 2, None)

    def test_one_can_be_discarded(self, writer: APIClient) -> None:
        add(writer)
        assert act(writer, "x/discard", expect=409)["code"] == "no_draft"
        writer.patch(f"{URL}x/", {"definition": FRENCH, "as_draft": True})

        assert act(writer, "x/discard")["draft"] is None

    @pytest.mark.parametrize("definition", [[], "x", {"a": "\0"}, {"a": "x" * 200_001}])
    def test_what_cannot_be_stored_is_refused(self, writer: APIClient, definition: Any) -> None:
        answer = writer.post(URL, {"name": "X", "definition": definition, "as_draft": True})

        assert (answer.status_code, answer.json()["path"]) == (400, "/definition")

    def test_nobody_can_use_one(self, writer: APIClient) -> None:
        add(writer, as_draft=True)
        destination = make_destination("https://example.com/hook")

        named = writer.post(URL, {"name": "Y", "definition": {"type": "segment", "segment": "x"}})
        heard = writer.post("/api/v1/subscriptions/", {"destination": destination.slug, "segment": "x"})

        assert (named.json()["code"], heard.status_code) == ("unknown_segment", 400)
        assert act(writer, "x/recompute", expect=409)["code"] == "segment_at_rest"


class TestVersions:
    def test_are_listed_compared_and_restored(self, writer: APIClient) -> None:
        add(writer, definition={"type": "all", "of": [GERMAN, SPENT]})
        writer.patch(f"{URL}x/", {"definition": {"type": "all", "of": [GERMAN, SPENT | {"value": 600}]}})
        compute()

        page = writer.get(f"{URL}x/versions/", {"page_size": 1}).json()
        rest = writer.get(page["next"]).json()
        assert [each["number"] for each in (*page["results"], *rest["results"])] == [2, 1]
        assert [each["live"] for each in (*page["results"], *rest["results"])] == [True, False]
        diff = writer.get(f"{URL}x/versions/1/diff/").json()
        assert (diff["changed_from"], diff["changed_to"], diff["summary"]) == (1, 2, "1 condition changed")
        assert diff["changes"][0]["before"].replace("500", "600") == diff["changes"][0]["text"]
        assert writer.get(f"{URL}x/versions/1/diff/", {"to": 9}).json()["code"] == "version_not_found"

        body = act(writer, "x/restore", version=1)

        assert (body["version"], body["live_version"], body["definition"]["of"][1]) == (3, 2, SPENT)
        assert body["next_version"]["number"] == 3
        compute()
        assert writer.get(f"{URL}x/versions/3/diff/", {"to": 1}).json()["summary"] == ""
        assert act(writer, "x/restore", expect=404, version=17)["code"] == "version_not_found"

    def test_an_edit_shows_until_it_is_cancelled(self, writer: APIClient) -> None:
        add(writer)
        writer.patch(f"{URL}x/", {"definition": FRENCH})
        listed = [each["slug"] for each in writer.get(URL, {"state": "computing"}).json()["results"]]
        assert (listed, writer.get(URL, {"state": "live"}).json()["results"]) == (["x"], [])

        body = act(writer, "x/cancel")

        assert (body["state"], body["version"], body["next_version"]) == ("live", 1, None)
        assert body["draft"]["definition"] == FRENCH
        assert act(writer, "x/cancel", expect=409)["code"] == "nothing_on_its_way"


class TestArchive:
    def test_lets_everybody_leave_and_brings_them_back(self, writer: APIClient) -> None:
        anna = make.make_profile({"country": "DE"})
        add(writer)

        body = act(writer, "x/archive")
        assert (body["state"], body["member_count"], Membership.objects.count()) == ("archived", 0, 0)
        assert Transition.objects.order_by("-id").values_list("kind", "cause").first() == ("left", "archive")
        assert writer.get(URL).json()["results"] == []
        assert len(writer.get(URL, {"state": "archived"}).json()["results"]) == 1
        assert writer.patch(f"{URL}x/", {"definition": FRENCH}).json()["code"] == "segment_archived"
        make.note_change(anna, traits=["country"])
        assert operations.evaluate_changes(now=datetime.now(UTC), limit=10).segment_ids == ()

        assert act(writer, "x/unarchive")["state"] == "computing"
        compute()
        assert Membership.objects.get().profile_id == anna
        assert Segment.objects.get().version == 1

    def test_is_refused_while_something_uses_it(self, writer: APIClient) -> None:
        add(writer)
        add(writer, "y", {"type": "segment", "segment": "x"})
        make_subscription(make_destination("https://example.com/hook"), Segment.objects.get(slug="x"))

        refused = act(writer, "x/archive", expect=409)

        assert refused["code"] == "segment_in_use"
        assert "the segment “Y” and the destination" in refused["message"]
        assert [use["kind"] for use in writer.get(f"{URL}x/used-by/").json()["results"]] == ["segment", "destination"]

    def test_other_rooms_can_say_that_they_use_it(self, writer: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
        add(writer)
        monkeypatch.setattr(users, "_finders", [])
        users.register(lambda segment: [users.Use("experiment", f"Test of {segment.name}")])

        assert "the experiment “Test of X”" in act(writer, "x/archive", expect=409)["message"]
        assert "the experiment “Test of X”" in writer.delete(f"{URL}x/").json()["message"]

    def test_a_copy_is_a_draft(self, writer: APIClient) -> None:
        add(writer, folder="Spring", tags=["mail"])

        copies = [act(writer, "x/duplicate", expect=201) for _ in range(2)]

        assert [copy["name"] for copy in copies] == ["Copy of X", "Copy of X 2"]
        assert (copies[0]["state"], copies[0]["definition"], copies[0]["folder"]) == ("draft", GERMAN, "Spring")


class TestFolders:
    def test_and_tags_are_set_and_found_by(self, writer: APIClient) -> None:
        add(writer, "x", folder=" Spring  sale ", tags=["Mail", "mail", "VIP"])
        add(writer, "y", SPENT)

        def found(**query: str) -> list[str]:
            return [each["slug"] for each in writer.get(URL, query).json()["results"]]

        body = writer.get(f"{URL}x/").json()
        assert (body["folder"], body["tags"]) == ("Spring sale", ["Mail", "VIP"])
        assert found(folder="Spring sale") == found(tag="VIP") == found(q="spring x") == ["x"]
        assert found(q="order completed") == found(q="more than 500") == found(q="REVENUE") == ["y"]
        writer.patch(f"{URL}x/", {"folder": "", "tags": []})
        assert found(folder="Spring sale") == found(tag="VIP") == []

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ({"folder": "x" * 61}, "invalid_folder"),
            ({"tags": ["a,b"]}, "invalid_tag"),
            ({"tags": ["x" * 41]}, "invalid_tag"),
            ({"tags": [str(number) for number in range(21)]}, "too_many_tags"),
        ],
    )
    def test_have_limits(self, writer: APIClient, body: dict[str, Any], code: str) -> None:
        add(writer)

        assert writer.patch(f"{URL}x/", body).json()["code"] == code
