"""Events a second from HTTP to the event log, everything that `make up` runs and the client on one machine.

Eight connections send batches of 100 as fast as they are answered, and pause while more than `BACKLOG` requests
wait in the inbox: what is stored in the meantime is what the deployment sustains.

    PYTHONPATH=. .venv/bin/python benchmarks/http_in.py
"""

import contextlib
import http.client
import itertools
import json
import os
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil
import psycopg2
from home import manage, product
from traffic import BATCH, Traffic

from cdp.kernel.embedded import postgres, processes
from cdp.kernel.embedded.home import DATABASE, socket_dir

SECONDS = 20.0
WARM_UP = 5.0
CONNECTIONS = 8
BACKLOG = 200
TEMPLATES = 200
PEOPLE = 20_000
AIM, MUST, PEER = 20_000, 10_000, 1_700


@dataclass
class Load:
    """What the senders have in common."""

    port: int
    key: str
    bodies: list[bytes]
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    stop: threading.Event = field(default_factory=threading.Event)
    may_send: threading.Event = field(default_factory=threading.Event)
    accepted: int = 0
    refused: int = 0

    def send(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Content-Type": "application/json", "X-Write-Key": self.key}
        while not self.stop.is_set():
            if not self.may_send.wait(0.1):
                continue
            number = next(self.numbers)
            body = self.bodies[number % len(self.bodies)].replace(b"@@@@@@@@@@", b"%010d" % number)
            connection.request("POST", "/v1/batch", body, headers)
            response = connection.getresponse()
            response.read()
            if response.status == 200:
                self.accepted += BATCH
            else:
                self.refused += BATCH
        connection.close()


@dataclass(frozen=True)
class Result:
    stored: float
    accepted: float
    refused: int
    backlog_first: int
    backlog_last: int
    cpu: dict[str, float]
    """Of each program, CPU time in µs a stored event; `client` is the sender."""


def measure() -> Result:
    with product() as (home, port):
        key = manage(home, "add_source", "benchmark").split()[-1]
        load = Load(port, key, templates())
        senders = [threading.Thread(target=load.send) for _ in range(CONNECTIONS)]
        for sender in senders:
            sender.start()
        try:
            return watch(home, load)
        finally:
            load.stop.set()
            for sender in senders:
                sender.join()


def templates() -> list[bytes]:
    """Batches whose message ids, and the people who are new, are completed when they are sent."""
    traffic = Traffic(people=PEOPLE)
    bodies = []
    for body in traffic.batches(TEMPLATES, now=datetime.now(UTC)):
        batch = json.loads(body)
        for index, message in enumerate(batch["batch"]):
            message["messageId"] = f"@@@@@@@@@@-{index:02}-{message['messageId']}"[:36]
            if traffic.is_new(message):
                message["anonymousId"] = f"new-@@@@@@@@@@-{index:02}"
                if "userId" in message:
                    message["userId"] = f"customer-@@@@@@@@@@-{index:02}"
        bodies.append(json.dumps(batch).encode())
    return bodies


def watch(home: Path, load: Load) -> Result:
    """Hold the backlog down, and count what was stored between the end of the warm-up and the end."""
    connection = psycopg2.connect(host=str(socket_dir(home)), user=DATABASE, dbname=DATABASE)
    connection.autocommit = True
    cursor = connection.cursor()

    def stored() -> int:
        cursor.execute("SELECT coalesce(sum(events), 0) FROM hourly_count WHERE outcome = 'stored'")
        return int(cursor.fetchone()[0])

    def backlog() -> int:
        cursor.execute("SELECT count(*) FROM inbox")
        return int(cursor.fetchone()[0])

    def hold(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            (load.may_send.set if backlog() < BACKLOG else load.may_send.clear)()
            time.sleep(0.05)

    hold(WARM_UP)
    began, before, accepted, first, spent = time.monotonic(), stored(), load.accepted, backlog(), cpu_times(home)
    hold(SECONDS)
    took, events, last = time.monotonic() - began, stored() - before, backlog()
    cpu = {name: (total - spent.get(name, 0.0)) / events * 1e6 for name, total in cpu_times(home).items()}
    connection.close()
    return Result(events / took, (load.accepted - accepted) / took, load.refused, first, last, cpu)


def cpu_times(home: Path) -> dict[str, float]:
    """Seconds of user and system time so far, per program."""
    programs = {name: group for name, group in processes.marked(home).items() if name != "postgres"}
    programs["postgres"] = postgres.backends(home)
    programs["client"] = [psutil.Process()]
    found: dict[str, float] = {}
    for name, group in programs.items():
        for process in group:
            with contextlib.suppress(psutil.NoSuchProcess):
                found[name] = found.get(name, 0.0) + sum(process.cpu_times()[:2])
    return found


def report() -> list[tuple[str, str, str, str]]:
    result = measure()
    programs = ", ".join(f"{name} {cost:.0f}" for name, cost in sorted(result.cpu.items()) if cost >= 0.5)
    verdict = "reached" if result.stored >= AIM else "below the aim" if result.stored >= MUST else "BELOW THE MINIMUM"
    return [
        ("HTTP to stored, events a second", f"{result.stored:,.0f}", f"aim {AIM:,}; peer {PEER:,}", verdict),
        ("  accepted over HTTP", f"{result.accepted:,.0f}", f"refused {result.refused}", ""),
        (
            "  backlog, requests, first and last",
            f"{result.backlog_first}, {result.backlog_last}",
            f"held under {BACKLOG}",
            "",
        ),
        ("  µs of CPU an event", f"{sum(result.cpu.values()):.1f}", programs, ""),
    ]


if __name__ == "__main__":
    for line in report():
        print("{:36} {:>16} {:>24} {}".format(*line))
    print(f"load average {os.getloadavg()[0]:.1f}", file=sys.stderr)
