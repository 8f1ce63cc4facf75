"""Clocks that jump, and workers whose clocks differ: nothing is doubled, nothing is lost. R: H2"""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp import pipeline
from cdp.chunk import Drained
from ingestion import inbox, operations, partitions
from tests.factories.ingestion import SourceFactory, batch_body, identify, message
from tests.integration.conftest import at_once, drain_all, rows, wipe

MONDAY = datetime(2026, 6, 1, tzinfo=UTC)  # a new week, and a new month
SUNDAY = MONDAY - timedelta(seconds=1)
HOUR = timedelta(hours=1)
WEEK = timedelta(weeks=1)


def stored() -> int:
    return int(rows("SELECT count(*) FROM event")[0][0])


class TestWeeksChange:
    def test_a_message_that_two_workers_hold_on_either_side_of_it_is_stored_once(
        self, accept, monkeypatch: pytest.MonkeyPatch
    ):
        """The first is about to commit, in the old week, when the second finds the same message in the new one."""
        accept(message())  # so that both find the log prepared
        drain_all(SUNDAY)
        first_is_about_to_commit, second_is_done = threading.Event(), threading.Event()
        remove = inbox.remove

        def hesitate(ids: list[int]) -> None:
            remove(ids)
            if not first_is_about_to_commit.is_set():
                first_is_about_to_commit.set()
                second_is_done.wait(0.5)

        def drain(number: int) -> Drained:
            if number == 1:
                first_is_about_to_commit.wait(10)
            now = (SUNDAY, MONDAY)[number]
            accept(message(messageId="m-1"), now=now)
            drained = pipeline.drain(now=now)
            second_is_done.set()
            return drained

        monkeypatch.setattr(inbox, "remove", hesitate)

        first, second = at_once(2, drain)

        assert (first.stored, second.duplicates) == (1, 1)
        assert stored() == 2

    def test_a_clock_that_is_set_back_across_it_remembers(self, accept):
        for now in (MONDAY + HOUR, SUNDAY - HOUR, MONDAY + WEEK, SUNDAY, MONDAY + HOUR):
            accept(message(messageId="m-1"), now=now)
            drain_all(now)

        assert stored() == 1

    def test_a_clock_that_jumps_ahead_by_weeks_forgets_nothing_of_the_last_minutes(self, accept):
        """Not even where the sender states its clock, so that the retry is corrected to another time."""
        once = message(messageId="once", timestamp="2026-05-31T12:00:00Z", sentAt="2026-05-31T12:00:01Z")
        ahead = SUNDAY + 5 * WEEK
        for now in (SUNDAY - WEEK, SUNDAY, ahead, ahead, MONDAY):
            partitions.ensure_ahead(today=now.date())
            partitions.drop_old_seen_partitions()
            accept(once if now >= SUNDAY else message(), now=now)
            drain_all(now)

        assert stored() == 2


class TestPartitions:
    def test_one_that_was_dropped_behind_a_workers_back_is_made_again(self, accept):
        accept(message(timestamp="2011-08-15T12:00:00Z"), now=MONDAY)
        drain_all(MONDAY)
        rows("DROP TABLE event_2011_08; SELECT 1")
        accept(message(timestamp="2011-08-16T12:00:00Z"), message(), now=MONDAY)

        assert drain_all(MONDAY) == Drained(rows=1, stored=2)

    def test_of_the_last_two_weeks_that_had_messages_are_kept(self, accept):
        for weeks in (0, 1, 4, 7):
            accept(message(), now=MONDAY + weeks * WEEK)
            drain_all(MONDAY + weeks * WEEK)

        partitions.drop_old_seen_partitions()

        kept = [((MONDAY + weeks * WEEK).date(),) for weeks in (4, 7)]
        assert rows("SELECT week FROM seen_message ORDER BY 1") == kept
        assert rows("SELECT week FROM seen_week ORDER BY 1") == kept

    def test_each_takes_an_id_once(self, database):
        for week in (0, 1):
            partitions.ensure_seen_partition((MONDAY + week * WEEK).date())

        keys = rows(
            "SELECT count(*), count(i.indexrelid) FROM pg_inherits LEFT JOIN pg_index i ON i.indrelid = inhrelid"
            " AND i.indisunique AND i.indisvalid AND pg_get_indexdef(i.indexrelid) LIKE '% (id)'"
            " WHERE inhparent = 'seen_message'::regclass"
        )

        assert keys[0][0] == keys[0][1] >= 2


CLOCKS = st.sampled_from([MONDAY + sign * hours * HOUR for hours in (0, 1, 7, 100) for sign in (-1, 1)])
NUMBERS = st.lists(st.integers(0, 5), min_size=1, max_size=4)
WORK = st.lists(st.tuples(CLOCKS, NUMBERS, CLOCKS), min_size=1, max_size=4)


class TestAnyClocks:
    """Of web servers and workers, each with one of its own that jumps by days from one request to the next."""

    @settings(
        max_examples=30,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(st.lists(WORK, min_size=1, max_size=3))
    def test_store_each_message_once(self, database, machines):
        wipe()
        source = SourceFactory()

        def work(number: int) -> None:
            for received, numbers, now in machines[number]:
                items = [identify(messageId=f"m-{n}", userId=f"u-{n % 2}", traits={"n": n}) for n in numbers]
                body = batch_body(items)
                operations.accept(
                    source_id=source.pk, kind="batch", events=len(items), body=body, remote_addr="", now=received
                )
                pipeline.drain(now=now)

        at_once(len(machines), work)
        drain_all(MONDAY)

        sent = [n for work in machines for _, numbers, _ in work for n in numbers]
        assert stored() == len(set(sent))
        assert rows("SELECT count(*), count(DISTINCT id) FROM seen_message") == [(len(set(sent)),) * 2]
        assert rows("SELECT sum(events)::int FROM hourly_count") == [(len(sent),)]
