"""The people that a question is about, as SQL that yields `(profile_id)`: a segment's members, or a definition's."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha256
from typing import Any

from django.db import OperationalError

from segments.ast import parse
from segments.columnar.ask import ask
from segments.compile import compile_members
from segments.engine import fetch, is_timeout, load_dictionary, local_settings, plan_at, population_settings, snapshot
from segments.errors import QueryTooSlowError
from segments.insight.errors import CancelledError
from segments.models import Segment
from segments.references import expand
from segments.sql import Sql, sql

SECONDS = 10


def of_segment(segment: Segment) -> Sql:
    return sql("SELECT profile_id FROM membership WHERE segment_id = {segment}", segment=segment.pk)


def of_definition(definition: Any, *, as_of: datetime) -> Sql:
    """Traits are as they are now, whatever `as_of` says.

    Call it within `asked`, and ask within the same: it may have looked for the people already.
    """
    node = expand(parse(definition))
    crowd = ask([node], now=as_of, seconds=SECONDS)
    if crowd:
        return sql("SELECT unnest({ids}::bigint[]) AS profile_id", ids=crowd.written(of=0))
    return compile_members(plan_at(node, now=as_of), load_dictionary(node))


@contextmanager
def asked(*, asker: str = "", seconds: int = SECONDS) -> Iterator[None]:
    """For questions of somebody who waits: bounded in time, and given up as soon as the same `asker` asks again.

    Raises:
        QueryTooSlowError: the time is up.
        CancelledError: it was asked again.
    """
    try:
        with snapshot(), population_settings(timeout_seconds=seconds), give_way(asker):
            yield
    except OperationalError as error:
        if not is_timeout(error):
            raise
        if "user request" in str(error):
            raise CancelledError("It was asked again in the meantime.") from error
        message = f"This takes longer than {seconds} seconds. Shorten the windows, or name rarer events."
        raise QueryTooSlowError(message) from error


@contextmanager
def give_way(asker: str) -> Iterator[None]:
    """Cancel what the same asker still waits for; within a transaction, and nothing where the asker has no name.

    The asker's name is that of the connection while it asks, so whichever process the next question reaches can find
    and cancel this one.
    """
    if not asker:
        yield
        return
    name = f"asks {sha256(asker.encode()).hexdigest()[:24]}"
    fetch(sql(_CANCEL, name=name))
    with local_settings(application_name=name):
        yield


_CANCEL = """
SELECT pg_cancel_backend(pid) FROM pg_stat_activity
WHERE application_name = {name} AND datname = current_database() AND pid <> pg_backend_pid()
"""
