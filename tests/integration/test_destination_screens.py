"""The screens of destinations and deliveries: who may do what, and that what they do happens."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from activation import operations
from activation.models import Delivery, Destination, Subscription
from activation.verification import BY_HAND, PYTHON
from cdp.kernel.access.models import User
from cdp.kernel.access.roles import Role
from tests.factories.access import make_user
from tests.factories.activation import (
    Reply,
    make_destination,
    make_segment,
    make_subscription,
    owe,
    receiving,
)
from tests.factories.consent import PurposeFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def receivers_may_be_local(settings):
    settings.EGRESS_ALLOWED_HOSTS = ["127.0.0.1"]


@pytest.fixture
def receiver():
    with receiving() as server:
        yield server


def login(*roles: Role) -> Client:
    client = Client()
    client.force_login(make_user(*roles, username="-".join(roles) or "nobody"))
    return client


@pytest.fixture
def marketer() -> Client:
    return login(Role.MARKETER)


@pytest.fixture
def analyst() -> Client:
    return login(Role.ANALYST)


def text_of(answer: Any) -> str:
    return answer.content.decode()


class TestAccess:
    def test_lets_analysts_look_and_shows_them_no_buttons(self, analyst):
        delivery = owe(make_subscription(make_destination("https://example.com/hook")))[0]
        slug = delivery.destination.slug

        pages = ["/destinations/", f"/destinations/{slug}/", "/deliveries/", f"/deliveries/{delivery.pk}/"]
        for page in pages:
            answer = analyst.get(page)
            assert answer.status_code == 200
            assert "Send test" not in text_of(answer)
            assert "/replay/" not in text_of(answer)
            assert "/destinations/new/" not in text_of(answer)

    @pytest.mark.parametrize(
        "address",
        ["new", "x/edit", "x/test", "x/pause", "x/resume", "x/rotate", "x/delete", "x/replay", "x/subscribe"],
    )
    def test_refuses_changes_to_analysts(self, analyst, address):
        assert analyst.post(f"/destinations/{address}/").status_code == 403

    def test_refuses_replays_to_analysts(self, analyst):
        assert analyst.post("/deliveries/1/replay/").status_code == 403

    def test_refuses_people_without_a_role(self):
        assert login().get("/deliveries/").status_code == 403

    @pytest.mark.parametrize("address", ["destinations/x/pause", "destinations/x/rotate", "deliveries/1/replay"])
    def test_changes_nothing_by_looking(self, marketer, address):
        assert marketer.get(f"/{address}/").status_code == 405


class TestList:
    def test_says_what_to_do_while_there_is_none(self, marketer, analyst):
        assert "/destinations/new/" in text_of(marketer.get("/destinations/"))
        assert "Once a marketer or engineer has made one" in text_of(analyst.get("/destinations/"))

    def test_shows_the_health_of_the_last_day(self, analyst, receiver):
        receiver.replies = [Reply(500)]
        now = timezone.now()
        owe(make_subscription(make_destination(receiver.url)), 3, now=now)
        operations.deliver_due(now=now)

        [(row, success)] = analyst.get("/destinations/").context["rows"]

        assert (row.delivered, row.waiting, success) == (2, 1, "66.6%")
        assert row.address == receiver.url


class TestNew:
    def test_shows_the_secret_once_with_code_that_verifies(self, marketer, receiver):
        answer = marketer.post("/destinations/new/", {"name": "My CRM", "url": receiver.url})

        secret = answer.context["secret"]
        assert secret.startswith("whsec_")
        assert secret in text_of(answer)
        assert answer.headers["Cache-Control"] == "no-store"
        assert secret not in text_of(marketer.get("/destinations/my-crm/"))
        marketer.post("/destinations/my-crm/test/")
        [received] = receiver.received
        assert Webhook(secret).verify(received.body, dict(received.headers))["type"] == "test"

    def test_takes_a_free_address(self, marketer):
        for _ in range(2):
            marketer.post("/destinations/new/", {"name": "New", "url": "https://example.com/"})

        assert sorted(Destination.objects.values_list("slug", flat=True)) == ["new-2", "new-3"]

    @pytest.mark.parametrize(
        ("form", "field"),
        [
            ({"name": "", "url": "https://example.com"}, "name"),
            ({"name": "X"}, "url"),
            ({"name": "X", "url": "ftp://example.com"}, "url"),
            ({"name": "X", "url": "http://10.0.0.1/"}, "url"),
            ({"name": "X", "url": "https://me:secret@example.com/"}, "url"),
        ],
    )
    def test_says_what_is_wrong_beside_the_field(self, marketer, form, field):
        answer = marketer.post("/destinations/new/", form)

        assert answer.status_code == 422
        assert list(answer.context["form"].errors) == [field]
        assert not Destination.objects.exists()


class TestSnippets:
    """What people paste has to work as it stands."""

    @pytest.fixture
    def received(self, receiver, monkeypatch):
        destination, secret = operations.create_destination(slug="x", name="X", config={"url": receiver.url})
        owe(make_subscription(destination), now=timezone.now())
        operations.deliver_due(now=timezone.now())
        monkeypatch.setenv("TRIBUTARY_SECRET", secret)
        return receiver.received[0]

    def test_python_takes_what_is_ours_and_refuses_the_rest(self, received, capsys):
        names: dict[str, Any] = {}
        exec(PYTHON, names)

        names["receive"](received.body, dict(received.headers))

        assert "entered Segment" in capsys.readouterr().out
        with pytest.raises(WebhookVerificationError):
            names["receive"](received.body + b" ", dict(received.headers))

    def test_by_hand_does_too(self, received):
        names: dict[str, Any] = {}
        exec(BY_HAND, names)

        assert names["is_ours"](received.body, received.headers)
        assert not names["is_ours"](received.body + b" ", received.headers)
        late = {**received.headers, "webhook-timestamp": str(int(received.headers["webhook-timestamp"]) - 600)}
        assert not names["is_ours"](received.body, late)


class TestDestinationPage:
    def test_sends_a_test_and_shows_the_answer(self, marketer, receiver):
        receiver.replies = [Reply(200, body=b"thank you"), Reply(500, body=b"<b>broken</b>")]
        slug = make_destination(receiver.url).slug

        well, badly = (text_of(marketer.post(f"/destinations/{slug}/test/")) for _ in range(2))

        assert "took the test message" in well
        assert "thank you" in well
        assert "The receiver answered 500." in badly
        assert "&lt;b&gt;broken" in badly

    def test_pauses_and_resumes(self, marketer):
        destination = make_destination("https://example.com/")

        marketer.post(f"/destinations/{destination.slug}/pause/")
        paused = text_of(marketer.get(f"/destinations/{destination.slug}/"))
        marketer.post(f"/destinations/{destination.slug}/resume/")

        destination.refresh_from_db()
        assert "Paused by marketer." in paused
        assert destination.state == "active"

    def test_says_why_it_is_disabled(self, marketer, receiver):
        receiver.reply = Reply(410)
        delivery = owe(make_subscription(make_destination(receiver.url)), now=timezone.now())[0]

        operations.deliver_due(now=timezone.now())

        page = text_of(marketer.get(f"/destinations/{delivery.destination.slug}/"))
        assert "gone for good" in page
        assert "Resume" in page

    def test_shows_a_new_secret_once_and_signs_with_both(self, marketer, receiver):
        destination, old = operations.create_destination(slug="x", name="X", config={"url": receiver.url})

        new = marketer.post("/destinations/x/rotate/").context["secret"]

        destination.refresh_from_db()
        operations.send_test(destination=destination, now=timezone.now())
        for secret in (old, new):
            assert Webhook(secret).verify(receiver.received[0].body, dict(receiver.received[0].headers))

    def test_edits_name_and_address(self, marketer):
        slug = make_destination("https://example.com/").slug

        assert marketer.post(f"/destinations/{slug}/edit/", {"name": "Y", "url": "nothing"}).status_code == 422
        marketer.post(f"/destinations/{slug}/edit/", {"name": "Y", "url": "https://example.org/hook"})

        changed = Destination.objects.get()
        assert (changed.name, changed.config) == ("Y", {"url": "https://example.org/hook"})

    def test_deletes(self, marketer):
        slug = make_destination("https://example.com/").slug

        marketer.post(f"/destinations/{slug}/delete/")

        assert not Destination.objects.exists()

    def test_draws_every_hour_of_the_day(self, analyst, receiver):
        now = timezone.now()
        delivery = owe(make_subscription(make_destination(receiver.url)), now=now)[0]
        operations.deliver_due(now=now)

        chart = analyst.get(f"/destinations/{delivery.destination.slug}/").context["chart"]

        assert len(chart["x"]) == 24
        assert sum(chart["series"][0]["data"]) == 1
        assert chart["series"][0]["data"][-1] == 1

    def test_sends_again_what_was_given_up(self, marketer):
        delivery = owe(make_subscription(make_destination("https://example.com/")))[0]
        Delivery.objects.update(state="dead", created_at=timezone.now())
        assert "Send again what was given up" in text_of(marketer.get(f"/destinations/{delivery.destination.slug}/"))

        marketer.post(f"/destinations/{delivery.destination.slug}/replay/")

        assert Delivery.objects.get().state == "pending"


class TestSubscriptions:
    @pytest.fixture
    def destination(self) -> Destination:
        return make_destination("https://example.com/")

    def test_subscribes_to_a_segment_with_a_purpose(self, marketer, destination):
        segment, purpose = make_segment(), PurposeFactory()
        form = {"segment": segment.slug, "purpose": purpose.pk, "on_exit": "on"}

        marketer.post(f"/destinations/{destination.slug}/subscribe/", form)

        made = Subscription.objects.get()
        assert (made.segment, made.purpose, made.on_enter, made.on_exit) == (segment, purpose, False, True)
        page = text_of(marketer.get(f"/destinations/{destination.slug}/"))
        assert f"of people whose consent covers {purpose.name}" in page

    def test_says_what_is_wrong(self, marketer, destination):
        segment = make_segment()

        silent = marketer.post(f"/destinations/{destination.slug}/subscribe/", {"segment": segment.slug})
        nowhere = marketer.post(f"/destinations/{destination.slug}/subscribe/", {"segment": "x", "on_enter": "on"})

        assert "Choose entries, exits, or both." in text_of(silent)
        assert (silent.status_code, nowhere.status_code) == (422, 422)
        assert not Subscription.objects.exists()

    def test_offers_the_segment_that_one_came_from(self, marketer, destination):
        segment = make_segment()

        page = text_of(marketer.get(f"/destinations/{destination.slug}/?segment={segment.slug}"))

        assert f'<option value="{segment.slug}" selected>' in page

    def test_does_not_offer_what_it_hears_of_already(self, marketer, destination):
        subscription = make_subscription(destination)

        page = marketer.get(f"/destinations/{destination.slug}/")

        assert list(page.context["form"].fields["segment"].queryset) == []
        assert subscription.segment.name in text_of(page)

    def test_changes(self, marketer, destination):
        subscription = make_subscription(destination)
        address = f"/destinations/{destination.slug}/subscriptions/{subscription.pk}/"

        marketer.post(address, {"on_enter": "on"})
        refused = marketer.post(address, {"enabled": "on"}, follow=True)

        subscription.refresh_from_db()
        assert (subscription.on_enter, subscription.on_exit, subscription.enabled) == (True, False, False)
        assert "Choose entries, exits, or both." in text_of(refused)

    def test_ends_and_holds_back_what_waits(self, marketer, destination):
        subscription = make_subscription(destination)
        owe(subscription)

        marketer.post(f"/destinations/{destination.slug}/subscriptions/{subscription.pk}/remove/")

        assert not Subscription.objects.exists()
        assert Delivery.objects.get().state == "suppressed"

    def test_belongs_to_its_destination(self, marketer, destination):
        subscription = make_subscription(make_destination("https://example.org/"))

        answer = marketer.post(f"/destinations/{destination.slug}/subscriptions/{subscription.pk}/remove/")

        assert answer.status_code == 404
        assert Subscription.objects.exists()


class TestDeliveries:
    def test_says_what_to_do_while_there_is_none(self, analyst):
        assert "Nothing has been sent yet" in text_of(analyst.get("/deliveries/"))
        assert "No delivery like this" in text_of(analyst.get("/deliveries/?state=dead"))

    def test_filters_by_state_destination_segment_and_profile(self, analyst):
        one, two = (make_subscription(make_destination("https://example.com/")) for _ in range(2))
        first, second = owe(one)[0], owe(two)[0]
        Delivery.objects.filter(pk=second.pk).update(state="dead")

        def found(query: str) -> list[int]:
            return [row.id for row, _ in analyst.get(f"/deliveries/?{query}").context["lines"]]

        assert found("") == [second.pk, first.pk]
        assert found("state=dead") == [second.pk]
        assert found(f"destination={one.destination.slug}") == [first.pk]
        assert found(f"segment={two.segment.slug}") == [second.pk]
        assert found(f"profile={first.profile_id}") == [first.pk]
        assert found("state=nonsense") == []

    def test_pages_by_key_and_polls_the_first_page_only(self, analyst, monkeypatch):
        monkeypatch.setattr("activation.screens.PAGE", 2)
        deliveries = owe(make_subscription(make_destination("https://example.com/")), 3)

        first = analyst.get("/deliveries/")
        second = analyst.get(f"/deliveries/?after={first.context['next']}")

        seen = [row.id for page in (first, second) for row, _ in page.context["lines"]]
        assert seen == sorted((delivery.pk for delivery in deliveries), reverse=True)
        assert 'hx-trigger="every' in text_of(first)
        assert 'hx-trigger="every' not in text_of(second)


class TestDelivery:
    def test_shows_message_headers_and_every_try(self, marketer, receiver):
        receiver.replies = [Reply(503, body=b"come back later")]
        now = timezone.now()
        delivery = owe(make_subscription(make_destination(receiver.url)), now=now)[0]
        for after in (timedelta(), timedelta(days=1)):
            operations.deliver_due(now=now + after)

        page = marketer.get(f"/deliveries/{delivery.pk}/")

        assert [attempt.status for attempt in page.context["attempts"]] == [503, 200]
        assert "come back later" in text_of(page)
        assert str(delivery.message_id) in text_of(page)
        assert json.loads(receiver.received[0].body) == page.context["payload"]

    def test_says_why_it_was_held_back(self, analyst):
        delivery = owe(make_subscription(make_destination("https://example.com/"), purpose=PurposeFactory()))[0]

        page = text_of(analyst.get(f"/deliveries/{delivery.pk}/"))

        assert "This person has not agreed to the purpose." in page

    def test_is_sent_again_as_the_same_message(self, marketer, receiver):
        delivery = owe(make_subscription(make_destination(receiver.url)), now=timezone.now())[0]
        operations.deliver_due(now=timezone.now())

        marketer.post(f"/deliveries/{delivery.pk}/replay/")
        operations.deliver_due(now=timezone.now())

        assert len({received.webhook_id for received in receiver.received}) == 1
        assert len(receiver.received) == 2

    def test_is_not_sent_again_where_nobody_listens_any_more(self, marketer):
        subscription = make_subscription(make_destination("https://example.com/"))
        delivery = owe(subscription)[0]
        operations.unsubscribe(subscription=subscription, now=timezone.now())

        answer = marketer.post(f"/deliveries/{delivery.pk}/replay/", follow=True)

        assert "Its subscription was removed." in text_of(answer)

    def test_is_not_found_where_there_is_none(self, analyst, marketer):
        assert analyst.get("/deliveries/1/").status_code == 404
        assert marketer.post("/deliveries/1/replay/").status_code == 404

    def test_keeps_the_message_from_those_who_see_no_profiles(self, analyst, monkeypatch):
        delivery = owe(make_subscription(make_destination("https://example.com/")))[0]
        monkeypatch.setattr(User, "may", lambda _, scope: str(scope) == "segments:read")

        page = text_of(analyst.get(f"/deliveries/{delivery.pk}/"))

        assert f"Profile {delivery.profile_id}" in page
        assert "@example.com" not in page
