"""The score of a source: five parts, each with a sentence that says what it means and what to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import Q, Sum

from ingestion.models import HourlyCount, Source
from ingestion.quality import queries
from ingestion.quality.contracts import EventProfile, ScorePart, SourceScore
from ingestion.quality.judge import Score, grade_of, ratio, round_down
from ingestion.quality.models import HourShape, QualityScore, TraitConflict

USUAL = 0.5
"""A property that at least this share of the events has is expected in all of them."""

LABELS = {
    "completeness": "Completeness",
    "validity": "Validity",
    "timeliness": "Timeliness",
    "uniqueness": "Uniqueness",
    "consistency": "Consistency",
}
_STORED, _DUPLICATE, _QUARANTINED = (
    HourlyCount.Outcome.STORED,
    HourlyCount.Outcome.DUPLICATE,
    HourlyCount.Outcome.QUARANTINED,
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the score is worked out from, counted over the days looked at."""

    expected: int
    filled: int
    stored: int
    quarantined: int
    flagged: int
    duplicates: int
    near_scanned: int
    near_found: int
    seen: int
    late: int
    overdue: bool
    values: int
    values_of_main_type: int
    compared: int
    conflicting: int


def score_source(*, source: Source, now: datetime) -> SourceScore:
    return explain(gather(source=source, profiles=queries.event_profiles(source_id=source.pk, now=now), now=now))


def gather(*, source: Source, profiles: Sequence[EventProfile], now: datetime) -> Facts:
    since = now - timedelta(days=queries.PROFILE_DAYS)
    outcomes = queries.outcome_totals(source_id=source.pk, since=since)
    scanned, near, _ = queries.near_duplicates(source_id=source.pk, since=since)
    seen = HourShape.objects.filter(source=source, hour__gte=since).aggregate(seen=Sum("seen"), late=Sum("late"))
    conflicts = TraitConflict.objects.filter(Q(first=source) | Q(second=source)).aggregate(
        compared=Sum("compared"), differing=Sum("differing")
    )
    usual = [
        (profile.seen, one.present)
        for profile in profiles
        for one in profile.properties
        if "[]" not in one.path and 1 - one.null_rate >= USUAL
    ]
    typed = [one.types for profile in profiles for one in profile.properties]
    return Facts(
        expected=sum(of for of, _ in usual),
        filled=sum(present for _, present in usual),
        stored=outcomes.get(_STORED, 0),
        quarantined=outcomes.get(_QUARANTINED, 0),
        flagged=sum(profile.flagged for profile in profiles),
        duplicates=outcomes.get(_DUPLICATE, 0),
        near_scanned=scanned,
        near_found=near,
        seen=seen["seen"] or 0,
        late=seen["late"] or 0,
        overdue=queries.freshness(source=source, now=now).overdue,
        values=sum(sum(types.values()) for types in typed),
        values_of_main_type=sum(max(types.values(), default=0) for types in typed),
        compared=conflicts["compared"] or 0,
        conflicting=conflicts["differing"] or 0,
    )


def parts_of(facts: Facts) -> Mapping[str, float]:
    """Each part from 0 to 100; a part that nothing tells of is missing. A broken promise halves timeliness."""
    parts: dict[str, float] = {}
    if facts.expected:
        parts["completeness"] = ratio(facts.filled, facts.expected)
    messages = facts.stored + facts.quarantined
    if messages:
        parts["validity"] = ratio(facts.stored - facts.flagged, messages)
    if facts.seen or facts.overdue:
        on_time = ratio(facts.seen - facts.late, facts.seen)
        parts["timeliness"] = on_time / 2 if facts.overdue else on_time
    if facts.stored + facts.duplicates:
        single = ratio(facts.stored, facts.stored + facts.duplicates)
        parts["uniqueness"] = single * ratio(facts.near_scanned - facts.near_found, facts.near_scanned) / 100
    if facts.values:
        typed = ratio(facts.values_of_main_type, facts.values)
        parts["consistency"] = typed * ratio(facts.compared - facts.conflicting, facts.compared) / 100
    return parts


def explain(facts: Facts) -> SourceScore:
    parts = parts_of(facts)
    sentences = _sentences(facts)
    shown = [
        ScorePart(
            key,
            LABELS[key],
            round_down(parts[key]) if key in parts else None,
            *(sentences[key] if key in parts else ("Nothing to judge yet.", "It fills in once events arrive.")),
        )
        for key in LABELS
    ]
    if not {"completeness", "validity"} & parts.keys():
        return SourceScore(None, "–", "No data yet", shown)
    total = Score(parts).total
    return SourceScore(total, *grade_of(total), shown)


def save_score(*, source: Source, now: datetime) -> SourceScore:
    """Work the score out and keep it as that of the day."""
    found = score_source(source=source, now=now)
    if found.score is not None:
        QualityScore.objects.bulk_create(
            [
                QualityScore(
                    source=source,
                    day=now.astimezone(UTC).date(),
                    score=found.score,
                    parts={part.key: part.score for part in found.parts if part.score is not None},
                    computed_at=now,
                )
            ],
            update_conflicts=True,
            unique_fields=["source_id", "day"],
            update_fields=["score", "parts", "computed_at"],
        )
    return found


def _sentences(facts: Facts) -> dict[str, tuple[str, str]]:
    missing = facts.expected - facts.filled
    bad = facts.quarantined + facts.flagged
    doubled = _share(facts.duplicates, facts.stored + facts.duplicates)
    near = _share(facts.near_found, facts.near_scanned).lower()
    untyped = facts.values - facts.values_of_main_type
    disputed = _share(facts.conflicting, facts.compared).lower()
    agreement = (
        f"{_share(untyped, facts.values)} of the values have another type than usual,"
        f" and for {disputed} of the shared traits another source disagrees."
    )
    late = f"{_share(facts.late, facts.seen)} of the events came more than an hour after they happened."
    return {
        "completeness": (
            f"{_share(missing, facts.expected)} of the values that events usually bring are missing.",
            _if(missing, "Look below for properties with gaps, and have the sender fill them."),
        ),
        "validity": (
            f"{_share(bad, facts.stored + facts.quarantined)} of the messages were refused or broke a value rule.",
            _if(bad, "Open the quarantine and the review, and mend what sends them."),
        ),
        "timeliness": (
            "The source is silent for longer than it promised." if facts.overdue else late,
            "Check that the sender is running." if facts.overdue else _if(facts.late, "Send events as they happen."),
        ),
        "uniqueness": (
            f"{doubled} of the messages were sent twice, and {near} look like another within seconds.",
            _if(facts.duplicates + facts.near_found, "See the examples under Integrity; often a tag fires twice."),
        ),
        "consistency": (
            agreement,
            _if(untyped + facts.conflicting, "Settle on one type per property; decide by priority who is right."),
        ),
    }


def _if(wrong: int, advice: str) -> str:
    return advice if wrong else "Nothing to do."


def _share(part: int, of: int) -> str:
    """Never 0% where there is one."""
    if part <= 0 or of <= 0:
        return "None"
    share = 100 * part / of
    return "Less than 0.1%" if share < 0.1 else f"{share:.1f}%".replace(".0%", "%")
