"""Questions to the ledger: who must not be collected, and what may be done with whom."""

from collections import defaultdict
from collections.abc import Collection, Hashable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from django.db import connection

from consent import policy
from consent.contracts import Choice, Decision, State
from consent.errors import UnknownPurposeError
from consent.models import ConsentRecord, ConsentState, Purpose
from consent.subjects import require_ledger_key

Key = TypeVar("Key", bound=Hashable)

_CHOICES = """
    SELECT subject, state, happened_at, expires_at, record_id
    FROM consent_consentstate WHERE purpose_id = %s AND subject = ANY(%s)
"""

_CHOICES_OF_ALL = """
    SELECT subject, purpose_id, state, happened_at, expires_at, record_id
    FROM consent_consentstate WHERE subject = ANY(%s)
"""


def refused_subjects(*, subjects: Collection[str], purpose_id: int, now: datetime) -> set[str]:
    """Of these hashes, those that must not be collected for the purpose, each judged by itself.

    For a purpose that needs opt-in that is every hash without a live grant. Where a message carries several
    identifiers of one person, `decide_many` judges them together.
    """
    people = {subject: (subject,) for subject in subjects}
    decisions = decide_many(people=people, purpose_id=purpose_id, now=now)
    return {subject for subject, decision in decisions.items() if not decision.allowed}


def decide(*, subjects: Collection[str], purpose_id: int, now: datetime) -> Decision:
    return decide_many(people={0: subjects}, purpose_id=purpose_id, now=now)[0]


def decide_many(*, people: Mapping[Key, Collection[str]], purpose_id: int, now: datetime) -> dict[Key, Decision]:
    """Each person's answer, from all of the person's hashed identifiers; two queries for any number of people.

    A person given as a mapping also says since when each identifier is known as theirs: without it a refusal on
    one identifier is answered only by a grant on that same one. Who cannot be recognised is refused. Raises
    SubjectKeyError where this deployment's key is not the ledger's.
    """
    require_ledger_key()
    requires_opt_in = _requires_opt_in(purpose_id)
    if requires_opt_in is None:
        return dict.fromkeys(people, policy.UNKNOWN_PURPOSE)
    choices = _choices(sorted({subject for person in people.values() for subject in person}), purpose_id)
    return {
        key: policy.decide(_of_person(person, choices), requires_opt_in=requires_opt_in, now=now)
        if person
        else policy.UNKNOWN_PERSON
        for key, person in people.items()
    }


def has_choices() -> bool:
    """Whether anybody has ever chosen."""
    return ConsentState.objects.exists()


def choices_of(people: Mapping[Key, Mapping[str, datetime]]) -> dict[Key, dict[int, list[Choice]]]:
    """Of each person who has any, the choices by purpose; `people` as `decide_many` takes them. One query.

    Raises SubjectKeyError where this deployment's key is not the ledger's.
    """
    require_ledger_key()
    subjects = sorted({subject for person in people.values() for subject in person})
    held: defaultdict[str, list[tuple[int, Choice]]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(_CHOICES_OF_ALL, [subjects])
        for subject, purpose_id, state, *rest in cursor.fetchall():
            held[subject].append((purpose_id, Choice(State(state), *rest)))
    found: dict[Key, dict[int, list[Choice]]] = {}
    for key, person in people.items():
        for subject, known_since in person.items():
            for purpose_id, choice in held.get(subject, ()):
                found.setdefault(key, {}).setdefault(purpose_id, []).append(_since(choice, known_since))
    return found


def records(
    *,
    purpose: str | None = None,
    subject: str | None = None,
    state: str | None = None,
    before_id: int | None = None,
    limit: int = 100,
) -> list[ConsentRecord]:
    """Ledger records, newest first; of a purpose (slug), of a hashed identifier, below an id."""
    wanted: dict[str, Any] = {
        "purpose__slug": purpose,
        "subjects__contains": None if subject is None else [subject],
        "state": state,
        "id__lt": before_id,
    }
    found = ConsentRecord.objects.filter(**{name: value for name, value in wanted.items() if value is not None})
    return list(found.select_related("purpose").order_by("-id")[:limit])


def get_purpose(*, slug: str) -> Purpose:
    """Raises UnknownPurposeError."""
    found = Purpose.objects.filter(slug=slug).first()
    if found is None:
        raise UnknownPurposeError(f"There is no purpose {slug!r}.", path="/purpose")
    return found


def _requires_opt_in(purpose_id: int) -> bool | None:
    return Purpose.objects.filter(pk=purpose_id).values_list("requires_opt_in", flat=True).first()


def _choices(subjects: list[str], purpose_id: int) -> dict[str, Choice]:
    with connection.cursor() as cursor:
        cursor.execute(_CHOICES, [purpose_id, subjects])
        return {subject: Choice(State(state), *rest) for subject, state, *rest in cursor.fetchall()}


def _of_person(person: Collection[str], choices: Mapping[str, Choice]) -> list[Choice]:
    known = person if isinstance(person, Mapping) else {}
    return [_since(choices[subject], known.get(subject)) for subject in set(person) if subject in choices]


def _since(choice: Choice, known_since: datetime | None) -> Choice:
    if known_since is None:
        return choice
    return Choice(choice.state, choice.happened_at, choice.expires_at, choice.record_id, known_since)
