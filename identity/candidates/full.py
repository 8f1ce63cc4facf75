"""Everybody against everybody: what reconciles the queue's work every night, and what models are estimated by.

A full pass reads every profile once, matches them in memory, and writes the difference. It holds no lock meanwhile:
what changes under it is in the queue, and is matched after it as ever. Of a killed one, the records and keys that it
wrote are right, and it is begun again.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db import connection, transaction

from cdp.kernel import prepared
from identity import matching
from identity.candidates import households, queue, warnings
from identity.candidates.constraints import all_never_pairs
from identity.candidates.contracts import Field, Fields, Pair
from identity.candidates.fields import types_of
from identity.candidates.keeping import Keeper, keeping
from identity.candidates.keyrows import wanted_rows
from identity.candidates.live import Live, load_live
from identity.candidates.lookup import SHARED_BY, ValueKey, value_keys
from identity.candidates.models import MatchRun
from identity.candidates.reconcile import Verdicts, close_older, explain_by, reconcile
from identity.candidates.records import IDENTIFYING, record_of
from identity.candidates.runs import Progress
from identity.candidates.store import copy_records, load_people, load_records, refresh_records
from identity.matching.contracts import Record

PAGE = 4_000
PAIRS_A_TIME = 1_000


@dataclass(slots=True)
class Population:
    """Everybody: `ids` in order, and their values by column, as `matching.match` takes them."""

    ids: list[int] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(default_factory=dict)

    def add(self, id_: int, record: Record) -> None:
        self.ids.append(id_)
        for column, cells in self.columns.items():
            values = record.get(column)
            cells.append(_cell(values or ()))

    def places(self) -> dict[int, int]:
        return {id_: place for place, id_ in enumerate(self.ids)}

    def record(self, place: int) -> Record:
        """As it was matched."""
        cells = {column: values[place] for column, values in self.columns.items()}
        return {name: _values(cell) for name, cell in cells.items() if cell is not None}


def full_pass(run: MatchRun, progress: Progress) -> None:
    """Bring keys, candidates, households and warnings up to what all profiles say today."""
    # 1. What the queue holds now is seen to. 2. Records and keys. 3. The matching. 4. Pairs. 5. Households, warnings.
    live = load_live()
    seen = queue.visible()
    with keeping(live, profiles=_count()) as keeper:
        population = read_everybody(live, keeper, progress, now=progress.clock())
        progress.begin("Matching", total=0)
        result = match_population(population, live.fields, model=live.model, threshold=live.settings.accept_above)
        keeper.finish()
    written = _write_pairs(population, result, live, progress, since=run.started_at)
    progress.begin("Households")
    homes = households.find(population.ids, population.columns, live.fields, result.clusters)
    lived = households.write(population.ids, homes, now=progress.clock())
    _note_warnings(result.report.warnings, now=progress.clock())
    queue.drop(seen)
    run.model_id = live.model_id
    run.save(update_fields=["model"])
    progress.count(profiles=len(population.ids), households=lived, **written, **figures(result.report))


def read_everybody(live: Live, keeper: Keeper, progress: Progress, *, now: datetime) -> Population:
    """All profiles in memory; on the way, their records and keys are brought up to date and shared values found."""
    population = Population(columns={column: [] for column in types_of(live.fields)})
    progress.begin("Reading profiles", total=_count())
    for ids in _pages():
        with transaction.atomic():
            queue.wait_to_be_alone()
            refreshed = refresh_records(ids, fields=live.fields, in_bulk=True)
            prepared.run(refreshed.writes)
            copy_records(refreshed.unkept)
            keeper.take({*ids, *refreshed.records, *refreshed.gone}, wanted_rows(refreshed.records, live))
        for id_ in sorted(refreshed.records):
            population.add(id_, refreshed.records[id_])
        progress.advance(len(ids))
    keeper.index()
    told = drop_shared(population, live.fields)
    warnings.note(warnings.SHARED_VALUE, told, now=now)
    return population


def load_everybody(fields: Fields, progress: Progress) -> Population:
    """All profiles as the matcher last saw them, for what changes nothing."""
    population = Population(columns={column: [] for column in types_of(fields)})
    progress.begin("Reading profiles", total=_count())
    for ids in _pages():
        records = load_records(ids)
        for id_ in sorted(records):
            population.add(id_, records[id_])
        progress.advance(len(ids))
    return population


def build_everybody(fields: Fields, progress: Progress) -> Population:
    """All profiles by other fields than the live ones; nothing is kept of it."""
    population = Population(columns={column: [] for column in types_of(fields)})
    progress.begin("Reading profiles", total=_count())
    for ids in _pages():
        people = load_people(ids)
        for id_ in sorted(people):
            population.add(id_, record_of(people[id_], fields))
        progress.advance(len(ids))
    return population


def match_population(
    population: Population, fields: Fields, *, model: "matching.Model | None", threshold: float
) -> "matching.MatchResult":
    """Pairs that somebody said are never one stay apart; without a model, one is estimated."""
    places = population.places()
    never = [(places[one], places[other]) for one, other in all_never_pairs() if one in places and other in places]
    return matching.match(
        population.columns,
        types_of(fields),
        settings=matching.MatchSettings(threshold=threshold),
        model=model,
        never=never,
    )


def figures(report: matching.MatchReport) -> dict[str, Any]:
    """What a person may want to know of a matching."""
    return {
        "pairs": report.pairs,
        "clusters": report.clusters,
        "expected_matches": round(report.expected_matches),
        "coverage": round(report.coverage, 4),
        "dropped_blocks": report.dropped_blocks,
        "cpu_seconds": {step: round(seconds, 2) for step, seconds in report.seconds.items()},
    }


# --- Steps --------------------------------------------------------------------------------------------------


def drop_shared(population: Population, fields: Fields) -> dict[tuple[str, str], int]:
    """Take out identifying values that too many have, which would make one person of many.

    Returns them by column, in one of their spellings, with the number of profiles.
    """
    told: dict[tuple[str, str], int] = {}
    for field_ in fields:
        if field_.type in IDENTIFYING:
            told |= _drop_shared(population.columns[field_.column], field_)
    return told


def _drop_shared(cells: list[Any], field_: Field) -> dict[tuple[str, str], int]:
    counts: Counter[int] = Counter()
    for cell in cells:
        if cell is not None:
            counts.update({one.key for one in _keys_of(cell, field_)})
    shared = {key for key, count in counts.items() if count > SHARED_BY}
    told: dict[int, str] = {}
    for place, cell in enumerate(cells if shared else ()):
        crowded = [] if cell is None else [one for one in _keys_of(cell, field_) if one.key in shared]
        if crowded:
            told |= {one.key: one.value for one in crowded if one.key not in told}
            gone = {one.value for one in crowded}
            cells[place] = _cell([value for value in _values(cell) if value not in gone])
    return {(field_.column, value): counts[key] for key, value in told.items()}


def _keys_of(cell: Any, field_: Field) -> list[ValueKey]:
    return value_keys({field_.column: _values(cell)}, [field_])


def _values(cell: Any) -> list[str]:
    return [cell] if isinstance(cell, str) else list(cell)


def _cell(values: Sequence[str]) -> Any:
    return None if not values else values[0] if len(values) == 1 else list(values)


def _write_pairs(
    population: Population,
    result: "matching.MatchResult",
    live: Live,
    progress: Progress,
    *,
    since: datetime | None,
) -> dict[str, int]:
    """Missing candidates are added, others refreshed, and those that were not found again are closed."""
    likely = np.flatnonzero(result.probabilities >= live.settings.review_above)
    progress.begin("Writing pairs", total=len(likely))
    waiting = due = 0
    for start in range(0, len(likely), PAIRS_A_TIME):
        chosen = likely[start : start + PAIRS_A_TIME]
        now = progress.clock()
        pairs, together = _pairs(population, result, chosen)
        records = {
            population.ids[place]: population.record(place) for place in np.unique(result.pairs[chosen]).tolist()
        }
        with transaction.atomic():
            queue.wait_to_be_alone()
            written = reconcile(
                pairs,
                touched=(),
                explain=explain_by(live.scorer, records),
                people={},
                live=live,
                verdicts=Verdicts(together=together),
                now=now,
            )
        waiting, due = waiting + written.waiting, due + written.due
        progress.advance(len(chosen))
    closed = close_older(since) if since is not None else 0
    return {"waiting": waiting, "due": due, "closed": closed}


def _pairs(
    population: Population, result: "matching.MatchResult", chosen: npt.NDArray[np.int64]
) -> tuple[list[Pair], set[tuple[int, int]]]:
    """The pairs as profiles, and which of them the linkage put together."""
    found, together = [], set()
    columns = (result.pairs[chosen].tolist(), result.scores[chosen].tolist(), result.probabilities[chosen].tolist())
    for (left, right), score, probability in zip(*columns, strict=True):
        one, other = sorted((population.ids[left], population.ids[right]))
        found.append(Pair(one, other, score, probability))
        if result.clusters[left] == result.clusters[right]:
            together.add((one, other))
    return found, together


def _note_warnings(found: Sequence[matching.MatchWarning], *, now: datetime) -> None:
    for one in found:
        warnings.note(one.code, {(one.column, ""): one.count}, now=now, message=one.message)


def _pages() -> Iterator[list[int]]:
    after = 0
    while ids := _page(after):
        yield ids
        after = ids[-1]


def _page(after: int) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM profile WHERE id > %s ORDER BY id LIMIT %s", [after, PAGE])
        return [id_ for (id_,) in cursor.fetchall()]


def _count() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM profile")
        return int(cursor.fetchone()[0])
