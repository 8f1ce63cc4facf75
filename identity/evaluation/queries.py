"""Reads of this room: evaluations, and the charts and tables that show them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from identity.candidates.live import live_by, load_settings
from identity.candidates.models import Candidate, MatchModel, MatchRun
from identity.evaluation.contracts import FileReport, LabelReport, ProfilesReport, Report
from identity.evaluation.models import MatchEvaluation
from identity.matching.contracts import FieldLevels
from identity.matching.evaluate import Curve, Histogram, SizeCount

OPEN = (MatchRun.State.WAITING, MatchRun.State.RUNNING)
MOST_SIZES = 12
HEAVIEST = 20.0
"""Log2: the longest bar of a weight."""


def report_of(evaluation: MatchEvaluation) -> Report | None:
    """None until it is done, and where it was written by a version that measured other things."""
    if evaluation.result is None:
        return None
    try:
        return msgspec.convert(evaluation.result, ProfilesReport | FileReport)
    except msgspec.ValidationError:
        return None


def latest(*, kind: str = MatchEvaluation.Kind.PROFILES) -> MatchEvaluation | None:
    """The last one that is done."""
    done = MatchEvaluation.objects.filter(kind=kind).exclude(finished_at=None)
    return done.select_related("model", "run", "asked_by").order_by("-id").first()


def under_way() -> MatchRun | None:
    """The evaluation that waits or runs, oldest first."""
    runs = MatchRun.objects.filter(kind=MatchRun.Kind.EVALUATE, state__in=OPEN)
    return runs.select_related("evaluation").order_by("id").first()


def last_failure() -> MatchRun | None:
    """The last one asked for, if it failed."""
    run = MatchRun.objects.filter(kind=MatchRun.Kind.EVALUATE).order_by("-id").first()
    return run if run is not None and run.state == MatchRun.State.FAILED else None


def earlier(*, kind: str, limit: int = 12) -> list[tuple[MatchEvaluation, Any]]:
    """Evaluations that are done, with what they found; the newest first."""
    rows = MatchEvaluation.objects.filter(kind=kind).exclude(finished_at=None).select_related("model", "asked_by")
    found = [(row, report_of(row)) for row in rows.order_by("-id")[:limit]]
    return [(row, report) for row, report in found if report is not None]


def versions() -> list[MatchModel]:
    """Versions that may be evaluated: the live one first, then drafts and those before it, the newest first."""
    rows = MatchModel.objects.defer("parameters").order_by("-id")[:20]
    return sorted(rows, key=lambda row: (row.state != MatchModel.State.LIVE, -row.pk))


def weights_of(model: MatchModel | None) -> list[FieldLevels]:
    from identity.matching.weights import field_levels  # the matcher is loaded where somebody looks

    return field_levels(live_by(load_settings(), model).model)


def candidate_ids(pairs: Sequence[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """The pairs of the review queue among these, by their two ids, the smaller first."""
    wanted = {(min(pair), max(pair)) for pair in pairs}
    rows = Candidate.objects.filter(one_id__in={one for one, _ in wanted}).values_list("one_id", "other_id", "id")
    return {(one, other): id_ for one, other, id_ in rows if (one, other) in wanted}


# --- Charts -------------------------------------------------------------------------------------------------
def histogram_chart(histogram: Histogram) -> dict[str, Any]:
    """Empty bins at both ends are left out."""
    total = [sum(bins) for bins in zip(histogram.matches, histogram.non_matches, histogram.unknown, strict=True)]
    filled = [at for at, count in enumerate(total) if count]
    first, last = (filled[0], filled[-1] + 1) if filled else (0, 0)
    return {
        "x": [f"{edge:+.0f}" for edge in histogram.edges[first:last]],
        "series": [
            {"name": "Not labelled", "data": histogram.unknown[first:last], "colour": "grey"},
            {"name": "Labelled as one person", "data": histogram.matches[first:last], "colour": "green"},
            {"name": "Labelled as two", "data": histogram.non_matches[first:last], "colour": "red"},
        ],
        "axis": "Score",
    }


def sizes_chart(sizes: Sequence[SizeCount]) -> dict[str, Any]:
    """From two on: single ones would dwarf the others. Large ones are one bar."""
    several = [one for one in sizes if one.size > 1]
    shown, rest = several[: MOST_SIZES - 1], several[MOST_SIZES - 1 :]
    x, data = [f"{one.size:,}" for one in shown], [one.clusters for one in shown]
    if rest:
        x.append(f"{rest[0].size:,} and more")
        data.append(sum(one.clusters for one in rest))
    return {"x": x, "series": [{"name": "Groups", "data": data}], "axis": "Profiles in a group"}


def curve_chart(curve: Curve) -> dict[str, Any]:
    """By threshold, the lowest first."""
    rows = list(zip(curve.thresholds, curve.precision, curve.recall, curve.f1, strict=True))[::-1]
    names = ("Precision", "Recall", "F1")
    return {
        "x": [f"{row[0]:.4f}" for row in rows],
        "series": [
            {"name": name, "data": [round(row[at], 4) for row in rows], "colour": str(at)}
            for at, name in enumerate(names, 1)
        ],
        "axis": "Threshold",
        "fractional": True,
    }


def unlinkables_chart(report: ProfilesReport) -> dict[str, Any]:
    found = report.unlinkables
    return {
        "x": [f"{threshold:g}" for threshold in found.thresholds],
        "series": [{"name": "Too little known, %", "data": [round(100 * share, 1) for share in found.shares]}],
        "axis": "Probability asked for",
        "fractional": True,
    }


@dataclass(frozen=True)
class Bar:
    """Of an SVG that is 200 wide with nothing in the middle."""

    start: float
    width: float


def bar_of(weight: float) -> Bar:
    length = min(abs(weight), HEAVIEST) / HEAVIEST * 100
    return Bar(100 if weight >= 0 else 100 - length, length)


# --- Comparing with the version before ----------------------------------------------------------------------
@dataclass(frozen=True)
class Change:
    """A measure now and before; `verdict` says whether the difference is more than chance."""

    name: str
    now: Any
    before: Any
    verdict: str


def changes(now: LabelReport, before: LabelReport) -> list[Change]:
    found = []
    for name in ("precision", "recall", "f1"):
        one, other = getattr(now.quality, name), getattr(before.quality, name)
        if one.low > other.high:
            verdict = "better"
        elif one.high < other.low:
            verdict = "worse"
        else:
            verdict = "within chance"
        found.append(Change("F1" if name == "f1" else name.capitalize(), one, other, verdict))
    return found
