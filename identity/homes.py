"""Where settled combinations of identifiers led, remembered by each process for the people who come again and again.

What is remembered may be out of date: whoever uses it locks the profile first, and `forget`s it where that is gone. A
profile that loses an identifier and stays must therefore get rid of the memory of every process: change its id.
"""

from collections.abc import Iterable

from identity.contracts import Combination

GENERATION = 50_000  # combinations; two generations are kept, so that what is used stays and the rest goes

_young: dict[Combination, int] = {}
_old: dict[Combination, int] = {}


def recall(combinations: Iterable[Combination]) -> tuple[dict[Combination, int], list[Combination]]:
    """Those that are remembered, with their profiles, and the others."""
    found: dict[Combination, int] = {}
    aged: dict[Combination, int] = {}
    others: list[Combination] = []
    for combination in combinations:
        profile_id = _young.get(combination)
        if profile_id is None:
            profile_id = _old.get(combination)
            if profile_id is None:
                others.append(combination)
                continue
            aged[combination] = profile_id
        found[combination] = profile_id
    remember(aged)
    return found, others


def remember(found: dict[Combination, int]) -> None:
    global _young, _old
    _young.update(found)
    if len(_young) > GENERATION:
        _young, _old = {}, _young


def forget(combinations: Iterable[Combination]) -> None:
    for combination in combinations:
        _young.pop(combination, None)
        _old.pop(combination, None)


def forget_all() -> None:
    _young.clear()
    _old.clear()
