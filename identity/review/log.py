"""What was decided about pairs: by people, in bulk and by the matching itself, and what was taken back. R: C3"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from cdp.kernel.access.models import User

CHUNK = 1_000


@dataclass(frozen=True, slots=True)
class Entry:
    """A decision: accepted, rejected, merged by the matching, or bulk; `undone_at` when it was taken back."""

    at: datetime
    by: str
    by_id: int | None
    what: str
    one_id: int
    other_id: int
    probability: float | None
    candidate_id: int
    merge_id: int | None
    undone_at: datetime | None


@dataclass(frozen=True, slots=True)
class Sought:
    """Which decisions somebody looks for; what is empty does not restrict."""

    what: str = ""
    by: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    profile_id: int | None = None


WHATS = {
    "accepted": "Same person",
    "rejected": "Different people",
    "bulk": "Accepted in bulk",
    "merged": "Merged automatically",
    "undone": "Taken back",
}

# A label stays when its decision is taken back: that is where the past ones are. A batch is not labelled.
_LOG = """
SELECT d.at, d.by_id, d.what, d.one_id, d.other_id, d.probability, d.candidate_id, d.merge_id, d.undone_at
FROM (
  SELECT c.decided_at AS at, c.decided_by_id AS by_id,
    CASE WHEN c.batch_id IS NOT NULL THEN 'bulk' ELSE c.state END AS what,
    c.one_id, c.other_id, c.probability, c.id AS candidate_id, c.merge_id, NULL::timestamptz AS undone_at, 0 AS past
  FROM match_candidate c WHERE c.decided_at IS NOT NULL AND c.state IN ('accepted', 'rejected', 'merged')
  UNION ALL
  SELECT l.labelled_at, l.labelled_by_id, CASE WHEN l.same THEN 'accepted' ELSE 'rejected' END,
    l.one_id, l.other_id, l.probability, l.candidate_id, NULL, l.withdrawn_at, l.id
  FROM match_label l WHERE l.withdrawn_at IS NOT NULL AND l.candidate_id IS NOT NULL AND NOT l.sampled
) AS d
WHERE (%(what)s = '' OR CASE WHEN %(what)s = 'undone' THEN d.undone_at IS NOT NULL
    ELSE d.what = %(what)s AND d.undone_at IS NULL END)
  AND (%(by)s::bigint IS NULL OR d.by_id = %(by)s)
  AND (%(since)s::timestamptz IS NULL OR d.at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR d.at < %(until)s)
  AND (%(profile)s::bigint IS NULL OR %(profile)s IN (d.one_id, d.other_id))
ORDER BY d.at DESC, d.candidate_id DESC, d.past DESC LIMIT %(limit)s OFFSET %(offset)s
"""


def decisions(sought: Sought, *, limit: int, offset: int = 0) -> list[Entry]:
    """The newest first; those that were taken back stay listed."""
    values: dict[str, Any] = {
        "what": sought.what if sought.what in WHATS else "",
        "by": sought.by,
        "since": sought.since,
        "until": sought.until,
        "profile": sought.profile_id,
        "limit": limit,
        "offset": offset,
    }
    with connection.cursor() as cursor:
        cursor.execute(_LOG, values)
        rows = cursor.fetchall()
    names = _names({by for _, by, *_ in rows if by is not None})
    return [Entry(at, names.get(by, ""), by, *rest) for at, by, *rest in rows]


def all_decisions(sought: Sought) -> Iterator[Entry]:
    offset = 0
    while found := decisions(sought, limit=CHUNK, offset=offset):
        yield from found
        offset += len(found)


def deciders() -> list[tuple[int, str]]:
    """People who have decided anything."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT decided_by_id FROM match_candidate WHERE decided_by_id IS NOT NULL"
            " UNION SELECT labelled_by_id FROM match_label WHERE labelled_by_id IS NOT NULL"
        )
        ids = [id_ for (id_,) in cursor.fetchall()]
    return sorted(_names(ids).items(), key=lambda user: user[1])


def _names(ids: Collection[int]) -> dict[int, str]:
    return {user.pk: user.get_full_name() or user.username for user in User.objects.filter(pk__in=list(ids))}
