"""`/api/v1/destinations/`, `subscriptions/` and `deliveries/` as their clients see them."""

import pytest
from rest_framework.test import APIClient
from standardwebhooks import Webhook

from activation.models import Delivery, Destination, Subscription
from activation.operations import deliver_due
from cdp.kernel.access.models import ApiToken
from tests.factories.activation import (
    NOW,
    Reply,
    make_destination,
    make_segment,
    make_subscription,
    owe,
    receiving,
)
from tests.factories.consent import PurposeFactory

pytestmark = pytest.mark.django_db

DESTINATIONS, SUBSCRIPTIONS, DELIVERIES = (
    f"/api/v1/{name}/" for name in ("destinations", "subscriptions", "deliveries")
)


def client_with(*scopes: str) -> APIClient:
    _, token = ApiToken.issue(name=f"test {' '.join(scopes)}", scopes=list(scopes))
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


@pytest.fixture
def client() -> APIClient:
    return client_with("activation:write")


@pytest.fixture
def receiver(settings):
    settings.EGRESS_ALLOWED_HOSTS = ["127.0.0.1"]
    with receiving() as server:
        yield server


def crm(**fields: object) -> dict[str, object]:
    return {"slug": "crm", "name": "CRM", "kind": "webhook", "config": {"url": "https://example.com/hook"}} | fields


class TestDestinations:
    def test_are_made_with_a_secret_that_is_shown_then_only(self, client):
        made = client.post(DESTINATIONS, crm())
        read = client.get(f"{DESTINATIONS}crm/")

        assert made.status_code == 201
        assert made.json()["secret"].startswith("whsec_")
        assert read.json()["address"] == "https://example.com/hook"
        assert read.json()["state"] == "active"
        assert "secret" not in read.json()
        assert made.json()["secret"] not in Destination.objects.get().secrets

    @pytest.mark.parametrize(
        ("wrong", "code", "path"),
        [
            ({"config": {"url": "http://10.0.0.1/"}}, "destination_invalid", "/config/url"),
            ({"config": {}}, "destination_invalid", "/config/url"),
            ({"config": {"url": "https://example.com", "speed": 9}}, "destination_invalid", "/config/speed"),
            ({"config": "https://example.com"}, "not_a_dict", "/config"),
            ({"kind": "pigeon"}, "destination_kind_unknown", "/kind"),
            ({"slug": "no good"}, "invalid", "/slug"),
        ],
    )
    def test_say_what_is_wrong_and_where(self, client, wrong, code, path):
        answer = client.post(DESTINATIONS, crm(**wrong))

        assert (answer.status_code, answer.json()["code"], answer.json()["path"]) == (400, code, path)

    def test_cannot_be_made_twice(self, client):
        client.post(DESTINATIONS, crm())

        again = client.post(DESTINATIONS, crm())

        assert (again.status_code, again.json()["path"]) == (400, "/slug")

    def test_can_be_changed_paused_and_deleted(self, client):
        client.post(DESTINATIONS, crm())

        changed = client.patch(f"{DESTINATIONS}crm/", {"name": "New", "config": {"url": "https://example.com/2"}})
        paused = client.post(f"{DESTINATIONS}crm/state/", {"state": "paused", "reason": "moving"})
        deleted = client.delete(f"{DESTINATIONS}crm/")

        assert (changed.json()["name"], changed.json()["address"]) == ("New", "https://example.com/2")
        assert (paused.json()["state"], paused.json()["state_reason"]) == ("paused", "moving")
        assert deleted.status_code == 204
        assert client.get(DESTINATIONS).json() == {"results": [], "next": None}

    def test_can_be_tested_and_given_a_new_secret(self, client, receiver):
        old = client.post(DESTINATIONS, crm(config={"url": receiver.url})).json()["secret"]

        new = client.post(f"{DESTINATIONS}crm/rotate-secret/").json()["secret"]
        result = client.post(f"{DESTINATIONS}crm/test/").json()

        request = receiver.received[0]
        assert (result["ok"], result["status"]) == (True, 200)
        for secret in (old, new):
            assert Webhook(secret).verify(request.body, dict(request.headers))["type"] == "test"

    def test_are_closed_to_tokens_without_the_scope(self):
        client = client_with("profiles:read", "segments:write")

        assert {client.get(path).status_code for path in (DESTINATIONS, SUBSCRIPTIONS, DELIVERIES)} == {403}


class TestSubscriptions:
    def test_are_made_changed_and_removed(self, client):
        destination, segment = make_destination("https://example.com"), make_segment()
        purpose = PurposeFactory()
        body = {"destination": destination.slug, "segment": segment.slug, "on_exit": True, "purpose": purpose.slug}

        made = client.post(SUBSCRIPTIONS, body)
        changed = client.patch(f"{SUBSCRIPTIONS}{made.json()['id']}/", {"on_enter": False, "purpose": None})
        removed = client.delete(f"{SUBSCRIPTIONS}{made.json()['id']}/")

        assert made.status_code == 201
        assert (
            made.json() | {"on_enter": True, "on_exit": True, "purpose": purpose.slug, "enabled": True} == made.json()
        )
        assert (changed.json()["on_enter"], changed.json()["purpose"]) == (False, None)
        assert removed.status_code == 204
        assert not Subscription.objects.exists()

    def test_say_what_is_wrong(self, client):
        listening = make_subscription(make_destination("https://example.com"))
        body = {"destination": listening.destination.slug, "segment": listening.segment.slug}
        other = PurposeFactory(kind="collection")

        doubled = client.post(SUBSCRIPTIONS, body)
        deaf = client.post(SUBSCRIPTIONS, body | {"segment": make_segment().slug, "on_enter": False})
        nowhere = client.post(SUBSCRIPTIONS, body | {"segment": "nothing"})
        mistaken = client.post(SUBSCRIPTIONS, body | {"segment": make_segment().slug, "purpose": other.slug})

        answers = [(answer.status_code, answer.json()["path"]) for answer in (doubled, deaf, nowhere, mistaken)]
        assert answers == [(400, "/segment"), (400, "/on_enter"), (400, "/segment"), (400, "/purpose")]

    def test_are_found_by_destination(self, client):
        mine = make_subscription(make_destination("https://example.com"))
        make_subscription(make_destination("https://example.com"))

        found = client.get(SUBSCRIPTIONS, {"destination__slug": mine.destination.slug}).json()["results"]

        assert [each["id"] for each in found] == [mine.pk]


class TestDeliveries:
    def test_are_listed_found_and_paged(self, client):
        mine, other = (make_subscription(make_destination("https://example.com")) for _ in range(2))
        made = owe(mine, 5)
        owe(other, 2)

        first = client.get(DELIVERIES, {"destination": mine.destination.slug, "page_size": 3}).json()
        second = client.get(first["next"]).json()
        by_person = client.get(DELIVERIES, {"profile": made[0].profile_id}).json()["results"]
        by_segment = client.get(DELIVERIES, {"segment": other.segment.slug, "state": "pending"}).json()["results"]

        listed = [each["id"] for each in first["results"] + second["results"]]
        assert listed == [delivery.pk for delivery in reversed(made)]
        assert second["next"] is None
        assert [each["id"] for each in by_person] == [made[0].pk]
        assert len(by_segment) == 2
        assert client.get(DELIVERIES, {"state": "dead"}).json()["results"] == []

    def test_show_payload_and_tries_and_can_be_replayed(self, client, receiver):
        receiver.replies = [Reply(410, body=b"go away")]
        (delivery,) = owe(make_subscription(make_destination(receiver.url)))
        deliver_due(now=NOW)

        read = client.get(f"{DELIVERIES}{delivery.pk}/").json()
        replayed = client.post(f"{DELIVERIES}{delivery.pk}/replay/")

        assert read["state"] == "dead"
        assert read["payload"]["data"]["profile"]["id"] == delivery.profile_id
        assert [(each["status"], each["response"]) for each in read["tries"]] == [(410, "go away")]
        assert (replayed.status_code, replayed.json()["state"]) == (202, "pending")
        assert Delivery.objects.get().attempts == 0

    def test_say_404_where_there_is_none(self, client):
        assert client.get(f"{DELIVERIES}1/").status_code == 404
        assert client.post(f"{DELIVERIES}1/replay/").status_code == 404
        assert client.get(f"{DELIVERIES}99999999999999999999999/").status_code == 404

    def test_cannot_be_replayed_without_a_subscription(self, client):
        subscription = make_subscription(make_destination("https://example.com"))
        (delivery,) = owe(subscription)
        subscription.delete()

        answer = client.post(f"{DELIVERIES}{delivery.pk}/replay/")

        assert (answer.status_code, answer.json()["code"]) == (400, "not_replayable")
