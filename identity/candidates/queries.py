"""Reads of this room: pairs and how they were judged, how matching is doing, and where it may have gone wrong."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.db.models import Count, Q, QuerySet

from identity.candidates import queue
from identity.candidates.live import ESTIMATE_FROM, load_settings
from identity.candidates.models import Candidate, Label, MatchingSettings, MatchModel, MatchRun, MatchWarning
from identity.contracts import ProfileView
from identity.merging.queries import leading
from identity.models import Profile
from identity.queries import get_profiles

RUNS = 12


@dataclass(frozen=True, slots=True)
class Status:
    """How matching is doing."""

    settings: MatchingSettings
    model: MatchModel | None
    profiles: int
    queued: int
    counts: dict[str, int]
    labels: int
    running: MatchRun | None
    waiting_runs: int
    warnings: int

    @property
    def decided(self) -> int:
        return self.counts["accepted"] + self.counts["rejected"]

    @property
    def can_estimate(self) -> bool:
        return self.profiles >= ESTIMATE_FROM

    @property
    def estimate_from(self) -> int:
        return ESTIMATE_FROM

    @property
    def fields_confirmed(self) -> bool:
        return bool(self.settings.fields)


@dataclass(frozen=True, slots=True)
class SuspiciousCluster:
    """A profile that was put together by at least two merges, by the weakest of them."""

    profile_id: int
    size: int
    merge_id: int
    at: datetime
    cause: str
    probability: float | None
    score: float | None


def status() -> Status:
    settings = load_settings()
    states = Candidate.objects.values_list("state").annotate(count=Count("id"))
    open_runs = list(MatchRun.objects.filter(state__in=("waiting", "running")).order_by("id"))
    return Status(
        settings=settings,
        model=MatchModel.objects.defer("parameters").filter(state=MatchModel.State.LIVE).first(),
        profiles=Profile.objects.count(),
        queued=queue.length(),
        counts={state: 0 for state, _ in Candidate.State.choices} | dict(states),
        labels=Label.objects.filter(withdrawn_at=None).count(),
        running=open_runs[0] if open_runs else None,
        waiting_runs=max(0, len(open_runs) - 1),
        warnings=MatchWarning.objects.filter(dismissed_at=None).count(),
    )


def recent_runs(*, limit: int = RUNS) -> list[MatchRun]:
    return list(MatchRun.objects.select_related("model", "asked_by").order_by("-id")[:limit])


def versions() -> list[MatchModel]:
    """Newest first."""
    return list(MatchModel.objects.select_related("activated_by").defer("parameters").order_by("-id"))


def warnings_to_see() -> list[MatchWarning]:
    """What nobody has seen to yet, what concerns most profiles first."""
    return list(MatchWarning.objects.filter(dismissed_at=None).order_by("-profiles", "id"))


def waiting() -> QuerySet[Candidate]:
    """The queue, in its order."""
    return Candidate.objects.filter(state=Candidate.State.WAITING).order_by("skipped_at", "-value", "id")


def count_above(*, threshold: float) -> int:
    """How many pairs `accept_above` would merge."""
    return Candidate.objects.filter(state=Candidate.State.WAITING, refusal="", probability__gte=threshold).count()


def candidates_of(profile_id: int) -> list[Candidate]:
    """Pairs of a (leading) profile that wait, the likeliest first."""
    of_profile = Q(one_id=profile_id) | Q(other_id=profile_id)
    return list(Candidate.objects.filter(of_profile, state=Candidate.State.WAITING).order_by("-probability", "id"))


# The weakest edge of every profile that more than one merge holds together. A merge that identifiers brought about has
# no probability; it comes after those that have one.
_SUSPICIOUS = """
SELECT leads, size, id, at, cause, probability, score FROM (
  SELECT coalesce(a.canonical_id, m.one_origin) AS leads, m.id, m.at, m.cause,
    (m.evidence->>'probability')::float8 AS probability, (m.evidence->>'score')::float8 AS score,
    count(*) OVER w + 1 AS size,
    row_number() OVER (w ORDER BY (m.evidence->>'score')::float8 NULLS LAST, m.id) AS place
  FROM merge m LEFT JOIN profile_alias a ON a.profile_id = m.one_origin
  WHERE m.undone_at IS NULL
  WINDOW w AS (PARTITION BY coalesce(a.canonical_id, m.one_origin))
) AS edge
WHERE place = 1 AND size > 2 AND score IS NOT NULL
ORDER BY score, id LIMIT %s
"""


def suspicious_clusters(*, limit: int = 50) -> list[SuspiciousCluster]:
    """Profiles that a weak bridge may have joined wrongly, the weakest first."""
    with connection.cursor() as cursor:
        cursor.execute(_SUSPICIOUS, [limit])
        return [
            SuspiciousCluster(leads, size, id_, at, cause, probability, score)
            for leads, size, id_, at, cause, probability, score in cursor.fetchall()
        ]


def views_of(ids: Collection[int]) -> dict[int, ProfileView]:
    """Views of profiles by any of their ids, absorbed ones included."""
    leads = leading(ids)
    views = get_profiles(ids=set(leads.values()))
    return {id_: views[lead] for id_, lead in leads.items() if lead in views}
