"""A change of a kind held against the stored identifiers, batch by batch: tried, or carried out.

A dry run counts. A change spells stored identifiers anew, merges the profiles whose identifiers become one where
limits allow it, and takes identifiers away that lead to nobody now; events stay where they are. Both go on where a
worker was killed, and the drain goes on meanwhile: it has followed the new rules since they were saved.
"""

import contextlib
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import DataError, IntegrityError, connection, transaction

from identity.cluster import Clusters
from identity.consents.operations import note_stale
from identity.contracts import ConflictSample, ConflictTally, Identifier
from identity.kinds import conflicts, queries
from identity.kinds.models import KindRun, KindRunValue
from identity.kinds.rules import OTHERS, KindSettings, Reading, compile_reading
from identity.kinds.stage import keep_spellings
from identity.merging.errors import MergeRefusedError
from identity.merging.operations import merge_profiles
from identity.models import Merge

TRY_BATCH, APPLY_BATCH = 2_000, 500
TURN_SECONDS = 2.0
STATEMENTS = 5_000
WAIT_SECONDS = 0.05
SAMPLES = 8
KEPT = timedelta(days=30)

_LOCK = 0x5452_4B52  # any number that nobody else locks, beside the run's id

log = structlog.get_logger(__name__)


class MovedError(Exception):
    """Another worker moved an identifier of the batch meanwhile: look at it again."""


@dataclass(frozen=True, slots=True)
class Stored:
    kind: str
    value: str
    profile_id: int

    @property
    def identifier(self) -> Identifier:
        return self.kind, self.value


@dataclass(slots=True)
class Batch:
    """What the new rules make of some stored identifiers: those spelt otherwise, and those that lead to nobody."""

    rows: list[Stored]
    respelt: list[tuple[Stored, str]]
    lost: list[tuple[Stored, str]]


def continue_run(*, run_id: int, clock: Callable[[], datetime]) -> bool:
    """Go on for about `TURN_SECONDS`; returns whether there is more to do. One worker at a time has a run."""
    end = time.monotonic() + TURN_SECONDS
    with _alone(run_id) as mine:
        while mine and _took_step(run_id, now=clock()):
            if time.monotonic() > end:
                return True
    return False


def waiting_runs(*, idle_since: datetime) -> list[int]:
    """Runs that no worker has taken on for a while: their nudge was lost, or their worker was."""
    rows = KindRun.objects.filter(state=KindRun.State.RUNNING, updated_at__lt=idle_since)
    return list(rows.order_by("id").values_list("id", flat=True))


def forget_old(*, now: datetime) -> None:
    KindRun.objects.filter(created_at__lt=now - KEPT).exclude(state=KindRun.State.RUNNING).delete()


@contextlib.contextmanager
def _alone(run_id: int) -> Iterator[bool]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [_LOCK, run_id])
        (mine,) = cursor.fetchone()
    try:
        yield mine
    finally:
        if mine:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [_LOCK, run_id])


def _took_step(run_id: int, *, now: datetime) -> bool:
    run = KindRun.objects.filter(pk=run_id, state=KindRun.State.RUNNING).first()
    if run is None:
        return False
    settings = KindSettings(**run.proposal)
    try:
        if run.mode == KindRun.Mode.TRY:
            return _try_step(run, compile_reading(settings), now=now)
        if not _others_have_ended(run):
            time.sleep(WAIT_SECONDS)
            return True
        return _apply_step(run, compile_reading(settings), now=now)
    except (MovedError, IntegrityError):
        return True
    except (DataError, ValueError, TypeError, LookupError) as error:
        log.exception("kind_run_failed", run=run_id)
        KindRun.objects.filter(pk=run_id).update(state=KindRun.State.FAILED, error=str(error)[:500], updated_at=now)
        return False


def _others_have_ended(run: KindRun) -> bool:
    """Whether nobody goes by the old rules any more: every transaction from before they were replaced has ended."""
    with connection.cursor() as cursor:
        if not run.after:
            cursor.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")
            (run.after,) = cursor.fetchone()
            run.save(update_fields=["after"])
        cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot()) >= %s::xid8", [run.after])
        return bool(cursor.fetchone()[0])


def _next_batch(run: KindRun, reading: Reading, *, size: int) -> Batch:
    kind, _, value = run.cursor.partition("\x1f")
    names = [one.name for one in queries.all_settings()]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT kind, value, profile_id FROM identifier"
            f" WHERE (kind, value) > (%s, %s) AND {'kind <> ALL(%s)' if run.kind == OTHERS else 'kind = %s'}"
            " ORDER BY kind, value LIMIT %s",
            [kind, value, names if run.kind == OTHERS else run.kind, size],
        )
        rows = [Stored(*row) for row in cursor.fetchall()]
    batch = Batch(rows, [], [])
    for row in rows:
        spelt, reason = reading.read(row.value)
        if spelt is None:
            batch.lost.append((row, reason))
        elif spelt != row.value:
            batch.respelt.append((row, spelt))
    return batch


def _advance(run: KindRun, batch: Batch, *, size: int, now: datetime) -> bool:
    """Note how far it is; returns whether there is more. A run that was stopped meanwhile stays stopped."""
    if batch.rows:
        run.cursor = "\x1f".join(batch.rows[-1].identifier)
    run.looked_at += len(batch.rows)
    run.total = max(run.total, run.looked_at)  # more have come, or one that was spelt anew came up again
    run.updated_at = now
    done = len(batch.rows) < size
    if done:
        run.state = KindRun.State.DONE
    kept = (
        "cursor", "looked_at", "total", "respelt", "together", "merged", "refused", "blocked", "profiles", "samples",
        "state", "updated_at",
    )  # fmt: skip
    rows = KindRun.objects.filter(pk=run.pk, state=KindRun.State.RUNNING)
    return bool(rows.update(**{name: getattr(run, name) for name in kept})) and not done


# --- Trying -------------------------------------------------------------------------------------------------


@transaction.atomic
def _try_step(run: KindRun, reading: Reading, *, now: datetime) -> bool:
    batch = _next_batch(run, reading, size=TRY_BATCH)
    spelt_anew = {(row.kind, spelt) for row, spelt in batch.respelt}
    leads = _led_before(run, spelt_anew) | _leads(spelt_anew)
    judge = _judge({row.profile_id for row, _ in batch.respelt} | set(leads.values()))
    for row, spelt in batch.respelt:
        other = leads.get((row.kind, spelt))
        what = "respelt"
        if other is not None:
            fits = other != row.profile_id and judge.fits(row.profile_id, other)
            what = "together" if other == row.profile_id else "merged" if fits else "refused"
        leads.setdefault((row.kind, spelt), row.profile_id)
        _count(run, what, row, spelt=spelt, other=other)
    for row, reason in batch.lost:
        _count(run, "blocked", row, reason=reason)
    _remember(run, {identifier: leads[identifier] for identifier in spelt_anew}, lost=False)
    _remember(run, {row.identifier: row.profile_id for row, _ in batch.lost}, lost=True)
    if batch.lost:
        run.profiles = run.values.filter(lost=True).values("profile_id").distinct().count()
    more = _advance(run, batch, size=TRY_BATCH, now=now)
    if not more:
        run.values.all().delete()
    return more


def _count(run: KindRun, what: str, row: Stored, **details: Any) -> None:
    """Every identifier that is spelt otherwise counts as such, whatever else becomes of it."""
    run.respelt += what != "blocked"
    if what != "respelt":
        setattr(run, what, getattr(run, what) + 1)
    found = run.samples.setdefault(what, [])
    if len(found) < SAMPLES:
        found.append({"kind": row.kind, "value": row.value, "profile": row.profile_id} | details)


def _judge(profile_ids: Collection[int]) -> Clusters:
    """Says whether two of these may be merged, by the limits in force."""
    holdings: dict[int, list[Identifier]] = {id_: [] for id_ in profile_ids}
    for profile_id, kind, value in _rows(
        "SELECT profile_id, kind, value FROM profile_identifier WHERE profile_id = ANY(%s)", sorted(profile_ids)
    ):
        holdings[profile_id].append((kind, value))
    return Clusters(homes={}, holdings=holdings)


def _leads(identifiers: Collection[Identifier]) -> dict[Identifier, int]:
    rows = _rows(
        "SELECT i.kind, i.value, i.profile_id FROM unnest(%s::text[], %s::text[]) AS u(kind, value)"
        " JOIN identifier i ON i.kind = u.kind AND i.value = u.value",
        *_columns(identifiers, width=2),
    )
    return {(kind, value): profile_id for kind, value, profile_id in rows}


def _led_before(run: KindRun, identifiers: Collection[Identifier]) -> dict[Identifier, int]:
    """Where spellings would lead that came up in an earlier batch."""
    keys = {"\x1f".join(identifier): identifier for identifier in identifiers}
    rows = run.values.filter(lost=False, value__in=list(keys)).values_list("value", "profile_id")
    return {keys[key]: profile_id for key, profile_id in rows}


def _remember(run: KindRun, found: dict[Identifier, int], *, lost: bool) -> None:
    KindRunValue.objects.bulk_create(
        [
            KindRunValue(run=run, value="\x1f".join(identifier), lost=lost, profile_id=profile_id)
            for identifier, profile_id in sorted(found.items())
        ],
        ignore_conflicts=True,
    )


# --- Carrying out -------------------------------------------------------------------------------------------


def _apply_step(run: KindRun, reading: Reading, *, now: datetime) -> bool:
    """1. Merge what meets, each merge by itself; 2. with the profiles locked, spell, take away, and note how far."""
    batch = _next_batch(run, reading, size=APPLY_BATCH)
    parted = _merge_what_meets(run, batch, now=now)
    with transaction.atomic():
        _hold(batch)
        respelt = [(row, spelt) for row, spelt in batch.respelt if row not in parted]
        twins = _leads({(row.kind, spelt) for row, spelt in respelt})
        if any(twins.get((row.kind, spelt), row.profile_id) != row.profile_id for row, spelt in respelt):
            raise MovedError
        _take_away([*(row for row, _ in batch.respelt), *(row for row, _ in batch.lost)], respelt, twins)
        keep_spellings((row.kind, spelt, row.value) for row, spelt in batch.respelt)
        note_stale({row.profile_id for row, _ in (*batch.respelt, *batch.lost)})
        if not run.looked_at and run.kind in {"user_id", "anonymous_id"}:
            _restate(run.kind, reading, now=now)
        for row, spelt in batch.respelt:
            other = twins.get((row.kind, spelt))
            _count(run, "refused" if row in parted else "together" if other else "respelt", row, spelt=spelt)
        for row, reason in batch.lost:
            _count(run, "blocked", row, reason=reason)
        run.profiles += len({row.profile_id for row, _ in batch.lost})
        return _advance(run, batch, size=APPLY_BATCH, now=now)


def _merge_what_meets(run: KindRun, batch: Batch, *, now: datetime) -> set[Stored]:
    """Returns the identifiers that become one with another's whose profile theirs must not be merged with."""
    leads = _leads({(row.kind, spelt) for row, spelt in batch.respelt})
    parted = set()
    for row, spelt in batch.respelt:
        other = leads.setdefault((row.kind, spelt), row.profile_id)
        if other == row.profile_id:
            continue
        evidence = {"identifiers": [[row.kind, row.value], [row.kind, spelt]], "run": run.pk}
        try:
            merge_profiles(one=other, other=row.profile_id, cause=Merge.Cause.IDENTIFIER, evidence=evidence, now=now)
        except MergeRefusedError as error:
            if error.code != "same_profile":
                parted.add(row)
                _note_refusal(row, spelt, other, now=now)
            continue
        run.merged += 1
        found = run.samples.setdefault("merged", [])
        if len(found) < SAMPLES:
            found.append(
                {"kind": row.kind, "value": row.value, "spelt": spelt, "profile": row.profile_id, "other": other}
            )
    return _as_they_are(batch, parted)


def _as_they_are(batch: Batch, parted: set[Stored]) -> set[Stored]:
    """Read again where the identifiers lead, after merges."""
    now_at = _leads({row.identifier for row in batch.rows})

    def moved(row: Stored) -> Stored:
        return Stored(row.kind, row.value, now_at.get(row.identifier, row.profile_id))

    batch.respelt = [(moved(row), spelt) for row, spelt in batch.respelt]
    batch.lost = [(moved(row), reason) for row, reason in batch.lost]
    return {moved(row) for row in parted}


def _hold(batch: Batch) -> None:
    """Lock the profiles, in the order of their ids as the drain does, and see that nothing has moved before that."""
    touched = [row for row, _ in (*batch.respelt, *batch.lost)]
    _rows(
        "SELECT id FROM profile WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE",
        sorted({row.profile_id for row in touched}),
    )
    leads = _leads({row.identifier for row in touched})
    if any(leads.get(row.identifier) != row.profile_id for row in touched):
        raise MovedError


def _take_away(rows: Iterable[Stored], respelt: Iterable[tuple[Stored, str]], twins: dict[Identifier, int]) -> None:
    """Delete identifiers from both sides; those of `respelt` come back in their new spelling, unless it is there."""
    gone = sorted({(row.kind, row.value, row.profile_id) for row in rows})
    fresh: dict[Identifier, tuple[str, int]] = {}
    for row, spelt in respelt:
        if (row.kind, spelt) not in twins:
            fresh.setdefault((row.kind, spelt), (row.value, row.profile_id))
    anew = sorted((kind, spelt, value, profile_id) for (kind, spelt), (value, profile_id) in fresh.items())
    with connection.cursor() as cursor:
        if anew:
            columns = [list(column) for column in zip(*anew, strict=True)]
            cursor.execute(_INSERT_WAYS, columns[:3])
            cursor.execute(_INSERT_HELD, columns)
        if gone:
            columns = [list(column) for column in zip(*gone, strict=True)]
            cursor.execute(_DELETE_WAYS, columns[:2])
            cursor.execute(_DELETE_HELD, columns)


def _restate(kind: str, reading: Reading, *, now: datetime) -> None:
    """What alias messages said of ids holds for their new spellings, too, whether the ids have come up or not."""
    previous, user = "", ""
    while found := _rows(
        "SELECT previous, user_id FROM identity_statement WHERE (previous, user_id) > (%s, %s) ORDER BY 1, 2 LIMIT %s",
        previous,
        user,
        STATEMENTS,
    ):
        previous, user = found[-1]
        anew = set()
        for said, of in found:
            spelt = reading.read(said)[0], (reading.read(of)[0] if kind == "user_id" else of)
            if None not in spelt and spelt[0] != spelt[1]:
                anew.add(spelt)
        with connection.cursor() as cursor:
            cursor.execute(_RESTATE, [now, *_columns(anew - set(found), width=2)])


def _note_refusal(row: Stored, spelt: str, other: int, *, now: datetime) -> None:
    tally = ConflictTally()
    sample = ConflictSample(0, "", row.identifier, row.profile_id, other)
    tally.add(messages=0, met=row.identifier, sample=sample)
    conflicts.record({(row.kind, spelt, "merge_refused", ""): tally}, now=now)


def _columns(rows: Collection[tuple[Any, ...]], *, width: int) -> list[list[Any]]:
    ordered = sorted(set(rows))
    return [[row[place] for row in ordered] for place in range(width)]


def _rows(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


_DELETE_WAYS = (
    "DELETE FROM identifier i USING unnest(%s::text[], %s::text[]) AS u(kind, value)"
    " WHERE i.kind = u.kind AND i.value = u.value"
)
_INSERT_WAYS = (
    "INSERT INTO identifier (kind, value, profile_id, origin_id)"
    " SELECT i.kind, u.spelt, i.profile_id, i.origin_id"
    " FROM unnest(%s::text[], %s::text[], %s::text[]) AS u(kind, spelt, value)"
    " JOIN identifier i ON i.kind = u.kind AND i.value = u.value ORDER BY 1, 2"
)
_INSERT_HELD = (
    "INSERT INTO profile_identifier"
    " (profile_id, kind, value, first_seen_at, last_seen_at, source_id, origin_id)"
    " SELECT p.profile_id, p.kind, u.spelt, p.first_seen_at, p.last_seen_at, p.source_id, p.origin_id"
    " FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[]) AS u(kind, spelt, value, profile_id)"
    " JOIN profile_identifier p ON p.profile_id = u.profile_id AND p.kind = u.kind AND p.value = u.value"
    " ORDER BY 1, 2, 3"
)
_DELETE_HELD = (
    "DELETE FROM profile_identifier p USING unnest(%s::text[], %s::text[], %s::bigint[]) AS u(kind, value, profile_id)"
    " WHERE p.profile_id = u.profile_id AND p.kind = u.kind AND p.value = u.value"
)
_RESTATE = (
    "INSERT INTO identity_statement (previous, user_id, stated_at)"
    " SELECT u.previous, u.user_id, %s FROM unnest(%s::text[], %s::text[]) AS u(previous, user_id)"
    " ORDER BY 1, 2 ON CONFLICT DO NOTHING"
)
