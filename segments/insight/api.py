"""What a segment's people are like, over the API: actions of `/api/v1/segments/{slug}/`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.kernel.access.roles import Scope
from identity import queries as identity
from identity.viewing import mask_identifiers
from ingestion.dictionary.masking import Masker
from ingestion.dictionary.viewing import masker_for
from segments import queries
from segments.insight import overlap as sets
from segments.insight.breakdown import Breakdown, Rest, break_down
from segments.insight.changes import Moves, moves_of
from segments.insight.columns import ENTERED, columns, default_keys
from segments.insight.export import LONGEST_REASON, download, terms
from segments.insight.people import asked, of_definition, of_segment
from segments.insight.trend.run import past_of

MOST_NAMES = 1_000


class BreakdownLineSerializer(serializers.Serializer[Any]):
    label = serializers.SerializerMethodField()  # type: ignore[assignment]
    kind = serializers.SerializerMethodField(help_text="value, or what is no value: other, unset")
    count = serializers.IntegerField(help_text="Of these people.")
    everybody = serializers.IntegerField(source="of_everybody", help_text="Of all profiles.")

    def get_label(self, line: Any) -> str:
        return line.label.value if isinstance(line.label, Rest) else str(line.label)

    def get_kind(self, line: Any) -> str:
        return line.label.name.lower() if isinstance(line.label, Rest) else "value"


class TraitBreakdownSerializer(serializers.Serializer[Any]):
    trait = serializers.CharField()
    kind = serializers.CharField(
        help_text="values; bins: quantiles of numbers; hidden: they may not be seen with these scopes.",
    )
    people = serializers.IntegerField()
    everybody = serializers.IntegerField()
    lines = serializers.SerializerMethodField()

    def get_lines(self, found: Breakdown) -> list[dict[str, Any]]:
        lines = [*found.lines, *(line for line in (found.other, found.unset) if line)]
        return [dict(BreakdownLineSerializer(line).data) for line in lines]


class OverlapPairSerializer(serializers.Serializer[Any]):
    segment = serializers.CharField(source="segment.slug")
    size = serializers.IntegerField(help_text="People in that segment.")
    both = serializers.IntegerField()
    share = serializers.FloatField(help_text="Of these people, the share in that segment.")
    share_of_other = serializers.FloatField(help_text="Of that segment, the share among these people.")
    jaccard = serializers.FloatField(help_text="Of the people in either, the share in both.")


class OverlapCombinationSerializer(serializers.Serializer[Any]):
    inside = serializers.ListField(child=serializers.CharField())
    outside = serializers.ListField(child=serializers.CharField())
    count = serializers.IntegerField(help_text="People in exactly these of the compared segments.")


class SegmentOverlapSerializer(serializers.Serializer[Any]):
    pairs = OverlapPairSerializer(many=True)
    combinations = OverlapCombinationSerializer(many=True)


class BreakdownQuery(serializers.Serializer[Any]):
    trait = serializers.CharField(max_length=200, help_text="A trait, or a dotted path: `address.city`, `tags[]`.")


class OverlapQuery(serializers.Serializer[Any]):
    def get_fields(self) -> dict[str, Any]:
        """`with` is a word of Python."""
        help_text = "Slugs with commas, 5 at most. Without: the segments that most of these people are in too."
        return {"with": serializers.CharField(required=False, max_length=MOST_NAMES, help_text=help_text)}


class SegmentPastPointSerializer(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    count = serializers.IntegerField()
    low = serializers.IntegerField(allow_null=True, help_text="Of an estimate, at least; with 95% probability.")
    high = serializers.IntegerField(allow_null=True, help_text="Of an estimate, at most.")


class SegmentPastSerializer(serializers.Serializer[Any]):
    method = serializers.CharField(
        help_text="exact: each day; sample: each day, estimated from some profiles; weekly: every seventh day, exact.",
    )
    because = serializers.CharField(help_text="Why it is not exact for each day; else empty.")
    complete = serializers.BooleanField(help_text="False where the time was up before all instants were counted.")
    took_ms = serializers.IntegerField()
    points = SegmentPastPointSerializer(many=True)


class SegmentMovingSerializer(serializers.Serializer[Any]):
    profile = serializers.IntegerField()
    identifiers = serializers.DictField(child=serializers.ListField(child=serializers.CharField()))


class SegmentMovesSerializer(serializers.Serializer[Any]):
    entering = serializers.IntegerField()
    leaving = serializers.IntegerField()
    staying = serializers.IntegerField()
    entering_sample = SegmentMovingSerializer(many=True)
    leaving_sample = SegmentMovingSerializer(many=True)


class PreviewPartsRequest(serializers.Serializer[Any]):
    """Parts of a preview that are only counted where they are asked for."""

    against = serializers.SlugField(
        required=False, max_length=80, help_text="A segment: who would enter and leave it with this definition."
    )
    by_trait = serializers.CharField(required=False, max_length=200, help_text="Break these people down by a trait.")
    overlap_with = serializers.ListField(
        required=False,
        child=serializers.SlugField(max_length=80),
        max_length=sets.MOST_SETS - 1,
        help_text="Segments to compare with; an empty list: those that most of these people are in.",
    )
    trend_days = serializers.IntegerField(
        required=False, min_value=1, max_value=366, help_text="The size at the end of each of so many past days."
    )


class PreviewParts(serializers.Serializer[Any]):
    changes = SegmentMovesSerializer(required=False)
    by_trait = TraitBreakdownSerializer(required=False)
    overlap = OverlapPairSerializer(many=True, required=False)
    trend = SegmentPastSerializer(required=False)


def preview_parts(*, wanted: Mapping[str, Any], as_of: datetime, masker: Masker, now: datetime) -> dict[str, Any]:
    """The optional parts of a preview, each a question of its own with a time limit of its own."""
    definition, sample = wanted["definition"], wanted["sample_size"]
    found: dict[str, Any] = {}
    if "against" in wanted:
        segment = queries.get_segment(slug=wanted["against"])
        with asked():
            moves = moves_of(people=of_definition(definition, as_of=now), segment=segment, sample=sample)
        found["changes"] = _moving(moves, masker)
    if "by_trait" in wanted:
        with asked():
            people = of_definition(definition, as_of=as_of)
            found["by_trait"] = break_down(people=people, trait=wanted["by_trait"], masker=masker)
    if "overlap_with" in wanted:
        with asked():
            people = of_definition(definition, as_of=as_of)
            others = sets.chosen(wanted["overlap_with"]) or sets.most_overlapping(people=people)
            found["overlap"] = sets.pairs(people=people, others=others)
    if "trend_days" in wanted:
        found["trend"] = past_of(definition=definition, now=as_of, days=wanted["trend_days"])
    return dict(PreviewParts(found).data)


def _moving(moves: Moves, masker: Masker) -> dict[str, Any]:
    known = mask_identifiers(identity.identifiers_of(ids=[*moves.entering_ids, *moves.leaving_ids]), masker)
    return {
        "entering": moves.entering,
        "leaving": moves.leaving,
        "staying": moves.staying,
        "entering_sample": [{"profile": id_, "identifiers": known[id_]} for id_ in moves.entering_ids],
        "leaving_sample": [{"profile": id_, "identifiers": known[id_]} for id_ in moves.leaving_ids],
    }


class ExportQuery(serializers.Serializer[Any]):
    purpose = serializers.CharField(
        default="", allow_blank=True, max_length=60, help_text="The slug of a purpose; `none` for internal analysis."
    )
    reason = serializers.CharField(
        default="", allow_blank=True, max_length=LONGEST_REASON, help_text="Needed with the purpose `none`."
    )
    columns = serializers.CharField(
        default="",
        allow_blank=True,
        max_length=4_000,
        help_text="With commas: `entered_at`, `identifiers.KIND`, `traits.PATH`.",
    )


BREAKDOWN_EXAMPLE = {
    "trait": "country",
    "kind": "values",
    "people": 120,
    "everybody": 4000,
    "lines": [
        {"label": "DE", "kind": "value", "count": 100, "everybody": 900},
        {"label": "Not set", "kind": "unset", "count": 20, "everybody": 3100},
    ],
}
OVERLAP_EXAMPLE = {
    "pairs": [{"segment": "vip", "size": 40, "both": 30, "share": 0.25, "share_of_other": 0.75, "jaccard": 0.23}],
    "combinations": [
        {"inside": ["buyers"], "outside": ["vip"], "count": 90},
        {"inside": ["buyers", "vip"], "outside": [], "count": 30},
        {"inside": ["vip"], "outside": ["buyers"], "count": 10},
    ],
}


class InsightActions:
    """Mixed into the segments' view set."""

    @extend_schema(
        parameters=[BreakdownQuery],
        responses=TraitBreakdownSerializer,
        filters=False,
        examples=[OpenApiExample("By country", response_only=True, value=BREAKDOWN_EXAMPLE)],
    )
    @action(detail=True, filter_backends=[], pagination_class=None)
    def breakdown(self, request: Request, slug: str) -> Response:
        """The members by the values of one trait, beside all profiles; numbers in quantile bins.

        Needs `profiles:read` beside `segments:read`.
        """
        require(request, Scope.PROFILES_READ)
        segment, query = queries.get_segment(slug=slug), checked(BreakdownQuery, request.query_params)
        with asked():
            found = break_down(people=of_segment(segment), trait=query["trait"], masker=masker_for(request.user))
        return Response(TraitBreakdownSerializer(found).data)

    @extend_schema(
        parameters=[OverlapQuery],
        responses=SegmentOverlapSerializer,
        filters=False,
        examples=[OpenApiExample("Two segments", response_only=True, value=OVERLAP_EXAMPLE)],
    )
    @action(detail=True, filter_backends=[], pagination_class=None)
    def overlap(self, request: Request, slug: str) -> Response:
        """The members beside other segments: two by two, and by the exact combination that people are in."""
        segment, query = queries.get_segment(slug=slug), checked(OverlapQuery, request.query_params)
        people = of_segment(segment)
        with asked():
            others = sets.chosen(names_in(query.get("with", "")), beside=segment)
            if "with" not in query:
                others = sets.most_overlapping(people=people, without=segment.pk)
            found = sets.combine([segment, *others])
        answer = {"pairs": found.pairs, "combinations": found.combinations}
        return Response(SegmentOverlapSerializer(answer).data)

    @extend_schema(
        parameters=[ExportQuery],
        responses={(200, "text/csv"): OpenApiTypes.BINARY},
        filters=False,
    )
    @action(detail=True, filter_backends=[], pagination_class=None)
    def export(self, request: Request, slug: str) -> StreamingHttpResponse:
        """The members as CSV, without those who do not allow the purpose. Needs `profiles:read` and `pii:read`.

        It is written while it is read. Who takes out what, and for which purpose or reason, is noted in the audit
        trail first; how many were written and left out, at the end.
        """
        require(request, Scope.PROFILES_READ, Scope.PII_READ)
        segment, query = queries.get_segment(slug=slug), checked(ExportQuery, request.query_params)
        asked_for = terms(
            purpose=query["purpose"],
            reason=query["reason"],
            columns=columns(names_in(query["columns"]) or [ENTERED, *default_keys()]),
        )
        return download(segment=segment, asked=asked_for, user=request.user, now=timezone.now())


def require(request: Request, *scopes: Scope) -> None:
    """Beside the scope of the whole view."""
    user: Any = request.user
    for scope in scopes:
        if not user.may(scope):
            raise PermissionDenied(f"This needs the scope {scope.value}.", code="scope_missing")


def names_in(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def checked(serializer: type[serializers.Serializer[Any]], data: Any) -> Any:
    found = serializer(data=data)
    found.is_valid(raise_exception=True)
    return found.validated_data
