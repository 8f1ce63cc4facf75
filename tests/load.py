"""Senders that do what SDKs do, and the comparison of what was acknowledged to them with what is stored.

A batch that was not acknowledged is sent again, the same, until it is.
"""

import http.client
import itertools
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from cdp.kernel.embedded.home import REPOSITORY
from cdp.kernel.ids import message_uuid
from tests.deployments import clean_environment, query, wait_until
from tests.factories.ingestion import batch_body, message

BATCH = 25
SENDERS = 3
PEOPLE = 40
PAUSE = 0.15  # between two batches of a sender: a steady load that leaves room for what the fault costs
TIMEOUT = 10.0


@dataclass
class Promises:
    """One source of a deployment, and what its senders were told, over all faults."""

    home: Path
    port: int
    key: str
    slug: str
    source_id: int
    acknowledged: list[str] = field(default_factory=list)
    uncertain: list[int] = field(default_factory=list)
    """Messages of attempts that were not acknowledged; some were stored all the same, then sent again."""
    numbers: Iterator[int] = field(default_factory=itertools.count)
    began: datetime = field(default_factory=lambda: datetime.now(UTC) - timedelta(days=1))

    def post(self, body: bytes) -> tuple[int, str | None]:
        """The status, 0 where there was no answer, and `Retry-After`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        try:
            connection.request("POST", "/v1/batch", body, {"X-Write-Key": self.key})
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            return 0, None
        finally:
            connection.close()
        return response.status, response.headers["Retry-After"]

    def message(self, number: int) -> dict[str, Any]:
        """Of somebody who has a user and a browser; the newest trait has the highest number."""
        who = person_of(number)
        fields: dict[str, Any] = {
            "messageId": f"m-{number}",
            "userId": f"{self.slug}-u-{who}",
            "timestamp": (self.began + timedelta(milliseconds=number)).isoformat(),
        }
        if number % 7 == 0:
            return message(**fields, type="identify", event=..., traits={"n": number})
        return message(**fields, anonymousId=f"{self.slug}-a-{who}")

    def check(self) -> None:
        """Whatever was acknowledged is in the log, none of it twice; the counts and the people say the same."""
        wait_until(lambda: query(self.home, "SELECT count(*) FROM inbox") == [(0,)], seconds=180)
        stored = [id_ for (id_,) in self.query("SELECT id::text FROM event WHERE source_id = %s")]
        expected = {str(message_uuid(source_id=self.source_id, message_id=id_)) for id_ in self.acknowledged}
        assert len(stored) == len(set(stored)), "stored twice"
        assert not expected - set(stored), "lost"
        assert not set(stored) - expected, "never acknowledged"
        self.check_counts(len(stored))
        self.check_people()

    def check_counts(self, stored: int) -> None:
        """Repetitions are counted, too: there were no more of them than attempts without an acknowledgement."""
        counts: Counter[Any] = Counter(
            dict(self.query("SELECT outcome, sum(events)::int FROM hourly_count WHERE source_id = %s GROUP BY 1"))
        )
        assert counts.pop("stored") == stored
        assert counts.pop("duplicate", 0) <= sum(self.uncertain)
        assert not counts

    def check_people(self) -> None:
        """One profile per person, with the newest trait; nothing belongs to nobody."""
        numbers = [int(id_[2:]) for id_ in self.acknowledged if id_.startswith("m-")]
        newest = {f"{self.slug}-u-{person_of(n)}": n for n in sorted(numbers) if n % 7 == 0}
        traits = query(
            self.home,
            "SELECT i.value, (p.traits ->> 'n')::int FROM identifier i JOIN profile p ON p.id = i.profile_id"
            " WHERE i.kind = 'user_id' AND p.traits ? 'n' AND i.value ~ %s",
            f"^{self.slug}-u-",
        )
        assert dict(traits) == newest
        assert query(
            self.home,
            "SELECT count(*) FROM identifier u JOIN identifier a ON u.kind = 'user_id' AND a.kind = 'anonymous_id'"
            " AND replace(u.value, '-u-', '-a-') = a.value AND u.profile_id <> a.profile_id",
        ) == [(0,)]
        assert query(
            self.home,
            "SELECT count(*) FROM event e WHERE NOT EXISTS (SELECT FROM profile p WHERE p.id = e.profile_id)",
        ) == [(0,)]

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return query(self.home, sql, self.source_id)


@dataclass
class Load:
    """A few senders that go on until the end of the block, and what they met meanwhile."""

    promises: Promises
    pause: float = PAUSE
    statuses: Counter[int] = field(default_factory=Counter)
    retry_after: set[str | None] = field(default_factory=set)
    slowest: float = 0.0
    stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self.threads = [threading.Thread(target=self.send) for _ in range(SENDERS)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def finish(self) -> None:
        """Until everything that was begun is acknowledged."""
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def send(self) -> None:
        while not self.stop.is_set():
            numbers = list(itertools.islice(self.promises.numbers, BATCH))
            body = batch_body([self.promises.message(number) for number in numbers])
            while not self.attempt(body):
                time.sleep(0.1)
            self.promises.acknowledged += [f"m-{number}" for number in numbers]
            self.stop.wait(self.pause)

    def attempt(self, body: bytes) -> bool:
        began = time.monotonic()
        status, retry_after = self.promises.post(body)
        self.slowest = max(self.slowest, time.monotonic() - began)
        self.statuses[status] += 1
        if status == 200:
            return True
        self.promises.uncertain.append(BATCH)
        if status == 503:
            self.retry_after.add(retry_after)
        return False

    def wait_for_acknowledgements(self, count: int = 200, *, seconds: float = 240) -> None:
        known = len(self.promises.acknowledged)
        wait_until(lambda: len(self.promises.acknowledged) >= known + count, seconds=seconds)


def person_of(number: int) -> str:
    """A few come again and again; now and then there is somebody new, of whom ten messages come."""
    return f"new-{number // 100}" if number % 10 == 3 else str(number % PEOPLE)


def promises_of(home: Path, port: int, slug: str) -> Promises:
    """A new source of this deployment."""
    key = manage(home, "add_source", slug).split()[-1]
    ((source_id,),) = query(home, "SELECT id FROM ingestion_source WHERE slug = %s", slug)
    assert isinstance(source_id, int)
    return Promises(home, port, key, slug, source_id)


def manage(home: Path, *arguments: str) -> str:
    command = [sys.executable, "manage.py", *arguments]
    environment = clean_environment(CDP_HOME=str(home))
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, check=True, capture_output=True, text=True)
    return done.stdout
