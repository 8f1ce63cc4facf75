"""Pulling plugs under load, on real processes: what was acknowledged is stored, and stored once.

Senders do what SDKs do: a batch that was not acknowledged is sent again, the same, until it is.
"""

import http.client
import itertools
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psutil
import pytest
import redis

from cdp.kernel.embedded import postgres, processes, valkey
from cdp.kernel.embedded.home import REPOSITORY, redis_url
from cdp.kernel.ids import message_uuid
from tests.deployments import Deployment, clean_environment, query, temporary_home, wait_until
from tests.factories.ingestion import batch_body, message

BATCH = 25
SENDERS = 3


@dataclass
class Load:
    """Senders that go on until they are told to stop, and the ids that were acknowledged to them."""

    port: int
    key: str
    acknowledged: list[str] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)
    retry_after: set[str | None] = field(default_factory=set)
    stop: threading.Event = field(default_factory=threading.Event)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def __enter__(self) -> Self:
        self.threads = [threading.Thread(target=self.send) for _ in range(SENDERS)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def send(self) -> None:
        while not self.stop.is_set():
            ids = [f"m-{number}" for number in itertools.islice(self.numbers, BATCH)]
            body = batch_body([self.message(id_) for id_ in ids])
            while not self.post(body):
                time.sleep(0.1)
            self.acknowledged += ids

    def message(self, id_: str) -> dict[str, object]:
        number = int(id_[2:])
        if number % 10 == 0:
            return message(type="identify", event=..., messageId=id_, userId=f"u-{number % 40}", traits={"n": number})
        return message(messageId=id_, userId=f"u-{number % 40}", anonymousId=f"a-{number % 40}")

    def post(self, body: bytes) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("POST", "/v1/batch", body, {"X-Write-Key": self.key})
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        self.statuses.add(response.status)
        if response.status == 503:
            self.retry_after.add(response.headers["Retry-After"])
        return response.status == 200


@pytest.fixture(scope="module")
def running() -> Iterator[Deployment]:
    with temporary_home() as home:
        deployment = Deployment(home)
        deployment.launch()
        deployment.wait_running()
        try:
            yield deployment
        finally:
            deployment.stop()


@pytest.fixture
def load(running: Deployment) -> Iterator[Load]:
    """One test's own source, so that its message ids are its own."""
    slug = f"fault-{random.getrandbits(32)}"
    key = manage(running.home, "add_source", slug).split()[-1]
    with Load(running.port, key) as load:
        wait_until(lambda: load.acknowledged, seconds=20)
        yield load


def manage(home: Path, *arguments: str) -> str:
    command = [sys.executable, "manage.py", *arguments]
    environment = clean_environment(CDP_HOME=str(home))
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, check=True, capture_output=True, text=True)
    return done.stdout


def kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def check(home: Path, load: Load) -> None:
    """Every acknowledged message is in the log, none twice, and the counts say the same."""
    load.stop.set()
    for thread in load.threads:
        thread.join()
    wait_until(lambda: query(home, "SELECT count(*) FROM inbox") == [(0,)], seconds=40)
    ((source_id,),) = query(home, "SELECT max(id) FROM ingestion_source")
    stored = [str(id_) for (id_,) in query(home, "SELECT id::text FROM event WHERE source_id = %s", source_id)]
    assert len(stored) == len(set(stored))
    assert set(stored) == {str(message_uuid(source_id=source_id, message_id=id_)) for id_ in load.acknowledged}
    counted = query(
        home, "SELECT sum(events)::int FROM hourly_count WHERE source_id = %s AND outcome = 'stored'", source_id
    )
    assert counted == [(len(stored),)]
    assert query(home, "SELECT count(*) FROM quarantine") == [(0,)]


class TestChunkedRequests:
    def test_are_read_to_their_end(self, running: Deployment):
        """Of a body without a stated length; Django alone would read nothing."""
        key = manage(running.home, "add_source", "chunked").split()[-1]
        body = batch_body([message(messageId="chunked-1"), message(messageId="chunked-2")])
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)

        connection.request("POST", "/v1/batch", iter([body[:50], body[50:]]), {"X-Write-Key": key})
        status = connection.getresponse().status
        connection.close()

        assert status == 200
        wait_until(lambda: query(running.home, "SELECT count(*) FROM event") == [(2,)], seconds=20)


class TestWorkers:
    def test_killed_again_and_again_in_mid_drain_lose_and_double_nothing(self, running: Deployment, load: Load):
        killed = 0
        for turn in range(6):
            time.sleep(0.7)
            wait_until(lambda: processes.marked(running.home).get("worker-ingest"), seconds=20)
            workers = processes.marked(running.home)["worker-ingest"]
            for process in workers if turn % 3 == 2 else workers[1:]:
                kill(process)
                killed += 1

        assert killed >= 6
        check(running.home, load)
        assert load.statuses == {200}

    def test_a_worker_dies_holding_rows(self, running: Deployment, load: Load):
        """The very processes that have a transaction open."""
        killed = 0
        end = time.monotonic() + 15
        while killed < 4 and time.monotonic() < end:
            busy = query(
                running.home,
                "SELECT a.pid FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid AND l.granted"
                " WHERE l.relation = 'inbox'::regclass AND l.mode = 'RowShareLock' AND a.pid <> pg_backend_pid()",
            )
            if busy:
                for process in processes.marked(running.home).get("worker-ingest", [])[1:]:
                    kill(process)
                killed += 1
                time.sleep(0.5)

        assert killed
        check(running.home, load)


class TestValkey:
    def test_killed_delays_and_loses_nothing(self, running: Deployment, load: Load):
        before = valkey.process(running.home)
        kill(before)
        wait_until(lambda: valkey.process(running.home) not in {None, before}, seconds=20)
        time.sleep(1)

        check(running.home, load)
        assert load.statuses == {200}

    def test_flushed_delays_and_loses_nothing(self, running: Deployment, load: Load):
        client = redis.Redis.from_url(redis_url(running.home))
        for _ in range(3):
            client.flushall()
            time.sleep(0.4)
        client.close()

        check(running.home, load)
        assert load.statuses == {200}


class TestPostgres:
    def test_killed_answers_503_until_it_is_back_and_loses_nothing(self, running: Deployment, load: Load):
        before = postgres.postmaster(running.home)
        kill(before)
        wait_until(lambda: 503 in load.statuses, seconds=20)
        wait_until(lambda: postgres.is_ready(running.home), seconds=30)
        known = len(load.acknowledged)
        wait_until(lambda: len(load.acknowledged) > known + 200, seconds=30)

        check(running.home, load)
        assert load.statuses == {200, 503}
        assert load.retry_after == {"5"}
