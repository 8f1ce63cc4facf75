"""Everybody against everybody: what reconciles the queue's work every night, and what models are estimated by.

A full pass reads every profile once, matches them in memory, and writes the difference. It holds no lock meanwhile:
what changes under it is in the queue, and is matched after it as ever. Of a killed one, the records and keys that it
wrote are right, and it is begun again.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

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
from identity.candidates.store import copy_records, load_people, load_records, refresh_records
from identity.matching.contracts import Record

PAGE = 4_000
MOST_KNOWN = 50_000
"""Values of a column that are held once, however many have them."""


@dataclass(slots=True)
class Population:
    """Everybody: `ids` in order, and their values by column, as `matching.match` takes them."""

    ids: list[int] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(default_factory=dict)
    _known: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))

    def add(self, records: Mapping[int, Record]) -> None:
        ids = sorted(records)
        self.ids += ids
        for column, cells in self.columns.items():
            found = [_cell(records[id_].get(column, ())) for id_ in ids]
            known = self._known[column]
            keep = known.setdefault if len(known) < MOST_KNOWN else known.get
            cells += [keep(cell, cell) if cell.__class__ is str else cell for cell in found]

    def places(self) -> dict[int, int]:
        return {id_: place for place, id_ in enumerate(self.ids)}

    def record(self, place: int) -> Record:
        """As it was matched."""
        cells = {column: values[place] for column, values in self.columns.items()}
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
        population.add(refreshed.records)
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
        population.add(load_records(ids))
        progress.advance(len(ids))
    return population


def build_everybody(fields: Fields, progress: Progress) -> Population:
    """All profiles by other fields than the live ones; nothing is kept of it."""
    population = Population(columns={column: [] for column in types_of(fields)})
    progress.begin("Reading profiles", total=_count())
    for ids in _pages():
        population.add({id_: record_of(person, fields) for id_, person in load_people(ids).items()})
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
    counts = Counter(plain for cell in cells if cell is not None for plain in _plain(cell, field_))
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
