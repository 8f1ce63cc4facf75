"""Events a second from HTTP to the event log, everything that `make up` runs and the client on one machine.

Eight connections send batches of 100 as fast as they are answered, and pause while more than `BACKLOG` requests
wait in the inbox: what is stored in the meantime is what the deployment sustains.

With a rate, that many events a second are offered whatever becomes of them: then a backlog that does not grow is the
proof. For five minutes at 20,000:

    PYTHONPATH=. .venv/bin/python benchmarks/ingest_http.py 300 20000
"""

import contextlib
import itertools
import json
import os
import socket
import statistics
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import psycopg2
from home import manage, product
from traffic import BATCH, LIVE_SECONDS, Traffic

from cdp.kernel.embedded import postgres, processes
from cdp.kernel.embedded.home import DATABASE, socket_dir

SECONDS = 20.0
WARM_UP = 5.0
CONNECTIONS = 8
BACKLOG = 200
TEMPLATES = 200
PEOPLE = 20_000
LIVE = b"YYYY-MM-DDTHH:MM:SS"  # stands for the second before a batch is sent
SECOND = timedelta(seconds=1)
HEAD = (
    b"POST /v1/batch HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"X-Write-Key: %b\r\nContent-Length: %d\r\n\r\n"
)
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
    refused: Counter[int] = field(default_factory=Counter)
    """Events by the status of the answer."""
    rate: int = 0  # events a second; 0 is as fast as they are answered
    began: float = field(default_factory=time.monotonic)

    def send(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            while not self.stop.is_set():
                if not self.may_send.wait(0.1):
                    continue
                number = next(self.numbers)
                self.wait_for_turn(number)
                now = datetime.now(UTC)
                body = self.bodies[number % len(self.bodies)].replace(b"@@@@@@@@@@", b"%010d" % number)
                body = body.replace(b"@sent@", now.isoformat().encode())
                body = body.replace(LIVE, (now - SECOND).isoformat(timespec="seconds")[:19].encode())
                connection.sendall(HEAD % (self.key.encode(), len(body)) + body)
                if (status := status_of(connection)) == 200:
                    self.accepted += BATCH
                else:
                    self.refused[status] += BATCH

    def wait_for_turn(self, number: int) -> None:
        """At a given rate, batch `number` has its instant; who is late sends at once."""
        if self.rate:
            time.sleep(max(0.0, self.began + number * BATCH / self.rate - time.monotonic()))


def status_of(connection: socket.socket) -> int:
    """Read one answer to its end; by hand, to leave the cores to what is measured."""
    answer = b""
    while (end := answer.find(b"\r\n\r\n")) < 0:
        answer += received(connection)
    head = answer[:end].lower()
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    while len(answer) < end + 4 + length:
        answer += received(connection)
    return int(head.split(b" ", 2)[1])


def received(connection: socket.socket) -> bytes:
    data = connection.recv(65_536)
    if not data:
        raise ConnectionError("the server has closed the connection")
    return data


@dataclass(frozen=True)
class Result:
    stored: float
    accepted: float
    refused: Counter[int]
    backlog: list[int]
    """Waiting requests, twenty times a second."""
    cpu: dict[str, float]
    """Of each program, CPU time in µs a stored event; `client` is the sender."""
    memory: float
    """MB that the largest ingest worker holds at the end; what it once had, it keeps."""


def measure(*, seconds: float = SECONDS, rate: int = 0) -> Result:
    with product() as (home, port):
        key = manage(home, "add_source", "benchmark").split()[-1]
        load = Load(port, key, templates(), rate=rate)
        senders = [threading.Thread(target=load.send) for _ in range(CONNECTIONS)]
        for sender in senders:
            sender.start()
        try:
            return watch(home, load, seconds=seconds)
        finally:
            load.stop.set()
            for sender in senders:
                sender.join()


def templates() -> list[bytes]:
    """Batches whose message ids, live times, and the people who are new, are completed when they are sent."""
    traffic = Traffic(people=PEOPLE)
    bodies, now = [], datetime.now(UTC)
    live = (now - timedelta(seconds=LIVE_SECONDS)).isoformat()
    for body in traffic.batches(TEMPLATES, now=now):
        batch = json.loads(body)
        for index, message in enumerate(batch["batch"]):
            message["messageId"] = f"@@@@@@@@@@-{index:02}-{message['messageId']}"[:36]
            if message["timestamp"] >= live:
                message["timestamp"] = LIVE.decode() + message["timestamp"][19:]
            if traffic.is_new(message):
                message["anonymousId"] = f"new-@@@@@@@@@@-{index:02}"
                if "userId" in message:
                    message["userId"] = f"customer-@@@@@@@@@@-{index:02}"
        batch["sentAt"] = "@sent@"
        bodies.append(json.dumps(batch).encode())
    return bodies


def watch(home: Path, load: Load, *, seconds: float) -> Result:
    """Hold the backlog down (unless a rate is given), and count what was stored after the warm-up."""
    connection = psycopg2.connect(host=str(socket_dir(home)), user=DATABASE, dbname=DATABASE)
    connection.autocommit = True
    cursor = connection.cursor()

    def stored() -> int:
        cursor.execute("SELECT coalesce(sum(events), 0) FROM hourly_count WHERE outcome = 'stored'")
        return int(cursor.fetchone()[0])

    def backlog() -> int:
        cursor.execute("SELECT count(*) FROM inbox")
        return int(cursor.fetchone()[0])

    def hold(duration: float) -> list[int]:
        waiting: list[int] = []
        end = time.monotonic() + duration
        while time.monotonic() < end:
            waiting.append(backlog())
            (load.may_send.set if load.rate or waiting[-1] < BACKLOG else load.may_send.clear)()
            time.sleep(0.05)
        return waiting

    hold(WARM_UP)
    began, before, accepted, spent = time.monotonic(), stored(), load.accepted, cpu_times(home)
    waiting = hold(seconds)
    took, events = time.monotonic() - began, stored() - before
    cpu = {name: (total - spent.get(name, 0.0)) / events * 1e6 for name, total in cpu_times(home).items()}
    connection.close()
    memory = max(process.memory_info().rss for process in processes.marked(home)["worker-ingest"]) / 1e6
    return Result(events / took, (load.accepted - accepted) / took, load.refused, waiting, cpu, memory)


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


def report(*, seconds: float = SECONDS, rate: int = 0) -> list[tuple[str, str, str, str]]:
    result = measure(seconds=seconds, rate=rate)
    programs = ", ".join(f"{name} {cost:.0f}" for name, cost in sorted(result.cpu.items()) if cost >= 0.5)
    verdict = "reached" if result.stored >= AIM else "below the aim" if result.stored >= MUST else "BELOW THE MINIMUM"
    tenth = max(1, len(result.backlog) // 10)
    ends = (result.backlog[:tenth], result.backlog[-tenth:])
    waiting = [f"{statistics.median(end):.0f}" for end in ends]
    refused = f"refused {dict(result.refused)}" if result.refused else "none refused"
    held = f"{rate:,}/s offered" if rate else f"held under {BACKLOG}"
    return [
        ("HTTP to stored, events a second", f"{result.stored:,.0f}", f"aim {AIM:,}; peer {PEER:,}", verdict),
        ("  accepted over HTTP", f"{result.accepted:,.0f}", refused, f"{seconds:.0f} s"),
        ("  waiting requests, first, last tenth", ", ".join(waiting), f"most {max(result.backlog):,}", held),
        ("  µs of CPU an event", f"{sum(result.cpu.values()):.1f}", programs, ""),
        ("  memory of an ingest worker", f"{result.memory:.0f} MB", "", ""),
    ]


if __name__ == "__main__":
    asked = [float(text) for text in sys.argv[1:]]
    for line in report(seconds=asked[0] if asked else SECONDS, rate=int(asked[1]) if len(asked) > 1 else 0):
        print("{:36} {:>16} {:>24} {}".format(*line))
    print(f"load average {os.getloadavg()[0]:.1f}", file=sys.stderr)
