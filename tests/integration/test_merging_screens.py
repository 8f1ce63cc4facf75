"""Merging over the screens and the API: look first, decide, take back."""

from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

import segments.operations
from cdp import pipeline
from cdp.kernel.access.models import ApiToken
from identity import queries
from identity.merging.queries import constraints_of, merges_of
from tests.factories.access import make_user
from tests.factories.ingestion import NOW, identify, track
from tests.integration.conftest import rows
from tests.integration.test_identity_flow import drain, events_of, profile_of

BOUGHT_TWICE = {"type": "event", "event": "Order Completed", "measure": "count", "op": "gte", "value": 2}


@pytest.fixture
def two(accept) -> tuple[int, int]:
    drain(
        accept,
        identify(userId="ann", traits={"name": "Ann Lee", "city": "Rome"}, timestamp="2026-03-01T00:00:00Z"),
        track("Order Completed", userId="ann"),
    )
    drain(
        accept,
        identify(
            userId=...,
            anonymousId="b-1",
            traits={"name": "Anne Lee", "city": "Oslo"},
            timestamp="2026-03-02T00:00:00Z",
        ),
        track("Order Completed", userId=..., anonymousId="b-1"),
    )
    made = segments.operations.create_segment(slug="twice", name="Bought twice", definition=BOUGHT_TWICE, now=NOW)
    segments.operations.recompute(segment_id=made.pk, now=NOW)
    return profile_of("user_id", "ann"), profile_of("anonymous_id", "b-1")


@pytest.fixture
def api(database: None) -> APIClient:
    return token("profiles:read", "identity:write", "pii:read")


def token(*scopes: str) -> APIClient:
    made = APIClient()
    made.credentials(HTTP_AUTHORIZATION=f"Bearer {ApiToken.issue(name=f'test {scopes}', scopes=list(scopes))[1]}")
    return made


def person(client: Client, role: str) -> Client:
    client.force_login(make_user(role))
    return client


class TestApi:
    def test_shows_what_follows_before_anything_happens(self, api: APIClient, two):
        answer = api.post("/api/v1/merges/preview/", {"one": two[1], "other": two[0]}, format="json").json()

        assert answer["effects"]["segments"] == [
            {"slug": "twice", "name": "Bought twice", "before": [False, False], "after": [True, False]}
        ]
        assert answer["effects"]["complete"]
        assert answer["preview"]["survivor"]["profile"]["id"] == two[0]
        assert {one["name"]: one["merged"] for one in answer["preview"]["traits"]} == {
            "name": "Anne Lee",
            "city": "Oslo",
        }
        assert rows("SELECT count(*) FROM profile") == [(2,)]
        assert rows("SELECT count(*) FROM merge") == [(0,)]

    def test_merges_and_takes_back(self, api: APIClient, two):
        made = api.post("/api/v1/merges/", {"one": two[0], "other": two[1], "reason": "She said so."}, format="json")
        pipeline.evaluate(now=NOW)
        listed = api.get(f"/api/v1/profiles/{two[1]}/merges/").json()["results"]
        seen = api.get(f"/api/v1/merges/{made.json()['id']}/undo/preview/").json()
        back = api.post(f"/api/v1/merges/{made.json()['id']}/undo/", {}, format="json")

        assert made.status_code == 201
        assert listed == [made.json()]
        assert listed[0]["evidence"] == {"reason": "She said so."}
        assert seen["effects"]["segments"][0]["after"] == [False, False]
        assert back.json() == {"profile": two[0], "restored": two[1], "origins": [two[1]]}
        assert api.get("/api/v1/constraints/").json()["results"][0]["kind"] == "never"
        assert queries.get_profile(profile_id=two[1]).id == two[1]

    def test_says_why_it_refuses(self, api: APIClient, two):
        api.post("/api/v1/constraints/", {"one": two[0], "other": two[1], "kind": "never"}, format="json")

        refused = api.post("/api/v1/merges/", {"one": two[0], "other": two[1]}, format="json")
        lifted = api.post("/api/v1/constraints/lift/", {"one": two[1], "other": two[0]}, format="json")
        merged = api.post("/api/v1/merges/", {"one": two[0], "other": two[1]}, format="json")

        assert (refused.status_code, refused.json()["code"]) == (400, "never_linked")
        assert (lifted.status_code, merged.status_code) == (204, 201)

    def test_splits(self, api: APIClient, accept, two):
        drain(accept, track("X", userId="ann", context={"traits": {"email": "x@example.org"}}))
        chosen = {"identifiers": [{"kind": "email", "value": "x@example.org"}]}

        answer = api.post(f"/api/v1/profiles/{two[0]}/split/", chosen, format="json").json()

        assert profile_of("email", "x@example.org") == answer["restored"]
        assert events_of(answer["restored"]) == ["X"]

    @pytest.mark.parametrize(
        ("path", "body", "status", "code"),
        [
            ("merges/", {"one": 1}, 400, "required"),
            ("merges/", {"one": 1, "other": 2}, 404, "not_found"),
            ("merges/preview/", {"one": 1, "other": 2}, 404, "not_found"),
            ("merges/7/undo/", {}, 404, "not_found"),
            ("profiles/7/split/", {"identifiers": []}, 400, "empty"),
            ("constraints/lift/", {"one": 1, "other": 2}, 404, "not_found"),
            ("constraints/", {"one": 1, "other": 2, "kind": "maybe"}, 400, "invalid_choice"),
        ],
        ids=["incomplete", "strangers", "previewed strangers", "no merge", "none chosen", "nothing said", "bad kind"],
    )
    def test_answers_bad_input_with_a_code(self, api: APIClient, path: str, body: Any, status: int, code: str):
        answer = api.post(f"/api/v1/{path}", body, format="json")

        assert (answer.status_code, answer.json()["code"]) == (status, code)

    def test_needs_the_scope(self, two):
        reader = token("profiles:read")

        assert reader.post("/api/v1/merges/", {"one": two[0], "other": two[1]}, format="json").status_code == 403
        assert reader.get(f"/api/v1/profiles/{two[0]}/merges/").status_code == 200

    def test_masks_evidence_for_who_may_not_see_people(self, accept, two):
        drain(accept, track("Met", userId="ann", anonymousId="b-1"))

        (merge,) = token("profiles:read").get(f"/api/v1/profiles/{two[0]}/merges/").json()["results"]

        assert "ann" not in str(merge["evidence"]["identifiers"])


class TestScreens:
    def test_an_engineer_compares_merges_and_takes_back(self, client: Client, two):
        engineer = person(client, "engineer")

        found = engineer.get(f"/profiles/{two[0]}/merge/", {"q": "Anne"}).content.decode()
        compared = engineer.get(f"/profiles/{two[0]}/merge/{two[1]}/").content.decode()
        engineer.post(f"/profiles/{two[0]}/merge/{two[1]}/", {"decision": "merge", "reason": "One card."})
        (merge,) = merges_of(two[0])
        listed = engineer.get(f"/profiles/{two[0]}/merges/").content.decode()
        seen = engineer.get(f"/profiles/merges/{merge.id}/undo/").content.decode()
        engineer.post(f"/profiles/merges/{merge.id}/undo/", {"never_again": "on"})

        assert f"/profiles/{two[0]}/merge/{two[1]}/" in found
        assert "enters" in compared
        assert "differs" in compared
        assert "One card." in listed
        assert "Lives again" in seen
        assert profile_of("anonymous_id", "b-1") == two[1]
        assert [one.kind for one in constraints_of(two[0])] == ["never"]

    def test_says_never_and_lifts_it(self, client: Client, two):
        engineer = person(client, "engineer")

        engineer.post(f"/profiles/{two[0]}/merge/{two[1]}/", {"decision": "never"})
        assert "Never one person" in engineer.get(f"/profiles/{two[1]}/merges/").content.decode()
        engineer.post(f"/profiles/{two[0]}/constraints/{two[0]}/{two[1]}/lift/")

        assert constraints_of(two[0]) == []

    def test_splits_what_is_chosen(self, client: Client, accept, two):
        drain(accept, track("X", userId="ann", context={"traits": {"email": "x@example.org"}}))
        engineer = person(client, "engineer")

        page = engineer.get(f"/profiles/{two[0]}/split/").content.decode()
        engineer.post(f"/profiles/{two[0]}/split/", {"identifier": ["email~0"]})

        assert "email~0" in page
        assert profile_of("email", "x@example.org") != two[0]

    def test_a_marketer_looks_and_does_not_touch(self, client: Client, two):
        marketer = person(client, "marketer")

        assert marketer.get(f"/profiles/{two[0]}/merge/{two[1]}/").status_code == 200
        assert marketer.post(f"/profiles/{two[0]}/merge/{two[1]}/", {"decision": "merge"}).status_code == 403

    def test_what_was_taken_back_is_not_taken_back_again(self, client: Client, accept, two):
        engineer = person(client, "engineer")
        drain(accept, track("Met", userId="ann", anonymousId="b-1"))
        (merge,) = merges_of(two[0])
        engineer.post(f"/profiles/merges/{merge.id}/undo/", {})

        again = engineer.get(f"/profiles/merges/{merge.id}/undo/")

        assert again.status_code == 409
        assert "taken back already" in again.content.decode()
