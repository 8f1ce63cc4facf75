"""Everybody against everybody: what reconciles the queue's work every night, and what models are estimated by.

A full pass reads every profile once, matches them in memory, and writes the difference. It holds no lock meanwhile:
what changes under it is in the queue, and is matched after it as ever. Of a killed one, the records and keys that it
wrote are right, and it is begun again.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from django.db import connection, transaction

from cdp.kernel import prepared
from cdp.kernel.garbage import collecting_later
from identity import matching
from identity.candidates import households, queue, takeback, warnings
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
from identity.candidates.store import (
    copy_records,
    load_people,
    load_rows,
    name_origins,
    read_origins,
    records_of,
    refresh_records,
)

PAGE = 4_000


def full_pass(run: MatchRun, progress: Progress) -> None:
    """Bring keys, candidates, households and warnings up to what all profiles say today."""
    with collecting_later():  # which looks through millions of values again and again
        _full_pass(run, progress)


def _full_pass(run: MatchRun, progress: Progress) -> None:
    # 1. What the queue holds now is seen to. 2. Records and keys. 3. The matching. 4. Merges that it would not make.
    # 5. Pairs. 6. Households, warnings.
    live = load_live()
    seen = queue.visible()
    with keeping(live, profiles=_count()) as keeper:
        population = read_everybody(live, keeper, progress, now=progress.clock())
        progress.begin("Matching", total=0)
        ties = takeback.find_ties(population, automatic=live.settings.automatic)
        found = match_origins(population, live, same=ties.same)
        keeper.finish()
    taken_back = takeback.take_back(ties.across(found.clusters), population, progress)
    result = told_by_profile(found, population)
    written = write_pairs(population.ids, result, live, progress, since=run.started_at)
    progress.begin("Households")
    homes = households.find(population.ids, population.leading(), live.fields, result.clusters)
    lived = households.write(population.ids, homes, now=progress.clock())
    _note_warnings(result.report.warnings, now=progress.clock())
    queue.drop(seen)
    run.model_id = live.model_id
    run.save(update_fields=["model"])
    counts = {"households": lived, "taken_back": taken_back, **written}
    progress.count(profiles=len(population.ids), **counts, **figures(result.report))


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
        together = {id_: record_of(refreshed.people[id_], live.fields) for id_ in refreshed.origins}
        population.add(refreshed.records, refreshed.origins, together)
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
        rows = load_rows(ids)
        population.add(read_origins(rows), name_origins(rows))
        progress.advance(len(ids))
    return population


def build_everybody(fields: Fields, progress: Progress) -> Population:
    """All profiles by other fields than the live ones; nothing is kept of it."""
    population = Population(columns={column: [] for column in types_of(fields)})
    progress.begin("Reading profiles", total=_count())
    for ids in _pages():
        said = {id_: records_of(id_, person, fields) for id_, person in load_people(ids).items()}
        several = {id_: list(of) for id_, of in said.items() if len(of) > 1}
        population.add({id_: list(of.values()) for id_, of in said.items()}, several)
        progress.advance(len(ids))
    return population


def match_population(
    population: Population, fields: Fields, *, model: "matching.Model | None", threshold: float, heeding: bool = True
) -> "matching.MatchResult":
    """Profiles, by what each of their origins says, which are together already. Without a model, one is estimated.

    Unless `heeding` is false, those of whom somebody said that they are never one stay apart.
    """
    never = never_rows(population) if heeding else ()
    same = population.same()
    result = _match(population, fields, model=model, threshold=threshold, never=never, same=same)
    return told_by_profile(result, population)


def match_origins(population: Population, live: Live, *, same: Collection[tuple[int, int]]) -> "matching.MatchResult":
    """The rows of the population, of which these pairs are together already."""
    never, threshold = never_rows(population), live.settings.accept_above
    return _match(population, live.fields, model=live.model, threshold=threshold, never=never, same=same)


def _match(
    population: Population,
    fields: Fields,
    *,
    model: "matching.Model | None",
    threshold: float,
    never: Collection[tuple[int, int]],
    same: Collection[tuple[int, int]],
) -> "matching.MatchResult":
    settings = matching.MatchSettings(threshold=threshold)
    result: matching.MatchResult = matching.match(
        population.columns, types_of(fields), settings=settings, model=model, never=never, must=same
    )
    return result


def told_by_profile(result: "matching.MatchResult", population: Population) -> "matching.MatchResult":
    told: matching.MatchResult = matching.by_profile(result, np.asarray(population.owners, dtype=np.int64))
    return told


def never_rows(population: Population) -> list[tuple[int, int]]:
    """Rows of which somebody said that they are never one; of an origin that says nothing, where it leads."""
    said = all_never_pairs()
    places = population.places() if said else {}
    pairs = [
        (places.get(one, places.get(one_leads)), places.get(other, places.get(other_leads)))
        for one, other, one_leads, other_leads in said
    ]
    return [(one, other) for one, other in pairs if one is not None and other is not None and one != other]


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
