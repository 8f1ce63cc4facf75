"""Rows of what was merged: with its evidence, and set-wise, since a chunk of messages may merge many."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from identity.contracts import Tie
from ingestion.messages import storable_text


@dataclass(frozen=True, slots=True)
class Made:
    """A merge as it has just been made."""

    survivor_id: int
    absorbed_id: int
    one_origin: int
    other_origin: int
    cause: str
    evidence: Mapping[str, Any]
    moved: Mapping[str, int]
    actor_id: int | None = None


def keep(merges: Sequence[Made], *, now: datetime) -> list[int]:
    """Write them down; returns their ids, in the same order."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO merge"
            " (at, survivor_id, absorbed_id, one_origin, other_origin, cause, evidence, moved, actor_id)"
            " SELECT %s, * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[],"
            " %s::jsonb[], %s::jsonb[], %s::bigint[]) RETURNING id",
            [
                now,
                [one.survivor_id for one in merges],
                [one.absorbed_id for one in merges],
                [one.one_origin for one in merges],
                [one.other_origin for one in merges],
                [str(one.cause) for one in merges],
                [json.dumps(one.evidence) for one in merges],
                [json.dumps(one.moved) for one in merges],
                [one.actor_id for one in merges],
            ],
        )
        return sorted(id_ for (id_,) in cursor.fetchall())


def met_in_message(tie: Tie) -> dict[str, Any]:
    """The evidence of a merge that a message brought about: the identifiers that met in it."""
    return {
        "identifiers": [list(tie.mine), list(tie.theirs)],
        "source_id": tie.sighting.source_id,
        "message_id": storable_text(tie.sighting.message_id),
    }
