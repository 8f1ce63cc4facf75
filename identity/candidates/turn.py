"""One turn of the queue: changed profiles are compared with their blocks, and what looks alike becomes a candidate.

1. the changed are claimed, and their records and keys brought up to date;
2. whoever shares enough keys is looked up, and compared;
3. candidates are written, refreshed and closed; what may be merged is marked, and merged in transactions of its own.

All but the merging is one transaction: of a killed worker's turn, nothing has happened.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import msgspec
import numpy as np
from django.db import transaction

from cdp.kernel.garbage import collecting_later
from identity.candidates import queue, warnings
from identity.candidates.contracts import Matched, Pair
from identity.candidates.live import Live, load_live
from identity.candidates.lookup import ValueKey, find_neighbours, value_keys
from identity.candidates.reconcile import Explain, reconcile
from identity.candidates.store import Known, key_writes, look_up_claimed, refresh
from identity.matching.contracts import Record

CHUNK = 200


def match_changes(*, now: datetime, limit: int = CHUNK) -> Matched:
    """Match the profiles that changed; nothing claimed: all zeros, also where another matcher is at it."""
    with collecting_later(), transaction.atomic():
        claimed, known = look_up_claimed(limit=limit)
        if not claimed.profiles:
            return Matched(merge_first=claimed.due)
        live = load_live(claimed.settings_stamp, claimed.model_id)
        matched = _match(known, live=live, now=now, noted=claimed.noted)
        return replace(matched, more=claimed.more)


def _match(known: Known, *, live: Live, now: datetime, noted: bool) -> Matched:
    """Compare these profiles with everybody; `noted`: and say whose keys it wrote."""
    refreshed = refresh(known, fields=live.fields)
    changed = {id_: refreshed.records[id_] for id_ in sorted(refreshed.changed)}
    identifying = {id_: value_keys(records, live.fields) for id_, records in changed.items()}
    keys = keys_of(changed, identifying, live)
    writes = [*refreshed.writes, *key_writes(keys, gone=refreshed.gone, new=refreshed.new)]
    if noted:
        writes.append(queue.note_seen_to(keys.keys() | refreshed.gone))
    neighbours = find_neighbours(keys, after=writes)
    shared = {id_: [one for one in held if one.key in neighbours.shared] for id_, held in identifying.items()}
    warnings.note_shared({one for held in shared.values() for one in held}, now=now)
    records = neighbours.records | {
        id_: [without(record, shared[id_]) for record in said] for id_, said in changed.items()
    }
    pairs, compared, explain = _score(neighbours.of, records, live)
    found = reconcile(
        pairs,
        touched=(changed.keys() - refreshed.new) | refreshed.gone,
        explain=explain,
        people=refreshed.people,
        live=live,
        now=now,
    )
    return Matched(claimed=len(known.ids), compared=compared, waiting=found.waiting, due=found.due)


def keys_of(
    records: Mapping[int, Sequence[Record]], identifying: Mapping[int, Collection[ValueKey]], live: Live
) -> dict[int, set[int]]:
    """All keys of these profiles: those that the model blocks their records by, and those of identifying values."""
    keys = {id_: {one.key for one in identifying[id_]} for id_ in records}
    owners = [id_ for id_, said in records.items() for _ in said]
    blocking = live.scorer.keys([record for said in records.values() for record in said]) if records else []
    for id_, found in zip(owners, blocking, strict=True):
        keys[id_].update(found)
    return keys


def without(record: Record, shared: Collection[ValueKey]) -> Record:
    """The record without values that so many share that they say nothing of anybody."""
    if not shared:
        return record
    gone = {(one.column, one.value) for one in shared}
    return {
        column: kept
        for column, values in record.items()
        if (kept := [value for value in values if (column, value) not in gone])
    }


def _score(
    neighbours: Mapping[int, Collection[int]], records: Mapping[int, Sequence[Record]], live: Live
) -> tuple[list[Pair], int, Explain]:
    """The pairs above the review threshold, each once; how many were compared; and who explains them."""
    asked = sorted(
        {
            (min(asker, other), max(asker, other))
            for asker, near in neighbours.items()
            for other in near
            if other in records
        }
    )
    place_of = {id_: place for place, id_ in enumerate({id_ for pair in asked for id_ in pair})}
    pairs = np.array([(place_of[one], place_of[other]) for one, other in asked], dtype=np.int64).reshape(-1, 2)
    judgement = live.scorer.judge_profiles([records[id_] for id_ in place_of], pairs)
    scores = judgement.scores
    chances = live.model.probability(scores)
    likely = {asked[at]: at for at in np.flatnonzero(chances >= live.settings.review_above).tolist()}
    found = [Pair(*pair, float(scores[at]), float(chances[at])) for pair, at in likely.items()]

    def explain(chosen: Sequence[Pair]) -> list[str]:
        told = judgement.explain([likely[pair.one, pair.other] for pair in chosen])
        return [msgspec.json.encode(one).decode() for one in told]

    return found, len(asked), explain
