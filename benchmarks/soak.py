"""A long run with a plug pulled every few seconds; at the end, what was acknowledged against what is stored.

A deployment of its own in a temporary folder, on loopback only. Ends with status 1 where something was lost, doubled
or not accounted for.

    PYTHONPATH=. .venv/bin/python benchmarks/soak.py [--minutes 10] [--rate 1000] [--every 15] [--seed 1]
"""

import argparse
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import redis
from home import product

from cdp.kernel.embedded import postgres, processes, valkey
from cdp.kernel.embedded.home import redis_url
from cdp.kernel.embedded.supervise import Supervisor

if TYPE_CHECKING:
    from tests.load import Load, Promises

LONGEST_OUTAGE = 20.0
RECOVERY_SECONDS = 180.0

Fault = Callable[[Path, random.Random], None]


def send(how: signal.Signals, victims: list[psutil.Process | None]) -> None:
    for process in victims:
        try:
            if process:
                process.send_signal(how)
        except psutil.NoSuchProcess:
            continue


def of(home: Path, name: str) -> list[psutil.Process | None]:
    return [*processes.marked(home).get(name, [])]


def stop_postgres(home: Path, chance: random.Random) -> None:
    supervisor = Supervisor(home, []).api()
    supervisor.stopProcess("postgres:postgres")
    time.sleep(chance.uniform(1, LONGEST_OUTAGE))
    supervisor.startProcess("postgres:postgres")


def flush_valkey(home: Path, chance: random.Random) -> None:
    with redis.Redis.from_url(redis_url(home)) as client:
        for _ in range(chance.randint(1, 20)):
            client.flushall()
            time.sleep(0.1)


FAULTS: dict[str, Fault] = {
    "web killed": lambda home, _: send(signal.SIGKILL, of(home, "web")),
    "one web process killed": lambda home, chance: send(signal.SIGKILL, [chance.choice(of(home, "web") or [None])]),
    "ingest workers killed": lambda home, _: send(signal.SIGKILL, of(home, "worker-ingest")),
    "one ingest worker killed": lambda home, chance: send(
        signal.SIGKILL, [chance.choice(of(home, "worker-ingest") or [None])]
    ),
    "ingest workers restarted": lambda home, _: send(signal.SIGTERM, of(home, "worker-ingest")),
    "evaluation killed": lambda home, _: send(signal.SIGKILL, of(home, "worker-evaluate")),
    "beat killed": lambda home, _: send(signal.SIGKILL, of(home, "beat")),
    "PostgreSQL killed": lambda home, _: send(signal.SIGKILL, [postgres.postmaster(home)]),
    "one PostgreSQL session killed": lambda home, chance: send(
        signal.SIGKILL, [chance.choice([*postgres.backends(home), None])]
    ),
    "PostgreSQL stopped for a while": stop_postgres,
    "Valkey killed": lambda home, _: send(signal.SIGKILL, [valkey.process(home)]),
    "Valkey flushed": flush_valkey,
    "supervisor killed": lambda home, _: send(signal.SIGKILL, of(home, "supervisor")),
}


def soak(*, minutes: float, rate: float, every: float, seed: int) -> bool:
    chance = random.Random(seed)
    faults: Counter[str] = Counter()
    with product() as (home, port):
        os.environ.update(CDP_HOME=str(home), DJANGO_SETTINGS_MODULE="cdp.settings")
        import django

        django.setup()
        from tests.load import BATCH, SENDERS, Load, promises_of

        promises = promises_of(home, port, "soak")
        began = time.monotonic()
        with Load(promises, pause=SENDERS * BATCH / rate) as load:
            while time.monotonic() < began + minutes * 60:
                load.stop.wait(chance.uniform(0.5, 1.5) * every)
                name = chance.choice(list(FAULTS))
                faults[name] += 1
                print(f"{time.monotonic() - began:6.0f} s  {len(promises.acknowledged):>9,} acknowledged  {name}")
                FAULTS[name](home, chance)
                load.wait_for_acknowledgements(seconds=RECOVERY_SECONDS)
        return verdict(promises, load, faults, seconds=time.monotonic() - began)


def verdict(promises: "Promises", load: "Load", faults: Counter[str], *, seconds: float) -> bool:
    statuses = ", ".join(f"{status or 'no answer'}: {number:,}" for status, number in sorted(load.statuses.items()))
    print(f"\n{seconds:.0f} s, {sum(faults.values())} faults: {dict(faults)}")
    print(f"{len(promises.acknowledged):,} messages acknowledged; requests by answer: {statuses}")
    print(f"slowest request {load.slowest:.1f} s; Retry-After {load.retry_after or 'never'}")
    try:
        promises.check()
    except AssertionError as error:
        print(f"FAILED: {error}")
        return False
    print("Everything that was acknowledged is stored, once, and accounted for.")
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=float, default=1_000, help="events a second, about")
    parser.add_argument("--every", type=float, default=15, help="seconds between two faults, on average")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    return 0 if soak(**vars(arguments)) else 1


if __name__ == "__main__":
    sys.exit(main())
