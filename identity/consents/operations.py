"""Keep how each profile's consent stands, after a choice was recorded or a profile's identifiers changed.

Who records and who links write a row of what they did, in the transaction in which they do it: neither sees what the
other has not committed. What follows from both is read afterwards, from what is committed, so that whichever row is
followed later sees both. Where a deployment has no purpose, nothing is written.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db import connection

import consent.operations
import consent.queries
from cdp.kernel.identifiers import normalise
from cdp.kernel.prepared import Prepared
from consent.policy import Course, Standing, course
from identity.consents.subjects import subjects_of
from identity.contracts import Identifier, Resolution
from identity.kinds.rules import fresh

ROWS_AT_ONCE = 20

_NOTE = (
    "INSERT INTO stale_consent (profile_ids, kinds, values)"
    " SELECT %s::bigint[], %s::text[], %s::text[] WHERE EXISTS (SELECT FROM consent_purpose)"
)


def note_stale(profile_ids: Collection[int]) -> None:
    """These profiles have gained or lost identifiers, or are no more."""
    if profile_ids:
        _run(_NOTE, ["{" + ",".join(map(str, sorted(profile_ids))) + "}", [], []])


def note_resolved(resolution: Resolution) -> None:
    """Of a chunk: who gained identifiers, and who was merged."""
    note_stale(resolution.linked | resolution.absorbed.keys() | set(resolution.absorbed.values()))


def note_regrouped(profile_ids: Collection[int], _now: datetime) -> None:
    """Profiles that merged or parted."""
    note_stale(profile_ids)


def note_spelt(identifiers: Iterable[Identifier]) -> None:
    """These are known under another spelling now."""
    listed = sorted(set(identifiers))
    _run(_NOTE, [[], [kind for kind, _ in listed], [value for _, value in listed]])


# --- What follows from it -------------------------------------------------------------------------------------

_WAITING = Prepared(
    "consents_waiting", [], "SELECT EXISTS (SELECT FROM stale_consent) OR EXISTS (SELECT FROM consent_news)"
)
_DROP = (
    "DELETE FROM stale_consent WHERE id IN"
    " (SELECT id FROM stale_consent ORDER BY id LIMIT 1000 FOR UPDATE SKIP LOCKED)"
)
# Waits for another worker that is at the same rows: who goes on then finds that worker's answers.
_CLAIM = "SELECT id, profile_ids, kinds, values FROM stale_consent ORDER BY id LIMIT %s FOR UPDATE"
_TAKE = "DELETE FROM stale_consent WHERE id = ANY(%s)"


def follow() -> dict[int, frozenset[int]]:
    """Bring up to date what waits, a part of it where that is much; by profile, the purposes that stand otherwise."""
    if not _WAITING.rows()[0][0]:
        return {}
    if not consent.queries.has_choices():
        _run(_DROP)
        return {}
    stale = _rows(_CLAIM, [ROWS_AT_ONCE])
    _run(_TAKE, [[row[0] for row in stale]])
    identifiers = consent.operations.take_news(limit=ROWS_AT_ONCE)
    profile_ids: set[int] = set()
    for _, ids, kinds, values in stale:
        profile_ids.update(ids)
        identifiers |= set(zip(kinds, values, strict=True))
    return refresh(profile_ids | _led_to(identifiers))


def refresh(profile_ids: Collection[int]) -> dict[int, frozenset[int]]:
    """Judge the choices of these profiles anew; by profile, the purposes whose answer has changed."""
    # 1. Most have no choice and had none: they are not locked. 2. Whoever else judges the others waits for us, and
    # then reads what we read and more. 3. What differs is written.
    before = _stored(profile_ids)
    concerned = {id_ for id_, courses in _judge(profile_ids).items() if courses} | before.keys()
    if not concerned:
        return {}
    existing = _lock(concerned)
    before, after = _stored(concerned), _judge(existing)
    changed = {
        id_: frozenset(
            purpose
            for purpose in before.get(id_, {}).keys() | after.get(id_, {}).keys()
            if before.get(id_, {}).get(purpose) != after.get(id_, {}).get(purpose)
        )
        for id_ in sorted(concerned)
    }
    _write(changed, after)
    return {id_: purposes for id_, purposes in changed.items() if purposes}


Courses = dict[int, Course]  # by purpose; one that is unknown for ever is left out


def _judge(profile_ids: Collection[int]) -> dict[int, Courses]:
    people = subjects_of(profile_ids)
    return {
        id_: {purpose: found for purpose, choices in theirs.items() if (found := course(choices)) != _UNKNOWN}
        for id_, theirs in consent.queries.choices_of(people).items()
    }


_UNKNOWN = Course(Standing.UNKNOWN)


def _stored(profile_ids: Collection[int]) -> dict[int, Courses]:
    found: dict[int, Courses] = {}
    for id_, purpose, state, until, becomes in _rows(
        "SELECT profile_id, purpose_id, state, until, becomes FROM profile_consent WHERE profile_id = ANY(%s)",
        [sorted(profile_ids)],
    ):
        then = None if becomes is None else Standing(becomes)
        found.setdefault(id_, {})[purpose] = Course(Standing(state), until, then)
    return found


def _lock(profile_ids: Collection[int]) -> set[int]:
    """Returns those that exist: one that was merged away meanwhile is noted with the one that took it in."""
    statement = "SELECT id FROM profile WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"
    return {id_ for (id_,) in _rows(statement, [sorted(profile_ids)])}


_DELETE = (
    "DELETE FROM profile_consent c USING unnest(%s::bigint[], %s::bigint[]) AS u(profile_id, purpose_id)"
    " WHERE c.profile_id = u.profile_id AND c.purpose_id = u.purpose_id"
)
_UPSERT = (
    "INSERT INTO profile_consent (profile_id, purpose_id, state, until, becomes)"
    " SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::timestamptz[], %s::text[])"
    " ON CONFLICT (profile_id, purpose_id) DO UPDATE"
    " SET state = excluded.state, until = excluded.until, becomes = excluded.becomes"
)


def _write(changed: Mapping[int, Collection[int]], after: Mapping[int, Courses]) -> None:
    gone: list[tuple[int, int]] = []
    kept: list[tuple[int, int, str, datetime | None, str | None]] = []
    for id_, purposes in changed.items():
        for purpose in sorted(purposes):
            now = after.get(id_, {}).get(purpose)
            if now is None:
                gone.append((id_, purpose))
            else:
                kept.append((id_, purpose, now.state.value, now.until, now.then and now.then.value))
    if gone:
        _run(_DELETE, [list(column) for column in zip(*gone, strict=True)])
    if kept:
        _run(_UPSERT, [list(column) for column in zip(*kept, strict=True)])


def _led_to(identifiers: Collection[Identifier]) -> set[int]:
    """The profiles that these lead to, spelt as they were said or as their kind spells them."""
    rules = fresh()
    wanted = {(kind, normalise(kind, value) or value) for kind, value in identifiers}
    wanted |= {(kind, spelt) for kind, value in identifiers if (spelt := rules.spell(kind, value))}
    if not wanted:
        return set()
    listed = sorted(wanted)
    found = _rows(
        "SELECT i.profile_id FROM unnest(%s::text[], %s::text[]) AS u(kind, value)"
        " JOIN identifier i ON i.kind = u.kind AND i.value = u.value",
        [[kind for kind, _ in listed], [value for _, value in listed]],
    )
    return {id_ for (id_,) in found}


def _run(statement: str, values: Collection[Any] = ()) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, list(values))


def _rows(statement: str, values: Collection[Any] = ()) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, list(values))
        return list(cursor.fetchall())
