"""Whom a profile is compared with: held against a slow reading of the rule."""

import random
from collections import Counter, defaultdict

import pytest
from django.db import transaction

from cdp.kernel.prepared import PLAN_ONCE
from identity.candidates.lookup import (
    BLOCK_CAP,
    MAX_COMPARED,
    PREFIX,
    SHARED_BY,
    TELLING,
    WHOLE,
    find_neighbours,
)
from identity.candidates.models import MatchKey, MatchRecord
from identity.candidates.store import load_origins

SIZES = [2, 3, 5, TELLING, TELLING + 1, SHARED_BY, SHARED_BY + 1, BLOCK_CAP, BLOCK_CAP + 1, 150, PREFIX + 60]


def world(seed: int) -> dict[int, set[int]]:
    """The holders of each key: of all sizes that matter, among 700 profiles."""
    draw = random.Random(seed)
    return {key: set(draw.sample(range(1, 701), draw.choice(SIZES))) for key in range(60)}


def expected(asker: int, keys: set[int], holders: dict[int, set[int]]) -> list[int]:
    shared: Counter[int] = Counter()
    telling: defaultdict[int, bool] = defaultdict(bool)
    large: Counter[int] = Counter()
    for key in keys:
        size = len(holders[key])
        if size > BLOCK_CAP:
            large.update(sorted(holders[key])[:PREFIX])
            continue
        for member in holders[key]:
            telling[member] |= size <= TELLING or shared[member] > 0
            shared[member] += WHOLE + WHOLE // (1 + size)
    for member, several in large.items():
        if several > 1:
            shared[member] += several * WHOLE
            telling[member] = True
    del shared[asker]
    ranked = sorted((-worth, member) for member, worth in shared.items() if telling[member])
    return [member for _, member in ranked[:MAX_COMPARED]]


@pytest.mark.parametrize("seed", range(3))
def test_the_nearest_are_those_of_the_rule(database, seed):
    holders = world(seed)
    MatchKey.objects.bulk_create(MatchKey(profile_id=one, key=key) for key, of in holders.items() for one in of)
    MatchRecord.objects.bulk_create(
        MatchRecord(profile_id=one, origin_id=origin, record=f'{{"name": ["{one} {origin}"]}}')
        for one in range(1, 701)
        for origin in {one, *([900 + one] if one % 7 == 0 else [])}
    )
    askers = random.Random(seed).sample(range(1, 701), 40)
    keys = {asker: {key for key, of in holders.items() if asker in of} for asker in askers}

    with transaction.atomic():
        found = find_neighbours(keys, after=[PLAN_ONCE])

    assert found.of == {asker: expected(asker, held, holders) for asker, held in keys.items()}
    assert found.shared.keys() == {key for held in keys.values() for key in held if len(holders[key]) > SHARED_BY}
    near = {one for of in found.of.values() for one in of}
    assert found.records == load_origins(near)
    assert any(len(of) == MAX_COMPARED for of in found.of.values())


def test_who_has_no_keys_is_compared_with_nobody(database):
    found = find_neighbours({7: set()})

    assert (found.of, found.shared, found.records) == ({7: []}, {}, {})
