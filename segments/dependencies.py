"""What a definition reads: which changes can touch it, and whether time alone can."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import assert_never

from segments.ast import Account, Between, Condition, Consent, Event, Given, InSegment, Node, Sequence, Stage, Trait
from segments.plan import RELATIVE, UnexpandedError, conditions, holds_when_empty


@dataclass(frozen=True)
class Dependencies:
    """`traits` and `accounts` (traits of accounts) are top-level names, as changes name them; `purposes` are slugs.

    `empty` tells whether new profiles are in at once.
    """

    events: frozenset[str]
    traits: frozenset[str]
    accounts: frozenset[str]
    purposes: frozenset[str]
    time: bool
    empty: bool


GIVEN = "segment:"


def given_key(slug: str) -> str:
    """How a change names, among the traits, that somebody was put into a manual segment or taken out of it.

    A trait that is really called so has those segments asked once too often, and that is all.
    """
    return GIVEN + slug


def dependencies(node: Node) -> Dependencies:
    found = list(conditions(node))
    return Dependencies(
        events=frozenset(name for part in found for stream in streams_of(part) for name in stream.events),
        traits=frozenset(_traits(found)),
        accounts=frozenset(part.trait.root for part in found if isinstance(part, Account)),
        purposes=frozenset(part.purpose for part in found if isinstance(part, Consent)),
        time=any(_moves(part) for part in found),
        empty=holds_when_empty(node),
    )


def _traits(found: Iterable[Condition]) -> Iterator[str]:
    for part in found:
        if isinstance(part, Trait):
            yield part.trait.root
        elif isinstance(part, Given):
            yield given_key(part.slug)


def streams_of(condition: Condition) -> tuple[Event | Stage, ...]:
    """The events that a condition reads, each kind with its tests."""
    match condition:
        case Trait() | Account() | InSegment() | Given() | Consent():
            return ()
        case Event():
            return (condition,)
        case Sequence(stages):
            return stages
        case _:
            assert_never(condition)


def _moves(condition: Condition) -> bool:
    """Whether the answer can change although nothing new arrives (other than a future event coming due)."""
    match condition:
        case Trait(_, test) | Account(_, test):
            return test.op in RELATIVE
        case Consent():
            return True  # a grant can expire
        case Event():
            timed = condition.test.op in RELATIVE
        case Sequence(stages):
            timed = any(stage.absent and stage.within for stage in stages)
        case Given():
            return False
        case InSegment(slug):
            raise UnexpandedError(slug)
        case _:
            assert_never(condition)
    moving_window = condition.window is not None and not isinstance(condition.window, Between)
    relative = any(where.test.op in RELATIVE for stream in streams_of(condition) for where in stream.where)
    return timed or moving_window or relative
