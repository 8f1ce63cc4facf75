"""What integration tests share: a clean PostgreSQL, a source with its key, and the way in and through.

Tests that commit ask for `database` (or for what is built on it: `source`, `key`, `send`, `accept`).
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pgtrigger
import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import connection, transaction
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from cdp import pipeline
from cdp.chunk import Drained
from cdp.drain import CHUNK_EVENTS
from identity.candidates import fields
from identity.kinds import rules
from identity.kinds.stage import forget_found
from ingestion import event_log, keys, operations, partitions
from ingestion.models import Source
from tests.factories.ingestion import NOW, batch_body
from tests.ledger import APPEND_ONLY, ledger_may_be_flushed

__all__ = ["ledger_may_be_flushed"]

# Filled by migrations and by start-up; everything else is emptied between tests.
KEPT = ("django_migrations", "django_content_type", "auth_permission", "auth_group", "auth_group_permissions")


@pytest.fixture(autouse=True, scope="session")
def static_root() -> None:
    """WhiteNoise warns where it is missing, and warnings are errors here."""
    Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)


@pytest.fixture(autouse=True)
def partitions_forgotten() -> Iterator[None]:
    """Those that a test has made are rolled back with it."""
    yield
    partitions.forget_known_partitions()


def wipe() -> None:
    """Empty every table, and forget what this process remembers of them.

    DELETE, since TRUNCATE makes new files for every partition and index, which costs more than a small test.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT string_agg(format('DELETE FROM %%I', c.relname), ';') FROM pg_class c"
            " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')"
            " AND NOT c.relispartition AND c.relname <> ALL(%s)",
            [list(KEPT)],
        )
        (statements,) = cursor.fetchone()
        with transaction.atomic(), pgtrigger.ignore(APPEND_ONLY):
            cursor.execute(statements)
    event_log.forget_names()
    partitions.forget_known_partitions()
    keys.forget()
    forget_found()
    fields.forget_guess()
    rules.forget_rules()
    cache.clear()


@pytest.fixture
def transactional_db(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """An empty database that several threads and processes may use at once, transactions included.

    In place of pytest-django's, which empties only the tables of managed models.
    """
    with django_db_blocker.unblock():
        wipe()
        yield
        wipe()
        connection.close()


@pytest.fixture
def database(transactional_db: None) -> None:
    """The same under a plainer name."""


@pytest.fixture
def source_with_key(database: None) -> tuple[Source, str]:
    return operations.create_source(slug="shop", name="Shop", now=NOW)


@pytest.fixture
def source(source_with_key: tuple[Source, str]) -> Source:
    return source_with_key[0]


@pytest.fixture
def key(source_with_key: tuple[Source, str]) -> str:
    return source_with_key[1]


Send = Callable[..., HttpResponse]


@pytest.fixture
def send(client: Client, key: str) -> Send:
    """Post messages as a batch: `send(message(), identify())`; further fields of the batch by keyword."""

    def post(*messages: Any, write_key: str = key, **fields: Any) -> HttpResponse:
        return client.post(
            "/v1/batch",
            batch_body(list(messages), **fields),
            content_type="application/json",
            headers={"X-Write-Key": write_key},
        )

    return post


Accept = Callable[..., None]


@pytest.fixture
def accept(source: Source) -> Accept:
    """Put messages into the inbox as one request, at a time of one's choice, without HTTP."""

    def put(*messages: Any, now: datetime = NOW, source_id: int = 0, **fields: Any) -> None:
        operations.accept(
            source_id=source_id or source.pk,
            kind="batch",
            events=len(messages),
            body=batch_body(list(messages), **fields),
            remote_addr="127.0.0.1",
            now=now,
        )

    return put


def drain_all(now: datetime | None = None, *, max_events: int = CHUNK_EVENTS) -> Drained:
    """Drain until the inbox is empty; what became of it all."""
    total = Drained()
    while (step := pipeline.drain(now=now or timezone.now(), max_events=max_events)).rows:
        total += step
    return total


def rows(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return cursor.fetchall()


def at_once(count: int, do: Callable[[int], Any]) -> list[Any]:
    """Run `do(0)` … `do(count - 1)` in threads that start together, each with a connection of its own."""
    barrier = threading.Barrier(count)

    def one(number: int) -> Any:
        barrier.wait()
        try:
            return do(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))
