"""Where settled people led, remembered by each process for those who come again and again, on the `Person` itself.

What is remembered may be out of date: whoever uses it locks the profile first, and `forget`s it where that is gone. A
profile that loses identifiers and stays is not caught by that: taking them away begins a new `epoch`, in the same
transaction, and whoever has locked the profiles asks whether the epoch is still the one that it remembers.
"""

from collections.abc import Collection, Iterable, Sequence

from django.db import connection

from identity.contracts import Combination
from ingestion.contracts import Person


class _Known:
    """Which epoch it is, as far as this process has learnt; and whether anybody's origin is another profile.

    What was learnt in an earlier generation is forgotten.
    """

    epoch: int | None = None
    origins = False
    generation = 0


def recall(people: Iterable[Person]) -> tuple[list[int], list[int]]:
    """The profiles of those that are remembered, 0 for the others, and the places of these."""
    now = _Known.generation
    ids = [person.home if person.generation == now else 0 for person in people]
    if 0 not in ids:
        return ids, []
    return ids, [place for place, id_ in enumerate(ids) if not id_]


def origins_of(people: Iterable[Person]) -> dict[Combination, int]:
    """Of remembered ones, the origins that are not the profile itself."""
    if not _Known.origins:
        return {}
    now = _Known.generation
    return {person.identifiers: person.origin for person in people if person.origin and person.generation == now}


def remember(person: Person, *, home: int, origin: int) -> None:
    """`origin` is 0 where it is the profile itself."""
    person.home, person.origin, person.generation = home, origin, _Known.generation
    if origin:
        _Known.origins = True


def forget(people: Sequence[Person], homes: Collection[int]) -> None:
    """What is remembered of those of them that led there."""
    for person in people:
        if person.home in homes:
            person.generation = -1


def forget_all() -> None:
    _Known.epoch = None
    _Known.generation += 1


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
