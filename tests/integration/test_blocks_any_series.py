"""Whatever happens to the log and whenever blocks are built: a reading finds what the log holds. R: D1, H2"""

import json
import math
import random
from collections import Counter
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection, transaction

from cdp import pipeline
from identity.merging import operations as merging
from identity.merging.errors import MergeRefusedError
from identity.models import Merge
from ingestion.blocks import due, operations
from ingestion.blocks.wanted import want
from ingestion.models import EventName
from tests.factories.blocks import read_rows
from tests.factories.ingestion import NOW, SourceFactory, batch_body, identify, track
from tests.integration.conftest import drain_all, rows

NAMES = ("Product Viewed", "Order Completed", "Session Started", "Session Ended")
PATHS = ("category", "session_id", "context.page.path", "category.deep")
HELD = """
SELECT e.profile_id, (extract(epoch FROM e.ts) * 1000000)::bigint - 946684800000000, e.value,
       (e.properties -> 'category')::text, (e.properties -> 'session_id')::text,
       (e.context -> 'page' -> 'path')::text, (e.properties -> 'category' -> 'deep')::text
FROM event e JOIN event_name n ON n.id = e.name_id
WHERE n.name = %s AND e.ts >= coalesce(%s, '-infinity'::timestamptz) AND e.ts < coalesce(%s, 'infinity'::timestamptz)
"""


@contextmanager
def snapshot():
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield


def found(name, since, until, paths):
    events = []
    for part in read_rows(name=name, since=since, until=until, times=True, values=True, properties=paths):
        columns = [
            [None if code < 0 else (part.columns[path].values[code],) for code in part.columns[path].codes.tolist()]
            for path in paths
        ]
        values = [None if math.isnan(value) else value for value in part.values.tolist()]
        events += zip(part.profiles.tolist(), part.times.tolist(), values, *columns, strict=True)
    return Counter(map(repr, events))


def held(name, since, until, paths):
    places = [3 + PATHS.index(path) for path in paths]
    return Counter(
        repr((*row[:3], *(None if row[at] is None else (json.loads(row[at], parse_float=Decimal),) for at in places)))
        for row in rows(HELD, name, since, until)
    )


class Story:
    """A shop's days, drawn at random."""

    def __init__(self, seed):
        self.draw = random.Random(seed)
        self.now = NOW
        self.source = SourceFactory()
        self.number = 0

    def say(self):
        """Some events: mostly of a moment ago, some of hours or weeks before."""
        draw = self.draw
        messages = []
        for _ in range(draw.randint(1, 12)):
            self.number += 1
            ago = draw.choice(
                (draw.uniform(0, 60), draw.uniform(0, 60), draw.uniform(0, 3_000), draw.uniform(0, 50_000))
            )
            person = draw.choice(
                ({"userId": f"u-{draw.randint(0, 4)}"}, {"userId": ..., "anonymousId": f"a-{draw.randint(0, 4)}"})
            )
            category = draw.choice(({}, {"category": draw.choice(("Shoes", 7, 7.25, None, {"deep": 1}))}))
            price = {"revenue": draw.choice((9.99, 20, "x"))} if draw.random() < 0.5 else {}
            messages.append(
                track(
                    draw.choice(NAMES[:2]),
                    messageId=f"m-{self.number}",
                    timestamp=(self.now - timedelta(minutes=ago)).isoformat(),
                    properties=category | price,
                    context={"page": {"path": draw.choice(("/a", "/b"))}},
                    **person,
                )
            )
        self.drain(*messages)

    def meet(self):
        draw = self.draw
        self.number += 1
        self.drain(
            identify(
                userId=f"u-{draw.randint(0, 4)}", anonymousId=f"a-{draw.randint(0, 4)}", messageId=f"m-{self.number}"
            )
        )

    def drain(self, *messages):
        from ingestion import operations as ingestion

        ingestion.accept(
            source_id=self.source.pk, kind="batch", events=len(messages), body=batch_body(list(messages)),
            remote_addr="127.0.0.1", now=self.now,
        )  # fmt: skip
        drain_all(self.now)

    def merge(self):
        profiles = [id_ for (id_,) in rows("SELECT id FROM profile ORDER BY id")]
        if len(profiles) > 1:
            one, other = self.draw.sample(profiles, 2)
            try:
                merging.merge_profiles(one=one, other=other, cause=Merge.Cause.PERSON, evidence={}, now=self.now)
            except MergeRefusedError:
                return

    def undo(self):
        merges = list(Merge.objects.filter(undone_at=None).order_by("pk").values_list("pk", flat=True))
        if merges:
            merging.undo_merge(merge_id=self.draw.choice(merges), never_again=False, now=self.now)

    def wait(self):
        self.now += timedelta(hours=self.draw.choice((0.5, 2, 30)))
        while pipeline.end_sessions(now=self.now):
            pass

    def build(self):
        for _ in range(self.draw.choice((1, 2, 20))):
            operations.build_due(now=self.now, seconds=0)

    def want(self):
        want(self.draw.choice(NAMES), self.draw.choice(PATHS))

    def step(self):
        actions = (
            self.say,
            self.say,
            self.say,
            self.meet,
            self.merge,
            self.undo,
            self.wait,
            self.build,
            self.build,
            self.want,
        )
        self.draw.choice(actions)()

    def check(self):
        draw = self.draw
        with snapshot():
            for name in NAMES:
                ends = sorted(
                    self.now - timedelta(minutes=draw.uniform(0, draw.choice((100, 3_000, 50_000)))) for _ in range(2)
                )
                since, until = draw.choice(((None, None), ends, (ends[0], None)))
                paths = draw.sample(PATHS, draw.choice((0, 0, 1, 2)))
                assert found(name, since, until, paths) == held(name, since, until, paths)


@pytest.fixture
def small(monkeypatch):
    """Few events make a block, and little makes it be built anew."""
    monkeypatch.setattr(due, "ENOUGH", 3)
    monkeypatch.setattr(due, "MANY_NOTED", 3)
    monkeypatch.setattr(due, "SOON", timedelta(0))
    monkeypatch.setattr(due, "IN_A_ROW", 2)
    monkeypatch.setattr(operations, "MANY_MOVES", 3)


class TestAnySeries:
    @pytest.mark.parametrize("seed", range(6))
    def test_finds_what_the_log_holds(self, database, small, seed):
        story = Story(seed)
        for _ in range(45):
            story.step()
            story.check()

        operations.build_all(now=story.now)
        story.check()
        assert rows("SELECT count(*) > 5 FROM event_block") == [(True,)]
        assert EventName.objects.filter(name__in=NAMES).count() == len(NAMES)
