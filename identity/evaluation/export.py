"""Each table of an evaluation as rows for CSV."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from identity.evaluation.contracts import FileReport, LabelReport, Mistake, ProfilesReport
from identity.matching.contracts import FieldLevels

Table = tuple[tuple[str, ...], Iterable[tuple[Any, ...]]]


def labels(report: ProfilesReport) -> Table:
    rows: list[tuple[Any, ...]] = []
    for version, found in (("evaluated", report.labels), ("previous", report.previous)):
        rows += _quality(version, found) if found is not None else []
    return ("version", "model", "measure", "value", "low", "high", "pairs"), rows


def _quality(version: str, found: LabelReport) -> list[tuple[Any, ...]]:
    model = found.model_id or "shipped"
    return [
        (version, model, name, one.value, one.low, one.high, found.quality.pairs)
        for name in ("precision", "recall", "f1")
        for one in [getattr(found.quality, name)]
    ]


def thresholds(report: ProfilesReport) -> Table:
    curve = report.labels.curve if report.labels else None
    rows = zip(curve.thresholds, curve.precision, curve.recall, curve.f1, strict=True) if curve else ()
    return ("threshold", "precision", "recall", "f1"), rows


def sizes(report: ProfilesReport) -> Table:
    rows = [("matcher", one.size, one.clusters, one.records) for one in report.sizes]
    rows += [("profiles now", one.size, one.clusters, one.records) for one in report.origins]
    return ("of", "size", "groups", "records"), rows


def scores(report: ProfilesReport) -> Table:
    found = report.histogram
    rows = zip(found.edges, found.edges[1:], found.matches, found.non_matches, found.unknown, strict=False)
    return ("from", "to", "labelled_same", "labelled_different", "not_labelled"), rows


def passes(report: ProfilesReport) -> Table:
    return ("key", "pairs", "found", "used"), ((one.key, one.pairs, one.found, one.kept) for one in report.passes)


def unlinkables(report: ProfilesReport) -> Table:
    found = report.unlinkables
    return ("threshold", "share"), zip(found.thresholds, found.shares, strict=True)


def weights(fields: Iterable[FieldLevels]) -> Table:
    rows = ((field.field, one.level, one.m, one.u, one.weight) for field in fields for one in field.levels)
    return ("field", "level", "m", "u", "weight"), rows


def mistakes(report: ProfilesReport | FileReport) -> Table:
    rows = [("together", *_pair(one)) for one in report.wrong] + [("apart", *_pair(one)) for one in report.missed]
    return ("wrongly", "profile", "other_profile", "score", "probability", "label"), rows


def _pair(one: Mistake) -> tuple[Any, ...]:
    return one.one, one.other, one.score, one.probability, one.label_id


TABLES: Mapping[str, Callable[[Any], Table]] = {
    "labels": labels,
    "thresholds": thresholds,
    "sizes": sizes,
    "scores": scores,
    "passes": passes,
    "unlinkables": unlinkables,
    "mistakes": mistakes,
}
