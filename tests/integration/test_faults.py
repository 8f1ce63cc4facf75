"""One deployment, as `make up` runs it, from its first start to its end, with plugs pulled in between. R: H2

Every process here is a real one. Under load, what was acknowledged is stored, and stored once: after each fault
everything that was ever acknowledged is looked for.
docs/explanation/durability.md lists what is promised; `CDP_TEST_OUTAGE_SECONDS` makes the outage longer.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest
import redis
from segment.analytics.client import Client

from cdp.kernel.embedded import leftovers, postgres, processes, services, valkey
from cdp.kernel.embedded.home import database_url, redis_url
from cdp.kernel.embedded.programs import PROGRAMS
from cdp.kernel.embedded.supervise import Supervisor
from tests.deployments import Deployment, all_processes, query, temporary_home, wait_until
from tests.factories.ingestion import batch_body, message
from tests.load import PEOPLE, Load, Promises, promises_of

# Seconds on an idle machine; patient where other tests keep it busy.
pytestmark = pytest.mark.timeout(900)
ALWAYS = {program.name for program in PROGRAMS if not program.demo}
OUTAGE_SECONDS = float(os.environ.get("CDP_TEST_OUTAGE_SECONDS", "4"))
DISK = "640m"


@pytest.fixture(scope="module")
def running() -> Iterator[Deployment]:
    """On a small disk of its own, where one can be mounted."""
    with temporary_home("a running one") as home:
        home.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=755", "tmpfs", str(home)]
        mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
        deployment = Deployment(home, environment={"CDP_MIN_FREE_MB": "100"})
        deployment.launch()
        try:
            deployment.wait_running()
            yield deployment
        finally:
            deployment.kill()
            deployment.wait_for(lambda: all_processes(home) == [])
            if mounted:
                subprocess.run(["umount", "--lazy", str(home)], check=True)


@pytest.fixture(scope="module")
def promises(running: Deployment) -> Promises:
    return promises_of(running.home, running.port, "shop")


@pytest.fixture
def load(promises: Promises) -> Iterator[Load]:
    with Load(promises) as load:
        load.wait_for_acknowledgements(1)
        yield load


def check(load: Load) -> None:
    load.finish()
    load.promises.check()


def marked(running: Deployment, name: str) -> list[psutil.Process]:
    """The processes of one program, its master first, once there are any."""
    found: list[psutil.Process] = []

    def are_there() -> bool:
        found[:] = processes.marked(running.home).get(name, [])
        return bool(found)

    wait_until(are_there, seconds=180)
    return sorted(found, key=lambda process: process.create_time())


def kill(victims: list[psutil.Process], how: signal.Signals = signal.SIGKILL) -> None:
    for process in victims:
        try:
            process.send_signal(how)
        except psutil.NoSuchProcess:
            continue


class TestRunning:
    def test_answers(self, running: Deployment):
        assert running.answers()

    def test_every_program_runs(self, running: Deployment):
        found = set(processes.marked(running.home)) | {"postgres"}

        assert found >= ALWAYS

    def test_the_database_is_migrated(self, running: Deployment):
        assert query(running.home, "SELECT count(*) > 0 FROM django_migrations") == [(True,)]

    def test_sessions_say_of_which_program_they_are(self, running: Deployment):
        wait_until(
            lambda: query(
                running.home, "SELECT pid FROM pg_stat_activity WHERE application_name = 'tributary worker-ingest'"
            ),
            seconds=60,
        )

    def test_steps_are_told(self, running: Deployment):
        assert "Creating the database … " in running.said
        assert f"Tributary runs at http://127.0.0.1:{running.port}/" in running.said

    def test_a_second_launcher_is_refused(self, running: Deployment):
        second = Deployment(running.home.with_name("link"))
        second.home.symlink_to(running.home)

        second.launch()

        assert second.wait_ended() == 1
        assert f"already runs from {running.home} (process {running.process.pid})" in second.said
        assert "Traceback" not in second.said

    def test_start_leaves_a_running_deployment_alone(self, running: Deployment):
        before = services.servers(running.home)

        services.start(running.home)

        assert services.servers(running.home) == before


class TestAcknowledgement:
    def test_is_durable_as_configured(self, running: Deployment):
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            assert query(running.home, f"SHOW {setting}") == [("on",)]

    def test_waits_for_the_commit(self, running: Deployment):
        """Nothing is said while the row cannot be written, and 503 where its session dies."""
        promises = promises_of(running.home, running.port, "waits")
        body = batch_body([message(messageId="m-0")])

        with psycopg2.connect(database_url(running.home)) as blocker, ThreadPoolExecutor(1) as pool:
            blocker.cursor().execute("LOCK TABLE inbox IN SHARE MODE")
            answer = pool.submit(promises.post, body)
            waiting = (
                "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'COPY \"inbox\"%%'"
            )
            wait_until(lambda: query(running.home, waiting), seconds=180)
            answered_early = answer.done()
            query(running.home, f"SELECT pg_terminate_backend(pid) FROM ({waiting}) AS found")
            refused = answer.result()
        blocker.close()

        assert not answered_early
        assert refused == (503, "5")
        assert promises.post(body)[0] == 200


class TestWeb:
    def test_killed_answers_again_and_loses_nothing(self, running: Deployment, load: Load):
        """First its two workers, of which each is started again; then all of it."""
        kill(marked(running, "web")[-2:])
        load.wait_for_acknowledgements()
        kill(marked(running, "web"))
        load.wait_for_acknowledgements()

        check(load)
        assert load.statuses.keys() <= {0, 200}

    def test_leaves_no_worker_of_it_behind(self, running: Deployment):
        killed, *orphans = marked(running, "web")

        kill([killed])

        running.wait_for(lambda: not any(processes.is_alive(orphan) for orphan in orphans))
        running.wait_for(running.answers)


class TestWorkers:
    def test_killed_and_restarted_in_mid_drain_lose_and_double_nothing(self, running: Deployment, load: Load):
        """With a chunk all but committed: held back at its last writes. The fourth time the master, too."""
        waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ 'INTO hourly_count'"
        for turn in range(4):
            with psycopg2.connect(database_url(running.home)) as blocker:
                blocker.cursor().execute("LOCK TABLE hourly_count IN SHARE MODE")
                wait_until(lambda: query(running.home, waiting), seconds=180)
                workers = marked(running, "worker-ingest")
                kill(workers if turn == 3 else workers[1:], signal.SIGTERM if turn % 2 else signal.SIGKILL)
            blocker.close()

        check(load)
        assert load.statuses.keys() == {200}


class TestValkey:
    def test_killed_delays_and_loses_nothing(self, running: Deployment, load: Load):
        before = valkey.process(running.home)
        kill([before])
        wait_until(lambda: valkey.process(running.home) not in {None, before}, seconds=180)
        load.wait_for_acknowledgements()

        check(load)
        assert load.statuses.keys() == {200}

    def test_flushed_again_and_again_in_mid_drain_delays_and_loses_nothing(self, running: Deployment, load: Load):
        with redis.Redis.from_url(redis_url(running.home)) as client:
            for _ in range(20):
                client.flushall()
                time.sleep(0.1)

        check(load)
        assert load.statuses.keys() == {200}


class TestPostgres:
    def test_killed_answers_503_until_it_is_back_and_loses_nothing(self, running: Deployment, load: Load):
        kill([postgres.postmaster(running.home)])
        wait_until(lambda: load.statuses[503], seconds=180)
        wait_until(lambda: postgres.is_ready(running.home), seconds=180)
        load.wait_for_acknowledgements()

        check(load)
        assert load.statuses.keys() == {200, 503}
        assert load.retry_after == {"5"}

    def test_that_hangs_answers_503_in_seconds_and_loses_nothing(self, running: Deployment, load: Load):
        """Its sessions are gone and whoever asks for a new one hears nothing."""
        postmaster = postgres.postmaster(running.home)
        sessions = [process for process in postmaster.children() if "[local]" in " ".join(process.cmdline())]
        load.statuses.clear()
        postmaster.suspend()
        try:
            kill(sessions, signal.SIGTERM)
            wait_until(lambda: load.statuses[503], seconds=180)
        finally:
            postmaster.resume()
        load.wait_for_acknowledgements()

        check(load)
        assert load.statuses.keys() == {200, 503}

    def test_stopped_for_a_while_answers_503_at_once_and_everything_recovers(self, running: Deployment, load: Load):
        """Senders of ours, and Segment's SDK with its own retries; the processes of the web server stay the same."""
        web = [process.pid for process in marked(running, "web")]
        supervisor = Supervisor(running.home, []).api()
        dropped: list[Any] = []
        sdk = Client(
            load.promises.key,
            host=f"http://127.0.0.1:{running.port}",
            on_error=lambda error, items: dropped.append((error, items)),
            upload_size=10,
        )
        supervisor.stopProcess("postgres:postgres")
        load.statuses.clear()
        end = time.monotonic() + OUTAGE_SECONDS
        sent = 0
        while time.monotonic() < end:
            _, item = sdk.track(f"{load.promises.slug}-u-{sent % PEOPLE}", "Sent By SDK", {"n": sent})
            load.promises.acknowledged.append(item["messageId"])
            sent += 1
            time.sleep(0.05)
        met = set(load.statuses)
        supervisor.startProcess("postgres:postgres")
        load.wait_for_acknowledgements()
        sdk.shutdown()

        check(load)
        assert met == {503}
        assert load.retry_after == {"5"}
        assert load.slowest < 5
        assert not dropped
        assert [process.pid for process in marked(running, "web")] == web


class TestSupervisor:
    def test_killed_is_started_again_with_everything_and_nothing_is_lost(self, running: Deployment, load: Load):
        (supervisor,) = marked(running, "supervisor")
        kill([supervisor])
        wait_until(lambda: marked(running, "supervisor") != [supervisor], seconds=180)
        load.wait_for_acknowledgements()

        check(load)
        assert running.said.count("Starting web, workers and beat …") == 2


class TestTheSameBatch:
    def test_sent_twenty_times_at_once_is_stored_once(self, running: Deployment):
        """To several web workers, with several workers draining."""
        promises = promises_of(running.home, running.port, "twenty")
        body = batch_body([promises.message(number) for number in range(50)])
        promises.acknowledged += [f"m-{number}" for number in range(50)]
        promises.uncertain.append(19 * 50)
        barrier = threading.Barrier(20)

        def send(_: int) -> int:
            barrier.wait()
            return promises.post(body)[0]

        with ThreadPoolExecutor(20) as pool:
            statuses = set(pool.map(send, range(20)))

        assert statuses == {200}
        promises.check()
        assert promises.query("SELECT sum(events)::int FROM hourly_count WHERE source_id = %s") == [(20 * 50,)]


class TestFullDisk:
    def test_answers_503_until_there_is_space_and_loses_nothing(self, running: Deployment, load: Load):
        if not os.path.ismount(running.home):
            pytest.skip("no disk can be mounted here")
        filler = running.home / "filler"
        self.fill(filler)
        wait_until(lambda: load.statuses[503], seconds=180)
        self.fill(filler)
        time.sleep(3)

        filler.unlink()
        load.wait_for_acknowledgements()

        check(load)
        assert load.statuses.keys() == {200, 503}
        assert load.retry_after == {"5"}

    def fill(self, file: Path) -> None:
        with file.open("ab", buffering=0) as output:
            for size in (1_000_000, 4_096):
                try:
                    while True:
                        output.write(b"\0" * size)
                except OSError:
                    continue


class TestEverybodyInCharge:
    def test_killed_with_the_launcher_goes_on_where_it_was(self, running: Deployment):
        query(running.home, 'CREATE TABLE kept AS SELECT 1 AS "one"')
        supervisor = processes.marked(running.home)["supervisor"][0]

        running.process.send_signal(signal.SIGSTOP)  # so that it does not notice
        supervisor.kill()
        running.kill()
        left = leftovers.find(running.home)
        running.launch()
        running.wait_running()

        assert {"postgres", "valkey", "web", "worker"} <= set(left)
        assert "Stopping what an earlier run left behind" in running.said
        assert query(running.home, "SELECT one FROM kept") == [(1,)]


class TestStopping:
    def test_goes_backwards_and_leaves_nothing(self, running: Deployment):
        status = running.stop(signal.SIGTERM)

        log = (running.home / "log/supervisor.log").read_text()
        stopped = [line.split("stopped: ")[1].split()[0] for line in log.splitlines() if "stopped: " in line]
        assert status == 0
        assert stopped[-3:] == ["web", "valkey", "postgres"]
        assert stopped[-len(ALWAYS)] == "beat"
        assert all_processes(running.home) == []
