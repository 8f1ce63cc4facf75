"""The past of a definition: exact by days, else estimated from some of the people, else exact by weeks.

1. All days at once, exact, as long as that takes no longer than `EXACT_SECONDS`.
2. Where it does: the same for one in `ONE_IN` profiles, always the same ones, with the range that the true number is
   in with 95% probability.
3. Where a condition is too involved to be asked of all days at once, or the sample is too slow as well: a full count
   for every seventh day, from today backwards, until the time is up. These are exact, and fewer.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from math import sqrt
from typing import Any

from django.conf import settings
from django.db import connection

from segments.ast import Node, parse
from segments.compile import compile_members
from segments.engine import fetch, load_dictionary, local_settings, plan_at
from segments.errors import QueryTooSlowError
from segments.insight.people import asked
from segments.insight.trend.ask import past_by_arrays
from segments.insight.trend.compile import compile_trend, sample
from segments.insight.trend.errors import TooInvolvedError
from segments.insight.trend.frame import Frame, daily_instants
from segments.references import expand
from segments.sql import Sql, sql
from segments.streams import Dictionary

DAYS = 90
EXACT_SECONDS = 6
SAMPLE_SECONDS = 6
WEEKLY_SECONDS = 6
ONE_IN = 20
BATCH = 20_000
Z_95 = 1.96
WEEK = 7


class Method(StrEnum):
    EXACT = "exact"
    SAMPLE = "sample"
    WEEKLY = "weekly"


@dataclass(frozen=True)
class Point:
    """How many are in at an instant; with `low` and `high` where that is an estimate."""

    at: datetime
    count: int
    low: int | None = None
    high: int | None = None


@dataclass(frozen=True)
class Past:
    """`because` says in words why it is not by days for everybody; `complete` is False where the time was up."""

    points: list[Point]
    method: Method
    took_ms: int
    because: str = ""
    complete: bool = True


def past_of(*, definition: Any, now: datetime, days: int = DAYS, asker: str = "") -> Past:
    """The numbers at the end of each of the past days, and now. Traits are as they are now.

    Raises:
        DefinitionError, QueryTooSlowError, CancelledError
    """
    started = time.perf_counter()
    node = expand(parse(definition))
    frame = Frame(daily_instants(now=now, days=days, zone=settings.TIME_ZONE), settings.TIME_ZONE)
    points, method, because = _points(node, frame, load_dictionary(node), asker)
    wanted = len(frame.instants[::-WEEK]) if method is Method.WEEKLY else frame.size
    took_ms = round((time.perf_counter() - started) * 1_000)
    return Past(points, method, took_ms, because, complete=len(points) == wanted)


def _points(node: Node, frame: Frame, dictionary: Dictionary, asker: str) -> tuple[list[Point], Method, str]:
    try:
        with asked(asker=asker, seconds=EXACT_SECONDS):
            return exact(node, frame, dictionary), Method.EXACT, ""
    except TooInvolvedError as error:
        return _weekly(node, frame, dictionary, asker), Method.WEEKLY, f"it has {error}"
    except QueryTooSlowError:
        because = f"counting everybody takes longer than {EXACT_SECONDS} seconds"
    try:
        with asked(asker=asker, seconds=SAMPLE_SECONDS):
            return estimated(node, frame, dictionary), Method.SAMPLE, because
    except QueryTooSlowError:
        return _weekly(node, frame, dictionary, asker), Method.WEEKLY, because


def exact(node: Node, frame: Frame, dictionary: Dictionary) -> list[Point]:
    counts = past_by_arrays(node, frame, dictionary, seconds=EXACT_SECONDS)
    if counts is None:
        counts = _counts(compile_trend(node, frame, dictionary), frame.size)
    return [Point(at, count) for at, count in zip(frame.instants, counts, strict=True)]


def estimated(node: Node, frame: Frame, dictionary: Dictionary, *, one_in: int = ONE_IN) -> list[Point]:
    of = sample(one_in=one_in)
    counts = _counts(compile_trend(node, frame, dictionary, of=of), frame.size)
    asked_about = "SELECT count(*), count(*) FILTER (WHERE {of}) FROM profile"
    ((everybody, some),) = fetch(sql(asked_about, of=of(Sql("id"))))
    return [_estimate(at, count, some, everybody) for at, count in zip(frame.instants, counts, strict=True)]


def _estimate(at: datetime, count: int, some: int, everybody: int) -> Point:
    """The normal approximation for a share in a sample drawn without putting back."""
    if not some:
        return Point(at, 0, 0, everybody)
    share = count / some
    left_out = 1 - some / everybody
    margin = Z_95 * sqrt(max(share * (1 - share), 1 / some / 4) / some * left_out)
    low, high = max(0.0, share - margin), min(1.0, share + margin)
    return Point(at, round(share * everybody), round(low * everybody), round(high * everybody))


def _weekly(node: Node, frame: Frame, dictionary: Dictionary, asker: str) -> list[Point]:
    found: list[Point] = []
    deadline = time.monotonic() + WEEKLY_SECONDS
    for at in frame.instants[::-WEEK]:
        left = int(deadline - time.monotonic())
        if left < 1:
            break
        members = compile_members(plan_at(node, now=at), dictionary)
        try:
            with asked(asker=asker, seconds=left):
                ((count,),) = fetch(sql("SELECT count(*) FROM ({members}) AS m", members=members))
        except QueryTooSlowError:
            break
        found.append(Point(at, count))
    if not found:
        raise QueryTooSlowError("Its past takes too long to count. Shorten its windows, or name rarer events.")
    return found[::-1]


def _counts(query: Sql, size: int) -> list[int]:
    """For each instant the people whose set has it; read in batches, since there can be as many sets as people."""
    import numpy as np  # not at the start of every process

    total = np.zeros(size, dtype=np.int64)
    for rows in _batches(query):
        letters = np.frombuffer("".join(bits for bits, _ in rows).encode(), dtype=np.uint8).reshape(len(rows), size)
        total += np.array([people for _, people in rows], dtype=np.int64) @ (letters == ord("1")).astype(np.int64)
    return [int(number) for number in total]


def _batches(query: Sql) -> Iterator[list[tuple[str, int]]]:
    with local_settings(cursor_tuple_fraction="1"), connection.chunked_cursor() as cursor:
        cursor.execute(query.text, query.params)
        while rows := cursor.fetchmany(BATCH):
            yield rows
