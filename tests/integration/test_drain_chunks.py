"""A chunk of the inbox: as a whole or not at all, as large as suits what waits, its partitions made before it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection, transaction

from cdp import pipeline
from cdp.chunk import Drained
from ingestion import event_log, inbox, messages, partitions
from ingestion.contracts import InboxRow, Incoming
from tests.factories.ingestion import NOW, batch_body, identify, message
from tests.integration.conftest import at_once, drain_all, rows


class TestAtomicity:
    def test_a_chunk_that_fails_has_not_happened(self, accept, monkeypatch: pytest.MonkeyPatch):
        accept(identify(traits={"a": 1}), message())
        monkeypatch.setattr("ingestion.inbox.remove", self.fail)

        with pytest.raises(RuntimeError):
            pipeline.drain(now=NOW)

        tables = ("event", "profile", "identifier", "seen_message", "change", "hourly_count", "quarantined_message")
        assert [rows(f"SELECT count(*) FROM {table}")[0][0] for table in tables] == [0] * len(tables)
        assert inbox.depth()[0] == 1

    def fail(self, *_: Any) -> None:
        raise RuntimeError

    def test_a_row_that_another_worker_drains_is_left_to_it(self, accept):
        accept(message())
        with transaction.atomic():
            claimed = inbox.claim(max_events=10)

            others = at_once(1, lambda _: drain_all(NOW))

        assert len(claimed) == 1
        assert others == [Drained()]
        assert drain_all(NOW).stored == 1


class TestContention:
    def test_prepares_as_often_as_others_take_the_rows_that_it_has_prepared_for(
        self, accept, monkeypatch: pytest.MonkeyPatch
    ):
        """A year that is loaded at once by several workers: what each claims next lies in another month."""
        require_prepared = event_log.require_prepared
        lacking = [month(number) for number in range(10)]

        def require(events: Sequence[Incoming]) -> None:
            if lacking:
                raise event_log.UnpreparedError(lacking.pop())
            require_prepared(events)

        accept(message())
        monkeypatch.setattr("ingestion.event_log.require_prepared", require)

        assert pipeline.drain(now=NOW).stored == 1


def month(number: int) -> list[Incoming]:
    """What a chunk of somebody else's month would be."""
    body = batch_body([message(timestamp=f"2025-{number + 1:02}-03T00:00:00Z")])
    row = InboxRow(1, 1, NOW, "batch", 1, "", body)
    return [one for one in messages.decode_row(row) if isinstance(one, Incoming)]


class TestBacklog:
    @pytest.mark.parametrize(("waiting", "taken"), [(30, 30), (45, 32), (90, 60), (109, 60), (110, 100)])
    def test_is_taken_in_larger_chunks(self, accept, waiting, taken):
        for number in range(waiting):
            accept(message(messageId=f"waits-{number}"))

        with transaction.atomic():
            rows_claimed = inbox.claim(max_events=10, backlogs=(60, 100))

        assert len(rows_claimed) == taken


class TestPartitions:
    def test_one_that_was_made_but_not_attached_is_attached(self, accept):
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE event_2011_07 (LIKE event INCLUDING DEFAULTS)")
        accept(message(timestamp="2011-07-15T12:00:00Z"))

        assert drain_all(NOW).stored == 1

    def test_are_made_by_several_workers_at_once(self, database):
        months = [datetime(2012, month, 1, tzinfo=UTC).date() for month in range(1, 13)]

        def make(_: int) -> None:
            partitions.forget_known_partitions()
            partitions.ensure_event_partitions(months)

        at_once(6, make)

        attached = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'event'::regclass"
        assert [name for (name,) in rows(attached) if "2012" in name] == [f"event_2012_{n:02}" for n in range(1, 13)]
