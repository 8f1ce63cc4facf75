"""The demo through a live server and the real pipeline: complete, repeatable, resumable, and heard by the receiver."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from activation.models import Destination
from cdp import pipeline
from cdp.demo import blueprint, complete_journey, keyring, people, signups
from cdp.demo.drain import drain_all
from cdp.demo.load import Loader
from cdp.demo.progress import Progress
from cdp.demo.receiver.server import ReceiverServer
from cdp.demo.sender import Sender
from cdp.kernel.access.models import User
from ingestion import queries as ingestion_queries
from segments.models import Segment, Transition
from tests.deployments import free_port
from tests.factories.complete_journey import table

HOUSEHOLDS = 30
# What a second run must leave as it was, to the byte.
STATE = (
    "event", "event_name", "profile", "identifier", "profile_identifier", "profile_alias", "identity_conflict_group",
    "membership", "transition", "due", "quarantined_message", "consent_purpose", "consent_consentrecord",
    "consent_consentstate", "ingestion_source", "segments_segment", "segments_segmentversion",
    "activation_destination", "activation_subscription", "activation_delivery", "access_user", "access_user_groups",
)  # fmt: skip


class QuietProgress(Progress):
    """Keeps what was said; `interrupt_after` presses Ctrl-C after so many calls of an advancing bar of events."""

    def __init__(self, *, interrupt_after: int | None = None) -> None:
        super().__init__(StringIO())
        self.left = interrupt_after

    @contextmanager
    def bar(self, label: str, *, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        def advance(_amount: int) -> None:
            if label == "Sending events" and self.left is not None:
                self.left -= 1
                if self.left < 0:
                    raise KeyboardInterrupt

        yield advance


@pytest.fixture(autouse=True)
def quick(settings, monkeypatch):
    """Read the files once for all tests, and hash passwords as fast as can be."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    monkeypatch.setattr(complete_journey, "table", table)


@pytest.fixture
def moment() -> datetime:
    """The instant at which every evaluation of a test happens, so that time alone changes nothing."""
    return timezone.now() + timedelta(seconds=1)


@pytest.fixture
def load(live_server, tmp_path, moment):
    def run(**options) -> QuietProgress:
        options = {"households": HOUSEHOLDS, "in_process": True, "progress": QuietProgress()} | options
        with Sender(live_server.url) as sender:
            loader = Loader(sender=sender, home=tmp_path, clock=lambda: moment, **options)
            loader.run()
        return options["progress"]

    return run


def state() -> dict[str, str]:
    """A digest of every table's rows."""
    return {table: digest(table) for table in STATE}


def digest(table: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT t::text FROM {table} AS t ORDER BY 1")
        return hashlib.sha256("\n".join(row for (row,) in cursor.fetchall()).encode()).hexdigest()


def message_count(journey: complete_journey.Journey) -> int:
    return journey.message_count + len(signups.signups(journey.households))


def count(sql: str, *values) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchone()[0]


class TestLoadDemo:
    def test_brings_every_event_and_every_cent_through_the_pipeline(self, load):
        load()

        journey = complete_journey.read(households=HOUSEHOLDS)
        assert count("SELECT count(*) FROM event") == message_count(journey)
        assert count("SELECT count(*) FROM profile") == HOUSEHOLDS + len(signups.signups(journey.households))
        assert count("SELECT count(*) FROM quarantined_message") == 0
        revenue = count(
            "SELECT sum((properties->>'revenue')::numeric) FROM event"
            " WHERE name_id = (SELECT id FROM event_name WHERE name = 'Order Completed')"
        )
        assert int(revenue * 100) == int((journey.lines["sales_value"] * 100).round().sum())

    def test_leaves_nothing_in_the_future(self, load, moment):
        load()

        assert count("SELECT count(*) FROM event WHERE ts > %s", moment) == 0

    def test_changes_nothing_when_everything_is_sent_again(self, load):
        load()
        before = state()

        load(again=True)

        assert state() == before
        outcomes = ingestion_queries.counts_by_outcome(since=timezone.now() - timedelta(hours=2))
        messages = message_count(complete_journey.read(households=HOUSEHOLDS))
        assert outcomes == {"stored": messages, "duplicate": messages}

    def test_skips_what_was_sent_to_its_end(self, load):
        load()
        before = state()

        progress = load()

        assert "sent already" in progress.stream.getvalue()
        assert state() == before

    def test_grows_from_a_slice_to_a_larger_one(self, load):
        load(households=10)
        load(households=20)

        journey = complete_journey.read(households=20)
        assert count("SELECT count(*) FROM event") == message_count(journey)

    def test_goes_on_where_it_was_interrupted(self, load, tmp_path):
        with pytest.raises(KeyboardInterrupt):
            load(progress=QuietProgress(interrupt_after=2))
        acknowledged = keyring.read(tmp_path).acknowledged
        received = count("SELECT coalesce(sum(events), 0) FROM inbox")

        load()

        messages = message_count(complete_journey.read(households=HOUSEHOLDS))
        assert acknowledged == 2
        assert 0 < received < messages
        assert count("SELECT count(*) FROM event") == messages

    def test_keeps_what_somebody_changed(self, load):
        load()
        Segment.objects.filter(slug="high-value").update(name="Our best")
        maya = User.objects.get(username="maya")
        maya.set_password("her own words")
        maya.save()

        load()

        assert Segment.objects.get(slug="high-value").name == "Our best"
        maya.refresh_from_db()
        assert maya.check_password("her own words")

    def test_makes_live_segments_that_hold_some_and_not_all(self, load):
        load()

        found = Segment.objects.filter(slug__in=[wanted.slug for wanted in blueprint.SEGMENTS])
        assert len(found) == len(blueprint.SEGMENTS) == 7
        assert {segment.state for segment in found} == {Segment.State.LIVE}
        assert all(segment.member_count < HOUSEHOLDS for segment in found)
        assert sum(segment.member_count > 0 for segment in found) >= 4

    def test_puts_exactly_the_right_people_into_a_segment(self, load, moment):
        """By the raw table: who bought on eight or more days of the last 30."""
        load()

        lines = complete_journey.read(households=HOUSEHOLDS).lines
        shop_began = count("SELECT created_at FROM ingestion_source WHERE slug = 'shop'")
        at = lines["transaction_timestamp"] + complete_journey.shift_to(shop_began)
        window = at.dt.tz_localize("UTC").between(moment - timedelta(days=30), moment, inclusive="right")
        days = at[window].dt.date.groupby(lines["household_id"][window]).nunique()
        expected = {people.user_id(int(household)) for household in days[days >= 8].index}
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT i.value FROM membership m JOIN segments_segment s ON s.id = m.segment_id"
                " JOIN identifier i ON i.profile_id = m.profile_id AND i.kind = 'user_id'"
                " WHERE s.slug = 'weekly-regulars'"
            )
            assert {value for (value,) in cursor.fetchall()} == expected

    def test_keeps_its_keys_to_itself(self, load, tmp_path):
        load()

        assert (tmp_path / keyring.FILE).stat().st_mode & 0o777 == 0o600

    def test_makes_new_keys_where_the_old_ones_are_lost(self, load, tmp_path):
        load()
        before = keyring.read(tmp_path)
        (tmp_path / keyring.FILE).unlink()

        load()

        after = keyring.read(tmp_path)
        assert after.write_keys.keys() == before.write_keys.keys()
        assert after.write_keys["shop"] != before.write_keys["shop"]
        messages = message_count(complete_journey.read(households=HOUSEHOLDS))
        assert count("SELECT count(*) FROM event") == messages

    def test_records_the_choices_of_every_household_once(self, load, moment):
        load()
        load(again=True)

        numbers = complete_journey.read(households=HOUSEHOLDS).households
        wanted = sum(len(people.choices(number, until=moment)) for number in numbers)
        assert count("SELECT count(*) FROM consent_consentrecord") == wanted


class TestLoadDemoCommand:
    def test_says_where_to_log_in(self, live_server, settings, tmp_path):
        settings.CDP_HOME = tmp_path
        said = StringIO()

        call_command("load_demo", url=live_server.url, households=5, in_process=True, stdout=said)

        password = keyring.read(tmp_path).password
        assert f"maya     {password}" in said.getvalue()
        assert "Drifting away" in said.getvalue()
        assert User.objects.get(username="admin").check_password(password)

    def test_says_that_no_server_answers(self, database, settings, tmp_path, monkeypatch):
        settings.CDP_HOME = tmp_path

        with pytest.raises(CommandError, match=r"No server answers at .* Start it with"):
            call_command("load_demo", url=f"http://127.0.0.1:{free_port()}", households=5)


@pytest.fixture
def receiver(tmp_path, settings, monkeypatch):
    server = ReceiverServer(
        port=0, secret=lambda: keyring.read(tmp_path).signing_secret, console_url="http://127.0.0.1:8000"
    )
    monkeypatch.setenv("CDP_RECEIVER_PORT", str(server.server_port))
    settings.EGRESS_ALLOWED_HOSTS = [f"127.0.0.1:{server.server_port}"]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class TestTheWebhook:
    def test_is_left_out_where_this_machine_may_not_be_sent_to(self, load, settings):
        settings.EGRESS_ALLOWED_HOSTS = []

        progress = load()

        assert "CDP_EGRESS_ALLOW=127.0.0.1:" in progress.stream.getvalue()
        assert not Destination.objects.exists()

    def test_stays_connected_when_its_secret_was_lost(self, load, receiver, settings, tmp_path):
        load()
        secret = keyring.read(tmp_path).signing_secret
        (tmp_path / keyring.FILE).unlink()
        settings.EGRESS_ALLOWED_HOSTS = []

        progress = load()

        assert keyring.read(tmp_path).signing_secret == secret
        assert "left out" not in progress.stream.getvalue()

    def test_hears_of_an_order_that_brings_somebody_in(self, load, receiver, live_server, tmp_path, moment):
        load()
        household = self.consenting_household(moment)
        order = {"order_id": "1", "revenue": 50_000.0, "products": []}
        message = {
            "type": "track", "messageId": "big-order", "userId": people.user_id(household), "event": "Order Completed",
            "properties": order, "timestamp": (moment - timedelta(seconds=1)).isoformat(),
        }  # fmt: skip

        self.send(live_server.url, tmp_path, message)
        drain_all(clock=lambda: moment)
        pipeline.deliver(now=timezone.now())

        heard = [
            (received.type, received.data["segment"]["slug"], received.data["profile"]["identifiers"]["user_id"])
            for received in receiver.mailbox.messages()
            if received.status == 204 and not received.problem
        ]
        assert ("segment.entered", "high-value", [people.user_id(household)]) in heard

    def test_hears_nothing_of_the_first_filling(self, load, receiver):
        load()

        pipeline.deliver(now=timezone.now())

        assert Transition.objects.exists()
        assert receiver.mailbox.messages() == []

    def consenting_household(self, moment) -> int:
        """One that allows personalised advertising and is not in the segment yet."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT i.value FROM membership m JOIN segments_segment s ON s.id = m.segment_id"
                " JOIN identifier i ON i.profile_id = m.profile_id AND i.kind = 'user_id' WHERE s.slug = 'high-value'"
            )
            inside = {value for (value,) in cursor.fetchall()}
        for household in complete_journey.read(households=HOUSEHOLDS).households:
            last = {choice.purpose: choice.state for choice in people.choices(household, until=moment)}
            if last.get("personalised_ads") == "granted" and people.user_id(household) not in inside:
                return household
        raise AssertionError

    def send(self, url: str, home: Path, message) -> None:
        with Sender(url) as sender:
            sender.batch(msgspec.json.encode({"batch": [message]}), write_key=keyring.read(home).write_keys["shop"])
