"""What publishing an edit would do: who would enter and who would leave, against those who are in now."""

from dataclasses import dataclass

from segments.insight.people import of_segment
from segments.models import Segment
from segments.sql import Sql


@dataclass(frozen=True)
class Moves:
    entering: int
    leaving: int
    staying: int
    entering_ids: tuple[int, ...]
    leaving_ids: tuple[int, ...]


def moves_of(*, people: Sql, segment: Segment, sample: int) -> Moves:
    """`people` are those whom the new definition means. To be asked in one snapshot."""
    import numpy as np

    from segments.insight.marks import marked

    marks = marked([people, of_segment(segment)])
    entering, leaving = np.flatnonzero(marks == _AFTER), np.flatnonzero(marks == _BEFORE)
    staying = int(np.count_nonzero(marks == (_AFTER | _BEFORE)))
    some_entering, some_leaving = (tuple(ids[:sample].tolist()) for ids in (entering, leaving))
    return Moves(len(entering), len(leaving), staying, some_entering, some_leaving)


_AFTER, _BEFORE = 1, 2
