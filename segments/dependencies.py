"""What a definition reads: which changes can touch it, and whether time alone can."""

from dataclasses import dataclass

from segments.ast import Between, Event, Node, Trait
from segments.plan import RELATIVE, conditions, holds_when_empty


@dataclass(frozen=True)
class Dependencies:
    """`traits` are top-level names, as changes name them; `empty` tells whether new profiles are in at once."""

    events: frozenset[str]
    traits: frozenset[str]
    time: bool
    empty: bool


def dependencies(node: Node) -> Dependencies:
    found = list(conditions(node))
    return Dependencies(
        events=frozenset(name for part in found if isinstance(part, Event) for name in part.events),
        traits=frozenset(part.trait.root for part in found if isinstance(part, Trait)),
        time=any(_moves(part) for part in found),
        empty=holds_when_empty(node),
    )


def _moves(condition: Trait | Event) -> bool:
    """Whether the answer can change although nothing new arrives (other than a future event coming due)."""
    if isinstance(condition, Trait):
        return condition.test.op in RELATIVE
    moving_window = condition.window is not None and not isinstance(condition.window, Between)
    return moving_window or any(test.op in RELATIVE for test in (condition.test, *(w.test for w in condition.where)))
