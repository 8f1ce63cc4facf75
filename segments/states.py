"""Ask definitions about some profiles: who is in, and when that can change by time alone.

Segments that are asked about the same people are asked together, by one query in which a condition that several of
them share is measured once.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache

from django.db import DataError, NotSupportedError, OperationalError, ProgrammingError, transaction

from segments.ast import Any, DefinitionError, Node, parse
from segments.compile import compile_states_of
from segments.engine import fetch, is_timeout, load_dictionary, plan_at
from segments.models import Segment
from segments.plan import conditions
from segments.references import expand

State = tuple[bool, datetime | None]
"""In or out, and when that can change by time alone."""
States = dict[int, dict[int, State]]
"""By segment and profile; a profile that does not exist is missing."""

CONDITIONS_AT_ONCE = 40
FEW_PROFILES = 20
REMEMBERED = 4_096


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


def states_of(segments: Sequence[Segment], asked: Mapping[int, Collection[int]], *, now: datetime) -> States:
    """The states of the profiles that each segment is `asked` about; of others too, where few are asked about in all.

    Raises:
        SegmentFailedError: for one of these segments.
    """
    found: States = {segment.pk: {} for segment in segments}
    for ids, group in _together(segments, asked):
        meant = [(segment, _meaning(segment)) for segment in group]
        for batch in _batches(meant):
            _ask(batch, ids, now, found)
    return found


def _together(
    segments: Sequence[Segment], asked: Mapping[int, Collection[int]]
) -> Iterator[tuple[list[int], list[Segment]]]:
    """Segments by the profiles that they are asked about; all at once where there are few profiles anyway."""
    everybody = set().union(*(asked[segment.pk] for segment in segments)) if segments else set()
    if len(everybody) <= FEW_PROFILES:
        yield sorted(everybody), list(segments)
        return
    groups: defaultdict[frozenset[int], list[Segment]] = defaultdict(list)
    for segment in segments:
        groups[frozenset(asked[segment.pk])].append(segment)
    for ids, group in groups.items():
        yield sorted(ids), group


def _batches(meant: Sequence[tuple[Segment, Node]]) -> Iterator[list[tuple[Segment, Node]]]:
    """As many as have not too many conditions in sum."""
    batch: list[tuple[Segment, Node]] = []
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


def _ask(batch: Sequence[tuple[Segment, Node]], ids: Sequence[int], now: datetime, found: States) -> None:
    """Together; and where that fails, one by one, to find out whose fault it is."""
    try:
        with transaction.atomic():
            _ask_together(batch, ids, now, found)
    except Exception as error:
        if not is_of_the_segment(error):
            raise
        if len(batch) == 1:
            raise SegmentFailedError(batch[0][0].pk, error) from error
        for one in batch:
            _ask([one], ids, now, found)


def _ask_together(batch: Sequence[tuple[Segment, Node]], ids: Sequence[int], now: datetime, found: States) -> None:
    nodes = [node for _, node in batch]
    plan = plan_at(nodes[0] if len(nodes) == 1 else Any(tuple(nodes)), now=now)
    for profile_id, *answers in fetch(compile_states_of(plan, load_dictionary(*nodes), nodes, ids)):
        for place, (segment, _) in enumerate(batch):
            found[segment.pk][profile_id] = (answers[2 * place], answers[2 * place + 1])


def _meaning(segment: Segment) -> Node:
    try:
        return expand(_parsed(json.dumps(segment.definition)), own=segment.slug)
    except DefinitionError as error:
        raise SegmentFailedError(segment.pk, error) from error


@lru_cache(maxsize=REMEMBERED)
def _parsed(definition: str) -> Node:
    """What is stored was checked when it was; the same text means the same."""
    return parse(json.loads(definition))
