"""Members of manual segments over the API: `SegmentViewSet` has these beside its own actions."""

from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field, inline_serializer
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.kernel.access.models import User
from segments import queries
from segments.manual import operations
from segments.manual.operations import MOST_ITEMS, PROFILE, Item, Named

OUTCOMES = ("added", "already_in", "removed", "not_in", "not_found")


@extend_schema_field({"oneOf": [{"type": "integer"}, {"type": "object"}]})
class PersonField(serializers.JSONField):
    """`12`, `{"profile": 12}` or `{"kind": "email", "value": "ada@example.com"}`."""

    default_error_messages = {
        "person": "Name a person by the number of a profile, or by kind and value of an identifier."
    }

    def to_internal_value(self, data: Any) -> Any:
        match data:
            case bool():
                pass
            case int() if 0 < data < 2**63:
                return Named(PROFILE, str(data))
            case {"profile": int(number), **rest} if not rest and not isinstance(number, bool) and 0 < number < 2**63:
                return Named(PROFILE, str(number))
            case {"kind": str(kind), "value": str(value), **rest} if not rest and "\0" not in kind + value:
                return Named(kind.strip().lower(), value)
        self.fail("person")
        raise AssertionError


class PeopleSerializer(serializers.Serializer[Any]):
    members = serializers.ListField(child=PersonField(), max_length=MOST_ITEMS, allow_empty=False)


class OutcomeSerializer(serializers.Serializer[Any]):
    member = serializers.SerializerMethodField(help_text="As it was named.")
    profile = serializers.IntegerField(source="profile_id", allow_null=True)
    outcome = serializers.ChoiceField(OUTCOMES)

    @extend_schema_field(OpenApiTypes.OBJECT)
    def get_member(self, item: Item) -> dict[str, Any]:
        named = item.named
        if named.kind == PROFILE:
            return {"profile": int(named.value)}
        return {"kind": named.kind, "value": named.value}


class NewManualSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    slug = serializers.CharField(required=False, help_text="Made from the name where it is missing.")
    description = serializers.CharField(required=False, allow_blank=True)


_ANSWER = inline_serializer(
    "MemberOutcomes", {"results": OutcomeSerializer(many=True), "next": serializers.URLField(allow_null=True)}
)
_EXAMPLE = OpenApiExample(
    "Three people",
    request_only=True,
    value={"members": [12, {"profile": 13}, {"kind": "email", "value": "ada@example.com"}]},
)
_OUTCOME = OpenApiExample(
    "What became of them",
    response_only=True,
    value={
        "results": [
            {"member": {"profile": 12}, "profile": 12, "outcome": "added"},
            {"member": {"profile": 13}, "profile": 13, "outcome": "already_in"},
            {"member": {"kind": "email", "value": "ada@example.com"}, "profile": None, "outcome": "not_found"},
        ],
        "next": None,
    },
)

describe_change = extend_schema(
    request=PeopleSerializer, responses=_ANSWER, examples=[_EXAMPLE, _OUTCOME], filters=False
)
NEW_EXAMPLE = OpenApiExample("Guests", request_only=True, value={"name": "Guests of the opening", "slug": "guests"})


def add(request: Request, slug: str) -> Response:
    segment = queries.get_segment(slug=slug)
    return _answer(operations.add_members(segment_id=segment.pk, people=_people(request), now=timezone.now()))


def remove(request: Request, slug: str) -> Response:
    segment = queries.get_segment(slug=slug)
    return _answer(operations.remove_members(segment_id=segment.pk, people=_people(request)))


def create(request: Request, serializer: type[serializers.BaseSerializer[Any]]) -> Response:
    checked = NewManualSerializer(data=request.data)
    checked.is_valid(raise_exception=True)
    person = request.user if isinstance(request.user, User) else None
    segment = operations.create_manual(**checked.validated_data, user=person, now=timezone.now())
    return Response(serializer(segment).data, status=status.HTTP_201_CREATED)


def _people(request: Request) -> list[Named]:
    checked = PeopleSerializer(data=request.data)
    checked.is_valid(raise_exception=True)
    found: list[Named] = checked.validated_data["members"]
    return found


def _answer(items: list[Item]) -> Response:
    return Response({"results": OutcomeSerializer(items, many=True).data, "next": None})
