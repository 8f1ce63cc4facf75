"""Writes of this room: what messages say of accounts, set-wise, in the drain's transaction.

The order of messages does not matter: an account's traits follow the rule of the last writer as a person's do, and a
membership is the span from the earliest message to the latest.
"""

import json
from collections.abc import Collection, Sequence
from datetime import datetime

from django.db import connection

from identity.accounts.contracts import AccountNews, Belonging
from identity.traits import TraitState, TraitUpdate, fold


def note_belongings(belongings: Sequence[Belonging], *, now: datetime) -> AccountNews:
    """Make accounts that are new, merge their traits, and link their people. Nothing to note costs nothing."""
    if not belongings:
        return AccountNews()
    ids = _account_ids({one.group_id for one in belongings}, now=now)
    changed = _merge_traits(
        [
            TraitUpdate(ids[one.group_id], one.at, one.source_id, one.priority, one.traits)
            for one in belongings
            if one.traits
        ],
        now=now,
    )
    return AccountNews(changed, _link(belongings, ids))


def _account_ids(group_ids: Collection[str], *, now: datetime) -> dict[str, int]:
    """Insert first, in order: of two workers with the same new account the second waits, and then finds it."""
    wanted = sorted(group_ids)
    found = _find(wanted)
    missing = [group_id for group_id in wanted if group_id not in found]
    if missing:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO account (group_id, traits, provenance, created_at, updated_at)"
                " SELECT u.group_id, '{}', '{}', %(now)s, %(now)s FROM unnest(%(missing)s::text[]) AS u(group_id)"
                " ON CONFLICT DO NOTHING",
                {"missing": missing, "now": now},
            )
        found |= _find(missing)
    return found


def _find(group_ids: list[str]) -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT group_id, id FROM account WHERE group_id = ANY(%s)", [group_ids])
        return dict(cursor.fetchall())


def _merge_traits(updates: list[TraitUpdate], *, now: datetime) -> dict[int, set[str]]:
    """Returns by account the names whose values changed."""
    if not updates:
        return {}
    ids = sorted({update.profile_id for update in updates})
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, traits, provenance FROM account WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE", [ids]
        )
        states = {id_: TraitState(json.loads(traits), json.loads(stamps)) for id_, traits, stamps in cursor.fetchall()}
        fold(states, updates)
        touched = [id_ for id_ in ids if states[id_].touched]
        cursor.execute(
            "UPDATE account a SET traits = u.traits, provenance = u.provenance, updated_at = u.now"
            " FROM unnest(%s::bigint[], %s::jsonb[], %s::jsonb[], %s::timestamptz[])"
            " AS u(id, traits, provenance, now) WHERE a.id = u.id",
            [
                touched,
                [json.dumps(states[id_].traits) for id_ in touched],
                [json.dumps(states[id_].provenance) for id_ in touched],
                [now] * len(touched),
            ],
        )
    return {id_: state.changed for id_, state in states.items() if state.changed}


def _link(belongings: Sequence[Belonging], ids: dict[str, int]) -> frozenset[int]:
    """Returns the profiles that did not belong to one of their accounts before."""
    spans: dict[tuple[int, int, int], tuple[int, int]] = {}
    for one in belongings:
        key = (one.profile_id, ids[one.group_id], one.origin_id or one.profile_id)
        first, last = spans.get(key, (one.at, one.at))
        spans[key] = (min(first, one.at), max(last, one.at))
    rows = [(*key, *spans[key]) for key in sorted(spans)]
    columns = [list(column) for column in zip(*rows, strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT u.profile_id FROM unnest(%s::bigint[], %s::bigint[]) AS u(profile_id, account_id)"
            " WHERE NOT EXISTS (SELECT FROM account_member m"
            "   WHERE m.profile_id = u.profile_id AND m.account_id = u.account_id)",
            columns[:2],
        )
        joined = frozenset(profile_id for (profile_id,) in cursor.fetchall())
        cursor.execute(
            "INSERT INTO account_member (profile_id, account_id, origin_id, first_seen_at, last_seen_at)"
            " SELECT u.profile_id, u.account_id, u.origin_id,"
            "   timestamptz '2000-01-01 00:00:00+00' + u.first * interval '1 us',"
            "   timestamptz '2000-01-01 00:00:00+00' + u.last * interval '1 us'"
            " FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])"
            "   AS u(profile_id, account_id, origin_id, first, last)"
            " ON CONFLICT (profile_id, account_id, origin_id) DO UPDATE"
            "   SET first_seen_at = least(account_member.first_seen_at, EXCLUDED.first_seen_at),"
            "     last_seen_at = greatest(account_member.last_seen_at, EXCLUDED.last_seen_at)"
            "   WHERE EXCLUDED.first_seen_at < account_member.first_seen_at"
            "     OR EXCLUDED.last_seen_at > account_member.last_seen_at",
            columns,
        )
    return joined
