"""Whether a person's choices allow a purpose. Pure: no database, no clock, no Django.

A person has several identifiers, and each may carry a choice of its own: a cookie that declined in a banner, an
e-mail that subscribed in a form. When identifiers turn out to be one person, the strictest answer holds, until
that person chooses again. So a grant answers a refusal on another identifier only where it is newer than the
refusal *and* was made when both identifiers were already known to be the same person. A later grant on the very
same identifier has replaced the refusal before it comes here.

Every rule is about the set of choices, none about their order.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum


class State(StrEnum):
    GRANTED = "granted"
    DENIED = "denied"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


class Standing(StrEnum):
    """What of a person's choices about a purpose stands, whatever the purpose makes of silence."""

    GRANTED = "granted"
    DENIED = "denied"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """Why the answer is what it is; shown to people and recorded with what was held back."""

    GRANTED = "granted"
    NOT_OBJECTED = "not_objected"
    DENIED = "denied"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    NO_CHOICE = "no_choice"
    UNKNOWN_PERSON = "unknown_person"
    UNKNOWN_PURPOSE = "unknown_purpose"


REFUSALS = frozenset({State.DENIED, State.WITHDRAWN})
# Of two choices of the same instant about the same identifier the stricter one holds.
STRICTNESS = {State.GRANTED: 0, State.EXPIRED: 1, State.DENIED: 2, State.WITHDRAWN: 2}


@dataclass(frozen=True, slots=True)
class Choice:
    """The latest choice on one identifier. `known_since`: when the identifier became known as this person's;
    None where nobody can say, and then a grant here answers no refusal elsewhere.
    """

    state: State
    happened_at: datetime
    expires_at: datetime | None
    record_id: int
    known_since: datetime | None = None

    def is_refusal(self) -> bool:
        """A refusal never lapses: only consent wears out."""
        return self.state in REFUSALS

    def is_grant(self, now: datetime) -> bool:
        return self.state is State.GRANTED and (self.expires_at is None or self.expires_at > now)


@dataclass(frozen=True, slots=True)
class Decision:
    allowed: bool
    reason: Reason
    record_id: int | None = None


UNKNOWN_PERSON = Decision(allowed=False, reason=Reason.UNKNOWN_PERSON)
UNKNOWN_PURPOSE = Decision(allowed=False, reason=Reason.UNKNOWN_PURPOSE)


def decide(choices: Collection[Choice], *, requires_opt_in: bool, now: datetime) -> Decision:
    """The answer for one person: a standing refusal is no, a live grant is yes, silence is as the purpose says."""
    grants = [choice for choice in choices if choice.is_grant(now)]
    standing = [choice for choice in choices if choice.is_refusal() and not _answered(choice, grants)]
    if standing:
        refusal = max(standing, key=_age)
        return Decision(allowed=False, reason=Reason(refusal.state), record_id=refusal.record_id)
    if grants:
        return Decision(allowed=True, reason=Reason.GRANTED, record_id=max(grants, key=_age).record_id)
    if not requires_opt_in:
        return Decision(allowed=True, reason=Reason.NOT_OBJECTED)
    lapsed = max((choice for choice in choices if not choice.is_refusal()), key=_age, default=None)
    if lapsed is None:
        return Decision(allowed=False, reason=Reason.NO_CHOICE)
    return Decision(allowed=False, reason=Reason.EXPIRED, record_id=lapsed.record_id)


@dataclass(frozen=True, slots=True)
class Course:
    """How the choices that there are stand as time passes: as `state` before `until`, as `then` from that instant on.

    One change at most: time only takes grants away, so once none answers for a refusal, or none is left, none will.
    """

    state: Standing
    until: datetime | None = None
    then: Standing | None = None

    def at(self, now: datetime) -> Standing:
        return self.then if self.then and self.until and self.until <= now else self.state


def standing(choices: Collection[Choice], *, now: datetime) -> Standing:
    """Granted where a live grant stands, denied where a refusal does, by `decide`; unknown where neither."""
    decision = decide(choices, requires_opt_in=True, now=now)
    if decision.allowed:
        return Standing.GRANTED
    return Standing.DENIED if decision.reason in {Reason.DENIED, Reason.WITHDRAWN} else Standing.UNKNOWN


def course(choices: Collection[Choice]) -> Course:
    """`standing` at every instant: it can only change where a grant expires."""
    ends = sorted({choice.expires_at for choice in choices if choice.state is State.GRANTED and choice.expires_at})
    first = standing(choices, now=datetime.min.replace(tzinfo=UTC))
    for end in ends:
        then = standing(choices, now=end)
        if then is not first:
            return Course(first, end, then)
    return Course(first)


def latest(choices: Iterable[Choice]) -> Choice:
    """The choice that holds for one identifier. The database folds by the same rule (`operations`)."""
    return max(choices, key=_precedence)


def _answered(refusal: Choice, grants: Iterable[Choice]) -> bool:
    return any(_answers(grant, refusal) for grant in grants)


def _answers(grant: Choice, refusal: Choice) -> bool:
    if grant.known_since is None or refusal.known_since is None:
        return False
    informed_at = max(grant.known_since, refusal.known_since)
    return grant.happened_at > refusal.happened_at and grant.happened_at >= informed_at


def _age(choice: Choice) -> tuple[datetime, int, str]:
    """The newest is cited; what follows the time only makes the pick the same in any order."""
    return (choice.happened_at, choice.record_id, choice.state)


def _precedence(choice: Choice) -> tuple[datetime, int, float, int]:
    """Newest first; then the strictest, then what ends first, then the record that came last."""
    ends = choice.expires_at.timestamp() if choice.expires_at else float("inf")
    return (choice.happened_at, STRICTNESS[choice.state], -ends, choice.record_id)
