"""Tracking plans over the API: drafts, versions, inference, trials, violations."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from cdp.kernel.access.models import ApiToken
from ingestion.models import Source
from ingestion.plans import operations, trial
from ingestion.plans.errors import DraftChangedError
from ingestion.plans.models import PlanTrial, PlanVersion
from tests.factories.ingestion import identify, track
from tests.factories.plans import live_plan, plan_document
from tests.integration.conftest import drain_all

ROOT = "/api/v1/sources/shop/plan/"
HOUR = timedelta(hours=1)


def client(*scopes: str) -> APIClient:
    _, token = ApiToken.issue(name=f"test {scopes}", scopes=list(scopes))
    made = APIClient()
    made.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return made


@pytest.fixture
def api(source: Source) -> APIClient:
    return client("events:read", "sources:write")


@pytest.fixture
def traffic(accept) -> None:
    """120 orders over the last hours, every tenth with a text for its revenue; and as many visits."""
    now = timezone.now()
    for part in range(4):
        orders = [
            track(
                "Order Completed",
                timestamp=(now - HOUR - timedelta(minutes=part * 30 + n % 30)).isoformat(),
                properties={"order_id": f"o-{part}-{n}", "revenue": "x" if n % 10 == 0 else n + 0.5},
            )
            for n in range(30)
        ]
        accept(*orders, *(track("Page Seen") for _ in range(30)), identify(traits={"city": "Graz"}), now=now)
    drain_all(now)


def finish(trial_id: int) -> PlanTrial:
    while trial.continue_trial(trial_id=trial_id, clock=timezone.now):
        pass
    return PlanTrial.objects.get(pk=trial_id)


class TestDraft:
    def test_is_made_changed_and_read(self, api: APIClient):
        first = api.put(ROOT, {"document": plan_document(), "revision": 0})
        second = api.put(ROOT, {"document": plan_document(wrong_type="block"), "revision": first.json()["revision"]})

        found = api.get(ROOT).json()
        assert (first.status_code, second.json()["revision"], found["live"]) == (200, 2, None)
        assert found["draft"]["document"] == plan_document(wrong_type="block")

    def test_keeps_the_order_of_its_properties(self, api: APIClient):
        schema = {"properties": {"zeta": {}, "a": {}, "middle": {}}}
        api.put(ROOT, {"document": plan_document(schema=schema)})

        kept = api.get(ROOT).json()["draft"]["document"]["events"]["Order Completed"]["schema"]

        assert list(kept["properties"]) == ["zeta", "a", "middle"]

    def test_is_refused_with_code_and_path(self, api: APIClient):
        answer = api.put(ROOT, {"document": {"events": {"A": {"schema": {"properties": {"a": {"type": "txt"}}}}}}})

        assert answer.status_code == 400
        assert answer.json()["code"] == "schema_invalid"
        assert answer.json()["path"] == "/events/A/schema/properties/a/type"

    def test_is_not_overwritten_unseen(self, api: APIClient):
        api.put(ROOT, {"document": plan_document()})

        answer = api.put(ROOT, {"document": plan_document(), "revision": 0})

        assert (answer.status_code, answer.json()["code"]) == (409, "draft_changed")

    def test_needs_the_scope(self, source: Source):
        reader = client("events:read")

        assert reader.get(ROOT).status_code == 200
        assert reader.get("/api/v1/sources/none/plan/").status_code == 404
        assert reader.put(ROOT, {"document": {}}).status_code == 403
        assert client("segments:read").get(ROOT).status_code == 403


class TestVersions:
    def test_are_numbered_as_they_go_live_and_can_be_restored(self, api: APIClient, source: Source):
        api.put(ROOT, {"document": plan_document()})
        api.post(f"{ROOT}publish/", {"note": "first"})
        api.put(ROOT, {"document": plan_document(wrong_type="block")})
        api.post(f"{ROOT}publish/")

        restored = api.post(f"{ROOT}versions/1/restore/")

        versions = api.get(f"{ROOT}versions/").json()["results"]
        assert restored.status_code == 201
        assert [(one["number"], one["state"], one["note"]) for one in versions] == [
            (3, "live", "Version 1 again"),
            (2, "retired", ""),
            (1, "retired", "first"),
        ]
        assert versions[0]["document"] == plan_document()
        source.refresh_from_db()
        assert source.rules_version == 3

    def test_are_only_published_as_they_were_looked_at(self, source: Source):
        now = timezone.now()
        draft = operations.save_draft(source=source, document=plan_document(), now=now)
        operations.save_draft(source=source, document={}, now=now)

        with pytest.raises(DraftChangedError):
            operations.publish(source=source, revision=draft.revision, now=now)

    def test_say_what_publishing_would_change(self, api: APIClient, source: Source):
        live_plan(source)
        api.put(ROOT, {"document": plan_document(wrong_type="block")})

        found = api.get(f"{ROOT}difference/").json()["results"]

        assert found == [{"sign": "~", "place": "All events", "text": "wrong type: flag → block"}]

    def test_need_a_draft_and_a_number_that_exists(self, api: APIClient):
        assert api.post(f"{ROOT}publish/").json()["code"] == "draft_missing"
        assert api.post(f"{ROOT}versions/7/restore/").json()["code"] == "version_not_found"

    def test_can_be_switched_off(self, api: APIClient, source: Source):
        live_plan(source)

        assert api.delete(ROOT).status_code == 204
        assert PlanVersion.objects.get().state == "retired"


class TestInfer:
    def test_makes_a_draft_that_all_traffic_fits(self, api: APIClient, traffic: None):
        answer = api.post(f"{ROOT}infer/", {"days": 7})

        events = answer.json()["draft"]["document"]["events"]
        order = events["Order Completed"]["schema"]
        assert answer.json()["looked_at"]["Order Completed"] == {"looked_at": 120, "total": 120}
        assert order["properties"]["revenue"]["type"] == ["number", "string"]
        assert set(order["required"]) == {"order_id", "revenue"}
        assert answer.json()["draft"]["document"]["traits"]["schema"]["properties"]["city"]["type"] == [
            "string",
            "null",
        ]

        api.post(f"{ROOT}try/")
        finished = finish(PlanTrial.objects.get().pk)
        assert (finished.looked_at, [one for one in finished.result["events"].values() if one["groups"]]) == (244, [])

    def test_keeps_what_the_plan_says_unless_asked_to_forget_it(self, api: APIClient, traffic: None):
        api.put(ROOT, {"document": plan_document()})

        kept = api.post(f"{ROOT}infer/").json()["draft"]["document"]
        fresh = api.post(f"{ROOT}infer/", {"replace": True}).json()["draft"]["document"]

        assert kept["events"]["Order Completed"] == plan_document()["events"]["Order Completed"]
        assert "Page Seen" in kept["events"]
        assert fresh["events"]["Order Completed"] != kept["events"]["Order Completed"]

    def test_needs_traffic(self, api: APIClient):
        assert api.post(f"{ROOT}infer/").json()["code"] == "no_traffic"


class TestTry:
    def test_says_what_the_plan_would_have_done(self, api: APIClient, traffic: None, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(trial, "BATCH", 50)
        started = api.post(f"{ROOT}try/", {"document": plan_document(wrong_type="block", unknown_event="flag")})

        finish(started.json()["id"])

        found = api.get(f"{ROOT}try/").json()
        order = found["events"]["Order Completed"]
        assert (started.status_code, found["state"]) == (202, "done")
        assert (found["total"], found["looked_at"], found["blocked"]) == (244, 244, 12)
        assert (order["total"], order["valid"], order["blocked"]) == (120, 108, 12)
        (group,) = order["groups"]
        assert (group["kind"], group["path"], group["messages"]) == ("wrong_type", "/revenue", 12)
        assert group["examples"][0]["text"] == "is text, expected a number"
        assert found["events"]["Page Seen"]["groups"][0]["kind"] == "unknown_event"

    def test_goes_on_where_a_worker_left_it(self, api: APIClient, traffic: None, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(trial, "BATCH", 40)
        monkeypatch.setattr(trial, "TURN_SECONDS", 0.000_001)
        id_ = api.post(f"{ROOT}try/", {"document": {}}).json()["id"]
        trial.continue_trial(trial_id=id_, clock=timezone.now)
        begun = api.get(f"{ROOT}try/{id_}/").json()

        monkeypatch.setattr(trial, "TURN_SECONDS", 5)
        waiting = trial.waiting_trials(idle_since=timezone.now())
        finish(waiting[0])

        assert waiting == [id_]
        assert (begun["state"], begun["looked_at"]) == ("running", 40)
        assert api.get(f"{ROOT}try/{id_}/").json()["looked_at"] == 244

    def test_can_be_cancelled(self, api: APIClient, traffic: None):
        id_ = api.post(f"{ROOT}try/", {"document": {}}).json()["id"]

        assert api.delete(f"{ROOT}try/{id_}/").status_code == 204
        assert trial.continue_trial(trial_id=id_, clock=timezone.now) is False
        assert api.get(f"{ROOT}try/{id_}/").json()["state"] == "cancelled"

    def test_refuses_what_is_no_plan(self, api: APIClient):
        assert api.post(f"{ROOT}try/").json()["code"] == "draft_missing"
        assert api.post(f"{ROOT}try/", {"document": {"a": 1}}).json()["code"] == "key_unknown"


class TestViolations:
    @pytest.fixture
    def bad(self, accept, source: Source) -> None:
        live_plan(source, wrong_type="block")
        accept(
            track("Order Completed", properties={"order_id": "a", "gift": True}),
            track("Order Completed", properties={"order_id": 7}),
            now=timezone.now(),
        )
        drain_all(timezone.now())

    def groups(self, api: APIClient, **query: Any) -> dict[str, dict[str, Any]]:
        return {one["kind"]: one for one in api.get(f"{ROOT}violations/", query).json()["groups"]}

    def test_are_grouped_and_counted(self, api: APIClient, bad: None):
        found = api.get(f"{ROOT}violations/").json()

        assert [(one["kind"], one["path"], one["action"], one["messages"]) for one in found["groups"]] == [
            ("unknown_property", "/gift", "flag", 1),
            ("wrong_type", "/order_id", "block", 1),
        ]
        assert {one["kind"]: one["messages"] for one in found["hours"]} == {"unknown_property": 1, "wrong_type": 1}
        assert set(self.groups(api, kind="wrong_type")) == {"wrong_type"}

    def test_show_their_messages(self, api: APIClient, bad: None):
        group = self.groups(api)["wrong_type"]["id"]

        (sample,) = api.get(f"{ROOT}violations/{group}/").json()["results"]

        assert (sample["quarantined"], sample["text"]) == (True, "order_id is a whole number, expected text")
        assert sample["payload"]["properties"] == {"order_id": 7}

    def test_are_allowed_by_one_call(self, api: APIClient, bad: None):
        groups = self.groups(api)

        api.post(f"{ROOT}violations/{groups['unknown_property']['id']}/allow/")
        api.post(f"{ROOT}violations/{groups['wrong_type']['id']}/allow/")

        properties = api.get(ROOT).json()["draft"]["document"]["events"]["Order Completed"]["schema"]["properties"]
        assert (properties["gift"], properties["order_id"]) == ({"type": "boolean"}, {"type": ["string", "number"]})
