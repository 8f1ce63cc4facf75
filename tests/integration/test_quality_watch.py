"""Deviations become alerts, once each, and what is owed about them survives a dead mail server."""

import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from standardwebhooks import Webhook

from activation.alerting import operations as channels
from activation.alerting.deliver import deliver_alerts
from activation.errors import ActivationError
from ingestion import operations
from ingestion.models import EventName, HourlyCount, Source
from ingestion.quality import judge, queries, watch
from ingestion.quality.models import (
    Alert,
    AlertChannel,
    AlertDelivery,
    HourShape,
    Property,
    Receipt,
    Volume,
)
from ingestion.quality.settings import QualitySettings
from ingestion.settings import SourceSettings
from tests.factories.ingestion import NOW, SourceFactory
from tests.oracles import quality as oracle

pytestmark = pytest.mark.django_db

HOUR, DAY, MINUTE = timedelta(hours=1), timedelta(days=1), timedelta(minutes=1)
LAST_HOUR = queries.whole_hour(NOW) - HOUR


@pytest.fixture
def shop() -> Source:
    return SourceFactory(slug="shop", name="Shop")


def promise(source: Source, **wanted: Any) -> None:
    operations.change_settings(source=source, settings=SourceSettings(quality=QualitySettings(**wanted)))


def name_id(name: str = "Order") -> int:
    return EventName.objects.get_or_create(name=name, defaults={"type": "track", "first_seen_at": NOW})[0].pk


def volume(source: Source, hour: datetime, events: int, name: str = "Order") -> None:
    Volume.objects.create(source=source, name_id=name_id(name), hour=hour, events=events)


def usual_days(source: Source, *, count: int = 14, events: int = 1_000) -> None:
    for back in range(1, count + 1):
        volume(source, LAST_HOUR - DAY * back, events + back)


def outcome(source: Source, hour: datetime = LAST_HOUR, **counts: int) -> None:
    for name, events in counts.items():
        HourlyCount.objects.create(source=source, hour=hour, outcome=name, events=events)


def shape(source: Source, hour: datetime, seen: int, **present: int) -> None:
    paths = {path: [count, 0, {"text": count}] for path, count in present.items()}
    HourShape.objects.create(source=source, name_id=name_id(), hour=hour, seen=seen, late=0, shape=paths)


def heard(source: Source, at: datetime) -> None:
    Receipt.objects.create(source=source, hour=queries.whole_hour(at), requests=1, events=1, last_at=at)


def alerts() -> list[tuple[str, str, str]]:
    return list(Alert.objects.order_by("id").values_list("kind", "subject", "state"))


class TestVolume:
    @pytest.mark.parametrize("events", [0, 100, 5_000])
    def test_far_from_the_same_hour_of_earlier_days_alarms(self, shop: Source, events: int):
        usual_days(shop)
        if events:
            volume(shop, LAST_HOUR, events)

        watch.watch(now=NOW)

        assert alerts() == [("volume", "", "open")]

    @pytest.mark.parametrize("events", [900, 1_000, 1_150])
    def test_about_as_usual_does_not(self, shop: Source, events: int):
        usual_days(shop)
        volume(shop, LAST_HOUR, events)

        watch.watch(now=NOW)

        assert alerts() == []

    def test_of_a_source_known_for_too_short_is_not_judged(self, shop: Source):
        usual_days(shop, count=4)

        watch.watch(now=NOW)

        assert alerts() == []

    def test_that_is_usual_for_the_day_of_the_week_does_not_alarm(self, shop: Source):
        for back in range(1, 29):
            at = LAST_HOUR - DAY * back
            volume(shop, at, 100 if at.weekday() == LAST_HOUR.weekday() else 1_000)
        volume(shop, LAST_HOUR, 105)

        watch.watch(now=NOW)

        assert alerts() == []

    def test_of_one_event_alarms_where_the_total_is_as_usual(self, shop: Source):
        usual_days(shop, events=10_000)
        for back in range(1, 15):
            volume(shop, LAST_HOUR - DAY * back, 100, "Refund")
        volume(shop, LAST_HOUR, 10_005)
        volume(shop, LAST_HOUR, 900, "Refund")

        watch.watch(now=NOW)

        assert alerts() == [("volume", "Refund", "open")]

    def test_waits_while_the_inbox_holds_messages_of_that_hour(self, shop: Source):
        usual_days(shop)
        operations.accept(
            source_id=shop.pk, kind="batch", events=1, body=b"{}", remote_addr="", now=LAST_HOUR + MINUTE
        )

        watch.watch(now=NOW)

        assert alerts() == []


class TestFreshness:
    def test_alarms_once_the_promise_is_broken(self, shop: Source):
        promise(shop, expected_minutes=30)
        heard(shop, NOW - 29 * MINUTE)
        watch.watch(now=NOW)
        assert alerts() == []

        watch.watch(now=NOW + 2 * MINUTE)

        assert alerts() == [("freshness", "", "open")]

    def test_counts_a_source_that_never_sent_from_its_creation(self, shop: Source):
        promise(shop, expected_minutes=30)

        assert queries.freshness(source=shop, now=NOW + HOUR).overdue

    def test_does_not_alarm_without_a_promise_or_where_the_source_is_paused(self, shop: Source):
        assert not queries.freshness(source=shop, now=NOW + DAY * 30).overdue

        promise(shop, expected_minutes=30)
        operations.set_source_state(source=shop, state="paused")

        assert not queries.freshness(source=shop, now=NOW + DAY).overdue

    def test_does_not_count_the_time_when_the_shop_is_closed(self, shop: Source):
        promise(shop, expected_minutes=120, weekdays_only=True, open_from=9, open_until=18)
        friday = datetime(2026, 3, 13, 17, 30, tzinfo=UTC)
        heard(shop, friday)

        monday = friday.replace(day=16)
        assert not queries.freshness(source=shop, now=monday.replace(hour=10, minute=0)).overdue
        assert queries.freshness(source=shop, now=monday.replace(hour=10, minute=31)).overdue

    def test_agrees_with_counting_the_minutes_one_by_one(self):
        hours = judge.OpeningHours(frozenset({0, 2, 4}), 8, 20)
        last = datetime(2026, 3, 9, 7, 13, tzinfo=UTC)

        for ahead in (0, 5, 60, 700, 3_000, 9_000):
            minutes = [last + MINUTE * n for n in range(ahead)]
            expected = oracle.silent_minutes(minutes, days=hours.days, start=8, end=20)
            assert judge.silent_for(last=last, now=last + MINUTE * ahead, hours=hours) == MINUTE * expected


class TestRates:
    def test_of_quarantined_messages_alarm_over_the_threshold(self, shop: Source):
        outcome(shop, stored=900, quarantined=100)

        watch.watch(now=NOW)

        assert alerts() == [("errors", "", "open")]
        assert "100 of 1,000 (10.0%)" in Alert.objects.get().message

    def test_of_duplicates_do_too(self, shop: Source):
        outcome(shop, stored=80, duplicate=20)

        watch.watch(now=NOW)

        assert alerts() == [("duplicates", "", "open")]

    def test_say_nothing_of_a_handful_of_messages(self, shop: Source):
        outcome(shop, stored=1, quarantined=1, duplicate=1)

        watch.watch(now=NOW)

        assert alerts() == []


class TestProperties:
    def test_that_go_missing_more_often_alarm(self, shop: Source):
        shape(shop, NOW - DAY * 3, 1_000, total=990, coupon=300)
        shape(shop, LAST_HOUR, 100, total=60, coupon=30)

        watch.watch(now=NOW)

        assert alerts() == [("nulls", "Order · total", "open")]

    def test_that_vanish_alarm(self, shop: Source):
        shape(shop, NOW - DAY * 3, 1_000, total=990, currency=900)
        shape(shop, LAST_HOUR, 100, total=99)

        watch.watch(now=NOW)

        assert alerts() == [("vanished", "Order · currency", "open")]

    def test_that_are_new_are_told_once_and_end_by_themselves(self, shop: Source):
        for path, first in (("", NOW - DAY * 9), ("total", NOW - DAY * 9), ("vat", NOW - HOUR)):
            times = {"first_seen_at": first, "last_seen_at": NOW}
            Property.objects.create(source=shop, name_id=name_id(), path=path, **times)
        for minutes in range(3):
            watch.watch(now=NOW + MINUTE * minutes)
        assert alerts() == [("new", "Order · vat", "open")]

        for minutes in range(3):
            watch.watch(now=NOW + DAY + MINUTE * minutes)

        assert alerts() == [("new", "Order · vat", "resolved")]


class TestBalance:
    def test_alarms_where_messages_are_not_accounted_for(self, shop: Source):
        for back in (5, 4, 3):
            hour = LAST_HOUR - HOUR * back
            Receipt.objects.create(source=shop, hour=hour, requests=1, events=10, last_at=hour)
            outcome(shop, hour, stored=10 if back != 4 else 7)

        watch.watch(now=NOW)

        assert alerts() == [("balance", "", "open")]
        assert queries.balance(source_id=shop.pk, since=NOW - DAY)[1].difference == 3


class TestLifeOfAnAlert:
    def errors(self, source: Source, share: float, now: datetime) -> None:
        HourlyCount.objects.all().delete()
        bad = round(1_000 * share)
        outcome(source, queries.whole_hour(now), stored=1_000 - bad, quarantined=bad or 1)
        watch.watch(now=now)

    def test_is_one_row_while_it_lasts(self, shop: Source):
        for minutes in range(5):
            self.errors(shop, 0.2, NOW + MINUTE * minutes)

        assert alerts() == [("errors", "", "open")]
        assert Alert.objects.get().last_seen_at == NOW + MINUTE * 4

    def test_ends_only_well_below_the_threshold_and_for_a_while(self, shop: Source):
        self.errors(shop, 0.2, NOW)
        for minutes in range(1, 5):
            self.errors(shop, 0.045, NOW + MINUTE * minutes)
        assert alerts() == [("errors", "", "open")]

        self.errors(shop, 0.01, NOW + MINUTE * 5)
        assert alerts() == [("errors", "", "open")]
        self.errors(shop, 0.01, NOW + MINUTE * 6)

        assert alerts() == [("errors", "", "resolved")]

    def test_begins_anew_after_it_was_over(self, shop: Source):
        for minutes, share in enumerate((0.2, 0.0, 0.0, 0.2)):
            self.errors(shop, share, NOW + MINUTE * minutes)

        assert alerts() == [("errors", "", "resolved"), ("errors", "", "open")]

    def test_that_somebody_has_seen_goes_on_quietly(self, shop: Source):
        self.errors(shop, 0.2, NOW)
        watch.acknowledge(alert=Alert.objects.get(), actor="eve")
        self.errors(shop, 0.2, NOW + MINUTE)

        assert alerts() == [("errors", "", "acknowledged")]

    def test_ends_without_a_message_when_nobody_wants_its_kind(self, shop: Source):
        AlertChannel.objects.create(name="Ops", kind="email", recipients=["a@example.org"], created_at=NOW)
        self.errors(shop, 0.2, NOW)
        watch.set_rule(kind="errors", enabled=False, threshold=0.05)
        self.errors(shop, 0.2, NOW + MINUTE)

        assert alerts() == [("errors", "", "resolved")]
        assert list(AlertDelivery.objects.values_list("event", flat=True)) == ["opened"]


# --- Delivery, with real servers ----------------------------------------------------------------------------


class Mailbox:
    """A real SMTP server on a free port, and what it took."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.controller: Controller | None = None

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.mails.append(envelope)
        return "250 OK"

    def start(self, port: int = 0) -> int:
        """On a free port, or on the one that it had before."""
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            port = int(probe.getsockname()[1])
        self.controller = Controller(self, hostname="127.0.0.1", port=port)
        self.controller.start()
        return port

    def stop(self) -> None:
        if self.controller is not None:
            self.controller.stop()
            self.controller = None


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox()
    yield box
    box.stop()


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """A real HTTP server, its address, and what was posted to it."""
    taken: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", taken
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def mail_settings(settings: Any) -> Any:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_TIMEOUT = "127.0.0.1", 2
    return settings


class TestEmail:
    def channel(self) -> None:
        channels.create_channel(name="Ops", kind="email", recipients=["ops@example.org"], now=NOW)

    def test_says_what_happened_and_when_it_was_over(self, shop: Source, mailbox: Mailbox, mail_settings: Any):
        mail_settings.EMAIL_PORT = mailbox.start()
        self.channel()
        for minutes, share in enumerate((0.2, 0.0, 0.0)):
            TestLifeOfAnAlert().errors(shop, share, NOW + MINUTE * minutes)
            while deliver_alerts(now=NOW + MINUTE * minutes):
                pass

        opened, resolved = [mail.content.decode() for mail in mailbox.mails]
        assert "Subject: [Tributary] Bad messages: Shop" in opened
        assert "200 of 1,000 (20.0%)" in opened.replace("=\r\n", "")
        assert "Subject: [Tributary] Resolved: Shop" in resolved
        assert mailbox.mails[0].rcpt_tos == ["ops@example.org"]

    def test_is_not_lost_with_a_dead_server(self, shop: Source, mailbox: Mailbox, mail_settings: Any):
        mail_settings.EMAIL_PORT = port = mailbox.start()
        mailbox.stop()
        self.channel()
        TestLifeOfAnAlert().errors(shop, 0.2, NOW)

        assert deliver_alerts(now=NOW) == 1
        owed = AlertDelivery.objects.get()
        assert (owed.state, owed.attempts) == ("pending", 1)
        assert "ConnectionRefusedError" in owed.last_error
        assert deliver_alerts(now=NOW) == 0

        mailbox.start(port)
        assert deliver_alerts(now=NOW + MINUTE) == 1
        owed.refresh_from_db()
        assert (owed.state, owed.attempts, len(mailbox.mails)) == ("delivered", 2, 1)

    def test_of_a_worker_that_died_is_sent_by_another_once_its_lease_is_over(
        self, shop: Source, mailbox: Mailbox, mail_settings: Any
    ):
        mail_settings.EMAIL_PORT = mailbox.start()
        self.channel()
        TestLifeOfAnAlert().errors(shop, 0.2, NOW)
        AlertDelivery.objects.update(leased_until=NOW + MINUTE)

        assert deliver_alerts(now=NOW) == 0
        assert deliver_alerts(now=NOW + 2 * MINUTE) == 1

    def test_waits_and_says_so_where_no_server_is_named(self, shop: Source, settings: Any):
        settings.EMAIL_HOST = ""
        self.channel()
        TestLifeOfAnAlert().errors(shop, 0.2, NOW)

        deliver_alerts(now=NOW)

        assert "CDP_EMAIL_URL" in AlertDelivery.objects.get().last_error

    @pytest.mark.parametrize("recipients", [[], ["nobody"], ["a@example.org", "b"]])
    def test_needs_real_addresses(self, recipients: list[str]):
        with pytest.raises(ActivationError) as caught:
            channels.create_channel(name="Ops", kind="email", recipients=recipients, now=NOW)

        assert caught.value.path.startswith("/recipients")


class TestWebhook:
    def test_is_signed_and_carries_the_alert(self, shop: Source, receiver: Any, settings: Any):
        url, taken = receiver
        settings.EGRESS_ALLOWED_HOSTS = ["127.0.0.1"]
        now = datetime.now(UTC)  # the receiver checks that the signature is of now
        channel, secret = channels.create_channel(name="Pager", kind="webhook", url=url, now=now)
        outcome(shop, queries.whole_hour(now), stored=10, quarantined=90)
        watch.watch(now=now)

        assert deliver_alerts(now=now) == 1

        ((headers, body),) = taken
        verified = Webhook(secret).verify(body, {key.lower(): value for key, value in headers.items()})
        assert (verified["type"], verified["data"]["kind"], verified["data"]["source"]) == (
            "alert.opened",
            "errors",
            "shop",
        )
        assert headers["webhook-id"] == str(AlertDelivery.objects.get().message_id)
        assert channels.send_test(channel=channel, now=now) is None
        assert json.loads(taken[1][1])["type"] == "alert.test"

    def test_to_an_address_inside_of_the_house_is_refused(self, receiver: Any):
        with pytest.raises(ActivationError) as caught:
            channels.create_channel(name="Pager", kind="webhook", url=receiver[0], now=NOW)

        assert (caught.value.path, receiver[1]) == ("/config/url", [])
