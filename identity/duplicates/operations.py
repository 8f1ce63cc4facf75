"""Look for people who are in the base more than once. Runs in the background: it reads every record once."""

import json
import time
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from identity.duplicates.models import DuplicateReport

LEAST_FIELDS = 3
"""A record of fewer fields tells too little: many people are called Anna."""
GROUPS = 20
OF_A_GROUP = 5
PAIRS = 50_000
SHARED = 12
TELLING = 2.0
"""Log2 of the Bayes factor from which on a field counts as shared: four times likelier for one person than for two."""
KEPT = timedelta(days=30)
_LOCK = 0x5452_4942_0004  # any number that nobody else locks

# By what the matcher knows of a person, letter case aside; the texts are hashed so that the grouping stays small.
_EXACT = """
    WITH telling AS (
        SELECT profile_id, md5(lower(record::jsonb::text))::uuid AS hash FROM match_record
        WHERE (SELECT count(*) FROM jsonb_object_keys(record::jsonb)) >= %(least)s
    ), alike AS (
        SELECT count(DISTINCT profile_id) AS size, (array_agg(DISTINCT profile_id))[1:%(few)s] AS ids
        FROM telling GROUP BY hash HAVING min(profile_id) < max(profile_id)
    )
    SELECT (SELECT count(*) FROM telling), count(*), coalesce(sum(size), 0),
        (SELECT json_agg(ids)::text FROM (SELECT ids FROM alike ORDER BY size DESC, ids LIMIT %(groups)s) AS largest)
    FROM alike
"""

_SHARED = """
    WITH waiting AS (
        SELECT id, probability, evidence FROM match_candidate WHERE state = 'waiting' ORDER BY id DESC LIMIT %(pairs)s
    ), told AS (
        SELECT w.id, w.probability, array_agg(f.value ->> 'field' ORDER BY f.value ->> 'field') AS fields
        FROM waiting w, jsonb_array_elements(w.evidence -> 'fields') AS f
        WHERE (f.value ->> 'weight')::float8 >= %(telling)s GROUP BY 1, 2
    )
    SELECT fields, count(*), avg(probability)::float8, (array_agg(id ORDER BY probability DESC))[1]
    FROM told GROUP BY fields ORDER BY 2 DESC, 1 LIMIT %(shared)s
"""


@transaction.atomic
def report_duplicates(*, now: datetime) -> DuplicateReport | None:
    """Count anew; None where another worker is at it."""
    began = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        if not cursor.fetchone()[0]:
            return None
        cursor.execute(_EXACT, {"least": LEAST_FIELDS, "few": OF_A_GROUP, "groups": GROUPS})
        records, groups, profiles, examples = cursor.fetchone()
        cursor.execute(_SHARED, {"pairs": PAIRS, "telling": TELLING, "shared": SHARED})
        shared = [_shared(row) for row in cursor.fetchall()]
    DuplicateReport.objects.filter(at__lt=now - KEPT).delete()
    return DuplicateReport.objects.create(
        at=now,
        seconds=round(time.monotonic() - began, 2),
        records=records,
        groups=groups,
        profiles=int(profiles),
        examples=json.loads(examples) if examples else [],
        shared=shared,
    )


def _shared(row: tuple[Any, ...]) -> dict[str, Any]:
    fields, pairs, probability, pair = row
    return {"fields": fields, "pairs": pairs, "probability": round(probability, 4), "pair": pair}
