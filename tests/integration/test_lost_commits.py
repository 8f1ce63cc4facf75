"""What a worker remembers of people may be of a transaction that PostgreSQL lost in a crash, with its session."""

from collections.abc import Callable
from typing import Any

from django.db import connection, transaction

from cdp import pipeline
from tests.factories.ingestion import NOW, track
from tests.integration.conftest import drain_all, rows


def waits_for_the_disk(work: Callable[[], Any]) -> bool:
    """Whether a transaction that begins with this does when it is committed, where sessions usually do."""
    with transaction.atomic():
        write("SET LOCAL synchronous_commit = on")
        work()
        return rows("SHOW synchronous_commit") == [("on",)]


def write(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def send(accept: Any, *, user: str, at: str = "2026-03-03T10:00:00Z") -> None:
    accept(track("Viewed", userId=user, timestamp=at))
    drain_all(NOW)


def home(user: str) -> int:
    ((found,),) = rows("SELECT profile_id FROM identifier WHERE value = %s", user)
    assert isinstance(found, int)
    return found


class TestCommitting:
    def test_what_the_inbox_would_have_again_does_not_wait_for_the_disk(self, accept: Any):
        accept(track("Viewed"))

        assert not waits_for_the_disk(lambda: pipeline.drain(now=NOW))

    def test_what_others_hear_of_waits_for_it(self, accept: Any):
        accept(track("Viewed"))
        drain_all(NOW)

        assert waits_for_the_disk(lambda: pipeline.evaluate(now=NOW))
        assert waits_for_the_disk(lambda: pipeline.wake(now=NOW))


class TestANewSession:
    def test_looks_people_up_anew(self, accept: Any):
        """Their number may have been given to somebody else."""
        send(accept, user="u-1")
        send(accept, user="u-1")  # from here on it is remembered
        taken = home("u-1")
        for table in ("identifier", "profile_identifier"):
            write(f"UPDATE {table} SET value = 'u-2'")
        connection.close()

        send(accept, user="u-1")

        assert home("u-2") == taken
        assert home("u-1") != taken

    def test_writes_anew_when_somebody_was_seen(self, accept: Any):
        send(accept, user="u-1", at="2026-03-01T10:00:00Z")
        send(accept, user="u-1")
        write("UPDATE profile_identifier SET last_seen_at = NULL")
        connection.close()

        send(accept, user="u-1")

        assert rows("SELECT last_seen_at IS NULL FROM profile_identifier") == [(False,)]
