"""Versions on their way: asked for, leased to one worker at a time, and told what changes meanwhile.

An edit makes a `Computation`. A worker claims it with a lease, computes it aside, and publishes it
(`segments.publishing`). Until then the version before it stays live: evaluation goes on by it, and notes the profiles
that it claimed changes of, so that the version on its way is asked about them again.

Rows are locked in one order: the references between segments, computations, segments by id, the rest.
"""

import threading
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import DatabaseError, connection, connections, transaction
from django.db.models import Q
from django.utils import timezone

from cdp.kernel.access.models import User
from cdp.kernel.prepared import Prepared
from cdp.kernel.tasks import send_on_commit
from segments.engine import local_settings
from segments.models import Computation, Noted, Segment, SegmentVersion

LEASE = timedelta(seconds=20)
BEAT_SECONDS = 1.0
ATTEMPTS = 5
_SLOTS_LOCK = 7_305_211_905

Clock = Callable[[], datetime]

log = structlog.get_logger(__name__)


# --- Asked for ----------------------------------------------------------------------------------------------


def ask(*, segment: Segment, number: int, definition: Any, user: User | None, now: datetime) -> Computation:
    """Have a version computed in place of any other that is on its way; the caller holds references and segment."""
    waiting: dict[str, Any] = {"worker": "", "lease_until": None, "attempts": 0, "started_at": None}
    waiting |= {"phase": "", "done": 0, "total": 0, "error": ""}
    waiting |= {"number": number, "definition": definition, "asked_by": user, "asked_at": now}
    computation, _ = Computation.objects.update_or_create(segment=segment, defaults=waiting)
    send_on_commit("cdp.recompute", segment.pk)
    return computation


def hold(segment_id: int) -> Computation | None:
    """Lock the computation of a segment, if there is one: before the segment, since evaluation locks it first."""
    return Computation.objects.select_for_update(of=("self",)).filter(segment_id=segment_id).first()


def drop(computation: Computation, outcome: SegmentVersion.Outcome) -> None:
    """Take a version off its way; whoever computes it finds out at the next beat, or when it is to be published."""
    unpublished = SegmentVersion.objects.filter(segment_id=computation.segment_id, number=computation.number)
    unpublished.filter(published_at=None).update(outcome=outcome)
    computation.delete()


def waiting(*, now: datetime) -> list[int]:
    """Segments with a version that nobody computes: asked for a moment ago, or their worker is gone."""
    found = Computation.objects.filter(_free_at(now), error="").order_by("asked_at", "pk")
    return list(found.values_list("segment_id", flat=True))


def _free_at(now: datetime) -> Q:
    return Q(lease_until=None) | Q(lease_until__lte=now)


# --- What changes meanwhile ---------------------------------------------------------------------------------

# FOR KEY SHARE: publishing waits for whoever notes, and nobody else does. A version that is published while this
# waits is gone when it returns, and the dependency index, which is read after it, has what it reads.
_ON_THEIR_WAY = Prepared(
    "computations_under_way", [], "SELECT id FROM segment_computation WHERE error = '' ORDER BY id FOR KEY SHARE"
)


def note(profile_ids: Collection[int]) -> None:
    """Tell every version on its way that these profiles changed, in the transaction that claims the changes."""
    found = [row[0] for row in _ON_THEIR_WAY.rows()]
    ids = sorted(profile_ids)
    Noted.objects.bulk_create(Noted(computation_id=computation_id, profile_ids=ids) for computation_id in found)


# --- Leases -------------------------------------------------------------------------------------------------


class LostError(Exception):
    """The version was cancelled or replaced while it was computed, or another worker took it over."""


class Lease:
    """One worker's hold on a computation, and how far it is."""

    def __init__(self, computation: Computation) -> None:
        self.id = computation.pk
        self.segment_id = computation.segment_id
        self.worker = computation.worker
        self.phase = computation.phase
        self.done = 0
        self.total = 0
        self.lost = False
        self.settled = False

    def report(self, phase: str, *, done: int = 0, total: int = 0) -> None:
        """Shown to whoever waits, from the next beat on."""
        if self.lost:
            raise LostError
        self.phase, self.done, self.total = phase, done, total

    def mine(self) -> Any:
        return Computation.objects.filter(pk=self.id, worker=self.worker)


@transaction.atomic
def claim(*, segment_id: int, now: datetime, slots: int | None = None) -> Lease | None:
    """Take the lease of a segment's version; None where nothing waits, or `slots` others are being computed.

    A version whose workers died so often that it is likely the reason is given up.
    """
    if slots is not None and not _is_free(slots, now):
        return None
    rows = Computation.objects.select_for_update(no_key=True, skip_locked=True, of=("self",))
    found = rows.filter(_free_at(now), segment_id=segment_id, error="").first()
    if found is None:
        return None
    if found.attempts >= ATTEMPTS:
        fail(found, f"Whoever computed it was stopped {ATTEMPTS} times. Shorten its windows, or compute it again.")
        return None
    found.noted.all().delete()  # what was noted before now is in the data that is about to be read
    found.worker, found.lease_until = uuid.uuid4().hex, now + LEASE
    found.attempts += 1
    found.started_at, found.phase, found.done, found.total = now, "Starting", 0, 0
    found.save()
    return Lease(found)


def _is_free(slots: int, now: datetime) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_SLOTS_LOCK])
    return Computation.objects.filter(lease_until__gt=now).count() < slots


def fail(computation: Computation, reason: str) -> None:
    """Keep the error with the version; a segment that has another version live stays as it is."""
    reason = reason.strip()[:500]
    log.error("version_failed", segment=computation.segment_id, number=computation.number, error=reason)
    Computation.objects.filter(pk=computation.pk).update(error=reason, worker="", lease_until=None, phase="")
    another_is_live = Q(state=Segment.State.LIVE) & ~Q(version=computation.number)
    concerned = Segment.objects.filter(pk=computation.segment_id).exclude(another_is_live)
    concerned.exclude(state__in=Segment.AT_REST).update(state=Segment.State.FAILED, error=reason)
    versions = SegmentVersion.objects.filter(segment_id=computation.segment_id, number=computation.number)
    versions.filter(published_at=None).update(outcome=SegmentVersion.Outcome.FAILED)


@contextmanager
def keep_alive(lease: Lease) -> Iterator[None]:
    """Beat on a connection of its own, which sees that the lease is lost and stops the query that runs.

    Inside a transaction of the caller nobody else can see the lease, and nobody takes it.
    """
    if connection.in_atomic_block:
        yield
        return
    connection.ensure_connection()
    stop = threading.Event()
    beats = threading.Thread(target=_beat, args=(lease, stop, connection.connection.cancel), daemon=True)
    beats.start()
    try:
        yield
    finally:
        stop.set()
        beats.join()


def _beat(lease: Lease, stop: threading.Event, cancel: Callable[[], None]) -> None:
    try:
        while not stop.wait(BEAT_SECONDS):
            if not _renew(lease) and not lease.settled:
                lease.lost = True
                cancel()
                return
    finally:
        connections.close_all()


def _renew(lease: Lease) -> bool:
    """True too where the row is locked, for publishing: that holds it better than any lease."""
    progress = {"phase": lease.phase, "done": lease.done, "total": lease.total}
    try:
        with transaction.atomic(), local_settings(lock_timeout="500ms"):
            return bool(lease.mine().update(lease_until=timezone.now() + LEASE, **progress))
    except DatabaseError as error:
        log.info("beat_missed", segment=lease.segment_id, error=str(error))
        return True
