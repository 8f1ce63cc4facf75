"""What the screens read of destinations and deliveries."""

from datetime import timedelta

import pytest

from activation import queries
from activation.models import Delivery
from activation.operations import deliver_due
from consent.contracts import State
from tests.factories.activation import (
    NOW,
    Reply,
    email_of,
    make_destination,
    make_subscription,
    owe,
    receiving,
)
from tests.factories.consent import PurposeFactory, choose

pytestmark = pytest.mark.django_db


@pytest.fixture
def receiver(settings):
    settings.EGRESS_ALLOWED_HOSTS = ["127.0.0.1"]
    with receiving() as server:
        yield server


class TestDestinationsOverview:
    def test_counts_the_last_day_by_state(self, receiver):
        receiver.replies = [Reply(500), Reply(410)]
        purpose = PurposeFactory(requires_opt_in=False)
        subscription = make_subscription(make_destination(receiver.url), purpose=purpose)
        owe(subscription, 1, now=NOW - timedelta(hours=2))
        deliver_due(now=NOW - timedelta(hours=2))
        owe(subscription, 1)
        held = owe(subscription, 2, now=NOW + timedelta(seconds=30))
        deliver_due(now=NOW)
        Delivery.objects.filter(pk=held[0].pk).update(state="suppressed")
        silent = make_destination("https://example.com/hook")

        one, other = sorted(queries.destinations_overview(now=NOW + timedelta(minutes=1)), key=lambda each: each.id)

        assert (one.delivered, one.dead, one.suppressed, one.waiting, one.subscriptions) == (1, 1, 1, 1, 1)
        assert one.success_rate == pytest.approx(1 / 3)
        assert one.state == "disabled"
        assert one.last_delivery_at is not None
        assert (other.id, other.address, other.kind_label) == (silent.pk, "https://example.com/hook", "Webhook")
        assert (other.success_rate, other.last_delivery_at, other.waiting) == (None, None, 0)

    def test_leaves_out_what_is_older(self, receiver):
        owe(make_subscription(make_destination(receiver.url)))
        deliver_due(now=NOW)

        (one,) = queries.destinations_overview(now=NOW + timedelta(hours=25))

        assert (one.delivered, one.success_rate) == (0, None)
        assert one.last_delivery_at is not None

    def test_costs_the_same_however_many_there_are(self, django_assert_num_queries):
        for _ in range(5):
            make_subscription(make_destination("https://example.com/hook"))

        with django_assert_num_queries(5):
            queries.destinations_overview(now=NOW)


class TestDeliveries:
    def test_say_why_something_was_held_back_in_words(self):
        purpose = PurposeFactory()
        subscription = make_subscription(make_destination("https://example.com/hook"), purpose=purpose)
        owe(subscription)

        (row,) = queries.deliveries(state="suppressed")

        assert row.reason == "This person has not agreed to the purpose."
        assert row.state_label == "Held back: no consent"
        assert (row.segment_slug, row.segment_name) == (subscription.segment.slug, subscription.segment.name)

    def test_do_not_ask_for_each_row(self, django_assert_num_queries):
        owe(make_subscription(make_destination("https://example.com/hook")), 20)

        with django_assert_num_queries(1):
            assert len(queries.deliveries()) == 20


class TestDelivery:
    def test_has_its_tries_and_the_record_that_allowed_it(self, receiver):
        purpose = PurposeFactory(requires_opt_in=False)
        (delivery,) = owe(make_subscription(make_destination(receiver.url), purpose=purpose))
        record = choose(purpose, State.GRANTED, email_of(delivery.profile_id))
        deliver_due(now=NOW)

        detail = queries.delivery(delivery_id=delivery.pk)

        assert detail.consent_record_id == record
        assert detail.payload["type"] == "segment.entered"
        assert [(each.status, each.response) for each in detail.attempts] == [(200, "ok")]

    def test_is_none_where_there_is_none(self):
        assert queries.delivery(delivery_id=1) is None


class TestHourlyDeliveries:
    def test_counts_tries_that_succeeded_and_failed(self, receiver):
        receiver.replies = [Reply(500), Reply(500)]
        destination = make_destination(receiver.url)
        owe(make_subscription(destination), 3)
        deliver_due(now=NOW)

        (hour,) = queries.hourly_deliveries(since=NOW - timedelta(hours=1), destination_id=destination.pk)

        assert (hour.hour, hour.succeeded, hour.failed) == (NOW, 1, 2)
        assert queries.hourly_deliveries(since=NOW - timedelta(hours=1), destination_id=0) == []
        assert queries.count_by_state(since=NOW - timedelta(hours=1)) == {"delivered": 1, "pending": 2}
