"""Whether a question about everybody is for arrays, and asking it. This module is light: NumPy comes when it is."""

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction

from identity.columns.operations import want_trait
from identity.columns.queries import packed_traits
from ingestion.blocks.wanted import want
from segments.ast import Any, Condition, Event, Node, Trait
from segments.columnar.errors import DeclinedError
from segments.engine import fetch, load_dictionary, plan_at, too_slow
from segments.plan import Plan, conditions
from segments.sql import Sql
from segments.streams import Dictionary

if TYPE_CHECKING:
    from segments.columnar.population import Crowd

_SNAPSHOT = Sql("SELECT current_setting('transaction_isolation') IN ('repeatable read', 'serializable')")
_PROFILES = Sql("SELECT greatest(reltuples, 0) FROM pg_class WHERE oid = 'profile'::regclass")


def ask(roots: Sequence[Node], *, now: datetime, seconds: float) -> "Crowd | None":
    """Who is in each of these expanded definitions; None where SQL is to be asked.

    That is where there are few profiles, where no condition is one that arrays answer, and outside of a snapshot
    (`segments.engine.snapshot`), since arrays are read by more than one statement.

    Raises:
        QueryTooSlowError
    """
    if not _worth_it():
        return None
    whole = roots[0] if len(roots) == 1 else Any(tuple(roots))
    plan, dictionary = plan_at(whole, now=now), load_dictionary(whole)
    covered = _covered(plan)
    _want_what_is_missing(plan, dictionary, covered)
    if not covered:
        return None
    return _answer(roots, plan, dictionary, covered, _deadline(seconds))


def _worth_it() -> bool:
    ((snapshot,),) = fetch(_SNAPSHOT)
    ((profiles,),) = fetch(_PROFILES)
    return bool(snapshot) and profiles >= settings.SEGMENTS_COLUMNAR_FROM


def _answer(
    roots: Sequence[Node],
    plan: Plan,
    dictionary: Dictionary,
    covered: Collection[Condition],
    pause: Callable[[], None],
) -> "Crowd | None":
    from segments.columnar.population import Population

    try:
        return Population(plan, dictionary, covered=frozenset(covered), pause=pause).ask(roots)
    except DeclinedError:
        return None


def _covered(plan: Plan) -> list[Condition]:
    found = list(dict.fromkeys(conditions(plan.root)))
    paths = {one.trait.text for one in found if isinstance(one, Trait) and one.trait.single}
    packed = packed_traits(paths)
    return [one for one in found if covers(one, packed)]


def covers(condition: Condition, packed: Collection[str]) -> bool:
    """What runs through lists, or follows one event after another, is asked of SQL."""
    match condition:
        case Trait(path):
            return path.single and path.text in packed
        case Event(where=where, of=of, span=None):
            tested = all(each.property.single for each in where)
            return tested and (of is None or (of.single and not of.of_time))
        case _:
            return False


def _want_what_is_missing(plan: Plan, dictionary: Dictionary, covered: Collection[Condition]) -> None:
    """So that the next one is answered from columns; written once this transaction is over."""
    for condition in dict.fromkeys(conditions(plan.root)):
        if isinstance(condition, Trait) and condition.trait.single and condition not in covered:
            _later(partial(want_trait, condition.trait.text))
        if isinstance(condition, Event) and condition in covered:
            for name, path in _columns(condition, dictionary):
                _later(partial(want, name, path))


def _later(work: Callable[[], None]) -> None:
    transaction.on_commit(work, robust=True)


def _columns(event: Event, dictionary: Dictionary) -> Iterable[tuple[str, str]]:
    paths = [where.property for where in event.where] + ([event.of] if event.of else [])
    for name in event.events:
        if name in dictionary:
            for path in paths:
                if not path.of_time and path.text != dictionary[name].value_property:
                    yield name, path.text


def _deadline(seconds: float) -> Callable[[], None]:
    end = time.monotonic() + seconds

    def pause() -> None:
        if time.monotonic() > end:
            raise too_slow(seconds)

    return pause
