"""`/api/v1/consent/`: record choices, read the ledger, ask what is allowed. R: G1, G3, G4"""

import json
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    PolymorphicProxySerializer,
    extend_schema,
    extend_schema_view,
    inline_serializer,
)
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from cdp.kernel.access.roles import Scope
from cdp.kernel.api import PageQuery, page_of
from cdp.kernel.identifiers import MAX_LENGTH
from consent import operations, queries
from consent.contracts import ConsentInput, Decision, Reason, State
from consent.errors import ConsentError, UnknownPurposeError
from consent.models import ConsentRecord, Purpose
from consent.subjects import subject_hash, subject_hashes

MAX_CHOICES = 5_000
MAX_SUBJECTS = 50


class SubjectSerializer(serializers.Serializer[Any]):
    kind = serializers.CharField(max_length=30)
    value = serializers.CharField(max_length=MAX_LENGTH)


class ChoiceSerializer(serializers.Serializer[Any]):
    """A choice as it is sent in."""

    subjects = SubjectSerializer(many=True, allow_empty=False)
    purpose = serializers.SlugField(max_length=60, help_text="Its slug.")
    state = serializers.ChoiceField(choices=ConsentRecord.State.choices)
    method = serializers.ChoiceField(choices=ConsentRecord.Method.choices, default=ConsentRecord.Method.API)
    happened_at = serializers.DateTimeField(required=False, help_text="Now, if left out.")
    expires_at = serializers.DateTimeField(required=False, allow_null=True)
    external_id = serializers.CharField(
        max_length=100, required=False, allow_null=True, help_text="Your id: sending it again adds nothing."
    )
    legal_basis = serializers.CharField(max_length=40, default="consent")
    jurisdiction = serializers.CharField(max_length=10, default="", allow_blank=True)
    notice = serializers.CharField(max_length=100, default="", allow_blank=True)
    notice_version = serializers.CharField(max_length=40, default="", allow_blank=True)
    evidence = serializers.DictField(default=dict)

    def validate_subjects(self, value: list[dict[str, str]]) -> list[tuple[str, str]]:
        if len(value) > MAX_SUBJECTS:
            raise serializers.ValidationError(f"At most {MAX_SUBJECTS} identifiers make one choice.", code="too_many")
        return [(subject["kind"], subject["value"]) for subject in value]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """PostgreSQL takes every text but NUL and halves of surrogate pairs."""
        text = json.dumps(attrs, ensure_ascii=False, default=str)
        if "\\u0000" in text or not _is_unicode(text):
            raise serializers.ValidationError("Leave out characters that cannot be stored.", code="unstorable")
        return attrs


class RecordSerializer(serializers.ModelSerializer[ConsentRecord]):
    """A record of the ledger; who chose is there as hashes only."""

    purpose = serializers.SlugField(source="purpose.slug")

    class Meta:
        model = ConsentRecord
        fields = [
            "id",
            "subjects",
            "purpose",
            "state",
            "method",
            "happened_at",
            "recorded_at",
            "expires_at",
            "external_id",
            "legal_basis",
            "jurisdiction",
            "notice",
            "notice_version",
            "evidence",
            "actor",
        ]


class RecordedSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField(source="record_id")
    created = serializers.BooleanField(help_text="False where the external id was recorded before.")


class RecordQuery(PageQuery):
    purpose = serializers.SlugField(required=False)
    state = serializers.ChoiceField(choices=ConsentRecord.State.choices, required=False)
    kind = serializers.CharField(required=False, max_length=30, help_text="With `value`: one identifier's records.")
    value = serializers.CharField(required=False, max_length=MAX_LENGTH)
    cursor = serializers.IntegerField(required=False, min_value=1, help_text="From `next`.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("kind" in attrs) != ("value" in attrs):
            raise serializers.ValidationError("Give kind and value together.", code="incomplete")
        return attrs


class RecordViewSet(viewsets.ViewSet):
    """The consent ledger. Records are added and never changed."""

    read_scope = Scope.CONSENT_READ
    write_scope = Scope.CONSENT_WRITE

    @extend_schema(
        operation_id="consent_records_list",
        parameters=[RecordQuery],
        responses=inline_serializer(
            "ConsentRecordPage",
            {"results": RecordSerializer(many=True), "next": serializers.URLField(allow_null=True)},
        ),
    )
    def list(self, request: Request) -> Response:
        """Records, newest first."""
        query = _validated(RecordQuery, request)
        size = query["page_size"]
        found = queries.records(
            purpose=query.get("purpose"),
            state=query.get("state"),
            subject=subject_hash(query["kind"], query["value"]) if "kind" in query else None,
            before_id=query.get("cursor"),
            limit=size + 1,
        )
        page = page_of(request, found, size=size, cursor_of=lambda record: str(record.pk))
        return Response(page | {"results": RecordSerializer(page["results"], many=True).data})

    @extend_schema(
        operation_id="consent_records_create",
        request=PolymorphicProxySerializer(
            component_name="ConsentChoices",
            serializers=[ChoiceSerializer, ChoiceSerializer(many=True)],
            resource_type_field_name=None,
            many=False,
        ),
        responses={
            201: PolymorphicProxySerializer(
                component_name="ConsentRecorded",
                serializers=[
                    RecordedSerializer,
                    inline_serializer("ConsentRecordedList", {"results": RecordedSerializer(many=True)}),
                ],
                resource_type_field_name=None,
                many=False,
            )
        },
        examples=[
            OpenApiExample(
                "A choice",
                value={
                    "subjects": [{"kind": "email", "value": "anna@example.com"}],
                    "purpose": "marketing",
                    "state": "granted",
                    "method": "form",
                    "happened_at": "2026-01-02T03:04:05Z",
                    "external_id": "newsletter-form-4711",
                },
                request_only=True,
            )
        ],
    )
    def create(self, request: Request) -> Response:
        """Record one choice, or a list of them: all or none. An external id that is known adds nothing."""
        many = isinstance(request.data, list)
        if many and len(request.data) > MAX_CHOICES:
            raise ConsentError(f"Send at most {MAX_CHOICES} choices at once.", code="too_many")
        checked = ChoiceSerializer(data=request.data, many=many)
        checked.is_valid(raise_exception=True)
        recorded = _record(checked.validated_data if many else [checked.validated_data], request, many=many)
        data = RecordedSerializer(recorded, many=True).data
        made = any(each.created for each in recorded)
        return Response(
            {"results": data} if many else data[0], status=status.HTTP_201_CREATED if made else status.HTTP_200_OK
        )


class DecisionQuery(serializers.Serializer[Any]):
    purpose = serializers.SlugField()
    kind = serializers.ListField(child=serializers.CharField(max_length=30), min_length=1, max_length=MAX_SUBJECTS)
    value = serializers.ListField(child=serializers.CharField(max_length=MAX_LENGTH), min_length=1)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs["kind"]) != len(attrs["value"]):
            raise serializers.ValidationError("Give as many kinds as values, in the same order.", code="incomplete")
        return attrs


class DecisionSerializer(serializers.Serializer[Decision]):
    allowed = serializers.BooleanField()
    reason = serializers.ChoiceField(choices=[(reason.value, reason.value) for reason in Reason])
    record = serializers.IntegerField(source="record_id", allow_null=True, help_text="The record that decided.")


class DecisionViewSet(viewsets.ViewSet):
    """What may be done with somebody."""

    read_scope = Scope.CONSENT_READ

    @extend_schema(
        operation_id="consent_decision",
        parameters=[
            OpenApiParameter("purpose", str, required=True),
            OpenApiParameter("kind", str, many=True, required=True),
            OpenApiParameter("value", str, many=True, required=True),
        ],
        responses=DecisionSerializer,
    )
    def list(self, request: Request) -> Response:
        """Whether a purpose is allowed for whoever has these identifiers; repeat kind and value for several."""
        query = _validated(DecisionQuery, request)
        try:
            purpose = queries.get_purpose(slug=query["purpose"])
        except UnknownPurposeError as error:
            raise NotFound(error.message, code=error.code) from None
        subjects = subject_hashes(zip(query["kind"], query["value"], strict=True))
        decision = queries.decide(subjects=subjects, purpose_id=purpose.pk, now=timezone.now())
        return Response(DecisionSerializer(decision).data)


class PurposeSerializer(serializers.ModelSerializer[Purpose]):
    class Meta:
        model = Purpose
        fields = ["slug", "name", "description", "kind", "requires_opt_in", "created_at"]
        read_only_fields = ["created_at"]


@extend_schema_view(
    list=extend_schema(description="Every purpose."),
    create=extend_schema(description="Add a purpose."),
    partial_update=extend_schema(description="Change a purpose; its slug and kind stay."),
)
class PurposeViewSet(
    mixins.ListModelMixin,
    mixins.CreateModelMixin,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    viewsets.GenericViewSet[Purpose],
):
    """Why data is collected or used: what people agree to, or not."""

    queryset = Purpose.objects.all()
    serializer_class = PurposeSerializer
    lookup_field = "slug"
    http_method_names = ["get", "post", "patch", "head", "options"]
    read_scope = Scope.CONSENT_READ
    write_scope = Scope.CONSENT_WRITE

    def perform_update(self, serializer: serializers.BaseSerializer[Purpose]) -> None:
        """Records and sources point to a purpose: it stays what it was asked as."""
        serializer.save(slug=serializer.instance.slug, kind=serializer.instance.kind)  # type: ignore[union-attr]


def register(router: BaseRouter) -> None:
    router.register("consent/records", RecordViewSet, basename="consent-record")
    router.register("consent/decision", DecisionViewSet, basename="consent-decision")
    router.register("consent/purposes", PurposeViewSet, basename="consent-purpose")


def _record(choices: list[dict[str, Any]], request: Request, *, many: bool) -> list[Any]:
    now = timezone.now()
    inputs = [
        ConsentInput(
            **{**choice, "state": State(choice["state"]), "happened_at": choice.get("happened_at") or now},
            actor=str(request.user)[:150],
        )
        for choice in choices
    ]
    try:
        return operations.record_consents(choices=inputs, now=now)
    except ConsentError as error:
        if not many:
            error.path = error.path.removeprefix("/0")
        raise


def _validated(serializer: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    checked = serializer(data=request.query_params)
    checked.is_valid(raise_exception=True)
    return dict(checked.validated_data)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
