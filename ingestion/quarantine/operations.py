"""Writes of the quarantine: discard and take back, edit, replay, forget what is old."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.db import connection, transaction
from django.db.models import Max

from ingestion.contracts import Held, InboxRow
from ingestion.models import Source
from ingestion.quarantine.contracts import Criteria, ReplayBatch
from ingestion.quarantine.errors import QuarantineError
from ingestion.quarantine.fix import Steps, apply, read_steps, stored_form
from ingestion.quarantine.models import QuarantinedMessage, Replay
from ingestion.quarantine.queries import matching
from ingestion.settings import settings_of

MAX_PAYLOAD = 1_000_000
DELETED_AT_ONCE = 5_000

State = QuarantinedMessage.State


def discard(*, criteria: Criteria, reason: str, by: str, now: datetime) -> int:
    """Set messages aside that need no repair; they can be taken back until they are too old. Returns how many."""
    rows = matching(criteria).filter(state=State.HELD)
    return rows.update(state=State.DISCARDED, closed_at=now, closed_by=by[:150], discard_reason=reason[:200])


def restore(*, criteria: Criteria) -> int:
    """Take back what was discarded. Returns how many messages are held again."""
    rows = matching(criteria).filter(state=State.DISCARDED)
    return rows.update(state=State.HELD, closed_at=None, closed_by="", discard_reason="")


def edit(*, message: QuarantinedMessage, payload: bytes) -> None:
    """Keep what somebody made of a message; the original stays until a replay of this has succeeded."""
    if len(payload) > MAX_PAYLOAD:
        raise QuarantineError(f"A message may be {MAX_PAYLOAD:,} bytes long.", code="too_large", path="/payload")
    try:
        msgspec.json.decode(payload)
    except (ValueError, RecursionError) as error:
        raise QuarantineError(f"This is not JSON: {error}", code="json_invalid", path="/payload") from None
    message.edited = payload
    message.save(update_fields=["edited"])


@transaction.atomic
def start_replay(*, source: Source, criteria: Criteria, steps: Steps = (), by: str = "", now: datetime) -> Replay:
    """Ask for messages to go through the drain again, each after `steps`. What comes later is not among them."""
    meant = msgspec.structs.replace(criteria, source=source.slug, state=State.HELD)
    rows = matching(meant)
    last = rows.aggregate(last=Max("pk"))["last"]
    if last is None:
        raise QuarantineError("No held message matches this.", code="nothing_matches")
    return Replay.objects.create(
        source=source,
        criteria=meant.stored_form(),
        operations=stored_form(steps),
        asked_by=by[:150],
        asked_at=now,
        upto=last,
        total=rows.count(),
    )


def cancel_replay(*, replay_id: int, now: datetime) -> bool:
    """Stop after the batch at hand. What was replayed stays replayed; the rest stays held."""
    return bool(Replay.objects.filter(pk=replay_id, finished_at=None).update(finished_at=now, cancelled=True))


def claim_replay(*, now: datetime, limit: int) -> ReplayBatch | None:
    """The next messages of the oldest replay that nobody is at; None where there is none.

    Call it in the transaction that drains them and settles the batch: it holds the replay and the messages.
    """
    open_ones = Replay.objects.filter(finished_at=None).order_by("pk")
    replay = open_ones.select_for_update(skip_locked=True).first()
    if replay is None:
        return None
    criteria = msgspec.convert(replay.criteria, Criteria)
    waiting = matching(criteria).filter(pk__gt=replay.after, pk__lte=replay.upto).order_by("pk")
    found = list(waiting.select_for_update(of=("self",))[:limit])
    if not found:
        Replay.objects.filter(pk=replay.pk).update(finished_at=now)
        return ReplayBatch(replay.pk, [], [])
    ids = [message.pk for message in found]
    QuarantinedMessage.objects.filter(pk__in=ids).update(state=State.REPLAYING)
    steps = read_steps(replay.operations)
    return ReplayBatch(replay.pk, ids, [row_of(message, steps) for message in found])


def row_of(message: QuarantinedMessage, steps: Steps = (), *, payload: bytes | None = None) -> InboxRow:
    """A message as the drain takes it, as if it came in its request again."""
    kept = payload if payload is not None else bytes(message.payload if message.edited is None else message.edited)
    return InboxRow(
        id=message.inbox_id,
        source_id=message.source_id,
        received_at=message.received_at,
        kind=message.route,
        events=1,
        remote_addr=message.remote_addr,
        body=apply(kept, steps),
        held=Held(message.pk, message.position, bytes(message.batch_context), message.sent_at),
    )


def settle_replay(batch: ReplayBatch, *, stored: int, duplicates: int, refused: int, now: datetime) -> None:
    """Close what did not come back, and drop its payload; move the replay on."""
    closed = QuarantinedMessage.objects.filter(pk__in=batch.ids, state=State.REPLAYING)
    done = closed.update(state=State.REPLAYED, closed_at=now, payload=b"", edited=None, batch_context=b"")
    replay = Replay.objects.get(pk=batch.replay_id)
    replay.after = batch.ids[-1]
    replay.done += len(batch.ids)
    replay.failed += len(batch.ids) - done
    replay.stored += stored
    replay.duplicates += duplicates
    replay.refused += refused
    replay.save(update_fields=["after", "done", "failed", "stored", "duplicates", "refused"])


def drop_expired(*, now: datetime) -> int:
    """Delete messages that are older than their source keeps them; their counts stay. Returns how many."""
    days = {source.pk: settings_of(source.settings).quarantine.keep_days for source in Source.objects.all()}
    return sum(_drop_before(id_, now - timedelta(days=kept)) for id_, kept in days.items())


def _drop_before(source_id: int, limit: datetime) -> int:
    dropped = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM quarantined_message WHERE id IN (SELECT id FROM quarantined_message"
                " WHERE source_id = %s AND last_received_at < %s ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED)",
                [source_id, limit, DELETED_AT_ONCE],
            )
            deleted = int(cursor.rowcount)
        dropped += deleted
        if deleted < DELETED_AT_ONCE:
            return dropped


def read_criteria(raw: Any) -> Criteria:
    """From JSON, checked.

    Raises:
        QuarantineError: with the path of what makes no sense.
    """
    try:
        criteria: Criteria = msgspec.convert(raw, Criteria, strict=False)
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at `")
        path = place.rstrip("`").replace("$", "").replace(".", "/").replace("[", "/").replace("]", "")
        raise QuarantineError(text, code="filter_invalid", path=path) from None
    return criteria
