"""Blocks are built while others write, by one at a time who may be killed; what they say is what the log says."""

import threading
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from cdp import tasks
from cdp.kernel.copy import timestamp_micros
from ingestion.blocks import due, notes, operations, write
from ingestion.blocks.models import Block, ColumnValues, Note, PropertyColumn, Seal
from ingestion.blocks.seal import advance
from ingestion.blocks.wanted import want
from tests.factories.blocks import is_packed, read_rows
from tests.factories.ingestion import NOW
from tests.factories.segments import ensure_months, make_event_name, make_events, make_profile

VIEWED = "Product Viewed"


@pytest.fixture(autouse=True)
def _few(database, monkeypatch):
    monkeypatch.setattr(due, "ENOUGH", 2)
    monkeypatch.setattr(due, "LATER", timedelta(0))
    ensure_months((NOW - timedelta(days=70)).date(), (NOW + timedelta(days=40)).date())
    make_event_name(VIEWED)


def view(profile, minutes, category="Shoes"):
    """As the drain does it: what is late is noted in the same transaction."""
    ts = NOW - timedelta(minutes=minutes)
    make_events([(profile, VIEWED, ts, {"category": category}, None, {})])
    notes.note_changed([(make_event_name(VIEWED).pk, timestamp_micros(ts), profile)])


def read(**more):
    return sum(rows.profiles.size for rows in read_rows(name=VIEWED, since=None, until=None, **more))


def packed(**more):
    return is_packed(name=VIEWED, since=None, until=None, **more)


@contextmanager
def meanwhile(work):
    """Run `work` in another connection up to its `yield`, and from there to its end when the block is left."""
    reached, go_on, failed = threading.Event(), threading.Event(), []

    def run():
        try:
            steps = work()
            next(steps)
            reached.set()
            go_on.wait(30)
            for _ in steps:
                pass
        except BaseException as error:
            failed.append(error)
            raise
        finally:
            reached.set()
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert reached.wait(30)
    try:
        yield
    finally:
        go_on.set()
        thread.join(30)
    assert not failed


class TestSeal:
    def test_waits_for_who_may_write_unnoted(self):
        one = make_profile()
        view(one, 300)
        operations.build_all(now=NOW - timedelta(hours=2))

        def write_late():
            with transaction.atomic():
                view(one, 60)
                yield

        with meanwhile(write_late):
            before = Seal.objects.get().sealed_until
            assert advance(now=NOW) == before
            view(one, 61)  # whoever comes now notes it
            assert Note.objects.count() == 1
            operations.build_due(now=NOW, seconds=1)
            assert read() == 2

        assert read() == 3
        assert advance(now=NOW) > before
        operations.build_all(now=NOW)
        assert read() == 3
        assert packed()

    def test_waits_for_nobody_who_only_reads_or_came_later(self):
        def hold():
            with transaction.atomic():
                make_profile()
                yield

        advance(now=NOW - timedelta(hours=1))
        with meanwhile(hold):
            assert advance(now=NOW) == Seal.objects.get().noted_until

    def test_goes_back_with_a_clock_that_was_ahead(self):
        one = make_profile()
        for minutes in (1, 2, 3, -60 * 24 * 20, -60 * 24 * 20 - 1):
            view(one, minutes)
        operations.build_all(now=NOW + timedelta(days=30))
        assert packed()

        operations.build_all(now=NOW)
        view(one, -60 * 24 * 20 - 2)

        assert not Note.objects.exists()
        assert read() == 6


class TestBuild:
    def test_has_a_late_event_read_from_the_log_until_it_is_built_anew(self):
        one, other = make_profile(), make_profile()
        for minutes in (3_000, 3_001, 6_000, 6_001):
            view(one, minutes)
            view(other, minutes)
        operations.build_all(now=NOW)

        view(one, 3_002)
        assert read() == 9
        operations.build_all(now=NOW)

        assert not Note.objects.exists()
        assert read() == 9

    def test_leaves_everything_as_it_was_when_it_is_killed(self, monkeypatch):
        one = make_profile()
        for minutes in (3_000, 3_001):
            view(one, minutes)
        operations.build_all(now=NOW)
        view(one, 3_002)
        with monkeypatch.context() as patch:
            patch.setattr(write, "copy_rows", lambda **_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                operations.build_all(now=NOW)

        assert read() == 3
        assert Note.objects.exists()
        assert operations.build_all(now=NOW) == 1
        assert not Note.objects.exists()

    def test_leaves_it_to_who_is_at_it(self):
        view(make_profile(), 3_000)

        def build():
            with operations._alone():
                yield

        with meanwhile(build):
            assert operations.build_all(now=NOW) == 0
        assert operations.build_all(now=NOW) > 0

    def test_removes_what_there_is_where_it_is_switched_off(self, settings):
        view(make_profile(), 3_000)
        operations.build_all(now=NOW)

        settings.EVENT_BLOCKS = False

        assert not packed()
        assert operations.build_all(now=NOW) == 0
        assert not Block.objects.exists()
        assert not Seal.objects.exists()
        assert read() == 1

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Celery's own, on its first task
    def test_is_a_task_of_beat(self, settings):
        yesterday = timezone.now() - timedelta(days=2)
        ensure_months(yesterday.date(), yesterday.date())
        view(make_profile(), (NOW - yesterday).total_seconds() / 60)

        tasks.build_blocks()

        assert packed()
        assert settings.CELERY_BEAT_SCHEDULE["build_blocks"]["task"] == tasks.build_blocks.name

    def test_makes_one_block_of_small_ones(self):
        one = make_profile()
        for day in range(1, 9):
            for minutes in (0, 1, 2):
                view(one, day * 24 * 60 + minutes)

        operations.build_all(now=NOW)

        assert Block.objects.filter(part=0, events__gt=3).count() == 1
        assert read() == 24


class TestColumns:
    def test_come_when_they_are_asked_for(self):
        one = make_profile()
        for minutes, category in ((3_000, "Shoes"), (3_001, "Hats"), (60, "Shoes")):
            view(one, minutes, category)
        operations.build_all(now=NOW)
        assert packed()
        assert not packed(properties=["category"])

        want(VIEWED, "category")
        operations.build_all(now=NOW)

        assert packed(properties=["category"])
        (column,) = PropertyColumn.objects.all()
        (piece,) = ColumnValues.objects.filter(column_id=column.pk)
        assert sorted(piece.values.split("\n")) == ['"Hats"', '"Shoes"']

    def test_of_too_many_values_are_not_kept(self, monkeypatch):
        monkeypatch.setattr(write, "MOST_VALUES", 1)
        want(VIEWED, "category")
        one = make_profile()
        for minutes, category in ((3_000, "Shoes"), (3_001, "Hats")):
            view(one, minutes, category)

        operations.build_all(now=NOW)

        assert PropertyColumn.objects.get().state == PropertyColumn.State.TOO_VARIED
        assert not ColumnValues.objects.exists()
        assert not packed(properties=["category"])
        assert read(properties=["category"]) == 2

    def test_go_when_nobody_asks_any_more(self):
        want(VIEWED, "category")
        view(make_profile(), 3_000)
        operations.build_all(now=NOW)
        PropertyColumn.objects.update(asked_on="2020-01-01")

        operations.build_all(now=NOW)

        assert not PropertyColumn.objects.exists()
        assert not ColumnValues.objects.exists()
        assert not Block.objects.filter(part__gt=0).exists()
        assert read() == 1
