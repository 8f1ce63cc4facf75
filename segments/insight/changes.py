"""What publishing an edit would do: who would enter and who would leave, against those who are in now."""

from dataclasses import dataclass

from segments.engine import fetch
from segments.insight.people import of_segment
from segments.models import Segment
from segments.sql import Sql, sql


@dataclass(frozen=True)
class Moves:
    entering: int
    leaving: int
    staying: int
    entering_ids: tuple[int, ...]
    leaving_ids: tuple[int, ...]


def moves_of(*, people: Sql, segment: Segment, sample: int) -> Moves:
    """`people` are those whom the new definition means."""
    ((entering, leaving, staying, entering_ids, leaving_ids),) = fetch(
        sql(_MOVES, people=people, members=of_segment(segment), sample=sample)
    )
    return Moves(entering, leaving, staying, tuple(entering_ids), tuple(leaving_ids))


_MOVES = """
WITH beside AS MATERIALIZED (
    SELECT n.profile_id AS after, m.profile_id AS before
    FROM ({people}) AS n FULL JOIN ({members}) AS m ON m.profile_id = n.profile_id)
SELECT (SELECT count(*) FROM beside WHERE before IS NULL), (SELECT count(*) FROM beside WHERE after IS NULL),
       (SELECT count(*) FROM beside WHERE before = after),
       ARRAY(SELECT after FROM beside WHERE before IS NULL LIMIT {sample}),
       ARRAY(SELECT before FROM beside WHERE after IS NULL LIMIT {sample})
"""
