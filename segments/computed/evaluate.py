"""Keep computed traits: of profiles that changed, of those for whom time has passed, and of everybody aside.

All three ask with the profiles locked, so that of two who ask about the same person the later one sees all that the
earlier one saw; and with the traits' rows shared, so that a version changes between two chunks and never within one.
Locks are taken in one order: changes, traits, profiles, segments.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from django.db import OperationalError, transaction

from cdp.kernel.prepared import Prepared
from identity.operations import write_computed
from ingestion.models import EventName
from segments.changes import ProfileChange, note_changes
from segments.computed.ask import Bounds, ask
from segments.computed.definition import Definition, events_of, read, reads_trait
from segments.engine import fetch, is_timeout, local_settings, run
from segments.sql import sql

EVALUATE_SECONDS = 30
FEWEST = 10

Changed = dict[int, set[str]]
"""By profile, the names of the traits that have another value now."""


class Change(Protocol):
    """As the queue of changes has it."""

    @property
    def profile_ids(self) -> Sequence[int]: ...
    @property
    def events(self) -> Sequence[int]: ...
    @property
    def traits(self) -> Sequence[str]: ...
    @property
    def merged(self) -> bool: ...


@dataclass(frozen=True)
class InForce:
    """A version that is followed: the live one, which profiles have, or one that is being computed aside."""

    trait_id: int
    name: str
    version: int
    definition: Definition
    bounds: Bounds | None
    live: bool


@dataclass
class _Answers:
    """What one round came to: values for profiles, and rows to keep."""

    patches: dict[int, dict[str, str | None]] = field(default_factory=lambda: defaultdict(dict))
    kept: list[tuple[int, int, int, str | None, datetime | None]] = field(default_factory=list)
    gone: list[tuple[int, int, int]] = field(default_factory=list)


def follow(changes: Sequence[Change], *, now: datetime) -> Changed:
    """Ask the computed traits that these changes can touch; what comes of it is for segments to follow."""
    found = in_force()
    if not found:
        return {}
    touched = _touched(found, changes)
    ids = set().union(*touched.values()) if touched else set()
    if not ids:
        return {}
    existing = lock_profiles(ids)
    _forget(ids - existing)
    return refresh(found, {key: asked & existing for key, asked in touched.items()}, now=now)


def wake(*, now: datetime, limit: int) -> int:
    """Ask again where time alone can have changed a value; returns how many pairs of a person and a trait."""
    found = {(one.trait_id, one.version): one for one in in_force()}
    if not found:
        return 0
    due = fetch(sql(_DUE, now=now, limit=limit))
    asked: dict[tuple[int, int], set[int]] = defaultdict(set)
    for trait_id, version, profile_id in due:
        asked[trait_id, version].add(profile_id)
    ids = set().union(*asked.values()) if asked else set()
    existing = lock_profiles(ids)
    _forget(ids - existing)
    note(refresh(list(found.values()), {key: wanted & existing for key, wanted in asked.items()}, now=now))
    return len(due)


_DUE = (
    "SELECT v.trait_id, v.version, v.profile_id FROM computed_value AS v JOIN computed_trait AS t ON t.id = v.trait_id"
    " WHERE v.due <= {now} AND t.state <> 'paused' ORDER BY v.due LIMIT {limit}"
)


def note(changed: Changed) -> None:
    """Have segments follow, where nobody is evaluating them at once."""
    nothing: frozenset[int] = frozenset()
    note_changes(
        ProfileChange(id_, events=nothing, traits=frozenset(names), merged=False, created=False)
        for id_, names in sorted(changed.items())
    )


def in_force() -> list[InForce]:
    """Every version that is followed, those first that others read; their traits' rows are shared from here on."""
    rows = _IN_FORCE.rows()
    found = [
        InForce(trait_id, name, version, read(loaded(definition)), loaded(bounds), live)
        for trait_id, name, version, definition, bounds, live in rows
    ]
    return _ordered(found)


_IN_FORCE = Prepared(
    "computed_in_force",
    [],
    """
WITH held AS MATERIALIZED (
    SELECT * FROM computed_trait WHERE state <> 'paused' ORDER BY id FOR SHARE
)
SELECT id, name, live_version, live_definition, live_bounds, true FROM held WHERE live_version > 0
UNION ALL
SELECT t.id, t.name, p.version, p.definition, p.bounds, false
FROM held AS t JOIN computed_pass AS p ON p.trait_id = t.id AND p.version = t.version
WHERE p.begun AND t.state = 'computing'
ORDER BY 1, 3
""",
)


def loaded(stored: Any) -> Any:
    return json.loads(stored) if isinstance(stored, str) else stored


def _ordered(found: list[InForce]) -> list[InForce]:
    """A trait comes after the one that it reads; `operations` lets no circle come up."""
    reads = {one.name: name for one in found if (name := reads_trait(one.definition))}

    def depth(name: str) -> int:
        steps = 0
        while name in reads and steps <= len(reads):
            name, steps = reads[name], steps + 1
        return steps

    return sorted(found, key=lambda one: depth(one.name))


def _touched(found: Iterable[InForce], changes: Sequence[Change]) -> dict[tuple[int, int], set[int]]:
    by_event: dict[int, set[int]] = defaultdict(set)
    by_trait: dict[str, set[int]] = defaultdict(set)
    merged: set[int] = set()
    for change in changes:
        for event in change.events:
            by_event[event].update(change.profile_ids)
        for trait in change.traits:
            by_trait[trait].update(change.profile_ids)
        if change.merged:
            merged.update(change.profile_ids)
    names = {name for one in found for name in events_of(one.definition)}
    ids = dict(EventName.objects.filter(name__in=names, pk__in=by_event).values_list("name", "pk"))
    touched: dict[tuple[int, int], set[int]] = {}
    for one in found:
        asked = set(merged)
        for name in events_of(one.definition):
            asked |= by_event[ids[name]] if name in ids else set()
        asked |= by_trait.get(reads_trait(one.definition) or "", set())
        touched[one.trait_id, one.version] = asked
    return touched


def lock_profiles(ids: Collection[int]) -> set[int]:
    """Those of these profiles that exist, held until the transaction ends."""
    if not ids:
        return set()
    lock = "SELECT id FROM profile WHERE id = ANY ({ids}::bigint[]) ORDER BY id FOR NO KEY UPDATE"
    return {row[0] for row in fetch(sql(lock, ids=sorted(ids)))}


def _forget(ids: Collection[int]) -> None:
    """Profiles that were merged away: what the values were is nobody's now."""
    if ids:
        run(sql("DELETE FROM computed_value WHERE profile_id = ANY ({ids}::bigint[])", ids=sorted(ids)))


def refresh(found: Sequence[InForce], asked: Mapping[tuple[int, int], Collection[int]], *, now: datetime) -> Changed:
    """Ask these versions of these profiles, which are locked, and write what is new.

    A trait that reads another one is asked about those too for whom that has just changed.
    """
    changed: Changed = defaultdict(set)
    pending = _Answers()
    with local_settings(statement_timeout=f"{EVALUATE_SECONDS}s", jit="off"):
        for one in found:
            ids = set(asked.get((one.trait_id, one.version), ()))
            if (source := reads_trait(one.definition)) is not None:
                _write(pending, changed, now=now)
                ids |= {id_ for id_, names in changed.items() if source in names}
            if ids:
                _ask_in_parts(one, sorted(ids), pending, now=now)
        _write(pending, changed, now=now)
    return changed


def _ask_in_parts(one: InForce, ids: Sequence[int], answers: _Answers, *, now: datetime) -> None:
    """Of fewer people at a time where a statement about as many takes too long; this process remembers how many.

    Only where that is so of `FEWEST` has the trait failed.
    """
    start = 0
    while start < len(ids):
        size = _sizes.get((one.trait_id, one.version), len(ids))
        some = ids[start : start + size]
        try:
            with transaction.atomic():
                _ask(one, some, answers, now=now)
        except OperationalError as error:
            if not is_timeout(error) or len(some) <= FEWEST:
                raise
            _sizes[one.trait_id, one.version] = max(FEWEST, len(some) // 2)
        else:
            start += len(some)


_sizes: dict[tuple[int, int], int] = {}

_ASK = """
SELECT i.id, q.value::text, q.due, v.profile_id IS NOT NULL,
       v.value IS DISTINCT FROM q.value OR v.due IS DISTINCT FROM q.due,
       {live} AND (p.traits -> {name}::text) IS DISTINCT FROM q.value
FROM unnest({ids}::bigint[]) AS i(id) JOIN profile AS p ON p.id = i.id
LEFT JOIN computed_value AS v ON v.profile_id = i.id AND v.trait_id = {trait} AND v.version = {version}
CROSS JOIN LATERAL ({asked} OFFSET 0) AS q
"""


def _ask(one: InForce, ids: Collection[int], answers: _Answers, *, now: datetime) -> None:
    query = sql(
        _ASK,
        live=one.live,
        name=one.name,
        ids=list(ids),
        trait=one.trait_id,
        version=one.version,
        asked=ask(one.definition, now=now, bounds=one.bounds),
    )
    for id_, value, due, is_kept, differs, is_news in fetch(query):
        if value is None and due is None:
            if is_kept:
                answers.gone.append((id_, one.trait_id, one.version))
        elif differs:
            answers.kept.append((id_, one.trait_id, one.version, value, due))
        if is_news:
            answers.patches[id_][one.name] = value


def _write(answers: _Answers, changed: Changed, *, now: datetime) -> None:
    """Everything that has been found so far, sorted by key; afterwards there is nothing left to write."""
    if answers.patches:
        write_computed(answers.patches, now=now)
        for id_, values in answers.patches.items():
            changed[id_].update(values)
    if answers.gone:
        columns = [list(column) for column in zip(*sorted(answers.gone), strict=True)]
        run(sql(_DELETE, profiles=columns[0], traits=columns[1], versions=columns[2]))
    if answers.kept:
        columns = [list(column) for column in zip(*sorted(answers.kept, key=lambda row: row[:3]), strict=True)]
        names = ("profiles", "traits", "versions", "values", "dues")
        run(sql(_UPSERT, **dict(zip(names, columns, strict=True)), now=now))
    answers.patches.clear()
    answers.gone.clear()
    answers.kept.clear()


_DELETE = (
    "DELETE FROM computed_value AS v USING unnest({profiles}::bigint[], {traits}::bigint[], {versions}::int[])"
    " AS w(profile_id, trait_id, version)"
    " WHERE v.profile_id = w.profile_id AND v.trait_id = w.trait_id AND v.version = w.version"
)
_UPSERT = (
    "INSERT INTO computed_value (profile_id, trait_id, version, value, due, computed_at)"
    " SELECT w.*, {now} FROM unnest({profiles}::bigint[], {traits}::bigint[], {versions}::int[], {values}::jsonb[],"
    " {dues}::timestamptz[]) AS w"
    " ON CONFLICT (profile_id, trait_id, version)"
    " DO UPDATE SET value = excluded.value, due = excluded.due, computed_at = excluded.computed_at"
)
