"""`/api/v1/segments/`: define segments, count them before they are saved, read who is in and how that moves."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    extend_schema,
    extend_schema_field,
    inline_serializer,
)
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

import identity.queries
from cdp.kernel.access.models import User
from cdp.kernel.access.roles import Scope
from cdp.kernel.api import PageQuery, page_of
from identity.viewing import mask_identifiers, mask_profile
from ingestion.dictionary.masking import Masker
from ingestion.dictionary.viewing import masker_for
from segments import lifecycle, operations, queries
from segments.ast import DefinitionError, parse
from segments.ast.schema import json_schema
from segments.contracts import Member, TransitionView
from segments.explain import Explanation, explain, mask_value
from segments.insight.api import InsightActions, PreviewParts, PreviewPartsRequest, preview_parts, require
from segments.lifecycle_fields import NextVersionSerializer, SegmentDraftSerializer, SegmentFilter
from segments.manual import api as manual
from segments.models import Segment
from segments.references import expand
from segments.sentence import sentence

EXAMPLE = {
    "type": "all",
    "of": [
        {
            "type": "event",
            "event": "Order Completed",
            "measure": "sum",
            "of": "revenue",
            "op": "gt",
            "value": 500,
            "window": {"last": "30d"},
        },
        {"type": "not", "of": {"type": "event", "event": "Order Completed", "window": {"last": "7d"}}},
    ],
}
EARLIEST_AS_OF = datetime(2000, 1, 1, tzinfo=UTC)
LATEST_AS_OF = datetime(2200, 1, 1, tzinfo=UTC)
MAX_TREND_DAYS = 366


@extend_schema_field(OpenApiTypes.OBJECT)
class DefinitionField(serializers.JSONField):
    """Understood by the parser, whose errors have a path into the definition."""

    def to_internal_value(self, data: Any) -> Any:
        try:
            return super().to_internal_value(data)
        except serializers.ValidationError:
            parse(data)  # knows what is not JSON about it, and where
            raise


class SegmentSerializer(serializers.ModelSerializer[Segment]):
    slug = serializers.CharField(required=False, help_text="Made from the name where it is missing.")
    name = serializers.CharField()
    description = serializers.CharField(required=False, allow_blank=True)
    definition = DefinitionField()
    sentence = serializers.SerializerMethodField()
    live_version = serializers.SerializerMethodField(help_text="The version that members and transitions go by.")
    next_version = NextVersionSerializer(source="next", read_only=True, allow_null=True)
    folder = serializers.CharField(required=False, allow_blank=True)
    tags = serializers.ListField(child=serializers.CharField(), required=False)
    draft = SegmentDraftSerializer(read_only=True, allow_null=True, default=None)
    as_draft = serializers.BooleanField(
        write_only=True, default=False, help_text="Keep it as a draft: an unfinished definition is no error."
    )
    created_by = serializers.CharField(source="created_by.username", default=None, read_only=True)

    class Meta:
        model = Segment
        fields = [
            "slug",
            "name",
            "description",
            "definition",
            "sentence",
            "state",
            "error",
            "member_count",
            "computed_at",
            "version",
            "live_version",
            "next_version",
            "folder",
            "tags",
            "draft",
            "as_draft",
            "created_by",
            "created_at",
            "updated_at",
        ]
        read_only_fields = ["state", "error", "member_count", "computed_at", "version", "created_at", "updated_at"]

    def get_sentence(self, segment: Segment) -> str:
        return queries.sentence_of(segment.asked.definition)

    @extend_schema_field(serializers.IntegerField(allow_null=True))
    def get_live_version(self, segment: Segment) -> int | None:
        return segment.version if segment.is_live else None

    def to_representation(self, segment: Segment) -> dict[str, Any]:
        """An edit is shown as it was asked for, and the segment as computing, until that version is live."""
        shown = super().to_representation(segment)
        coming = segment.next
        if coming and not coming.error and segment.state not in Segment.AT_REST:
            computing = {"state": Segment.State.COMPUTING.value, "error": ""}
            shown |= computing | {"version": coming.number, "definition": coming.definition}
        return shown


class SegmentChangeSerializer(SegmentSerializer):
    """The slug is the segment's address and stays."""

    slug = serializers.CharField(read_only=True)


class PreviewRequestSerializer(PreviewPartsRequest):
    definition = DefinitionField()
    as_of = serializers.DateTimeField(required=False, help_text="Default: now. Traits are as they are now.")
    sample_size = serializers.IntegerField(default=10, min_value=0, max_value=queries.MAX_SAMPLE)
    breakdown = serializers.BooleanField(default=False, help_text="Also count each top-level condition.")

    def validate_as_of(self, as_of: datetime) -> datetime:
        if not EARLIEST_AS_OF <= as_of <= LATEST_AS_OF:
            raise serializers.ValidationError("Choose an instant between 2000 and 2200.", code="out_of_range")
        return as_of


class SampleSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    traits = serializers.DictField()
    identifiers = serializers.DictField(child=serializers.ListField(child=serializers.CharField()))
    created_at = serializers.DateTimeField()


class PartSerializer(serializers.Serializer[Any]):
    sentence = serializers.CharField()
    alone = serializers.IntegerField()
    cumulative = serializers.IntegerField()


class PreviewSerializer(PreviewParts):
    count = serializers.IntegerField()
    sample = SampleSerializer(many=True)
    sentence = serializers.CharField()
    took_ms = serializers.IntegerField()
    total = serializers.IntegerField(required=False, help_text="All profiles; with `breakdown`.")
    breakdown = PartSerializer(many=True, required=False)


class ProblemSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    message = serializers.CharField()
    path = serializers.CharField(required=False)


class ValidationSerializer(serializers.Serializer[Any]):
    valid = serializers.BooleanField()
    sentence = serializers.CharField(required=False)
    error = ProblemSerializer(required=False)


class MemberSerializer(serializers.Serializer[Any]):
    profile = serializers.IntegerField(source="profile_id")
    identifiers = serializers.SerializerMethodField()
    entered_at = serializers.DateTimeField()

    @extend_schema_field(serializers.DictField(child=serializers.ListField(child=serializers.CharField())))
    def get_identifiers(self, member: Member) -> dict[str, list[str]]:
        found: dict[str, list[str]] = self.context["identifiers"].get(member.profile_id, {})
        return found


class EvidenceSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    at = serializers.DateTimeField()
    steps = serializers.ListField(child=serializers.IntegerField())


class ExplanationSerializer(serializers.Serializer[Any]):
    """A node of the definition; `parts` are nodes again."""

    kind = serializers.CharField(help_text="all, any, not, segment, trait, account, consent, event or sequence")
    sentence = serializers.CharField()
    holds = serializers.BooleanField()
    changes_at = serializers.DateTimeField(allow_null=True, help_text="When it can next change by time alone.")
    value = serializers.JSONField(allow_null=True, help_text="The measure, trait or consent; of accounts by group id.")
    events = EvidenceSerializer(many=True, help_text="The newest that count.")
    parts = serializers.ListField(child=serializers.DictField())

    def to_representation(self, found: Explanation) -> dict[str, Any]:
        masker: Masker = self.context["masker"]
        shown = mask_value(found, masker)
        return {
            "kind": found.kind,
            "sentence": found.sentence,
            "holds": found.holds,
            "changes_at": found.changes_at and found.changes_at.isoformat().replace("+00:00", "Z"),
            "value": float(shown) if isinstance(shown, Decimal) else shown,
            "events": EvidenceSerializer(found.events, many=True).data,
            "parts": [self.to_representation(part) for part in found.parts],
        }


class AnswerSerializer(serializers.Serializer[Any]):
    profile = serializers.IntegerField(source="profile_id")
    segment = serializers.CharField(source="segment.slug")
    holds = serializers.BooleanField(source="explanation.holds")
    entered_at = serializers.DateTimeField(source="since", allow_null=True)
    asked_at = serializers.DateTimeField()
    explanation = ExplanationSerializer()


class ExplainQuery(serializers.Serializer[Any]):
    profile = serializers.IntegerField(min_value=1, max_value=2**63 - 1, help_text="The id of a profile.")


class TransitionSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    profile = serializers.IntegerField(source="profile_id")
    kind = serializers.CharField()
    at = serializers.DateTimeField()
    cause = serializers.CharField()
    version = serializers.IntegerField()


class TrendDaySerializer(serializers.Serializer[Any]):
    day = serializers.DateField()
    entered = serializers.IntegerField()
    left = serializers.IntegerField()
    size = serializers.IntegerField()


class KeysetQuery(PageQuery):
    """Continues after an instant and an id, since thousands may enter at the same instant."""

    cursor = serializers.CharField(required=False, max_length=80, help_text="From `next`.")

    def validate_cursor(self, value: str) -> tuple[datetime, int]:
        instant, _, row_id = value.partition("_")
        try:
            moment = datetime.fromisoformat(instant)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None or not (row_id.isascii() and row_id.isdigit() and len(row_id) < 19):
            raise serializers.ValidationError("Use the cursor of `next`.", code="cursor_invalid")
        return moment, int(row_id)


class TrendQuery(serializers.Serializer[Any]):
    days = serializers.IntegerField(default=30, min_value=1, max_value=MAX_TREND_DAYS)


def _page(name: str, child: serializers.BaseSerializer[Any]) -> Any:
    return inline_serializer(name, {"results": child, "next": serializers.URLField(allow_null=True)})


class SegmentViewSet(
    InsightActions,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet[Segment],
):
    """Segments. Creating or editing one answers at once and computes in the background."""

    read_scope = Scope.SEGMENTS_READ
    queryset = Segment.objects.select_related("computation", "draft__saved_by", "created_by")
    serializer_class = SegmentSerializer
    lookup_field = "slug"
    filterset_class: Any = SegmentFilter

    def get_queryset(self) -> QuerySet[Segment]:
        """A list without a state leaves archived ones out."""
        found = super().get_queryset()
        hides = self.action == "list" and "state" not in self.request.query_params
        return found.exclude(state=Segment.State.ARCHIVED) if hides else found

    @property
    def write_scope(self) -> Scope:
        """Asking what a definition would give changes nothing."""
        return Scope.SEGMENTS_READ if self.action in {"preview", "validate_definition"} else Scope.SEGMENTS_WRITE

    @extend_schema(
        responses={201: SegmentSerializer},
        examples=[
            OpenApiExample(
                "Gone quiet",
                request_only=True,
                value={"name": "Big spenders gone quiet", "slug": "gone-quiet", "definition": EXAMPLE},
            ),
            OpenApiExample(
                "A draft in a folder",
                request_only=True,
                value={
                    "name": "Spring",
                    "definition": EXAMPLE,
                    "as_draft": True,
                    "folder": "Spring",
                    "tags": ["mail"],
                },
            ),
        ],
    )
    def create(self, request: Request) -> Response:
        data = self._body(SegmentSerializer, request)
        segment = lifecycle.create(**data, user=_person(request), now=timezone.now())
        return Response(SegmentSerializer(segment).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=SegmentChangeSerializer, responses=SegmentSerializer)
    def update(self, request: Request, slug: str) -> Response:
        return self._change(request, slug, partial=False)

    @extend_schema(request=SegmentChangeSerializer(partial=True), responses=SegmentSerializer)
    def partial_update(self, request: Request, slug: str) -> Response:
        return self._change(request, slug, partial=True)

    def perform_destroy(self, instance: Segment) -> None:
        operations.delete_segment(segment_id=instance.pk)

    @extend_schema(responses=OpenApiTypes.OBJECT)
    @action(detail=False, url_path="schema", url_name="schema", filter_backends=[], pagination_class=None)
    def definition_schema(self, _request: Request) -> Response:
        """The JSON Schema of a definition."""
        return Response(json_schema())

    @extend_schema(
        request=inline_serializer("ValidationRequest", {"definition": DefinitionField()}),
        responses=ValidationSerializer,
    )
    @action(detail=False, methods=["post"], url_path="validate", url_name="validate")
    def validate_definition(self, request: Request) -> Response:
        """Whether a definition can be understood: its sentence, or what is wrong with it and where."""
        definition = _definition_of(request)
        try:
            node = parse(definition)
            expand(node)
        except DefinitionError as error:
            return Response({"valid": False, "error": error.as_dict()})
        return Response({"valid": True, "sentence": sentence(node)})

    @extend_schema(
        request=PreviewRequestSerializer,
        responses=PreviewSerializer,
        examples=[
            OpenApiExample("Gone quiet", request_only=True, value={"definition": EXAMPLE}),
            OpenApiExample(
                "Before an edit is saved",
                request_only=True,
                value={
                    "definition": EXAMPLE,
                    "against": "gone-quiet",
                    "by_trait": "country",
                    "overlap_with": [],
                    "trend_days": 90,
                },
            ),
        ],
    )
    @action(detail=False, methods=["post"])
    def preview(self, request: Request) -> Response:
        """Exactly how many are in, and some of them, without saving anything."""
        asked = self._body(PreviewRequestSerializer, request)
        if "by_trait" in asked:
            require(request, Scope.PROFILES_READ)
        now = timezone.now()
        as_of = asked.get("as_of") or now
        found = queries.preview(
            definition=asked["definition"],
            as_of=as_of,
            sample=asked["sample_size"],
            breakdown=asked["breakdown"],
        )
        masker = masker_for(request.user)
        profiles = {
            id_: mask_profile(view, masker)
            for id_, view in identity.queries.get_profiles(ids=found.sample_ids).items()
        }
        answer = {
            "count": found.count,
            "sample": SampleSerializer([profiles[id_] for id_ in found.sample_ids if id_ in profiles], many=True).data,
            "sentence": found.sentence,
            "took_ms": found.took_ms,
        }
        if asked["breakdown"]:
            answer |= {"total": found.total, "breakdown": PartSerializer(found.breakdown, many=True).data}
        return Response(answer | preview_parts(wanted=asked, as_of=as_of, masker=masker, now=now))

    @extend_schema(request=None, responses={202: SegmentSerializer})
    @action(detail=True, methods=["post"])
    def recompute(self, _request: Request, slug: str) -> Response:
        """Compute again, for a segment that failed."""
        operations.request_recompute(segment_id=queries.get_segment(slug=slug).pk, now=timezone.now())
        return Response(SegmentSerializer(queries.get_segment(slug=slug)).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(parameters=[KeysetQuery], responses=_page("MemberPage", MemberSerializer(many=True)), filters=False)
    @action(detail=True, filter_backends=[], pagination_class=None)
    def members(self, request: Request, slug: str) -> Response:
        """Who is in, those that entered last first."""
        segment, query = queries.get_segment(slug=slug), self._query(KeysetQuery, request)
        size = query["page_size"]
        found = queries.members(segment_id=segment.pk, limit=size + 1, after=query.get("cursor"))
        page = page_of(request, found, size=size, cursor_of=_member_cursor)
        known = identity.queries.identifiers_of(ids=[each.profile_id for each in page["results"]])
        context = {"identifiers": mask_identifiers(known, masker_for(request.user))}
        return Response(page | {"results": MemberSerializer(page["results"], many=True, context=context).data})

    @manual.describe_change
    @members.mapping.post
    def add_members(self, request: Request, slug: str) -> Response:
        """Put people into a manual segment, up to 5,000 at once; putting in again changes nothing."""
        return manual.add(request, slug)

    @manual.describe_change
    @members.mapping.delete
    def delete_members(self, request: Request, slug: str) -> Response:
        """Take people out of a manual segment; where DELETE can have no body, use `members/remove/`."""
        return manual.remove(request, slug)

    @manual.describe_change
    @action(
        detail=True,
        methods=["post"],
        url_path="members/remove",
        url_name="members-remove",
        filter_backends=[],
        pagination_class=None,
    )
    def remove_members(self, request: Request, slug: str) -> Response:
        """Take people out of a manual segment, up to 5,000 at once; who is not in is told so."""
        return manual.remove(request, slug)

    @extend_schema(
        request=manual.NewManualSerializer,
        responses={201: SegmentSerializer},
        examples=[manual.NEW_EXAMPLE],
    )
    @action(detail=False, methods=["post"], url_path="manual", url_name="manual")
    def create_manual(self, request: Request) -> Response:
        """A segment whose members are given; nobody is in yet."""
        return manual.create(request, SegmentSerializer)

    @extend_schema(
        parameters=[KeysetQuery], responses=_page("TransitionPage", TransitionSerializer(many=True)), filters=False
    )
    @action(detail=True, filter_backends=[], pagination_class=None)
    def transitions(self, request: Request, slug: str) -> Response:
        """Every entry and exit, the newest first."""
        segment, query = queries.get_segment(slug=slug), self._query(KeysetQuery, request)
        size = query["page_size"]
        found = queries.transitions(segment_id=segment.pk, limit=size + 1, before=query.get("cursor"))
        page = page_of(request, found, size=size, cursor_of=_transition_cursor)
        return Response(page | {"results": TransitionSerializer(page["results"], many=True).data})

    @extend_schema(parameters=[TrendQuery], responses=_page("TrendPage", TrendDaySerializer(many=True)), filters=False)
    @action(detail=True, filter_backends=[], pagination_class=None)
    def trend(self, request: Request, slug: str) -> Response:
        """Entries, exits and size of the last days, today last."""
        segment, query = queries.get_segment(slug=slug), self._query(TrendQuery, request)
        days = queries.trend(segment=segment, days=query["days"], now=timezone.now())
        return Response({"results": TrendDaySerializer(days, many=True).data, "next": None})

    @extend_schema(parameters=[ExplainQuery], responses=AnswerSerializer, filters=False)
    @action(detail=True, filter_backends=[], pagination_class=None)
    def explain(self, request: Request, slug: str) -> Response:
        """Why a person is in or not: each condition with what it comes to, the events that count, and what changes."""
        segment, query = queries.get_segment(slug=slug), self._query(ExplainQuery, request)
        view = identity.queries.get_profile(profile_id=query["profile"])
        if view is None:
            raise Http404("There is no profile with this id.")
        answer = explain(segment=segment, profile_id=view.id, traits=view.traits, now=timezone.now())
        return Response(AnswerSerializer(answer, context={"masker": masker_for(request.user)}).data)

    def _change(self, request: Request, slug: str, *, partial: bool) -> Response:
        segment = queries.get_segment(slug=slug)
        data = self._body(SegmentChangeSerializer, request, partial=partial)
        lifecycle.change(segment_id=segment.pk, **data, user=_person(request), now=timezone.now())
        return Response(SegmentSerializer(queries.get_segment(slug=slug)).data)

    @staticmethod
    def _body(serializer: type[serializers.Serializer[Any]], request: Request, *, partial: bool = False) -> Any:
        checked = serializer(data=request.data, partial=partial)
        checked.is_valid(raise_exception=True)
        return checked.validated_data

    @staticmethod
    def _query(serializer: type[serializers.Serializer[Any]], request: Request) -> Any:
        checked = serializer(data=request.query_params)
        checked.is_valid(raise_exception=True)
        return checked.validated_data


class ProfileSegmentSerializer(serializers.Serializer[Any]):
    slug = serializers.CharField()
    name = serializers.CharField()
    entered_at = serializers.DateTimeField()


class ProfileSegmentsViewSet(viewsets.ViewSet):
    """The segments that a profile is in now."""

    read_scope = Scope.SEGMENTS_READ

    @extend_schema(
        operation_id="profile_segments_list",
        parameters=[OpenApiParameter("profile_id", int, "path")],
        responses=inline_serializer(
            "ProfileSegmentPage",
            {"results": ProfileSegmentSerializer(many=True), "next": serializers.URLField(allow_null=True)},
        ),
    )
    def list(self, _request: Request, profile_id: str) -> Response:
        """All of them, the newest membership first: `next` is always null."""
        profile = identity.queries.get_profile(profile_id=int(profile_id)) if len(profile_id) < 19 else None
        if profile is None:
            raise Http404("There is no profile with this id.")
        found = queries.segments_of_profile(profile_id=profile.id)
        return Response({"results": ProfileSegmentSerializer(found, many=True).data, "next": None})


def register(router: BaseRouter) -> None:
    router.register("segments", SegmentViewSet, basename="segment")
    router.register(r"profiles/(?P<profile_id>[0-9]+)/segments", ProfileSegmentsViewSet, basename="profile-segment")


def _definition_of(request: Request) -> Any:
    body = request.data
    if not isinstance(body, dict) or "definition" not in body:
        raise DefinitionError("Send a `definition`.", code="missing_key", path="/definition")
    return body["definition"]


def _person(request: Request) -> User | None:
    return request.user if isinstance(request.user, User) else None


def _member_cursor(member: Member) -> str:
    return f"{member.entered_at.isoformat()}_{member.profile_id}"


def _transition_cursor(transition: TransitionView) -> str:
    return f"{transition.at.isoformat()}_{transition.id}"
