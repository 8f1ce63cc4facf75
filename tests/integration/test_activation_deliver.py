"""Deliveries to real receivers: signed, retried, held, suppressed, isolated. R: F1"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from standardwebhooks import Webhook

from activation.deliver import BREAKER, SCHEDULE
from activation.models import Attempt, Delivery, Destination
from activation.operations import (
    deliver_due,
    enable_destination,
    pause_destination,
    replay_dead,
    replay_delivery,
    reveal_secrets,
    rotate_secret,
    send_test,
    unsubscribe,
)
from consent.contracts import State
from tests.factories.activation import (
    NOW,
    Received,
    Receiver,
    Reply,
    email_of,
    make_destination,
    make_subscription,
    owe,
    receiving,
)
from tests.factories.consent import PurposeFactory, choose

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def receivers_may_be_local(settings):
    settings.EGRESS_ALLOWED_HOSTS = ["127.0.0.1"]


@pytest.fixture
def receiver():
    with receiving() as server:
        yield server


def secret_of(destination: Destination) -> str:
    return reveal_secrets(destination=destination, now=NOW, actor="test")[0].text


def wait_for(condition: Callable[[], bool], *, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def fresh(delivery: Delivery) -> Delivery:
    return Delivery.objects.get(pk=delivery.pk)


class TestDelivery:
    def test_arrives_signed_and_says_who_entered_what(self, receiver):
        subscription = make_subscription(make_destination(receiver.url))
        (delivery,) = owe(subscription, now=datetime.now(UTC))

        sent = deliver_due(now=datetime.now(UTC))

        (request,) = receiver.received
        verified = Webhook(secret_of(subscription.destination)).verify(request.body, dict(request.headers))
        assert sent == 1
        assert verified["type"] == "segment.entered"
        assert verified["data"]["segment"] == {
            "slug": subscription.segment.slug,
            "name": subscription.segment.name,
            "version": 1,
        }
        assert verified["data"]["profile"] == {
            "id": delivery.profile_id,
            "identifiers": {"email": [f"{delivery.profile_id}@example.com"]},
            "traits": {"name": "Anna"},
        }
        assert verified["data"]["transition"] == {
            "id": delivery.transition_id,
            "at": "2026-03-10T12:00:00+00:00",
            "cause": "change",
        }
        assert request.webhook_id == str(delivery.message_id)
        assert request.headers["content-type"] == "application/json"

    def test_is_recorded_with_its_try(self, receiver):
        receiver.reply = Reply(status=202, body=b"thanks")
        (delivery,) = owe(make_subscription(make_destination(receiver.url)))

        deliver_due(now=NOW)

        done, attempt = fresh(delivery), Attempt.objects.get()
        assert (done.state, done.attempts, done.last_status, done.leased_until) == ("delivered", 1, 202, None)
        assert NOW <= done.finished_at <= NOW + timedelta(seconds=10)
        assert (attempt.delivery_id, attempt.status, attempt.error, attempt.response) == (
            delivery.pk,
            202,
            "",
            "thanks",
        )

    def test_is_not_sent_twice(self, receiver):
        owe(make_subscription(make_destination(receiver.url)), 30)

        first, second = deliver_due(now=NOW), deliver_due(now=NOW + timedelta(days=1))

        assert (first, second) == (30, 0)
        assert len({request.webhook_id for request in receiver.received}) == len(receiver.received) == 30

    def test_uses_connections_again(self, receiver):
        owe(make_subscription(make_destination(receiver.url)), 200)

        deliver_due(now=NOW)

        assert len(receiver.received) == 200
        assert receiver.connections < 60  # an idle one is closed after four seconds, which a busy machine may take

    def test_stops_at_the_limit(self, receiver, monkeypatch):
        monkeypatch.setattr("activation.deliver.SLOW_AFTER", 1_000)
        owe(make_subscription(make_destination(receiver.url)), 10)

        assert deliver_due(now=NOW, limit=4) == 4
        assert len(receiver.received) == 4

    def test_reaches_the_limit_whoever_it_is_owed_to(self, receiver, monkeypatch):
        monkeypatch.setattr("activation.deliver.SLOW_AFTER", 1_000)
        for count in (0, 0, 3, 5):
            owe(make_subscription(make_destination(receiver.url)), count)

        assert deliver_due(now=NOW, limit=7) == 7

    def test_goes_on_until_nothing_is_due_however_much_it_is(self, receiver):
        owe(make_subscription(make_destination(receiver.url)), 500)

        assert deliver_due(now=NOW) == 500

    def test_waits_while_its_time_has_not_come(self, receiver):
        owe(make_subscription(make_destination(receiver.url)))

        assert deliver_due(now=NOW - timedelta(seconds=1)) == 0


class TestFailure:
    def test_is_tried_again_with_the_same_id_and_body(self, receiver):
        receiver.replies = [Reply(500, body=b"boom")]
        (delivery,) = owe(make_subscription(make_destination(receiver.url)))

        deliver_due(now=NOW)
        waiting = fresh(delivery)
        early = deliver_due(now=NOW + timedelta(seconds=2))
        deliver_due(now=NOW + timedelta(seconds=10))

        first, second = receiver.received
        assert early == 0
        assert (waiting.state, waiting.last_status, waiting.last_error) == (
            "pending",
            500,
            "The receiver answered 500.",
        )
        assert timedelta(seconds=4) <= waiting.next_attempt_at - NOW <= timedelta(seconds=8)
        assert (first.webhook_id, first.body) == (second.webhook_id, second.body)
        assert fresh(delivery).state == "delivered"
        assert [each.response for each in Attempt.objects.all()] == ["boom", "ok"]

    def test_is_given_up_after_the_last_try_and_can_be_replayed(self, receiver):
        receiver.reply = Reply(500)
        (delivery,) = owe(make_subscription(make_destination(receiver.url)))
        now = NOW
        while fresh(delivery).state == "pending":
            now = max(fresh(delivery).next_attempt_at, Destination.objects.get().held_until or now)
            deliver_due(now=now)

        assert fresh(delivery).state == "dead"
        assert fresh(delivery).attempts == len(SCHEDULE.delays) + 1
        assert timedelta(hours=19) < now - NOW < timedelta(hours=30)

        receiver.reply = Reply(200)
        enable_destination(destination=Destination.objects.get())
        replay_delivery(delivery_id=delivery.pk, now=now)
        deliver_due(now=now)

        assert fresh(delivery).state == "delivered"
        assert len({request.webhook_id for request in receiver.received}) == 1

    @pytest.mark.parametrize("status", [301, 302, 307])
    def test_a_redirect_is_one_and_is_not_followed(self, receiver, status):
        with receiving() as elsewhere:
            receiver.reply = Reply(status, headers={"location": elsewhere.url})
            (delivery,) = owe(make_subscription(make_destination(receiver.url)))

            deliver_due(now=NOW)

            assert fresh(delivery).state == "pending"
            assert "not followed" in fresh(delivery).last_error
            assert elsewhere.received == []

    def test_nobody_there_is_one(self):
        with receiving() as gone:
            url = gone.url
        (delivery,) = owe(make_subscription(make_destination(url)))

        deliver_due(now=NOW)

        assert (fresh(delivery).state, fresh(delivery).last_status) == ("pending", None)
        assert "refused" in fresh(delivery).last_error.lower()

    def test_an_address_that_is_not_allowed_is_final(self, receiver, settings):
        (delivery,) = owe(make_subscription(make_destination(receiver.url)))
        settings.EGRESS_ALLOWED_HOSTS = []

        deliver_due(now=NOW)

        assert fresh(delivery).state == "dead"
        assert "CDP_EGRESS_ALLOW" in fresh(delivery).last_error
        assert receiver.received == []

    def test_keeps_an_answer_that_cannot_be_stored_as_it_is(self, receiver):
        receiver.reply = Reply(500, body=b"a\x00b\xff" + b"x" * 5_000)
        owe(make_subscription(make_destination(receiver.url)))

        deliver_due(now=NOW)

        assert Attempt.objects.get().response.startswith("a\ufffdb\ufffdxxx")


class TestGone:
    def test_disables_the_destination(self, receiver):
        receiver.reply = Reply(410)
        subscription = make_subscription(make_destination(receiver.url))
        (delivery,) = owe(subscription)

        deliver_due(now=NOW)

        destination = Destination.objects.get()
        assert (destination.state, fresh(delivery).state) == ("disabled", "dead")
        assert "gone" in destination.state_reason
        assert owe(subscription) == []


class TestOverload:
    @pytest.mark.parametrize("status", [429, 502, 503, 504])
    def test_slows_the_whole_destination_down(self, receiver, status):
        receiver.replies = [Reply(status)]
        subscription = make_subscription(make_destination(receiver.url))
        owe(subscription)

        deliver_due(now=NOW)
        owe(subscription)
        early = deliver_due(now=NOW + timedelta(seconds=1))
        later = deliver_due(now=NOW + timedelta(seconds=60))

        assert (early, later) == (0, 2)

    def test_keeps_to_the_seconds_that_were_asked_for(self, receiver):
        receiver.replies = [Reply(503, headers={"retry-after": "120"})]
        (delivery,) = owe(make_subscription(make_destination(receiver.url)))

        deliver_due(now=NOW)

        assert fresh(delivery).next_attempt_at >= NOW + timedelta(seconds=120)
        assert Destination.objects.get().held_until >= NOW + timedelta(seconds=120)
        assert deliver_due(now=NOW + timedelta(seconds=119)) == 0
        assert deliver_due(now=NOW + timedelta(seconds=130)) == 1

    def test_keeps_to_the_date_that_was_asked_for(self, receiver):
        receiver.replies = [
            Reply(429, headers={"retry-after": format_datetime(NOW + timedelta(hours=2), usegmt=True)})
        ]
        (delivery,) = owe(make_subscription(make_destination(receiver.url)))

        deliver_due(now=NOW)

        wait = fresh(delivery).next_attempt_at - NOW
        assert timedelta(hours=2) <= wait < timedelta(hours=2, minutes=1)

    def test_a_success_that_was_under_way_does_not_end_the_pause(self, receiver):
        receiver.replies = [Reply(429, headers={"retry-after": "300"})]
        receiver.reply = Reply(200, after=0.3)
        owe(make_subscription(make_destination(receiver.url)), 8)

        deliver_due(now=NOW)

        assert Destination.objects.get().held_until >= NOW + timedelta(seconds=300)


class TestDeadDestination:
    def test_is_asked_ever_less_and_its_queue_keeps_its_tries(self):
        with receiving() as gone:
            url = gone.url
        owe(make_subscription(make_destination(url)), 200)

        tries = [deliver_due(now=NOW + timedelta(seconds=seconds)) for seconds in range(0, 60, 4)]

        assert tries[0] <= 16 * 4
        assert sum(tries[1:]) < 12
        assert Delivery.objects.filter(state="pending", attempts=0).count() >= 200 - sum(tries)
        assert Destination.objects.get().failures >= BREAKER.threshold

    def test_is_served_again_once_it_is_back(self):
        with receiving() as first:
            port = first.port
        subscription = make_subscription(make_destination(f"http://127.0.0.1:{port}/hook"))
        owe(subscription, 40)
        deliver_due(now=NOW)
        held_until = Destination.objects.get().held_until

        with receiving(Receiver(port=port)) as back:
            deliver_due(now=held_until + timedelta(minutes=1))

            assert len(back.received) == 40
        destination = Destination.objects.get()
        assert (destination.failures, destination.failing_since, destination.held_until) == (0, None, None)

    def test_is_given_up_after_a_day_of_failing(self):
        with receiving() as gone:
            url = gone.url
        destination = make_destination(url, failures=50, failing_since=NOW - timedelta(days=2))
        subscription = make_subscription(destination)
        owe(subscription, 20, now=NOW - timedelta(days=2))
        recent = owe(subscription, 2, now=NOW - timedelta(hours=1))

        deliver_due(now=NOW)

        assert Delivery.objects.filter(state="pending", pk__in=[each.pk for each in recent]).count() == 2
        assert Delivery.objects.filter(state="dead").count() >= 19
        enable_destination(destination=destination)
        assert replay_dead(destination=destination, now=NOW) >= 19


class TestIsolation:
    def test_a_slow_and_a_dead_destination_cost_the_others_nothing(self, receiver):
        with receiving() as gone:
            dead_url = gone.url

        def once_the_others_are_served(_: Received) -> Reply:
            """Or after ten seconds, when they were not."""
            served.append(wait_for(lambda: len(receiver.received) == 300, seconds=10))
            return Reply()

        served: list[bool] = []
        with receiving(Receiver(reply=once_the_others_are_served)) as slow:
            owe(make_subscription(make_destination(slow.url)), 40)
            owe(make_subscription(make_destination(dead_url)), 40)
            owe(make_subscription(make_destination(receiver.url)), 300)

            deliver_due(now=NOW)

        assert len(receiver.received) == 300
        assert served == [True] * 40

    def test_what_becomes_due_meanwhile_is_sent_meanwhile(self, receiver):
        with receiving(Receiver(reply=Reply(after=3.0))) as slow:
            owe(make_subscription(make_destination(slow.url)))
            owe(make_subscription(make_destination(receiver.url)), now=NOW + timedelta(seconds=1))
            began = time.monotonic()

            deliver_due(now=NOW)

        assert 0.9 < receiver.received[0].at - began < 2.0

    def test_a_slow_destination_past_the_limit_keeps_no_other_waiting(self, receiver):
        with receiving(Receiver(reply=Reply(after=3.0))) as slow:
            owe(make_subscription(make_destination(slow.url)))
            owe(make_subscription(make_destination(receiver.url)), now=NOW + timedelta(seconds=1.5))
            began = time.monotonic()

            sent = deliver_due(now=NOW, limit=1)

        assert sent == 2
        assert receiver.received[0].at - began < 2.5


class TestSlowness:
    def test_a_receiver_that_drips_its_answer_runs_out_of_time(self, receiver, monkeypatch):
        monkeypatch.setattr("activation.destinations.webhook.destination.TIMEOUT_SECONDS", 1.0)
        receiver.reply = Reply(body=b"x" * 50, drip=0.2)
        (delivery,) = owe(make_subscription(make_destination(receiver.url)))
        began = time.monotonic()

        deliver_due(now=NOW)

        assert time.monotonic() - began < 3
        assert fresh(delivery).last_error == "No answer within 1 seconds."

    def test_what_waited_too_long_for_its_turn_is_asked_about_again(self, receiver, monkeypatch):
        monkeypatch.setattr("activation.deliver.FRESH_FOR", 0.2)
        receiver.reply = Reply(after=0.3)
        owe(make_subscription(make_destination(receiver.url)), 40)

        assert deliver_due(now=NOW) == 40
        assert len(receiver.received) == 40


class TestConsent:
    def test_withdrawn_between_plan_and_dispatch_holds_the_delivery_back(self, receiver):
        purpose = PurposeFactory(requires_opt_in=False)
        subscription = make_subscription(make_destination(receiver.url), purpose=purpose)
        stays, goes = owe(subscription, 2)
        record = choose(purpose, State.WITHDRAWN, email_of(stays.profile_id))

        deliver_due(now=NOW)

        held = fresh(stays)
        assert (held.state, held.last_error, held.consent_record_id) == ("suppressed", "withdrawn", record)
        assert held.leased_until is None
        assert fresh(goes).state == "delivered"
        assert [request.webhook_id for request in receiver.received] == [str(goes.message_id)]

    def test_withdrawn_between_two_tries_holds_the_retry_back(self, receiver):
        receiver.replies = [Reply(500)]
        purpose = PurposeFactory(requires_opt_in=False)
        (delivery,) = owe(make_subscription(make_destination(receiver.url), purpose=purpose))

        deliver_due(now=NOW)
        choose(purpose, State.WITHDRAWN, email_of(delivery.profile_id), happened_at=NOW + timedelta(seconds=1))
        deliver_due(now=NOW + timedelta(minutes=1))

        assert fresh(delivery).state == "suppressed"
        assert len(receiver.received) == 1

    def test_is_asked_again_when_replayed(self, receiver):
        purpose = PurposeFactory(requires_opt_in=False)
        (delivery,) = owe(make_subscription(make_destination(receiver.url), purpose=purpose))
        deliver_due(now=NOW)
        choose(purpose, State.DENIED, email_of(delivery.profile_id))

        replay_delivery(delivery_id=delivery.pk, now=NOW)
        deliver_due(now=NOW)

        assert fresh(delivery).state == "suppressed"
        assert len(receiver.received) == 1

    def test_that_allowed_a_delivery_is_cited(self, receiver):
        purpose = PurposeFactory(requires_opt_in=False)
        (delivery,) = owe(make_subscription(make_destination(receiver.url), purpose=purpose))
        record = choose(purpose, State.GRANTED, email_of(delivery.profile_id))

        deliver_due(now=NOW)

        assert fresh(delivery).consent_record_id == record


class TestCare:
    def test_a_paused_destination_keeps_what_it_is_owed(self, receiver):
        destination = make_destination(receiver.url)
        subscription = make_subscription(destination)
        pause_destination(destination=destination, reason="maintenance")
        owe(subscription)

        while_paused = deliver_due(now=NOW)
        enable_destination(destination=destination)

        assert (while_paused, deliver_due(now=NOW)) == (0, 1)

    def test_what_waits_is_not_sent_once_the_subscription_is_removed(self, receiver):
        subscription = make_subscription(make_destination(receiver.url))
        (delivery,) = owe(subscription)

        unsubscribe(subscription=subscription, now=NOW)

        assert deliver_due(now=NOW) == 0
        assert (fresh(delivery).state, fresh(delivery).last_error) == ("suppressed", "unsubscribed")

    def test_both_secrets_sign_during_a_rotation_and_the_old_one_stops(self, receiver):
        destination = make_destination(receiver.url)
        subscription = make_subscription(destination)
        now = datetime.now(UTC)
        old = secret_of(destination)
        new = rotate_secret(destination=destination, now=now, keep_old_for=timedelta(hours=1))
        owe(subscription, now=now)
        deliver_due(now=now)
        during = receiver.received[-1]
        later = now + timedelta(hours=2)
        owe(subscription, now=later)
        deliver_due(now=later)
        after = receiver.received[-1]

        assert during.headers["webhook-signature"].count("v1,") == 2
        assert Webhook(old).verify(during.body, dict(during.headers))
        assert Webhook(new).verify(during.body, dict(during.headers))
        assert after.headers["webhook-signature"].count("v1,") == 1

    def test_a_test_message_is_signed_and_its_answer_shown(self, receiver):
        destination = make_destination(receiver.url)

        well = send_test(destination=destination, now=datetime.now(UTC))
        receiver.reply = Reply(404, body=b"nothing here")
        badly = send_test(destination=destination, now=datetime.now(UTC))

        request = receiver.received[0]
        assert Webhook(secret_of(destination)).verify(request.body, dict(request.headers))["type"] == "test"
        assert (well.ok, well.status, well.response) == (True, 200, "ok")
        assert (badly.ok, badly.status, badly.response) == (False, 404, "nothing here")
        assert not Delivery.objects.exists()
