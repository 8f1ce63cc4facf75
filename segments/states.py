"""Ask segments about some profiles, and say whose fault it is where that fails."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import numpy as np
from django.conf import settings
from django.db import DataError, NotSupportedError, OperationalError, ProgrammingError

from cdp.kernel.prepared import Prepared, array
from segments.asking.answers import States, ask
from segments.asking.outline import Outline
from segments.asking.questions import Questions
from segments.ast import Consent, DefinitionError, InSegment, Node, parse
from segments.engine import dictionary_of, fetch, is_timeout
from segments.plan import Clock, conditions
from segments.references import expand
from segments.sql import Sql

CONDITIONS_AT_ONCE = 200
REMEMBERED = 4_096
REMEMBERED_TOGETHER = 64


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
    found: list[States] = []
    at = 0
    for outline in _outlines(segments, alone=alone):
        rows = slice(at, at + len(outline.nodes))
        try:
            found.append(_ask(outline, questions, rows, now))
        except Exception as error:
            if alone and is_of_the_segment(error):
                raise SegmentFailedError(segments[at].id, error) from error
            raise
        at = rows.stop
    return States.of(found)


def _ask(outline: Outline, questions: Questions, rows: slice, now: datetime) -> States:
    asked = questions.asked[rows]
    people = np.flatnonzero(asked.any(axis=0))
    clock, dictionary = Clock(now, settings.TIME_ZONE), dictionary_of(outline.names)
    states = ask(outline, questions.profiles[people], asked[:, people], clock=clock, dictionary=dictionary)
    return states if len(people) == len(questions.profiles) else states.among(people, len(questions.profiles))


# --- What they mean -----------------------------------------------------------------------------------------


def _outlines(segments: Sequence[Live], *, alone: bool) -> Sequence[Outline]:
    if alone:
        return [Outline.of([_meaning(segment)]) for segment in segments]
    if all(map(_means_itself, segments)):
        return _remembered(tuple(segment.definition for segment in segments))
    return _outlined([_meaning(segment) for segment in segments])


@lru_cache(maxsize=REMEMBERED_TOGETHER)
def _remembered(definitions: tuple[str, ...]) -> Sequence[Outline]:
    """Most changes touch the same few segments, again and again."""
    return _outlined([_parsed(definition) for definition in definitions])


def _outlined(nodes: Sequence[Node]) -> Sequence[Outline]:
    """As many together as have not too many conditions in sum."""
    outlines: list[Outline] = []
    batch: list[Node] = []
    size = 0
    for node in nodes:
        more = sum(1 for _ in conditions(node))
        if batch and size + more > CONDITIONS_AT_ONCE:
            outlines.append(Outline.of(batch))
            batch, size = [], 0
        batch.append(node)
        size += more
    if batch:
        outlines.append(Outline.of(batch))
    return outlines


def _means_itself(segment: Live) -> bool:
    """Whether no other segment and no purpose is named that may have changed or gone."""
    try:
        return _is_plain(segment.definition)
    except DefinitionError as error:
        raise SegmentFailedError(segment.id, error) from error


def _meaning(segment: Live) -> Node:
    try:
        return expand(_parsed(segment.definition), own=segment.slug)
    except DefinitionError as error:
        raise SegmentFailedError(segment.id, error) from error


@lru_cache(maxsize=REMEMBERED)
def _is_plain(definition: str) -> bool:
    return not any(isinstance(one, InSegment | Consent) for one in conditions(_parsed(definition)))


@lru_cache(maxsize=REMEMBERED)
def _parsed(definition: str) -> Node:
    """What is stored was checked when it was; the same text means the same."""
    return parse(json.loads(definition))
