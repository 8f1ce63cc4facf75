"""Versions of the model: estimated from the data, previewed against the live one, switched on, rolled back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from django.db import transaction

from identity import matching
from identity.candidates import runs, takeback
from identity.candidates.contracts import Field
from identity.candidates.errors import ModelError
from identity.candidates.fields import dump_fields, live_fields
from identity.candidates.full import (
    build_everybody,
    figures,
    load_everybody,
    match_origins,
    match_population,
    told_by_profile,
)
from identity.candidates.labels import labelled_pairs
from identity.candidates.live import ESTIMATE_FROM, Live, live_by, load_live, load_settings
from identity.candidates.models import MatchModel, MatchRun
from identity.candidates.population import Population, drop_shared
from identity.candidates.runs import Progress
from identity.models import Profile

SAMPLES = 20
State = MatchModel.State
Numbers = npt.NDArray[np.int64]


# --- What a person does -------------------------------------------------------------------------------------


def estimate(*, actor: Any, now: datetime) -> MatchRun:
    """Have a draft be estimated from all profiles and all labels, in the background.

    Raises:
        ModelError: there are too few profiles to learn from.
    """
    if Profile.objects.count() < ESTIMATE_FROM:
        raise ModelError(
            f"Below {ESTIMATE_FROM:,} profiles too few pairs of the same person are among them to estimate weights"
            " from: the weights that are shipped serve until then.",
            code="too_few_profiles",
        )
    return runs.ask(MatchRun.Kind.ESTIMATE, actor=actor, now=now)


def preview(*, model: MatchModel, actor: Any, now: datetime) -> MatchRun:
    """Have the version be compared with the live one, in the background: merges gained and lost."""
    if model.state == State.LIVE:
        raise ModelError("This version is live already.", code="already_live")
    return runs.ask(MatchRun.Kind.PREVIEW, actor=actor, now=now, model=model)


@transaction.atomic
def switch_on(*, model: MatchModel, actor: Any, now: datetime) -> MatchRun:
    """Make a version the live one, and have everybody be scored by it, in the background.

    Raises:
        ModelError: it is live already, or a draft whose effect nobody has looked at.
    """
    row = MatchModel.objects.select_for_update().get(pk=model.pk)
    if row.state == State.LIVE:
        raise ModelError("This version is live already.", code="already_live")
    if row.state == State.DRAFT and last_preview(row) is None:
        raise ModelError("Preview this version first: see which merges it gains and loses.", code="not_previewed")
    return _make_live(row, actor=actor, now=now)


@transaction.atomic
def roll_back(*, actor: Any, now: datetime) -> MatchRun:
    """Go back to the version that was live before; before the first, to the weights that are shipped.

    Raises:
        ModelError: the weights that are shipped are live.
    """
    live = MatchModel.objects.select_for_update().filter(state=State.LIVE).first()
    if live is None:
        raise ModelError("No version is live: there is nothing to go back from.", code="nothing_live")
    earlier = MatchModel.objects.filter(state=State.RETIRED, activated_at__lt=live.activated_at)
    return _make_live(earlier.order_by("-activated_at").first(), actor=actor, now=now)


def last_preview(model: MatchModel) -> MatchRun | None:
    """The last finished preview of a version."""
    done = MatchRun.objects.filter(model=model, kind=MatchRun.Kind.PREVIEW, state=MatchRun.State.DONE)
    return done.order_by("-id").first()


def _make_live(model: MatchModel | None, *, actor: Any, now: datetime) -> MatchRun:
    MatchModel.objects.filter(state=State.LIVE).update(state=State.RETIRED)
    if model is not None:
        # The time is when it was first switched on: going back to a version does not make it younger.
        model.state, model.activated_by = State.LIVE, actor
        model.activated_at = model.activated_at or now
        model.save(update_fields=["state", "activated_at", "activated_by"])
    return runs.ask(MatchRun.Kind.FULL, actor=actor, now=now)


# --- What is done in the background -------------------------------------------------------------------------


def estimate_job(run: MatchRun, progress: Progress) -> None:
    """Everybody is matched without a model; the one that is found, and what answers add to it, becomes a draft."""
    settings = load_settings()
    live = load_live()
    fields = live_fields(settings)
    population = _read(fields, live, progress)
    progress.begin("Estimating")
    result = match_population(population, fields, model=None, threshold=settings.accept_above)
    labels = labelled_pairs()
    progress.begin("Learning from answers", total=len(labels))
    learnt = matching.learn(result.model, labels) if labels else result.model
    model = MatchModel.objects.create(
        parameters=msgspec.to_builtins(learnt),
        summary={
            "fields": dump_fields(fields),
            "profiles": len(population.ids),
            "labels": len(labels),
            **figures(result.report),
        },
        created_at=progress.clock(),
    )
    run.model = model
    run.save(update_fields=["model"])
    progress.count(profiles=len(population.ids), **figures(result.report))


def preview_job(run: MatchRun, progress: Progress) -> None:
    """Both versions match everybody; what differs is counted and sampled."""
    if run.model is None:
        raise ModelError("This version is gone.", code="not_found")
    live, draft = load_live(), live_by(load_settings(), run.model)
    threshold = live.settings.accept_above
    population = _read(live.fields, live, progress)
    progress.begin("Matching as it is")
    was, _ = _match(population, live)
    other = population if draft.fields == live.fields else _read(draft.fields, live, progress)
    progress.begin("Matching as it would be")
    will, taken_back = _match(other, draft)
    found = compare(Matching(population.ids, was), Matching(other.ids, will))
    progress.count(profiles=len(population.ids), threshold=threshold, taken_back=taken_back, **found)


def _match(population: Population, live: Live) -> tuple["matching.MatchResult", int]:
    """As a full pass would, and how many merges it would take back."""
    ties = takeback.find_ties(population, automatic=live.settings.automatic)
    result = match_origins(population, live, same=ties.same)
    return told_by_profile(result, population), len(ties.across(result.clusters))


@dataclass(frozen=True)
class Matching:
    """A result, and whom its rows are."""

    ids: Sequence[int]
    result: "matching.MatchResult"

    def clusters_of(self, ids: Sequence[int]) -> Numbers:
        known = dict(zip(self.ids, self.result.clusters.tolist(), strict=True))
        return np.asarray([known[id_] for id_ in ids], dtype=np.int64)


def compare(was: Matching, will: Matching) -> dict[str, Any]:
    """How many pairs of profiles each version would make one person, and some of those that only one would.

    Profiles that came or went between the two readings are left out.
    """
    ids = sorted({*was.ids} & {*will.ids})
    before, after = was.clusters_of(ids), will.clusters_of(ids)
    both = _pairs_within(_joint(before, after))
    places = {id_: place for place, id_ in enumerate(ids)}
    return {
        "kept": both,
        "gained": _pairs_within(after) - both,
        "lost": _pairs_within(before) - both,
        "gained_samples": _samples(will, places, inside=after, outside=before),
        "lost_samples": _samples(was, places, inside=before, outside=after),
    }


def _samples(
    matching_: Matching, places: Mapping[int, int], *, inside: Numbers, outside: Numbers
) -> list[dict[str, Any]]:
    """Scored pairs that are together inside and apart outside, spread evenly over all such pairs."""
    where = np.asarray([places.get(id_, -1) for id_ in matching_.ids], dtype=np.int64)
    one, other = where[matching_.result.pairs[:, 0]], where[matching_.result.pairs[:, 1]]
    known = (one >= 0) & (other >= 0)
    chosen = np.flatnonzero(known & (inside[one] == inside[other]) & (outside[one] != outside[other]))
    if not len(chosen):
        return []
    picked = chosen[np.linspace(0, len(chosen) - 1, min(SAMPLES, len(chosen))).astype(int)].tolist()
    return [
        {
            "one": matching_.ids[int(matching_.result.pairs[place, 0])],
            "other": matching_.ids[int(matching_.result.pairs[place, 1])],
            "probability": float(matching_.result.probabilities[place]),
        }
        for place in picked
    ]


def _read(fields: Sequence[Field], live: Live, progress: Progress) -> Population:
    """As the matcher keeps them; for other fields, made from the profiles and not kept."""
    population = load_everybody(fields, progress) if fields == live.fields else build_everybody(fields, progress)
    drop_shared(population, fields)
    return population


def _joint(one: Numbers, other: Numbers) -> Numbers:
    _, numbers = np.unique(np.stack([one, other], axis=1), axis=0, return_inverse=True)
    return np.asarray(numbers).reshape(-1)


def _pairs_within(clusters: Numbers) -> int:
    sizes = np.unique(clusters, return_counts=True)[1]
    return int((sizes * (sizes - 1) // 2).sum())
