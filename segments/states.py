"""Ask segments about some profiles, and say whose fault it is where that fails."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import numpy as np
from django.conf import settings
from django.db import DataError, NotSupportedError, OperationalError, ProgrammingError

from cdp.kernel.prepared import Prepared, array
from segments.asking.answers import States, ask
from segments.asking.questions import Questions
from segments.ast import DefinitionError, Node, parse
from segments.engine import fetch, is_timeout, load_dictionary
from segments.plan import Clock, conditions
from segments.references import expand
from segments.sql import Sql

CONDITIONS_AT_ONCE = 200
REMEMBERED = 4_096


@dataclass(frozen=True)
class Live:
    """A live segment, as far as asking it goes."""

    id: int
    slug: str
    version: int
    definition: str


class SegmentFailedError(Exception):
    """The query of one segment failed for a reason that lies in its definition or size."""

    def __init__(self, segment_id: int, reason: Exception) -> None:
        super().__init__(str(reason))
        self.segment_id = segment_id
        self.reason = reason


def is_of_the_segment(error: Exception) -> bool:
    """Not a lost connection, a deadlock or a bug of ours: those concern everybody, and a retry mends them."""
    if isinstance(error, OperationalError):
        return is_timeout(error)
    return isinstance(error, DataError | ProgrammingError | NotSupportedError | DefinitionError)


_LIVE = "SELECT id, slug, version, definition::text FROM segments_segment WHERE state = 'live'"
_HOLD = f"{_LIVE} AND id = ANY ($1) ORDER BY id FOR NO KEY UPDATE"
_WAIT = Prepared("segment_hold", ["bigint[]"], _HOLD)
_SKIP = Prepared("segment_hold_free", ["bigint[]"], f"{_HOLD} SKIP LOCKED")


def read_live() -> list[Live]:
    return [Live(*row) for row in fetch(Sql(f"{_LIVE} ORDER BY id"))]


def hold_live(segment_ids: Iterable[int], *, skip_held: bool = False) -> list[Live]:
    """Those of them that are live, locked in the order of their ids; or only those that nobody else holds."""
    return [Live(*row) for row in (_SKIP if skip_held else _WAIT).rows(array(sorted(segment_ids)))]


def states_of(segments: Sequence[Live], questions: Questions, *, now: datetime, alone: bool = False) -> States:
    """The answers to questions to these segments, which are in the order of their ids.

    What fails while several are asked together says nothing about whose fault it is: `alone` tells.

    Raises:
        SegmentFailedError: for one of these segments.
    """
    meant = [(segment, _meaning(segment)) for segment in segments]
    found: list[States] = []
    at = 0
    for batch in ([one] for one in meant) if alone else _batches(meant):
        rows = slice(at, at + len(batch))
        try:
            found.append(_ask([node for _, node in batch], questions, rows, now))
        except Exception as error:
            if alone and is_of_the_segment(error):
                raise SegmentFailedError(batch[0][0].id, error) from error
            raise
        at += len(batch)
    return States.of(found)


def _batches(meant: Sequence[tuple[Live, Node]]) -> Iterator[list[tuple[Live, Node]]]:
    """As many as have not too many conditions in sum."""
    batch: list[tuple[Live, Node]] = []
    size = 0
    for segment, node in meant:
        more = sum(1 for _ in conditions(node))
        if batch and size + more > CONDITIONS_AT_ONCE:
            yield batch
            batch, size = [], 0
        batch.append((segment, node))
        size += more
    if batch:
        yield batch


def _ask(nodes: Sequence[Node], questions: Questions, rows: slice, now: datetime) -> States:
    asked = questions.asked[rows]
    people = np.flatnonzero(asked.any(axis=0))
    clock, dictionary = Clock(now, settings.TIME_ZONE), load_dictionary(*nodes)
    states = ask(nodes, questions.profiles[people], asked[:, people], clock=clock, dictionary=dictionary)
    return states if len(people) == len(questions.profiles) else states.among(people, len(questions.profiles))


def _meaning(segment: Live) -> Node:
    try:
        return expand(_parsed(segment.definition), own=segment.slug)
    except DefinitionError as error:
        raise SegmentFailedError(segment.id, error) from error


@lru_cache(maxsize=REMEMBERED)
def _parsed(definition: str) -> Node:
    """What is stored was checked when it was; the same text means the same."""
    return parse(json.loads(definition))
