"""The drain (`cdp.pipeline`): claims a chunk, tries again what that mends, takes apart what one message fails."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

import structlog
from django.db import DataError, IntegrityError, InternalError, OperationalError, transaction

import identity.kinds.stage
import ingestion.operations
from cdp.chunk import Drained, Opened, open_rows, store
from cdp.kernel.garbage import collecting_later
from ingestion import event_log, inbox, messages, partitions
from ingestion.contracts import InboxRow, SourceTerms
from ingestion.quarantine import operations as quarantine

CHUNK_EVENTS = 3_000
BACKLOGS = (10_000, 20_000)
"""In a chunk of a backlog, the longer the more: an event costs less, and nobody who waits there is served at once
anyhow.
"""
ATTEMPTS = 5
PREPARATIONS = 50

# What one message can bring about: PostgreSQL or a decoder cannot take it, or code of ours did not think of it. Losing
# the database, a deadlock or another worker is nobody's message, and is tried again.
POISON = (
    DataError,
    IntegrityError,
    InternalError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)

Result = TypeVar("Result")
log = structlog.get_logger(__name__)


def persistently(step: Callable[[], Result], *, now: datetime) -> Result:
    """Try again after what another try mends: a partition or a name that is missing, a deadlock.

    What is missing is made for the rows of one try. Where others take those meanwhile, the next lacks another month.
    """
    attempts, preparations = ATTEMPTS, PREPARATIONS
    with collecting_later():
        while attempts and preparations:
            try:
                return step()
            except event_log.UnpreparedError as unprepared:
                event_log.prepare(unprepared.events, now=now)
                preparations -= 1
            except event_log.RepeatedError:
                log.info("drain_repeated")
                attempts -= 1
            except OperationalError as error:
                if not _is_deadlock(error):
                    raise
                log.info("drain_deadlock")
                attempts -= 1
        return step()


def _is_deadlock(error: OperationalError) -> bool:
    return getattr(error.__cause__, "pgcode", None) == "40P01"


def drain_chunk(*, now: datetime, max_events: int | None, committed: Callable[[], None] | None) -> Drained:
    def claim() -> list[InboxRow]:
        rows = inbox.claim(max_events=max_events or CHUNK_EVENTS, backlogs=() if max_events else BACKLOGS)
        if rows and committed:
            transaction.on_commit(committed)
        return rows

    try:
        with transaction.atomic():
            return _drain_rows(claim(), now=now)
    except POISON as error:
        log.warning("chunk_taken_apart", error=str(error))
        partitions.forget_dropped_partitions()
        with transaction.atomic():
            return sum((_drain_suspect(row, now=now) for row in claim()), Drained())


def replay_batch(*, now: datetime, limit: int) -> bool:
    with transaction.atomic():
        batch = quarantine.claim_replay(now=now, limit=limit)
        if batch is None or not batch.rows:
            return batch is not None
        try:
            with transaction.atomic():
                drained = _drain_rows(batch.rows, now=now)
        except POISON as error:
            log.warning("replay_taken_apart", error=str(error))
            drained = sum((_drain_suspect(row, now=now) for row in batch.rows), Drained())
        quarantine.settle_replay(
            batch, stored=drained.stored, duplicates=drained.duplicates, refused=drained.refused, now=now
        )
        return True


def _drain_rows(rows: Sequence[InboxRow], *, now: datetime) -> Drained:
    if not rows:
        return Drained()
    sources = ingestion.operations.hold_sources(ids={row.source_id for row in rows})
    identity.kinds.stage.follow_rules(sources)
    return store(rows, open_rows(rows, sources), sources, now=now)


# --- When one message fails a chunk -------------------------------------------------------------------------


def _drain_suspect(row: InboxRow, *, now: datetime) -> Drained:
    try:
        with transaction.atomic():
            return _drain_rows([row], now=now)
    except POISON:
        sources = ingestion.operations.hold_sources(ids={row.source_id})
        decoded, rejected, again = open_rows([row], sources)
    good = [event for event in decoded if _can_be_stored(Opened([event], [], []), row, sources, now=now)]
    told = [event for event in again if _can_be_stored(Opened([], [], [event]), row, sources, now=now)]
    kept = {id(event) for event in (*good, *told)}
    rejected += [
        messages.reject(
            event,
            received_at=row.received_at,
            code="not_storable",
            message="This message cannot be stored: a number is out of range, or we did not expect its like.",
        )
        for event in (*decoded, *again)
        if id(event) not in kept
    ]
    with transaction.atomic():
        return store([row], Opened(good, rejected, told), sources, now=now)


def _can_be_stored(opened: Opened, row: InboxRow, sources: Mapping[int, SourceTerms], *, now: datetime) -> bool:
    """Try a message alone, and take it back."""
    try:
        with transaction.atomic():
            store([replace(row, id=0)], opened, sources, now=now)
            transaction.set_rollback(True)
    except POISON:
        return False
    return True
