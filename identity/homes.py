"""Where settled combinations of identifiers led, remembered by each process for the people who come again and again.

What is remembered may be out of date: whoever uses it locks the profile first, and `forget`s it where that is gone. A
profile that loses identifiers and stays is not caught by that: taking them away begins a new `epoch`, in the same
transaction, and whoever has locked the profiles asks whether the epoch is still the one that it remembers.
"""

from collections.abc import Iterable, Mapping, Sequence

from django.db import connection

from identity.contracts import Combination

GENERATION = 50_000  # combinations; two generations are kept, so that what is used stays and the rest goes

_young: dict[Combination, int] = {}
_old: dict[Combination, int] = {}
_origins: dict[Combination, int] = {}  # of those whose origin is not the profile itself, which are few


class _Known:
    """Which epoch it is, as far as this process has learnt."""

    epoch: int | None = None


def recall(combinations: Sequence[Combination]) -> tuple[list[int], list[int]]:
    """The profiles of those that are remembered, 0 for the others, and the places of these."""
    recalled = _young.get
    ids = [recalled(combination, 0) for combination in combinations]
    if 0 not in ids:
        return ids, []
    others: list[int] = []
    aged: dict[Combination, int] = {}
    for place, profile_id in enumerate(ids):
        if profile_id:
            continue
        combination = combinations[place]
        if known := _old.get(combination):
            ids[place] = aged[combination] = known
        else:
            others.append(place)
    if aged:
        remember(aged, {})
    return ids, others


def origins_of(combinations: Iterable[Combination]) -> dict[Combination, int]:
    """Of remembered ones, the origins that are not the profile itself."""
    if not _origins:
        return {}
    return {combination: _origins[combination] for combination in combinations if combination in _origins}


def remember(found: Mapping[Combination, int], origins: Mapping[Combination, int]) -> None:
    global _young, _old
    _young.update(found)
    _origins.update(origins)
    if len(_young) > GENERATION:
        _young, _old = {}, _young
        for combination in [one for one in _origins if one not in _old]:
            del _origins[combination]


def forget(combinations: Iterable[Combination]) -> None:
    for combination in combinations:
        _young.pop(combination, None)
        _old.pop(combination, None)
        _origins.pop(combination, None)


def forget_all() -> None:
    _young.clear()
    _old.clear()
    _origins.clear()
    _Known.epoch = None


def holds() -> bool:
    """Whether what is remembered, and what was looked up since it was last asked, is of the epoch that is now.

    If not, all is forgotten. To be asked before profiles are looked up, and again when they are locked: it is a
    statement of its own, so that it sees what was committed while the lock was waited for.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(number), 0) FROM identity_epoch")
        (now,) = cursor.fetchone()
    if now == _Known.epoch:
        return True
    forget_all()
    _Known.epoch = now
    return False


def begin_epoch() -> None:
    """Make every process forget, once this transaction is committed. The last thing that it does: others wait."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO identity_epoch (id, number) VALUES (1, 1)"
            " ON CONFLICT (id) DO UPDATE SET number = identity_epoch.number + 1"
        )


def is_new() -> bool:
    """Whether this process has yet to learn which epoch it is."""
    return _Known.epoch is None
