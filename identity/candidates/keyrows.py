"""The keys of many profiles at once, as arrays: what they shall be, what is stored, and what differs."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cdp.kernel.copy import copy_rows, read_rows
from cdp.kernel.prepared import array
from identity.candidates.contracts import Fields
from identity.candidates.live import Live
from identity.candidates.lookup import key_of, plain_of
from identity.candidates.records import IDENTIFYING
from identity.matching.contracts import Record

Numbers = npt.NDArray[np.int64]

_ROW = np.dtype([("fields", ">i2"), ("size", ">i4"), ("profile", ">i8"), ("size_", ">i4"), ("key", ">i8")])
_ELEMENT = np.dtype([("size", ">i4"), ("key", ">i8")])
_ARRAY_HEAD = 20


@dataclass(frozen=True, slots=True)
class KeyRows:
    """Profiles and keys, in this order, each row once."""

    profiles: Numbers
    keys: Numbers

    def __len__(self) -> int:
        return len(self.keys)

    def encoded(self) -> bytes:
        """As a binary COPY into `match_key` reads them, without header and trailer."""
        rows = np.empty(len(self), dtype=_ROW)
        rows["fields"], rows["size"], rows["size_"] = 2, 8, 8
        rows["profile"], rows["key"] = self.profiles, self.keys
        return rows.tobytes()


def in_order(profiles: Numbers, keys: Numbers) -> KeyRows:
    order = np.lexsort((keys, profiles))
    profiles, keys = profiles[order], keys[order]
    first = np.ones(len(keys), dtype=bool)
    first[1:] = (profiles[1:] != profiles[:-1]) | (keys[1:] != keys[:-1])
    return KeyRows(profiles[first], keys[first])


def wanted_rows(records: Mapping[int, Sequence[Record]], live: Live) -> KeyRows:
    """What `turn.keys_of` says of few."""
    ids = np.asarray([id_ for id_, said in records.items() for _ in said], dtype=np.int64)
    places, blocking = live.scorer.key_rows([record for said in records.values() for record in said])
    profiles, values = np.asarray(list(_identifying(records, live.fields)), dtype=np.int64).reshape(-1, 2).T
    return in_order(np.concatenate((ids[places], profiles)), np.concatenate((blocking, values)))


def _identifying(records: Mapping[int, Sequence[Record]], fields: Fields) -> Iterator[tuple[int, int]]:
    """As `lookup.value_keys`."""
    for field in fields:
        if field.type in IDENTIFYING:
            column, type_ = field.column, field.type
            for id_, said in records.items():
                for record in said:
                    for value in record.get(column, ()):
                        if plain := plain_of(value, type_):
                            yield id_, key_of(plain, type_)


def stored_rows(ids: Collection[int]) -> KeyRows:
    profiles, counts, keys = [], [], []
    query = "SELECT profile_id, array_agg(key) FROM match_key WHERE profile_id = ANY(%s::bigint[]) GROUP BY profile_id"
    for id_, held in read_rows(query, [array(ids)]):
        if id_ is not None and held is not None:
            profiles.append(int.from_bytes(id_, "big", signed=True))
            counts.append((len(held) - _ARRAY_HEAD) // _ELEMENT.itemsize)
            keys.append(held[_ARRAY_HEAD:])
    found = np.frombuffer(b"".join(keys), dtype=_ELEMENT)["key"].astype(np.int64)
    return in_order(np.repeat(np.asarray(profiles, dtype=np.int64), counts), found)


def difference(stored: KeyRows, wanted: KeyRows) -> tuple[KeyRows, KeyRows]:
    """What is stored and not wanted, and what is wanted and not stored."""
    profiles = np.concatenate((stored.profiles, wanted.profiles))
    keys = np.concatenate((stored.keys, wanted.keys))
    order = np.lexsort((keys, profiles))
    same = (profiles[order][1:] == profiles[order][:-1]) & (keys[order][1:] == keys[order][:-1])
    alone = np.ones(len(keys), dtype=bool)
    alone[order[1:][same]] = alone[order[:-1][same]] = False
    here = len(stored)
    return (
        KeyRows(stored.profiles[alone[:here]], stored.keys[alone[:here]]),
        KeyRows(wanted.profiles[alone[here:]], wanted.keys[alone[here:]]),
    )


def add_rows(rows: KeyRows) -> None:
    copy_rows(table="match_key", columns=("profile_id", "key"), rows=rows.encoded())
