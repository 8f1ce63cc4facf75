"""Purposes and choices."""

import itertools
from datetime import UTC, datetime
from typing import Any

import factory

from consent.contracts import ConsentInput, State
from consent.models import Purpose
from consent.operations import record_consents

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)

ANNA = ("email", "anna@example.com")
ANNAS_BROWSER = ("anonymous_id", "browser-1")

_numbers = itertools.count(1)


class PurposeFactory(factory.django.DjangoModelFactory[Purpose]):
    class Meta:
        model = Purpose

    slug = factory.Sequence(lambda number: f"purpose-{number}")
    name = factory.LazyAttribute(lambda purpose: purpose.slug.title())
    kind = Purpose.Kind.ACTIVATION
    requires_opt_in = True


def a_choice(
    purpose: Purpose, state: State = State.GRANTED, *subjects: tuple[str, str], **fields: Any
) -> ConsentInput:
    """A choice of Anna's, unless other identifiers are given."""
    given = {
        "subjects": subjects or (ANNA,),
        "purpose": purpose.slug,
        "state": state,
        "method": "form",
        "happened_at": NOW,
    }
    return ConsentInput(**(given | fields))


def choose(purpose: Purpose, state: State, *subjects: tuple[str, str], **fields: Any) -> int:
    """Record a choice; the id of its record."""
    choice = a_choice(purpose, state, *subjects, **fields)
    return record_consents(choices=[choice], now=max(choice.happened_at, NOW))[0].record_id
