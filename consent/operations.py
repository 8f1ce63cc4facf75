"""Writing choices down: appended to the ledger, folded into the latest choice per identifier. R: G3, G4"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from cdp.kernel.identifiers import normalise
from cdp.kernel.tasks import nudge
from consent.contracts import ConsentInput, Recorded, State
from consent.errors import NoSubjectError, UnknownPurposeError
from consent.models import ConsentNews, Purpose
from consent.subjects import require_ledger_key, subject_hashes

_RESERVE_IDS = """
    SELECT nextval(pg_get_serial_sequence('consent_consentrecord', 'id')) FROM generate_series(1, %s)
"""

# Of two choices of one instant about one identifier the stricter holds: `policy.latest` says the same in Python.
_STRICTNESS = "CASE {0}.state WHEN 'granted' THEN 0 WHEN 'expired' THEN 1 ELSE 2 END"

# One statement, so that ledger and fold cannot disagree. Rows are written in the order of their unique keys:
# two senders of the same choices then wait for each other and do not deadlock.
_APPEND = f"""
    WITH given AS (
        SELECT * FROM jsonb_to_recordset(%s) AS row (
            id bigint, subjects text[], purpose_id bigint, state text, legal_basis text, jurisdiction text,
            notice text, notice_version text, method text, evidence jsonb, actor text, happened_at timestamptz,
            recorded_at timestamptz, expires_at timestamptz, external_id text
        )
    ), added AS (
        INSERT INTO consent_consentrecord (
            id, subjects, purpose_id, state, legal_basis, jurisdiction, notice, notice_version, method, evidence,
            actor, happened_at, recorded_at, expires_at, external_id
        )
        SELECT id, subjects, purpose_id, state, legal_basis, jurisdiction, notice, notice_version, method, evidence,
               actor, happened_at, recorded_at, expires_at, external_id
        FROM given ORDER BY external_id, id
        ON CONFLICT (external_id) DO NOTHING
        RETURNING id, subjects, purpose_id, state, happened_at, expires_at
    ), latest AS (
        SELECT DISTINCT ON (subject, purpose_id) subject, purpose_id, state, happened_at, expires_at, id
        FROM added CROSS JOIN LATERAL unnest(subjects) AS subject
        ORDER BY subject, purpose_id, happened_at DESC, {_STRICTNESS.format("added")} DESC,
                 expires_at ASC NULLS LAST, id DESC
    ), folded AS (
        INSERT INTO consent_consentstate AS held (subject, purpose_id, state, happened_at, expires_at, record_id)
        SELECT subject, purpose_id, state, happened_at, expires_at, id FROM latest ORDER BY subject, purpose_id
        ON CONFLICT (subject, purpose_id) DO UPDATE SET
            state = excluded.state, happened_at = excluded.happened_at,
            expires_at = excluded.expires_at, record_id = excluded.record_id
        WHERE (held.happened_at, {_STRICTNESS.format("held")},
               coalesce(excluded.expires_at, 'infinity'), held.record_id)
            < (excluded.happened_at, {_STRICTNESS.format("excluded")},
               coalesce(held.expires_at, 'infinity'), excluded.record_id)
    )
    SELECT id FROM added
"""


def record_consent(
    *,
    subjects: Sequence[tuple[str, str]],
    purpose: str,
    state: State | str,
    method: str,
    happened_at: datetime,
    now: datetime,
    **details: Any,
) -> Recorded:
    """One choice; `details` are the further fields of `ConsentInput` (external_id, expires_at, evidence, …)."""
    choice = ConsentInput(
        subjects=subjects,
        purpose=purpose,
        state=State(state),
        method=method,
        happened_at=happened_at,
        **details,
    )
    return record_consents(choices=[choice], now=now)[0]


def record_consents(*, choices: Sequence[ConsentInput], now: datetime) -> list[Recorded]:
    """Append choices and fold them, all or none; the answer is in the order of `choices`.

    A choice whose external id is in the ledger already adds nothing. One that claims to lie in the future counts
    as made now. Raises UnknownPurposeError and NoSubjectError, with the place of the choice at fault as path.
    """
    if not choices:
        return []
    require_ledger_key()
    purposes = dict(Purpose.objects.values_list("slug", "id"))
    rows = [_row(choice, place=place, purposes=purposes, now=now) for place, choice in enumerate(choices)]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_RESERVE_IDS, [len(rows)])
        for row, (record_id,) in zip(rows, cursor.fetchall(), strict=True):
            row["id"] = record_id
        cursor.execute(_APPEND, [json.dumps(rows, default=datetime.isoformat)])
        created = {record_id for (record_id,) in cursor.fetchall()}
        known = _records_of(row["external_id"] for row in rows if row["id"] not in created)
        _tell(choice for choice, row in zip(choices, rows, strict=True) if row["id"] in created)
    return [_recorded(row, created=created, known=known) for row in rows]


def _tell(choices: Iterable[ConsentInput]) -> None:
    """Have the profiles follow that these lead to, and the segments that ask about them."""
    said = {
        (kind, spelt) for choice in choices for kind, value in choice.subjects if (spelt := normalise(kind, value))
    }
    if not said:
        return
    kinds, values = map(list, zip(*sorted(said), strict=True))
    ConsentNews.objects.create(kinds=kinds, values=values)
    transaction.on_commit(lambda: nudge("cdp.evaluate"), robust=True)


def take_news(*, limit: int) -> set[tuple[str, str]]:
    """Claim whose choices were recorded; waits for somebody else who has claimed the same."""
    rows = list(ConsentNews.objects.select_for_update().order_by("pk")[:limit])
    ConsentNews.objects.filter(pk__in=[row.pk for row in rows]).delete()
    return {pair for row in rows for pair in zip(row.kinds, row.values, strict=True)}


def _row(choice: ConsentInput, *, place: int, purposes: Mapping[str, int], now: datetime) -> dict[str, Any]:
    subjects = subject_hashes(choice.subjects)
    if not subjects:
        raise NoSubjectError("Name at least one identifier of the person who chose.", path=f"/{place}/subjects")
    if choice.purpose not in purposes:
        raise UnknownPurposeError(f"There is no purpose {choice.purpose!r}.", path=f"/{place}/purpose")
    return {
        "subjects": subjects,
        "purpose_id": purposes[choice.purpose],
        "state": choice.state,
        "legal_basis": choice.legal_basis,
        "jurisdiction": choice.jurisdiction,
        "notice": choice.notice,
        "notice_version": choice.notice_version,
        "method": choice.method,
        "evidence": dict(choice.evidence),
        "actor": choice.actor,
        "happened_at": min(choice.happened_at, now),
        "recorded_at": now,
        "expires_at": choice.expires_at,
        "external_id": choice.external_id or None,
    }


def _recorded(row: Mapping[str, Any], *, created: set[int], known: Mapping[str, int]) -> Recorded:
    if row["id"] in created:
        return Recorded(row["id"], created=True)
    return Recorded(known[row["external_id"]], created=False)


def _records_of(external_ids: Any) -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT external_id, id FROM consent_consentrecord WHERE external_id = ANY(%s)", [list(external_ids)]
        )
        return dict(cursor.fetchall())
