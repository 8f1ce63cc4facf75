"""Simulated visitors through a live server and the pipeline."""

import signal
import subprocess
import sys
import threading
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from cdp.demo import catalogue, complete_journey, keyring
from cdp.demo.browsing import Browsing
from cdp.demo.drain import drain_all
from cdp.demo.sender import Sender
from cdp.demo.simulate import Simulation
from cdp.kernel.embedded.home import REPOSITORY
from consent.models import Purpose
from consent.operations import record_consent
from ingestion import queries as ingestion_queries
from ingestion.operations import create_source, set_source_state
from tests.deployments import free_port
from tests.factories.complete_journey import table

HOUSEHOLDS = 10


@pytest.fixture
def website(database):
    """The source and its key, with the purpose that is asked at its door."""
    purpose = Purpose.objects.create(slug="analytics", name="Analytics", kind="collection", requires_opt_in=False)
    return create_source(slug="website", name="Website", purpose=purpose, now=timezone.now())


@pytest.fixture
def visitors(monkeypatch):
    monkeypatch.setattr(complete_journey, "table", table)
    return Browsing(
        shoppers=catalogue.shoppers(households=HOUSEHOLDS), products=catalogue.best_sellers(), seed=4, run="test"
    )


@pytest.fixture
def simulate(live_server, website, visitors):
    def run(*, seconds=4.0, rate=150.0, url=None):
        stop = threading.Event()
        with Sender(url or live_server.url, patience=1.0, stop=stop) as sender:
            simulation = Simulation(
                browsing=visitors, sender=sender, write_key=lambda: website[1], rate=rate, stop=stop
            )
            return simulation.run(seconds=seconds, report=lambda _tally: None)

    return run


def rows(sql: str):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def outcomes() -> dict[str, int]:
    return ingestion_queries.counts_by_outcome(since=timezone.now() - timedelta(hours=2))


class TestSimulate:
    def test_has_every_event_stored(self, simulate):
        tally = simulate()
        drain_all(clock=timezone.now)

        assert tally.sent > 200
        assert outcomes() == {"stored": tally.sent}

    def test_links_browsers_to_shoppers_without_conflicts(self, simulate):
        simulate()
        drain_all(clock=timezone.now)

        shoppers = rows("SELECT count(*) FROM identifier WHERE kind = 'user_id'")[0][0]
        strangers = rows(
            "SELECT count(*) FROM identifier a WHERE a.kind = 'anonymous_id' AND NOT EXISTS"
            " (SELECT FROM identifier u WHERE u.profile_id = a.profile_id AND u.kind = 'user_id')"
        )[0][0]
        assert 0 < shoppers <= HOUSEHOLDS
        assert strangers > 0
        assert rows("SELECT count(*) FROM identity_conflict_group") == [(0,)]

    def test_is_refused_at_the_door_for_those_who_object(self, simulate):
        for shopper in catalogue.shoppers(households=HOUSEHOLDS):
            record_consent(
                subjects=[("user_id", shopper.user_id)], purpose="analytics", state="denied", method="banner",
                happened_at=timezone.now(), now=timezone.now(),
            )  # fmt: skip

        tally = simulate()
        drain_all(clock=timezone.now)

        assert outcomes()["no_consent"] > 0
        assert sum(outcomes().values()) == tally.sent
        assert rows("SELECT count(*) FROM identifier WHERE kind = 'user_id'") == [(0,)]

    def test_goes_on_without_a_server_and_says_so(self, simulate):
        tally = simulate(seconds=1.5, url=f"http://127.0.0.1:{free_port()}")

        assert tally.sent == 0
        assert tally.lost > 0
        assert "No server answers" in tally.trouble

    def test_waits_out_a_paused_source(self, simulate, website):
        set_source_state(source=website[0], state="paused")

        tally = simulate(seconds=0.5)

        assert (tally.sent, "paused" in tally.trouble) == (0, True)


class TestSimulateCommand:
    def test_asks_for_the_demo_first(self, database, settings, tmp_path):
        settings.CDP_HOME = tmp_path

        with pytest.raises(CommandError, match="load_demo"):
            call_command("simulate")

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_stops_cleanly_when_told_to(self, tmp_path, number, monkeypatch):
        keyring.write(tmp_path, keyring.Keyring(write_keys={"website": "wk_any"}, households=5))
        monkeypatch.setenv("CDP_HOME", str(tmp_path))
        command = [sys.executable, "manage.py", "simulate", "--url", f"http://127.0.0.1:{free_port()}", "--seed", "1"]
        process = subprocess.Popen(
            command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            first = process.stdout.readline()
            process.send_signal(number)
            said, _ = process.communicate(timeout=30)
        finally:
            process.kill()

        assert "No server answers" in first
        assert said.endswith("Stopped.\n")
        assert process.returncode == 0
