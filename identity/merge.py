"""Merge profiles: the older id survives, the other redirects for ever, and everything moves to one key."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import connection

from identity.traits import TraitState

_PAIRS = "unnest(%(from)s::bigint[], %(to)s::bigint[]) AS m(absorbed, survivor)"


def absorb(merges: Mapping[int, int], *, now: datetime) -> dict[int, TraitState]:
    """Move identifiers and events of the absorbed profiles (keys) to their survivors (values).

    Returns the traits that the absorbed had; `identity.operations.write_traits` folds them in.
    Rows keyed by profile are deleted and inserted, never updated: on a cluster they live elsewhere.
    """
    # 1. Waits for everybody who still writes to the absorbed. 2. What leads to them. 3. What they hold.
    values: dict[str, Any] = {"from": list(merges.keys()), "to": list(merges.values()), "now": now}
    with connection.cursor() as cursor:
        cursor.execute(_REMOVE, values)
        inherited = {
            id_: TraitState(json.loads(traits), json.loads(stamps)) for id_, traits, stamps in cursor.fetchall()
        }
        for statement in (
            _ALIAS,
            _RETARGET,
            _IDENTIFIERS,
            _PROFILE_IDENTIFIERS,
            _TRAIT_HISTORY,
            _ACCOUNTS,
            _SESSIONS,
            _EVENTS,
        ):
            cursor.execute(statement, values)
    return inherited


_REMOVE = (
    "DELETE FROM profile WHERE id IN"
    " (SELECT id FROM profile WHERE id = ANY(%(from)s::bigint[]) ORDER BY id FOR UPDATE)"
    " RETURNING id, traits, provenance"
)
_ALIAS = (
    "INSERT INTO profile_alias (profile_id, canonical_id, merged_at)"
    f" SELECT m.absorbed, m.survivor, %(now)s FROM {_PAIRS} ORDER BY 1"
)
_RETARGET = f"UPDATE profile_alias a SET canonical_id = m.survivor FROM {_PAIRS} WHERE a.canonical_id = m.absorbed"
_IDENTIFIERS = (
    f"UPDATE identifier i SET profile_id = m.survivor FROM {_PAIRS}"
    " JOIN profile_identifier p ON p.profile_id = m.absorbed WHERE i.kind = p.kind AND i.value = p.value"
)
_PROFILE_IDENTIFIERS = (
    f"WITH moved AS (DELETE FROM profile_identifier p USING {_PAIRS} WHERE p.profile_id = m.absorbed"
    " RETURNING m.survivor, p.kind, p.value, p.first_seen_at, p.source_id)"
    " INSERT INTO profile_identifier (profile_id, kind, value, first_seen_at, source_id)"
    " SELECT * FROM moved ORDER BY 1, 2, 3"
)
_TRAIT_HISTORY = (
    f"WITH moved AS (DELETE FROM trait_history h USING {_PAIRS} WHERE h.profile_id = m.absorbed"
    " RETURNING m.survivor, h.at, h.event_id, h.source_id, coalesce(h.origin_id, h.profile_id) AS origin_id,"
    " h.recorded_at, h.traits)"
    " INSERT INTO trait_history (profile_id, at, event_id, source_id, origin_id, recorded_at, traits)"
    " SELECT * FROM moved ORDER BY 1, 2, 3"
)
_ACCOUNTS = (
    f"WITH moved AS (DELETE FROM account_member a USING {_PAIRS} WHERE a.profile_id = m.absorbed"
    " RETURNING m.survivor, a.account_id, a.first_seen_at, a.last_seen_at)"
    " INSERT INTO account_member (profile_id, account_id, first_seen_at, last_seen_at)"
    " SELECT survivor, account_id, min(first_seen_at), max(last_seen_at) FROM moved GROUP BY 1, 2 ORDER BY 1, 2"
    " ON CONFLICT (profile_id, account_id) DO UPDATE"
    "   SET first_seen_at = least(account_member.first_seen_at, EXCLUDED.first_seen_at),"
    "     last_seen_at = greatest(account_member.last_seen_at, EXCLUDED.last_seen_at)"
)
# Before the events: it waits for whoever is just ending a session of the absorbed, and writes an event for it.
_SESSIONS = (
    f"WITH moved AS (DELETE FROM device_session s USING {_PAIRS} WHERE s.profile_id = m.absorbed"
    " RETURNING m.survivor, s.device, s.first, s.first_id, s.last, s.due, s.ended, s.source_id, s.state)"
    " INSERT INTO device_session (profile_id, device, first, first_id, last, due, ended, source_id, state)"
    " SELECT * FROM moved ORDER BY 1, 2, 3, 4"
)
_EVENTS = (
    f"WITH moved AS (DELETE FROM event e USING {_PAIRS} WHERE e.profile_id = m.absorbed"
    " RETURNING e.ts, e.id, m.survivor, e.name_id, e.value, e.properties, e.context, e.source_id, e.received_at)"
    " INSERT INTO event (ts, id, profile_id, name_id, value, properties, context, source_id, received_at)"
    " SELECT * FROM moved ORDER BY 3, 4, 1"
)
