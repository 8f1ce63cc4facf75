"""`/api/v1/matches/` and the screens under /identity/matching/."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from cdp.kernel.access.models import ApiToken
from identity.candidates import jobs, warnings
from identity.candidates.models import Candidate, MatchingSettings, MatchModel, MatchRun, MatchWarning
from identity.models import Profile
from tests.factories.access import make_user
from tests.factories.ingestion import NOW
from tests.integration.conftest import drain_all
from tests.integration.test_matching_turns import ANNA, ANNA_AGAIN, OTHER, match, person


@pytest.fixture
def pair(accept) -> Candidate:
    accept(person("a-1", ANNA), person("a-2", ANNA_AGAIN), person("a-3", OTHER))
    drain_all(NOW)
    match()
    return Candidate.objects.get()


def api(*scopes: str) -> APIClient:
    _, token = ApiToken.issue(name=f"token-{ApiToken.objects.count()}", scopes=list(scopes))
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


def engineer() -> APIClient:
    return api("profiles:read", "identity:write", "pii:read")


class TestMatches:
    def test_are_listed_with_their_evidence(self, pair):
        body: dict[str, Any] = engineer().get("/api/v1/matches/?state=waiting&min_probability=0.5").json()

        (row,) = body["results"]
        assert (row["one"], row["other"], row["state"], body["next"]) == (pair.one_id, pair.other_id, "waiting", None)
        weights = row["evidence"]["prior"] + sum(field["weight"] for field in row["evidence"]["fields"])
        assert weights == pytest.approx(row["score"], abs=0.01)

    def test_hide_values_from_those_who_may_not_see_them(self, pair):
        shown = api("profiles:read").get(f"/api/v1/matches/{pair.pk}/").content.decode()

        assert "Fitzgerald" not in shown
        assert "Fitzgerald" in engineer().get(f"/api/v1/matches/{pair.pk}/").content.decode()

    def test_are_accepted_once_and_taken_back(self, pair):
        client = engineer()

        assert client.post(f"/api/v1/matches/{pair.pk}/accept/").json()["state"] == "accepted"
        assert Profile.objects.count() == 2
        refused = client.post(f"/api/v1/matches/{pair.pk}/reject/", {})
        assert (refused.status_code, refused.json()["code"]) == (409, "already_decided")
        assert client.post(f"/api/v1/matches/{pair.pk}/undo/").json()["state"] == "waiting"
        assert Profile.objects.count() == 3

    def test_deciding_needs_its_scope(self, pair):
        assert api("profiles:read").post(f"/api/v1/matches/{pair.pk}/accept/").status_code == 403

    def test_a_threshold_is_a_probability(self, database):
        refused = engineer().post("/api/v1/matches/accept-above/", {"threshold": 7})

        assert (refused.status_code, refused.json()["path"]) == (400, "/threshold")


class TestRunsAndModels:
    def test_a_full_pass_is_asked_for_and_followed(self, database):
        client = engineer()

        asked = client.post("/api/v1/match-runs/", {"kind": "full"})
        jobs.work(clock=lambda: NOW)

        assert asked.status_code == 202
        assert client.get(f"/api/v1/match-runs/{asked.json()['id']}/").json()["state"] == "done"

    def test_too_few_profiles_are_refused_with_a_code(self, database):
        refused = engineer().post("/api/v1/match-runs/", {"kind": "estimate"})

        assert (refused.status_code, refused.json()["code"]) == (409, "too_few_profiles")

    def test_a_draft_is_previewed_before_it_is_switched_on(self, database):
        model = MatchModel.objects.create(parameters={}, summary={"fields": []}, created_at=NOW)

        refused = engineer().post(f"/api/v1/match-models/{model.pk}/switch-on/")

        assert (refused.status_code, refused.json()["code"]) == (409, "not_previewed")


class TestSettings:
    def test_are_changed_in_part(self, database):
        body = engineer().patch("/api/v1/matching-settings/", {"automatic": True}).json()

        assert (body["automatic"], body["accept_above"], body["fields_confirmed"]) == (True, 0.99, False)

    @pytest.mark.parametrize(
        ("change", "code", "path"),
        [
            ({"review_above": 0.999}, "thresholds_out_of_order", "/review_above"),
            ({"columns": [{"column": "a", "type": "shoe_size"}]}, "invalid_choice", "/columns/0/type"),
            ({"columns": [{"column": "a", "type": "ignore"}]}, "nothing_to_compare", "/"),
        ],
        ids=["thresholds", "type", "nothing"],
    )
    def test_that_do_not_fit_are_refused(self, database, change, code, path):
        refused = engineer().patch("/api/v1/matching-settings/", change)

        assert (refused.status_code, refused.json()["code"], refused.json()["path"]) == (400, code, path)

    def test_confirmed_columns_have_everybody_matched_anew(self, pair):
        columns = [{"column": "surname", "type": "surname", "traits": ["lastName"]}]

        assert engineer().patch("/api/v1/matching-settings/", {"columns": columns}).json()["fields_confirmed"]
        assert MatchRun.objects.get().kind == "full"


class TestScreens:
    @pytest.fixture
    def console(self, client: Client, database: None) -> Client:
        client.force_login(make_user("engineer"))
        return client

    def test_the_status_says_what_waits_and_what_to_look_at(self, console, pair):
        warnings.note(warnings.SHARED_VALUE, {("phone", "+442079460000"): 412}, now=NOW)

        shown = console.get(reverse("matching:status")).content.decode()

        assert "Wait for a person" in shown
        assert "412 profiles" in shown
        assert "+442079460000" not in shown

    def test_a_warning_that_was_seen_to_is_gone(self, console, database):
        warnings.note(warnings.SHARED_VALUE, {("phone", "+442079460000"): 412}, now=NOW)

        console.post(reverse("matching:dismiss", args=[MatchWarning.objects.get().pk]))

        assert "412 profiles" not in console.get(reverse("matching:status")).content.decode()

    def test_fields_are_confirmed_in_the_browser(self, console, pair):
        page = console.get(reverse("matching:settings")).content.decode()
        assert "address.postalCode" in page

        console.post(reverse("matching:fields"), {"type-given_name": "ignore"})

        fields = MatchingSettings.objects.get().fields
        assert fields[0]["type"] == "ignore"
        assert fields[1]["type"] != "ignore"

    def test_thresholds_in_the_wrong_order_are_said_at_the_field(self, console, database):
        form = {"accept_above": 0.6, "review_above": 0.9, "full_pass_hour": 3, "estimate_days": 30}

        answer = console.post(reverse("matching:settings"), form)

        assert answer.status_code == 422
        assert "must be above 0 and not above" in answer.content.decode()

    def test_a_marketer_reads_only(self, client, pair):
        client.force_login(make_user("marketer"))

        assert reverse("matching:ask") not in client.get(reverse("matching:status")).content.decode()
        assert client.post(reverse("matching:ask"), {"what": "full"}).status_code == 403
