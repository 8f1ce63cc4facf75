"""The settings and the model that matching goes by right now."""

import functools
import math
from dataclasses import dataclass

import msgspec
from django.db import connection

from identity import matching
from identity.candidates.contracts import Field
from identity.candidates.fields import dump_fields, live_fields, types_of
from identity.candidates.models import MatchingSettings, MatchModel

ESTIMATE_FROM = 2_000
"""Fewer profiles than this hold too few pairs of the same person to estimate weights from: the shipped ones serve."""
FEWEST = 1_000
"""People of whom the shipped weights think at least."""


@dataclass(frozen=True, slots=True)
class Live:
    settings: MatchingSettings
    model_id: int | None
    fields: list[Field]
    model: "matching.Model"
    scorer: "matching.Scorer"


def load_settings() -> MatchingSettings:
    found, _ = MatchingSettings.objects.get_or_create(pk=1)
    return found


def load_live(settings_stamp: str | None = None, model_id: int | None = None) -> Live:
    """The live version; without one, the weights that are shipped, over the fields as they are.

    The stamp says which row of the settings is in force: PostgreSQL writes another whenever they change.
    """
    if settings_stamp is not None and model_id is not None:
        return _live_at(settings_stamp, model_id)
    settings = load_settings()
    row = MatchModel.objects.defer("parameters").filter(state=MatchModel.State.LIVE).first()
    return live_by(settings, row)


def live_by(settings: MatchingSettings, row: MatchModel | None) -> Live:
    """Matching as it would be under a version, live or not: a version keeps the fields it was estimated for."""
    if row is None:
        fields = live_fields(settings)
        text = msgspec.json.encode(dump_fields(fields))
        model, scorer = _shipped(text, _doublings())
        return Live(settings, None, fields, model, scorer)
    fields = msgspec.convert(row.summary["fields"], list[Field])
    model, scorer = _of_version(row.pk)
    return Live(settings, row.pk, fields, model, scorer)


@functools.lru_cache(maxsize=4)
def _live_at(settings_stamp: str, model_id: int) -> Live:  # noqa: ARG001 - the stamp says when to read them again
    """To read a model costs more than all else that an arrival needs, so that a process keeps what is in force."""
    return live_by(load_settings(), MatchModel.objects.defer("parameters").get(pk=model_id))


def _doublings() -> int:
    """About how many people there are, as PostgreSQL's statistics know: how often the fewest, doubled."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT reltuples FROM pg_class WHERE oid = 'profile'::regclass")
        (people,) = cursor.fetchone()
    return round(math.log2(max(FEWEST, people) / FEWEST))


@functools.lru_cache(maxsize=4)
def _shipped(fields: bytes, doublings: int) -> "tuple[matching.Model, matching.Scorer]":
    """Among more people, more look alike by chance."""
    types = types_of(msgspec.json.decode(fields, type=list[Field]))
    model = matching.default_model(types, people=FEWEST * 2**doublings)
    return model, matching.Scorer(model)


@functools.lru_cache(maxsize=4)
def _of_version(model_id: int) -> "tuple[matching.Model, matching.Scorer]":
    """A version never changes, so that a process keeps it."""
    row = MatchModel.objects.get(pk=model_id)
    model = msgspec.convert(row.parameters, matching.Model)
    return model, matching.Scorer(model)
