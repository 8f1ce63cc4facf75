"""Definitions run against the database: the dictionary they need, and the settings their queries run under."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import datetime
from itertools import chain
from typing import Any

from django.conf import settings
from django.db import DatabaseError, OperationalError, connection, transaction

from cdp.kernel.prepared import Prepared
from segments.ast import Node
from segments.dependencies import streams_of
from segments.errors import QueryTooSlowError
from segments.plan import Plan, conditions, make_plan
from segments.sql import Sql
from segments.streams import Dictionary, EventNameEntry

QUERY_CANCELED = "57014"


def plan_at(node: Node, *, now: datetime) -> Plan:
    return make_plan(node, now=now, zone=settings.TIME_ZONE)


def load_dictionary(*nodes: Node) -> Dictionary:
    """The names that occur; one that no event has borne yet is missing, and matches nothing."""
    return dictionary_of(
        {
            name
            for node in nodes
            for condition in conditions(node)
            for stream in streams_of(condition)
            for name in stream.events
        }
    )


def dictionary_of(names: Collection[str]) -> Dictionary:
    """Those of these names that events have borne."""
    if not names:
        return {}
    rows = _KNOWN.rows(list(names))
    return {name: EventNameEntry(id_, value_property) for name, id_, value_property in rows}


_KNOWN = Prepared(
    "event_names_known", ["text[]"], "SELECT name, id, value_property FROM event_name WHERE name = ANY ($1)"
)


@contextmanager
def local_settings(**values: str) -> Iterator[None]:
    """Planner settings for the queries inside; put back afterwards, also inside a longer transaction."""
    names = list(values)
    asked = ", ".join(["current_setting(%s)"] * len(names))
    put = ", ".join(["set_config(%s, %s, true)"] * len(names))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {asked}, {put}", [*names, *chain.from_iterable(values.items())])
        before = dict(zip(names, cursor.fetchone(), strict=False))
        yield
        cursor.execute(f"SELECT {put}", list(chain.from_iterable(before.items())))


@contextmanager
def population_settings(*, timeout_seconds: int, waited_for: bool = False) -> Iterator[None]:
    """For queries over everybody: joins by hash whatever the estimates say, since new names have none.

    Where nobody waits, in one process: in a parallel plan each worker builds the same hash tables once more.
    """
    values = {"enable_nestloop": "off", "jit": "off", "work_mem": "64MB"}
    if not waited_for:
        values["max_parallel_workers_per_gather"] = "0"
    with local_settings(statement_timeout=f"{timeout_seconds}s", **values):
        yield


@contextmanager
def snapshot() -> Iterator[None]:
    """A transaction whose statements all see the same; inside another one, what that one sees."""
    if connection.in_atomic_block:
        with transaction.atomic():
            yield
        return
    afterwards: list[Callable[[], None]] = []
    outer = _afterwards.set(afterwards)
    try:
        with transaction.atomic():
            run(Sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            yield
    finally:
        _afterwards.reset(outer)
        for work in afterwards:
            with suppress(DatabaseError):
                work()


_afterwards: ContextVar[list[Callable[[], None]] | None] = ContextVar("afterwards", default=None)


def after_snapshot(work: Callable[[], None]) -> None:
    """Have something small written once the snapshot is over, even if it ends with an error."""
    waiting = _afterwards.get()
    if waiting is not None:
        waiting.append(work)


@contextmanager
def limited_population(*, timeout_seconds: int) -> Iterator[None]:
    """For somebody who waits: a query that takes too long becomes an error that says what to change."""
    try:
        with snapshot(), population_settings(timeout_seconds=timeout_seconds, waited_for=True):
            yield
    except OperationalError as error:
        if not is_timeout(error):
            raise
        raise too_slow(timeout_seconds) from error


def too_slow(seconds: float) -> QueryTooSlowError:
    return QueryTooSlowError(
        f"Counting this definition takes longer than {seconds:g} seconds. Shorten its windows, or name rarer events."
    )


def is_timeout(error: Exception) -> bool:
    return getattr(error.__cause__, "pgcode", None) == QUERY_CANCELED


def reason_of(error: Exception, *, seconds: int, otherwise: str = "make several segments of it") -> str:
    """For whoever wrote the definition: where it was too slow, what to change about it."""
    if not is_timeout(error):
        return str(error)
    return (
        f"It took longer than allowed, which is {seconds} seconds. Shorten its windows, name rarer events,"
        f" or {otherwise}."
    )


def fetch(query: Sql) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query.text, query.params)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def run(query: Sql) -> int:
    """Returns how many rows it wrote."""
    with connection.cursor() as cursor:
        cursor.execute(query.text, query.params)
        written: int = cursor.rowcount
        return written
