"""The members of a segment as a file, for a purpose: who does not allow it is left out.

1. The audit trail is told who takes out what, for which purpose or reason, before the first byte leaves.
2. Members are read in batches over one snapshot. Of each batch consent is asked then, as before a delivery.
3. When the file is done, or given up, the trail is told how many are in it and how many were left out.

Nothing is held beyond a batch, so a million members take no more memory than a thousand.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.cache import cache
from django.db import connection, transaction
from django.http import StreamingHttpResponse
from django.utils import timezone

import consent.queries
from cdp.kernel.access import audit
from consent.models import Purpose
from identity import queries as identity
from identity.consents.subjects import subjects_of
from identity.mapping.export import safe
from segments.insight.columns import Column, as_text
from segments.insight.errors import ExportRefusedError
from segments.models import Segment

ACTION = "segment.export"
DONE, GIVEN_UP = "segment.export.done", "segment.export.given_up"
ANALYSIS = "none"
BATCH = 2_000
PROFILE = "profile"
REMEMBERED_SECONDS = 3_600
SHORTEST_REASON = 5
LONGEST_REASON = 300


@dataclass(frozen=True)
class Terms:
    """What may be taken out and why; without a purpose it is for internal analysis, with a reason."""

    purpose: Purpose | None
    reason: str
    columns: Sequence[Column]


@dataclass(frozen=True)
class Progress:
    """How far an export is. `ended` is done or given_up."""

    total: int
    written: int
    left_out: int
    ended: str = ""

    @property
    def share(self) -> float:
        return min(1.0, (self.written + self.left_out) / self.total) if self.total else 1.0


def terms(*, purpose: str, reason: str, columns: Sequence[Column]) -> Terms:
    """Raises ExportRefusedError."""
    reason = reason.strip()[:LONGEST_REASON]
    if not purpose:
        message = f"Name the purpose that people have to allow, or “{ANALYSIS}” for internal analysis with a reason."
        raise ExportRefusedError(message, path="/purpose")
    if purpose == ANALYSIS:
        if len(reason) < SHORTEST_REASON:
            message = "Without a purpose, say what the analysis is for."
            raise ExportRefusedError(message, code="reason_missing", path="/reason")
        return Terms(None, reason, columns)
    found = Purpose.objects.filter(slug=purpose).first()
    if found is None:
        raise ExportRefusedError(f"There is no purpose “{purpose}”.", code="unknown_purpose", path="/purpose")
    return Terms(found, reason, columns)


def download(*, segment: Segment, asked: Terms, user: Any, now: datetime, key: str = "") -> StreamingHttpResponse:
    """The file as an answer; its progress can be read by `key` while it is written."""
    told = {
        "segment": segment.slug,
        "purpose": asked.purpose.slug if asked.purpose else None,
        "reason": asked.reason,
        "columns": [column.key for column in asked.columns],
        "members": segment.member_count,
    }
    audit.note(user=user, action=ACTION, details=told, now=now)
    lines = _write(segment, asked, user, key)
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{segment.slug}-{now:%Y-%m-%d}.csv"'
    response["X-Accel-Buffering"] = "no"
    return response


def progress_of(key: str) -> Progress | None:
    found: Progress | None = cache.get(f"segment-export:{key}") if key else None
    return found


def would_be_left_out(*, segment: Segment, purpose: Purpose, now: datetime, most: int) -> tuple[int, int]:
    """Of the first `most` members: how many were asked about, and how many of them do not allow the purpose."""
    ids = list(segment.memberships.order_by("-entered_at").values_list("profile_id", flat=True)[:most])
    allowed = sum(len(_allowed(ids[start : start + BATCH], purpose, now)) for start in range(0, len(ids), BATCH))
    return len(ids), len(ids) - allowed


def _write(segment: Segment, asked: Terms, user: Any, key: str) -> Iterator[bytes]:
    progress = Progress(segment.member_count, 0, 0)
    ended = GIVEN_UP
    try:
        for part, progress in _parts(segment, asked):
            _show(key, progress)
            yield part
        ended = DONE
    finally:
        told = {"segment": segment.slug, "written": progress.written, "left_out": progress.left_out}
        audit.note(user=user, action=ended, details=told, now=timezone.now())
        _show(key, Progress(progress.total, progress.written, progress.left_out, ended.rpartition(".")[2]))


def _show(key: str, progress: Progress) -> None:
    if key:
        cache.set(f"segment-export:{key}", progress, REMEMBERED_SECONDS)


def _parts(segment: Segment, asked: Terms) -> Iterator[tuple[bytes, Progress]]:
    """Pieces of the file, each with how far it is."""
    written = left_out = 0
    yield _csv([[PROFILE, *(column.key for column in asked.columns)]]), Progress(segment.member_count, 0, 0)
    for batch in _members(segment):
        ids = [id_ for id_, _ in batch]
        allowed = _allowed(ids, asked.purpose, timezone.now()) if asked.purpose else set(ids)
        views = identity.get_profiles(ids=allowed)
        lines = [
            [str(id_), *(_cell(column.value(views[id_], entered_at)) for column in asked.columns)]
            for id_, entered_at in batch
            if id_ in views
        ]
        written, left_out = written + len(lines), left_out + len(batch) - len(lines)
        yield _csv(lines), Progress(segment.member_count, written, left_out)


def _members(segment: Segment) -> Iterator[list[tuple[int, datetime]]]:
    with transaction.atomic(), connection.chunked_cursor() as cursor:
        raw: Any = cursor
        raw.itersize = BATCH
        cursor.execute(
            "SELECT profile_id, entered_at FROM membership WHERE segment_id = %s ORDER BY entered_at DESC, profile_id",
            [segment.pk],
        )
        while batch := cursor.fetchmany(BATCH):
            yield batch


def _allowed(ids: Sequence[int], purpose: Purpose, now: datetime) -> set[int]:
    decisions = consent.queries.decide_many(people=subjects_of(ids), purpose_id=purpose.pk, now=now)
    return {id_ for id_, decision in decisions.items() if decision.allowed}


def _cell(value: Any) -> str:
    return safe(as_text(value)) if isinstance(value, str) else as_text(value)


def _csv(lines: Sequence[Sequence[str]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer).writerows(lines)
    return buffer.getvalue().encode("utf-8", "replace")
