"""Pairs into the table of candidates: few as parameters, many by COPY."""

import struct
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from django.db import connection

from cdp.kernel.copy import NULL, copy_rows, timestamp_micros
from cdp.kernel.prepared import Call, Prepared, columns

FEW = 500
"""Pairs up to which they are sent as parameters."""


class Row(NamedTuple):
    one: int
    other: int
    score: float
    probability: float
    value: float
    evidence: str
    reason: str
    refusal: str


def writes_of(rows: Sequence[Row], *, model_id: int | None, now: datetime) -> list[Call]:
    """What writes them, in the order of their profiles. Many are written at once, inside the caller's transaction.

    Nobody else may add pairs meanwhile.
    """
    if len(rows) <= FEW:
        return [_UPSERT.of(*map(list, zip(*rows, strict=True)), model_id, now)] if rows else []
    known = set(_KNOWN.rows(*columns([row[:2] for row in rows])))
    _copy_new([row for row in rows if row[:2] not in known], model_id=model_id, now=now)
    _copy_known([row for row in rows if row[:2] in known], model_id=model_id, now=now)
    return []


def _copy_new(rows: Sequence[Row], *, model_id: int | None, now: datetime) -> None:
    moment = _field(timestamp_micros(now).to_bytes(8, "big", signed=True))
    model = NULL if model_id is None else _field(model_id.to_bytes(8, "big"))
    waiting, rest = _field(b"waiting"), model + moment + moment + _field(b"\0")
    encoded = bytearray()
    for one, other, score, probability, value, evidence, *texts in rows:
        reason, refusal = (text.encode() for text in texts)
        encoded += _NUMBERS(13, 8, one, 8, other, 8, score, 8, probability, 8, value)
        encoded += _field(_JSONB + evidence.encode()) + waiting + _field(reason) + _field(refusal) + rest
    if rows:
        copy_rows(table="match_candidate", columns=_COLUMNS, rows=encoded)


def _copy_known(rows: Sequence[Row], *, model_id: int | None, now: datetime) -> None:
    if not rows:
        return
    encoded = bytearray()
    for one, other, score, probability, value, *texts in rows:
        encoded += _NUMBERS(8, 8, one, 8, other, 8, score, 8, probability, 8, value)
        encoded += b"".join(_field(text.encode()) for text in texts)
    with connection.cursor() as cursor:
        cursor.execute(_FOUND)
        copy_rows(table="match_found", columns=Row._fields, rows=encoded)
        cursor.execute(_WRITE.format(rows="match_found", model_id="%s", now="%s"), [model_id, now, now])


def _field(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value


_COLUMNS = (
    "one_id", "other_id", "score", "probability", "value", "evidence", "state", "reason", "refusal", "model_id",
    "found_at", "updated_at", "merge_due",
)  # fmt: skip
_NUMBERS = struct.Struct(">hiqiqididid").pack
_JSONB = b"\1"  # the version of its binary form, before the text
_KNOWN = Prepared(
    "match_known",
    ["bigint[]", "bigint[]"],
    "SELECT c.one_id, c.other_id FROM unnest($1, $2) AS u(one_id, other_id)"
    " JOIN match_candidate c ON c.one_id = u.one_id AND c.other_id = u.other_id",
)
_FOUND = """
CREATE TEMP TABLE IF NOT EXISTS match_found (one bigint, other bigint, score float8, probability float8, value float8,
  evidence text, reason text, refusal text) ON COMMIT DELETE ROWS;
DELETE FROM match_found
"""
# `skipped_at` stays: a person who skipped a pair is not asked again because a score moved a little.
_WRITE = """
INSERT INTO match_candidate AS c (one_id, other_id, score, probability, value, evidence, state, reason, refusal,
  model_id, found_at, updated_at, merge_due)
SELECT u.one, u.other, u.score, u.probability, u.value, u.evidence::jsonb, 'waiting', u.reason, u.refusal,
  {model_id}, {now}, {now}, false
FROM {rows} AS u(one, other, score, probability, value, evidence, reason, refusal)
ORDER BY 1, 2
ON CONFLICT (one_id, other_id) DO UPDATE SET score = EXCLUDED.score, probability = EXCLUDED.probability,
  value = EXCLUDED.value, evidence = EXCLUDED.evidence, state = 'waiting', reason = EXCLUDED.reason,
  refusal = EXCLUDED.refusal, model_id = EXCLUDED.model_id, updated_at = EXCLUDED.updated_at, merge_due = false
WHERE c.state IN ('waiting', 'refused', 'gone')
"""
_UPSERT = Prepared(
    "match_upsert",
    ["bigint[]", "bigint[]", *["float8[]"] * 3, *["text[]"] * 3, "bigint", "timestamptz"],
    _WRITE.format(rows="unnest($1, $2, $3, $4, $5, $6, $7, $8)", model_id="$9", now="$10"),
)
