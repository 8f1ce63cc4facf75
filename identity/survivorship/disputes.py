"""Traits that sources disagree about: counted by trait and pair of sources, over all profiles. R: B5

The newest word of each source is kept with every trait (identity.traits), so this reads profiles and no events.
"""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import combinations
from typing import Any

from django.db import connection, transaction

from identity.models import Profile
from identity.survivorship.models import DisputeScan
from identity.traits import TraitState, newest_of_each_source, same_value
from ingestion.models import Source
from ingestion.quality.models import TraitConflict

BATCH = 5_000
EXAMPLES = 5
MAX_TRAIT = 200
MAX_ROWS = 5_000
"""How many different (trait, pair of sources) are counted; what is met after so many is left out."""
KEPT = timedelta(days=7)

Found = dict[tuple[str, int, int], list[Any]]
"""By trait and pair of sources: people compared, people differing, examples."""


def start_scan(*, now: datetime) -> DisputeScan:
    """Begin to count anew, unless a scan is at it."""
    running = DisputeScan.objects.filter(finished_at=None).order_by("-id").first()
    if running is not None:
        return running
    newest = Profile.objects.order_by("-pk").values_list("pk", flat=True).first()
    return DisputeScan.objects.create(until_id=newest or 0, started_at=now, updated_at=now)


def newest_scan() -> DisputeScan | None:
    """The newest one that is finished: what it found is what is known."""
    return DisputeScan.objects.exclude(finished_at=None).order_by("-id").first()


def running_scan() -> DisputeScan | None:
    return DisputeScan.objects.filter(finished_at=None).order_by("-id").first()


@transaction.atomic
def take_step(*, now: datetime) -> bool:
    """One batch of the scan that runs, unless another worker is at it; returns whether more follow."""
    rows = DisputeScan.objects.select_for_update(skip_locked=True)
    scan = rows.filter(finished_at=None).order_by("-id").first()
    if scan is None:
        return False
    last, count = _extent(scan)
    found: Found = {(row[0], row[1], row[2]): row[3:] for row in scan.partial}
    for profile_id, state in _several(after=scan.after_id, until=last):
        scan.disputed += _count(found, profile_id, state)
    scan.after_id, scan.looked_at, scan.updated_at = last, scan.looked_at + count, now
    if count < BATCH:
        _finish(scan, found, now=now)
    else:
        scan.partial = [[*key, *numbers] for key, numbers in found.items()]
    scan.save()
    return count == BATCH


def _extent(scan: DisputeScan) -> tuple[int, int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(max(id), %(until)s), count(*) FROM (SELECT id FROM profile"
            " WHERE id > %(after)s AND id <= %(until)s ORDER BY id LIMIT %(limit)s) AS batch",
            {"after": scan.after_id, "until": scan.until_id, "limit": BATCH},
        )
        last, count = cursor.fetchone()
        return last, count


def _several(*, after: int, until: int) -> Iterator[tuple[int, TraitState]]:
    """Profiles of whom more than one word about some trait is kept."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, traits, provenance FROM profile WHERE id > %s AND id <= %s AND provenance @? '$.*[3]'"
            " ORDER BY id",
            [after, until],
        )
        for id_, traits, stamps in cursor.fetchall():
            yield id_, TraitState(json.loads(traits), json.loads(stamps))


def _count(found: Found, profile_id: int, state: TraitState) -> bool:
    """Count one profile in; returns whether something of it is disputed."""
    disputed = False
    for name, stamp in state.provenance.items():
        if len(stamp) == 3:
            continue
        said = [one for one in newest_of_each_source(state.statements(name)) if one[3] is not None]
        for one, other in combinations(sorted(said, key=lambda item: item[1]), 2):
            disputed |= _compare(found, (name, one[1], other[1]), profile_id, one[3], other[3])
    return disputed


def _compare(found: Found, key: tuple[str, int, int], profile_id: int, mine: Any, theirs: Any) -> bool:
    if key not in found and len(found) >= MAX_ROWS:
        return False
    row = found.setdefault(key, [0, 0, []])
    row[0] += 1
    if same_value(mine, theirs):
        return False
    row[1] += 1
    if len(row[2]) < EXAMPLES:
        row[2].append({"profile": profile_id, "values": [mine, theirs]})
    return True


def _finish(scan: DisputeScan, found: Found, *, now: datetime) -> None:
    known = set(Source.objects.values_list("pk", flat=True))
    TraitConflict.objects.all().delete()
    TraitConflict.objects.bulk_create(
        TraitConflict(
            trait=trait,
            first_id=first,
            second_id=second,
            compared=compared,
            differing=differing,
            examples=examples,
            scanned_at=now,
        )
        for (trait, first, second), (compared, differing, examples) in sorted(found.items())
        if first in known and second in known and len(trait) <= MAX_TRAIT
    )
    scan.finished_at, scan.partial = now, []
    DisputeScan.objects.filter(finished_at__lt=now - KEPT).delete()
