"""How long a full pass takes over profiles in PostgreSQL: read, keyed, matched, and the pairs written.

Generated people become profiles with traits; then everybody is matched, as every night. Beside the time on the clock
stand the CPU seconds of this process and of all of PostgreSQL, since a busy machine stretches the clock. The aim is
ten minutes for a million; by default a fiftieth of that is run.

    PYTHONPATH=. .venv/bin/python benchmarks/identity_profiles.py [1000000]
"""

import contextlib
import io
import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from typing import Any

import identity_people
import psutil
from home import become_worker, servers

RECORDS = 20_000
AIM_SECONDS = 600 / 1_000_000
"""For each profile."""
COPIED = 20_000
TRAITS = {
    "given_name": "firstName", "surname": "lastName", "birth_date": "birthday", "sex": "gender", "email": "email",
    "phone": "phone",
}  # fmt: skip
ADDRESS = {"street": "street", "postcode": "postalCode", "city": "city"}


def report(records: int = RECORDS) -> Iterator[tuple[str, str, str, str]]:
    with servers():
        from django.utils import timezone

        from identity.candidates import jobs, runs
        from identity.candidates.models import Candidate, MatchRun

        load(identity_people.people(records))
        run = runs.ask(MatchRun.Kind.FULL, actor=None, now=timezone.now())
        started = time.monotonic()
        before, servers_before = time.process_time(), postgres_seconds()
        while jobs.work(clock=timezone.now):
            pass
        seconds, spent = time.monotonic() - started, time.process_time() - before
        servers_spent = postgres_seconds() - servers_before
        run.refresh_from_db()
        if run.state != MatchRun.State.DONE:
            raise SystemExit(run.error)
        pairs = Candidate.objects.count()
    aim = AIM_SECONDS * records
    yield (
        f"full pass over {records:,} profiles, s",
        f"{seconds:,.0f}",
        f"aim {aim:,.0f}",
        "reached" if seconds <= aim else "ABOVE THE AIM",
    )
    yield ("  CPU s, worker + PostgreSQL", f"{spent:,.0f} + {servers_spent:,.0f}", "", f"{pairs:,} pairs written")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 / 1024
    yield ("  memory of the worker at its peak, GB", f"{peak:.2f}", "", "")


def postgres_seconds() -> float:
    """CPU of all its processes, those included that have ended: the pass has several sessions."""
    from django.db import connection

    connection.ensure_connection()
    server = psutil.Process(psutil.Process(connection.connection.info.backend_pid).ppid())
    ended = server.cpu_times()
    seconds = float(sum(ended[:4]))
    for process in server.children():
        with contextlib.suppress(psutil.Error):
            seconds += sum(process.cpu_times()[:2])
    return seconds


def load(made: identity_people.People) -> None:
    """Straight into the tables: what a long history of messages would have left."""
    from django.db import connection

    names = list(made.columns)
    rows = zip(*made.columns.values(), strict=True)
    with connection.cursor() as cursor:
        for first in range(0, len(made.truth), COPIED):
            buffer = io.StringIO()
            for number, row in zip(range(first, min(first + COPIED, len(made.truth))), rows, strict=False):
                buffer.write(f"{number + 1}\t{escaped(traits(dict(zip(names, row, strict=True))))}\t{{}}\tnow\tnow\n")
            buffer.seek(0)
            cursor.copy_expert("COPY profile (id, traits, provenance, created_at, updated_at) FROM STDIN", buffer)
        cursor.execute("SELECT setval(pg_get_serial_sequence('profile', 'id'), max(id)) FROM profile")
        cursor.execute("ANALYZE profile")


def traits(row: dict[str, Any]) -> dict[str, Any]:
    said = {trait: row[name] for name, trait in TRAITS.items() if row.get(name)}
    address = {trait: row[name] for name, trait in ADDRESS.items() if row.get(name)}
    if "street" in address and row.get("house_number"):
        address["street"] = f"{row['house_number']} {address['street']}"
    return said | ({"address": address} if address else {})


def escaped(value: dict[str, Any]) -> str:
    return json.dumps(value).replace("\\", "\\\\")


if __name__ == "__main__":
    become_worker()
    for line in report(int(sys.argv[1]) if len(sys.argv) > 1 else RECORDS):
        print("{:44} {:>18} {:>28} {}".format(*line))
    print(f"load average {os.getloadavg()[0]:.1f}", file=sys.stderr)
