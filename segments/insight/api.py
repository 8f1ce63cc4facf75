"""What a segment's people are like, over the API: actions of `/api/v1/segments/{slug}/`."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from ingestion.dictionary.viewing import masker_for
from segments import queries
from segments.insight import overlap as sets
from segments.insight.breakdown import Breakdown, Rest, break_down
from segments.insight.people import asked, of_segment

MOST_NAMES = 1_000


class LineSerializer(serializers.Serializer[Any]):
    label = serializers.SerializerMethodField()  # type: ignore[assignment]
    kind = serializers.SerializerMethodField(help_text="value, or what is no value: other, unset")
    count = serializers.IntegerField(help_text="Of these people.")
    everybody = serializers.IntegerField(source="of_everybody", help_text="Of all profiles.")

    def get_label(self, line: Any) -> str:
        return line.label.value if isinstance(line.label, Rest) else str(line.label)

    def get_kind(self, line: Any) -> str:
        return line.label.name.lower() if isinstance(line.label, Rest) else "value"


class BreakdownSerializer(serializers.Serializer[Any]):
    trait = serializers.CharField()
    kind = serializers.ChoiceField(
        choices=["values", "bins", "hidden"],
        help_text="bins: quantiles of these people's numbers; hidden: the values may not be seen with these scopes.",
    )
    people = serializers.IntegerField()
    everybody = serializers.IntegerField()
    lines = serializers.SerializerMethodField()

    def get_lines(self, found: Breakdown) -> list[dict[str, Any]]:
        lines = [*found.lines, *(line for line in (found.other, found.unset) if line)]
        return [dict(LineSerializer(line).data) for line in lines]


class PairSerializer(serializers.Serializer[Any]):
    segment = serializers.CharField(source="segment.slug")
    size = serializers.IntegerField(help_text="People in that segment.")
    both = serializers.IntegerField()
    share = serializers.FloatField(help_text="Of these people, the share in that segment.")
    share_of_other = serializers.FloatField(help_text="Of that segment, the share among these people.")
    jaccard = serializers.FloatField(help_text="Of the people in either, the share in both.")


class CombinationSerializer(serializers.Serializer[Any]):
    inside = serializers.ListField(child=serializers.CharField())
    outside = serializers.ListField(child=serializers.CharField())
    count = serializers.IntegerField(help_text="People in exactly these of the compared segments.")


class OverlapSerializer(serializers.Serializer[Any]):
    pairs = PairSerializer(many=True)
    combinations = CombinationSerializer(many=True)


class BreakdownQuery(serializers.Serializer[Any]):
    trait = serializers.CharField(max_length=200, help_text="A trait, or a dotted path: `address.city`, `tags[]`.")


class OverlapQuery(serializers.Serializer[Any]):
    def get_fields(self) -> dict[str, Any]:
        """`with` is a word of Python."""
        help_text = "Slugs with commas, 5 at most. Without: the segments that most of these people are in too."
        return {"with": serializers.CharField(required=False, max_length=MOST_NAMES, help_text=help_text)}


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
        responses=BreakdownSerializer,
        filters=False,
        examples=[OpenApiExample("By country", response_only=True, value=BREAKDOWN_EXAMPLE)],
    )
    @action(detail=True, filter_backends=[], pagination_class=None)
    def breakdown(self, request: Request, slug: str) -> Response:
        """The members by the values of one trait, beside all profiles; numbers in quantile bins."""
        segment, query = queries.get_segment(slug=slug), checked(BreakdownQuery, request.query_params)
        with asked():
            found = break_down(people=of_segment(segment), trait=query["trait"], masker=masker_for(request.user))
        return Response(BreakdownSerializer(found).data)

    @extend_schema(
        parameters=[OverlapQuery],
        responses=OverlapSerializer,
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
            pairs = sets.pairs(people=people, others=others)
            found = sets.combine([segment, *others])
        answer = {"pairs": pairs, "combinations": found.combinations}
        return Response(OverlapSerializer(answer).data)


def names_in(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def checked(serializer: type[serializers.Serializer[Any]], data: Any) -> Any:
    found = serializer(data=data)
    found.is_valid(raise_exception=True)
    return found.validated_data
