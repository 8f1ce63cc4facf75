"""Write who is in a new segment before its publication holds up evaluation, in the transaction that publishes it.

Of a segment that is not live yet, and that nobody is in, nobody else writes anything, and nobody else sees these rows
before all is committed. Evaluation waits while a version is published, since it has to know by which index to go; so
that it does not wait for a hundred thousand rows, only those who were asked again meanwhile are written then.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from segments.asking.arrays import listed
from segments.engine import fetch, run
from segments.models import Due, Membership, Segment
from segments.sql import Sql, sql


@dataclass
class Ahead:
    """What was written of a segment, when there were transitions up to `after_id`; `again` are who was asked since."""

    segment_id: int
    version: int
    table: Sql
    after_id: int
    again: set[int] = field(default_factory=set)

    def write(self, *, now: datetime, among: Iterable[int] | None = None) -> None:
        """Members, entries and due times of everybody, or of some who have none."""
        some = Sql("true") if among is None else sql("e.profile_id = ANY ({ids}::bigint[])", ids=listed(among))
        values = {"segment": self.segment_id, "version": self.version, "table": self.table, "now": now, "some": some}
        for statement in (_MEMBERS, _DUE):
            run(sql(statement, **values))

    def correct(self, *, now: datetime) -> None:
        """Write those who were asked again as they are now, as if nothing had been written of them."""
        if self.again:
            self._forget(sql("profile_id = ANY ({ids}::bigint[])", ids=listed(sorted(self.again))))
            self.write(now=now, among=sorted(self.again))

    def take_back(self) -> None:
        self._forget(Sql("true"))

    def _forget(self, some: Sql) -> None:
        for statement in _FORGET:
            run(sql(statement, segment=self.segment_id, after=self.after_id, some=some))


def write_ahead(*, segment: Segment, version: int, table: Sql, now: datetime) -> Ahead | None:
    """None where the segment is live, or somebody is in it."""
    if segment.state != Segment.State.COMPUTING or _is_known(segment):
        return None
    ahead = Ahead(segment.pk, version, table, fetch(Sql("SELECT coalesce(max(id), 0) FROM transition"))[0][0])
    ahead.write(now=now)
    return ahead


def _is_known(segment: Segment) -> bool:
    return any(model.objects.filter(segment=segment).exists() for model in (Membership, Due))


_MEMBERS = """
WITH came AS (
    INSERT INTO membership (profile_id, segment_id, entered_at)
    SELECT e.profile_id, {segment}, {now} FROM {table} AS e WHERE e.holds AND {some} ORDER BY e.profile_id
    RETURNING profile_id
)
INSERT INTO transition (profile_id, segment_id, version, kind, at, cause)
SELECT profile_id, {segment}, {version}, 'entered', {now}, 'definition' FROM came ORDER BY profile_id
"""
_DUE = """
INSERT INTO due (profile_id, segment_id, at)
SELECT e.profile_id, {segment}, e.due FROM {table} AS e WHERE e.due IS NOT NULL AND {some} ORDER BY e.profile_id
"""
_FORGET = (
    "DELETE FROM membership WHERE segment_id = {segment} AND {some}",
    "DELETE FROM due WHERE segment_id = {segment} AND {some}",
    "DELETE FROM transition WHERE segment_id = {segment} AND id > {after} AND {some}",
)
