"""Definitions run against the database: the dictionary they need, and the settings their queries run under."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from django.conf import settings
from django.db import OperationalError, connection

from ingestion.models import EventName
from segments.ast import Event, Node
from segments.compile import Dictionary, EventNameEntry
from segments.errors import QueryTooSlowError
from segments.plan import Plan, conditions, make_plan

QUERY_CANCELED = "57014"


def plan_at(node: Node, *, now: datetime) -> Plan:
    return make_plan(node, now=now, zone=settings.TIME_ZONE)


def load_dictionary(*nodes: Node) -> Dictionary:
    """The names that occur; one that no event has borne yet is missing, and matches nothing."""
    names = {
        name
        for node in nodes
        for condition in conditions(node)
        if isinstance(condition, Event)
        for name in condition.events
    }
    rows = EventName.objects.filter(name__in=names).values_list("name", "id", "value_property")
    return {name: EventNameEntry(id_, value_property) for name, id_, value_property in rows}


@contextmanager
def local_settings(**values: str) -> Iterator[None]:
    """Planner settings for the queries inside; put back afterwards, also inside a longer transaction."""
    with connection.cursor() as cursor:
        before = {}
        for name, value in values.items():
            cursor.execute("SELECT current_setting(%s), set_config(%s, %s, true)", [name, name, value])
            before[name] = cursor.fetchone()[0]
        yield
        for name, value in before.items():
            cursor.execute("SELECT set_config(%s, %s, true)", [name, value])


@contextmanager
def population_settings(*, timeout_seconds: int) -> Iterator[None]:
    """For queries over everybody: joins by hash whatever the estimates say, since new names have none."""
    with local_settings(statement_timeout=f"{timeout_seconds}s", enable_nestloop="off", jit="off", work_mem="64MB"):
        yield


@contextmanager
def refused_when_slow(*, timeout_seconds: int) -> Iterator[None]:
    """A query that the database cancelled, as an error that says what to change."""
    try:
        yield
    except OperationalError as error:
        if is_timeout(error):
            message = (
                f"This definition takes longer than {timeout_seconds} seconds to count."
                " Narrow its windows, or put its rarest condition into a segment of its own."
            )
            raise QueryTooSlowError(message) from error
        raise


def is_timeout(error: Exception) -> bool:
    return getattr(error.__cause__, "pgcode", None) == QUERY_CANCELED
