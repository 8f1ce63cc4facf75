"""Pairs of profiles that look alike, with their evidence, put straight into the tables."""

import random
from datetime import datetime
from typing import Any

import msgspec
from django.utils import timezone

from identity.candidates.models import Candidate
from identity.matching.contracts import Explanation, FieldEvidence
from identity.models import Identifier, ProfileIdentifier
from tests.factories.segments import make_profile

KATE = {"firstName": "Katharine", "lastName": "Meyer", "email": "kate@example.org", "city": "Lübeck"}
CATHERINE = {"firstName": "Catherine", "lastName": "Meyer", "email": "c.meyer@example.org", "phone": "+4945112345"}
NAMES = FieldEvidence("given_name", "sounds the same", 4.2, "Katharine", "Catherine")
SURNAME = FieldEvidence("surname", "the same", 7.9, "Meyer", "Meyer")
CITY = FieldEvidence("city", "another one", -1.6, "Lübeck", "Kiel")


def make_person(traits: dict[str, Any] | None = None, *, source_id: int = 1, **identifiers: str) -> int:
    """A profile with these traits and identifiers: `make_person(KATE, user_id="u-1")`."""
    now = timezone.now()
    id_ = make_profile(traits, now=now)
    for kind, value in sorted(identifiers.items()):
        Identifier.objects.create(kind=kind, value=value, profile_id=id_)
        ProfileIdentifier.objects.create(
            profile_id=id_, kind=kind, value=value, first_seen_at=now, last_seen_at=now, source_id=source_id
        )
    return id_


def make_explanation(*fields: FieldEvidence, prior: float = -9.0) -> Explanation:
    used = fields or (NAMES, SURNAME, CITY)
    score = prior + sum(field.weight for field in used)
    return Explanation(prior=prior, fields=used, score=score, probability=1 / (1 + 2**-score))


def make_candidate(one_id: int, other_id: int, *evidence: FieldEvidence, **fields: Any) -> Candidate:
    """A pair that waits; further fields by keyword."""
    explanation = make_explanation(*evidence)
    now: datetime = fields.pop("now", timezone.now())
    first, second = sorted((one_id, other_id))
    values = {
        "score": explanation.score,
        "probability": explanation.probability,
        "value": 1.0,
        "evidence": msgspec.to_builtins(explanation),
        "found_at": now,
        "updated_at": now,
    }
    return Candidate.objects.create(one_id=first, other_id=second, **(values | fields))


def make_pair(number: int = 0, **fields: Any) -> Candidate:
    """Two people who may be one, and the pair of them; `number` keeps their identifiers apart."""
    one = make_person({**KATE, "email": f"kate{number}@example.org"}, user_id=f"kate-{number}")
    other = make_person({**CATHERINE, "email": f"c.meyer{number}@example.org"}, user_id=f"cat-{number}")
    return make_candidate(one, other, **fields)


def make_scored(number: int, *, seed: int = 7, **fields: Any) -> list[Candidate]:
    """Many pairs of any score, without profiles behind them."""
    chance = random.Random(seed)
    now = timezone.now()
    made = []
    for place in range(number):
        evidence = make_explanation(SURNAME, CITY, prior=chance.gauss(-1, 4))
        made.append(
            Candidate(
                one_id=1_000_000 + 2 * place,
                other_id=1_000_001 + 2 * place,
                score=evidence.score,
                probability=evidence.probability,
                value=1.0,
                evidence=msgspec.to_builtins(evidence),
                found_at=now,
                updated_at=now,
                **fields,
            )
        )
    return Candidate.objects.bulk_create(made)
