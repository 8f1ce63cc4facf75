"""Everybody against everybody: what reconciles the queue's work every night, and what models are estimated by.

A full pass reads every profile once, matches them in memory, and writes the difference. It holds no lock meanwhile:
what changes under it is in the queue, and is matched after it as ever. Of a killed one, the records and keys that it
wrote are right, and it is begun again.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from django.db import connection, transaction

from cdp.kernel import prepared
from cdp.kernel.garbage import collecting_later
from identity import matching
from identity.candidates import households, queue, warnings
from identity.candidates.constraints import all_never_pairs
from identity.candidates.contracts import Fields
from identity.candidates.fields import types_of
from identity.candidates.keeping import Keeper, keeping
from identity.candidates.keyrows import wanted_rows
from identity.candidates.live import Live, load_live
from identity.candidates.models import MatchRun
from identity.candidates.pairs import write_pairs
from identity.candidates.population import Population, drop_shared
from identity.candidates.records import record_of
from identity.candidates.runs import Progress
from identity.candidates.store import copy_records, load_origins, load_people, records_of, refresh_records

PAGE = 4_000


def full_pass(run: MatchRun, progress: Progress) -> None:
    """Bring keys, candidates, households and warnings up to what all profiles say today."""
    with collecting_later():  # which looks through millions of values again and again
        _full_pass(run, progress)


def _full_pass(run: MatchRun, progress: Progress) -> None:
    # 1. What the queue holds now is seen to. 2. Records and keys. 3. The matching. 4. Pairs. 5. Households, warnings.
    live = load_live()
    seen = queue.visible()
    with keeping(live, profiles=_count()) as keeper:
        population = read_everybody(live, keeper, progress, now=progress.clock())
        progress.begin("Matching", total=0)
        result = match_population(population, live.fields, model=live.model, threshold=live.settings.accept_above)
        keeper.finish()
    written = write_pairs(population.ids, result, live, progress, since=run.started_at)
    progress.begin("Households")
    homes = households.find(population.ids, population.leading(), live.fields, result.clusters)
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
        merged = [id_ for id_, said in refreshed.records.items() if len(said) > 1]
        together = {id_: record_of(refreshed.people[id_], live.fields) for id_ in merged}
        population.add(refreshed.records, together)
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
        population.add(load_origins(ids))
        progress.advance(len(ids))
    return population


def build_everybody(fields: Fields, progress: Progress) -> Population:
    """All profiles by other fields than the live ones; nothing is kept of it."""
    population = Population(columns={column: [] for column in types_of(fields)})
    progress.begin("Reading profiles", total=_count())
    for ids in _pages():
        people = load_people(ids).items()
        population.add({id_: list(records_of(id_, person, fields).values()) for id_, person in people})
        progress.advance(len(ids))
    return population


def match_population(
    population: Population, fields: Fields, *, model: "matching.Model | None", threshold: float
) -> "matching.MatchResult":
    """Pairs that somebody said are never one stay apart; without a model, one is estimated."""
    places = population.places()
    never = [(places[one], places[other]) for one, other in all_never_pairs() if one in places and other in places]
    return match_rows(population, fields, model=model, threshold=threshold, never=never)


def match_rows(
    population: Population,
    fields: Fields,
    *,
    model: "matching.Model | None",
    threshold: float,
    never: Sequence[tuple[int, int]] = (),
) -> "matching.MatchResult":
    """Profiles, by what each of their origins says, which are together already."""
    result = matching.match(
        population.columns,
        types_of(fields),
        settings=matching.MatchSettings(threshold=threshold),
        model=model,
        never=never,
        must=population.same(),
    )
    told: matching.MatchResult = matching.by_profile(result, np.asarray(population.owners, dtype=np.int64))
    return told


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
