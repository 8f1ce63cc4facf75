"""Whether a question about everybody is for arrays, and asking it. This module is light: NumPy comes when it is."""

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction

from identity.columns.wanted import packed_traits, want_trait
from ingestion.blocks.wanted import want
from segments.ast import Any, Condition, Event, Node, Trait
from segments.columnar.errors import DeclinedError
from segments.engine import fetch, load_dictionary, plan_at, too_slow
from segments.plan import RELATIVE, Plan, conditions
from segments.sql import Sql
from segments.streams import Dictionary

if TYPE_CHECKING:
    from segments.columnar.population import Crowd
    from segments.columnar.states import States

_SNAPSHOT = Sql("SELECT current_setting('transaction_isolation') IN ('repeatable read', 'serializable')")
_PROFILES = Sql("SELECT greatest(reltuples, 0) FROM pg_class WHERE oid = 'profile'::regclass")


def ask(roots: Sequence[Node], *, now: datetime, seconds: float) -> "Crowd | None":
    """Who is in each of these expanded definitions; None where SQL is to be asked.

    That is where there are few profiles, where no condition is one that arrays answer, and outside of a snapshot
    (`segments.engine.snapshot`), since arrays are read by more than one statement.

    Raises:
        QueryTooSlowError
    """
    if not worth_it():
        return None
    whole = roots[0] if len(roots) == 1 else Any(tuple(roots))
    plan, dictionary = plan_at(whole, now=now), load_dictionary(whole)
    covered = _covered(plan)
    _want_what_is_missing(plan, dictionary, covered)
    if not covered:
        return None
    return _answer(roots, plan, dictionary, covered, _deadline(seconds))


def ask_states(root: Node, *, now: datetime, pause: Callable[[], None]) -> "States | None":
    """Who is in an expanded definition, and when that can change; None as with `ask`. `pause` may end it."""
    if not worth_it():
        return None
    plan, dictionary = plan_at(root, now=now), load_dictionary(root)
    covered = _covered(plan, timed=True)
    _want_what_is_missing(plan, dictionary, covered)
    if not covered or _reads_traits_again(plan, covered):
        return None
    from segments.columnar.states import Timed

    try:
        return Timed(plan, dictionary, covered=frozenset(covered), pause=pause).states()
    except DeclinedError:
        return None


def _reads_traits_again(plan: Plan, covered: Collection[Condition]) -> bool:
    """One query tests many traits in a row; asked condition by condition, each would read every row again."""
    missing = {one for one in conditions(plan.root) if isinstance(one, Trait) and one not in covered}
    return len(missing) > 1


def worth_it() -> bool:
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


def _covered(plan: Plan, *, timed: bool = False) -> list[Condition]:
    found = list(dict.fromkeys(conditions(plan.root)))
    paths = {one.trait.text for one in found if isinstance(one, Trait) and one.trait.single}
    packed = packed_traits(paths)
    return [one for one in found if covers(one, packed, timed=timed)]


def covers(condition: Condition, packed: Collection[str], *, timed: bool = False) -> bool:
    """What runs through lists, or follows one event after another, is asked of SQL.

    With `timed`, when a test of an event's date changes its answer is asked of SQL too.
    """
    match condition:
        case Trait(path):
            return path.single and path.text in packed
        case Event(where=where, of=of, test=test, span=None):
            tested = all(each.property.single for each in where)
            relative = test.op in RELATIVE or any(each.test.op in RELATIVE for each in where)
            return tested and (of is None or (of.single and not of.of_time)) and not (timed and relative)
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
