"""Several processes draining the same people at once: they share the work, and none of them fails. R: H2"""

import json
import subprocess
import sys
from typing import Any

import pytest
from django.db import connection

from cdp.kernel.embedded.home import REPOSITORY
from ingestion import inbox
from tests.factories.ingestion import NOW, identify, message
from tests.integration.conftest import rows

WORKERS = 4
REQUESTS, BATCH = 240, 25
HOT = 12

WORKER = """
import json, sys
import django
from django.conf import settings

django.setup()
settings.DATABASES["default"]["NAME"] = sys.argv[1]
from datetime import datetime
from cdp import pipeline

print("ready", flush=True)
sys.stdin.readline()
chunks = []
while (drained := pipeline.drain(now=datetime.fromisoformat(sys.argv[2]), max_events=100)).rows:
    chunks.append(drained.stored)
print(json.dumps(chunks))
"""


class Worker:
    def __init__(self) -> None:
        command = [sys.executable, "-c", WORKER, connection.settings_dict["NAME"], NOW.isoformat()]
        self.process = subprocess.Popen(
            command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def wait_ready(self) -> None:
        assert self.process.stdout
        assert self.process.stdout.readline() == "ready\n"

    def go(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> tuple[list[int], list[str], str]:
        """How much each of its chunks stored, what it logged, what it complained about."""
        said, complained = self.process.communicate(timeout=120)
        *logged, chunks = said.splitlines()
        return json.loads(chunks), logged, complained


def said_by(number: int) -> dict[str, Any]:
    """One of a few people: by user and e-mail, by user and browser, or by the browser alone."""
    person, id_ = number * 7 % HOT, f"m-{number}"
    match number % 3:
        case 0:
            traits = {f"t{number % 5}": number, "email": f"{person}@example.org"}
            return identify(messageId=id_, userId=f"u-{person}", traits=traits)
        case 1:
            return message(messageId=id_, userId=f"u-{person}", anonymousId=f"a-{person}")
        case _:
            return message(messageId=id_, userId=None, anonymousId=f"a-{person}")


@pytest.fixture
def waiting(accept) -> int:
    """How many messages wait in the inbox: every request is about all of the people."""
    for start in range(0, REQUESTS * BATCH, BATCH):
        accept(*(said_by(number) for number in range(start, start + BATCH)))
    return REQUESTS * BATCH


class TestSeveralWorkers:
    def test_share_the_same_people_without_failing_or_starving(self, waiting: int):
        workers = [Worker() for _ in range(WORKERS)]
        for worker in workers:
            worker.wait_ready()
        for worker in workers:
            worker.go()
        ends = [worker.end() for worker in workers]

        assert [complained for _, _, complained in ends] == [""] * WORKERS
        assert sum(sum(chunks) for chunks, _, _ in ends) == waiting
        assert rows("SELECT count(*) FROM event") == [(waiting,)]
        assert inbox.depth()[0] == 0
        shares = [len(chunks) for chunks, _, _ in ends]
        assert min(shares) * WORKERS * 4 >= sum(shares), f"chunks drained by each: {shares}"
        assert rows("SELECT count(*) FROM profile") == [(HOT,)]
