"""Everybody against everybody: what reconciles the queue's work every night, and what models are estimated by.

A full pass reads every profile once, matches them in memory, and writes the difference. It holds no lock meanwhile:
what changes under it is in the queue, and is matched after it as ever. Of a killed one, the records and keys that it
wrote are right, and it is begun again.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np
from django.db import connection, transaction

from cdp.kernel import prepared
from cdp.kernel.garbage import collecting_later
from identity import matching
from identity.candidates import households, queue, warnings
from identity.candidates.constraints import all_never_pairs
from identity.candidates.contracts import Field, Fields
from identity.candidates.fields import types_of
from identity.candidates.keeping import Keeper, keeping
from identity.candidates.keyrows import wanted_rows
from identity.candidates.live import Live, load_live
from identity.candidates.lookup import SHARED_BY, plain_of
from identity.candidates.models import MatchRun
from identity.candidates.pairs import write_pairs
from identity.candidates.records import IDENTIFYING, record_of
from identity.candidates.runs import Progress
from identity.candidates.store import copy_records, load_origins, load_people, records_of, refresh_records
from identity.matching.contracts import Record

PAGE = 4_000
MOST_KNOWN = 50_000
"""Values of a column that are held once, however many have them."""


@dataclass(slots=True)
class Population:
    """Everybody: `ids` in order, and the values of their origins by column, as `matching.match` takes them."""

    ids: list[int] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(default_factory=dict)
    owners: list[int] = field(default_factory=list)
    """By row: the place of its profile. The rows of a profile's origins follow each other, its own first."""
    _leading: dict[int, Record] = field(default_factory=dict)
    _known: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))

    def add(self, records: Mapping[int, Sequence[Record]], people: Mapping[int, Record] | None = None) -> None:
        """`people`: what those of several origins say together, the winning value first, where that is known."""
        ids = sorted(records)
        for place, id_ in enumerate(ids, len(self.ids)):
            self.owners += [place] * len(records[id_])
            if people and id_ in people:
                self._leading[place] = people[id_]
        self.ids += ids
        for column, cells in self.columns.items():
            found = [_cell(record.get(column, ())) for id_ in ids for record in records[id_]]
            known = self._known[column]
            keep = known.setdefault if len(known) < MOST_KNOWN else known.get
            cells += [keep(cell, cell) if cell.__class__ is str else cell for cell in found]

    def places(self) -> dict[int, int]:
        """The row of each profile, its own."""
        return {self.ids[owner]: row for row, owner in reversed(list(enumerate(self.owners)))}

    def same(self) -> list[tuple[int, int]]:
        """Rows that are one profile."""
        return [(row, row + 1) for row, (one, other) in enumerate(pairwise(self.owners)) if one == other]

    def leading(self) -> dict[str, list[Any]]:
        """By column, a cell for each profile: what it says itself, or its origins together."""
        if not self._leading and len(self.owners) == len(self.ids):
            return self.columns
        rows = list(self.places().values())[::-1]
        found = {column: [cells[row] for row in rows] for column, cells in self.columns.items()}
        for place, record in self._leading.items():
            for column, cells in found.items():
                cells[place] = _cell(record.get(column, ()))
        return found

    def record(self, place: int) -> Record:
        """What a profile says itself, as it was matched."""
        row = bisect_left(self.owners, place)
        cells = {column: values[row] for column, values in self.columns.items()}
        return {name: _values(cell) for name, cell in cells.items() if cell is not None}


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


def drop_shared(population: Population, fields: Fields) -> dict[tuple[str, str], int]:
    """Take out identifying values that too many have, which would make one person of many.

    Returns them by column, in one of their spellings, with the number of profiles.
    """
    told: dict[tuple[str, str], int] = {}
    for field_ in fields:
        if field_.type in IDENTIFYING:
            told |= _drop_shared(population.columns[field_.column], population.owners, field_)
    return told


def _drop_shared(cells: list[Any], owners: Sequence[int], field_: Field) -> dict[tuple[str, str], int]:
    counts: Counter[str] = Counter()
    last, met = -1, dict[str, None]()
    for owner, cell in zip(owners, cells, strict=True):
        if cell is not None:
            found = _plain(cell, field_)
            if owner == last:
                counts.update(found.keys() - met.keys())
                met |= found
            else:
                counts.update(found.keys())
                last, met = owner, found
    shared = {plain: count for plain, count in counts.items() if plain and count > SHARED_BY}
    told: dict[str, str] = {}
    for place, cell in enumerate(cells if shared else ()):
        if cell is not None and (crowded := _plain(cell, field_).keys() & shared.keys()):
            kept = []
            for value in _values(cell):
                plain = plain_of(value, field_.type)
                if plain in crowded:
                    told.setdefault(plain, value)
                else:
                    kept.append(value)
            cells[place] = _cell(kept)
    return {(field_.column, value): shared[plain] for plain, value in told.items()}


def _plain(cell: Any, field_: Field) -> dict[str, None]:
    """What the cell's values are in one spelling, each once."""
    return dict.fromkeys(plain_of(value, field_.type) for value in _values(cell))


def _values(cell: Any) -> list[str]:
    return [cell] if isinstance(cell, str) else list(cell)


def _cell(values: Sequence[str]) -> Any:
    return None if not values else values[0] if len(values) == 1 else list(values)


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
