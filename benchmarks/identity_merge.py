"""Merging a profile with 50,000 events, and taking it back, while others are drained.

Beside it: what the rows cost by themselves, a plain INSERT … SELECT and DELETE of as many events of another profile.
Meanwhile a worker drains chunks of other people: the longest chunk while nothing else happens, and while the merge and
the undo run, say whether they wait for it.

    PYTHONPATH=. .venv/bin/python benchmarks/identity_merge.py
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median
from typing import Any

from home import become_worker, servers
from traffic import Traffic

EVENTS = 50_000
ROUNDS = 3
BATCHES = 40

FILL = """
INSERT INTO event (ts, id, profile_id, name_id, value, properties, context, source_id, received_at)
SELECT %(now)s - random() * interval '20 hours', gen_random_uuid(), %(profile)s,
       (SELECT id FROM event_name WHERE name = 'Product Viewed'), random() * 200,
       jsonb_build_object('product_id', 'SKU-' || n %% 5000, 'category', 'Shoes', 'brand', 'Brand ' || n %% 80,
           'price', round((random() * 200)::numeric, 2), 'currency', 'EUR', 'position', n %% 40,
           'list', 'search results', 'variant', 'black / M'),
       jsonb_build_object('ip', '198.51.100.0', 'library', jsonb_build_object('name', 'analytics-python')),
       %(source)s, %(now)s
FROM generate_series(1, %(count)s) AS n
"""
PLAIN = (
    (
        "INSERT INTO event"
        " (ts, id, profile_id, name_id, value, properties, context, source_id, received_at, origin_id)"
        " SELECT ts, id, %(to)s, name_id, value, properties, context, source_id, received_at, %(from)s FROM event"
        " WHERE profile_id = %(from)s"
    ),
    "DELETE FROM event WHERE profile_id = %(from)s",
)


@dataclass
class Result:
    """Seconds: medians of the rounds, and of the chunks of other people the median and the longest."""

    plain: float
    merge: float
    undo: float
    alone: list[float] = field(default_factory=list)
    meanwhile: list[float] = field(default_factory=list)


def measure() -> Result:
    with servers():
        from django.utils import timezone

        from ingestion import operations

        now = timezone.now()
        source, _ = operations.create_source(name="Benchmark", now=now)
        others = Others(source.pk, now)
        others.drain(BATCHES)
        alone = others.drain(BATCHES)
        rounds = [_round(source.pk, others, now) for _ in range(ROUNDS)]
        return Result(
            plain=median(one.plain for one in rounds),
            merge=median(one.merge for one in rounds),
            undo=median(one.undo for one in rounds),
            alone=alone,
            meanwhile=[seconds for one in rounds for seconds in one.meanwhile],
        )


def _round(source_id: int, others: "Others", now: datetime) -> Result:
    from identity.merging.operations import merge_profiles, undo_merge
    from identity.models import Merge

    one, other, third, fourth = (_profile(now) for _ in range(4))
    for profile_id in (other, third):
        _execute(FILL, {"profile": profile_id, "source": source_id, "now": now, "count": EVENTS})
    plain = _timed(lambda: [_execute(statement, {"from": third, "to": fourth}) for statement in PLAIN])
    made: list[Any] = []
    with others.meanwhile() as chunks:
        merge = _timed(
            lambda: made.append(merge_profiles(one=one, other=other, cause=Merge.Cause.PERSON, evidence={}, now=now))
        )
        undo = _timed(lambda: undo_merge(merge_id=made[0].pk, now=now))
    return Result(plain, merge, undo, meanwhile=chunks)


class Others:
    """A worker that drains messages of other people, batch by batch."""

    def __init__(self, source_id: int, now: datetime) -> None:
        self._source_id = source_id
        self._now = now
        self._traffic = Traffic(people=20_000)

    def drain(self, batches: int) -> list[float]:
        return [self._chunk() for _ in range(batches)]

    @contextmanager
    def meanwhile(self) -> Iterator[list[float]]:
        chunks: list[float] = []
        stop = threading.Event()

        def work() -> None:
            from django.db import connection

            while not stop.is_set():
                chunks.append(self._chunk())
            connection.close()

        worker = threading.Thread(target=work)
        worker.start()
        yield chunks
        stop.set()
        worker.join()

    def _chunk(self) -> float:
        from cdp import pipeline
        from ingestion import operations

        for body in self._traffic.batches(5, now=self._now):
            operations.accept(
                source_id=self._source_id, kind="batch", events=100, body=body, remote_addr="", now=self._now
            )
        return _timed(lambda: pipeline.drain(now=self._now))


def _profile(now: datetime) -> int:
    from identity.models import Profile

    return Profile.objects.create(created_at=now, updated_at=now).pk


def _execute(statement: str, values: dict[str, Any]) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def _timed(do: Callable[[], object]) -> float:
    started = time.perf_counter()
    do()
    return time.perf_counter() - started


def report() -> list[tuple[str, str, str, str]]:
    found = measure()
    alone, meanwhile = max(found.alone), max(found.meanwhile)
    return [
        ("merge of 50,000 events", f"{found.merge:.2f} s", f"plain SQL {found.plain:.2f} s", "aim: < 5 s"),
        ("taking it back", f"{found.undo:.2f} s", f"plain SQL {found.plain:.2f} s", ""),
        ("longest chunk of 500 of others", f"{meanwhile * 1000:.0f} ms", f"alone {alone * 1000:.0f} ms", ""),
        (
            "median chunk of 500 of others",
            f"{median(found.meanwhile) * 1000:.0f} ms",
            f"alone {median(found.alone) * 1000:.0f} ms",
            f"{len(found.meanwhile)} chunks",
        ),
    ]


if __name__ == "__main__":
    become_worker()
    for line in report():
        print("{:36} {:>16} {:>24} {}".format(*line))
