"""`/api/v1/sources/{slug}/plan/`: read, edit, infer, try and publish a tracking plan; see what violates it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.http import Http404
from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from cdp.kernel.access.models import User
from cdp.kernel.access.roles import Scope
from ingestion.dictionary.viewing import masker_for
from ingestion.models import Source
from ingestion.plans import operations, queries
from ingestion.plans.contracts import Kind
from ingestion.plans.difference import differences
from ingestion.plans.errors import PlanNotFoundError
from ingestion.plans.infer import DAYS, REQUIRED_SHARE
from ingestion.plans.models import PlanTrial, PlanVersion, ViolationGroup

MAX_DAYS = 90


@extend_schema_field(OpenApiTypes.OBJECT)
class DocumentField(serializers.JSONField):
    """Understood by the compiler, whose errors have a path into the document."""


class PlanVersionSerializer(serializers.ModelSerializer[PlanVersion]):
    document = DocumentField()
    created_by = serializers.SerializerMethodField()

    class Meta:
        model = PlanVersion
        fields = [
            "number",
            "state",
            "revision",
            "document",
            "note",
            "created_by",
            "created_at",
            "updated_at",
            "published_at",
        ]
        read_only_fields = fields

    def get_created_by(self, version: PlanVersion) -> str | None:
        return None if version.created_by is None else version.created_by.get_username()


class PlanSerializer(serializers.Serializer[Any]):
    live = PlanVersionSerializer(allow_null=True)
    draft = PlanVersionSerializer(allow_null=True)


class PlanDraftSerializer(serializers.Serializer[Any]):
    document = DocumentField()
    revision = serializers.IntegerField(
        required=False, help_text="Refused where the draft is at another revision by now; 0: there is none yet."
    )


class PlanPublishSerializer(serializers.Serializer[Any]):
    note = serializers.CharField(required=False, allow_blank=True, default="", max_length=operations.MAX_NOTE)
    revision = serializers.IntegerField(required=False)


class PlanInferSerializer(serializers.Serializer[Any]):
    days = serializers.IntegerField(default=DAYS, min_value=1, max_value=MAX_DAYS)
    required_share = serializers.FloatField(
        default=REQUIRED_SHARE, min_value=0.5, max_value=1, help_text="In how many events a required property is."
    )
    replace = serializers.BooleanField(default=False, help_text="Forget what the plan says now.")


class PlanTrySerializer(serializers.Serializer[Any]):
    document = DocumentField(required=False, help_text="Default: the draft, else the live version.")
    days = serializers.IntegerField(default=operations.TRIAL_DAYS, min_value=1, max_value=MAX_DAYS)


class PlanTrialSerializer(serializers.ModelSerializer[PlanTrial]):
    events = serializers.SerializerMethodField()

    class Meta:
        model = PlanTrial
        fields = [
            "id",
            "state",
            "since",
            "until",
            "total",
            "looked_at",
            "blocked",
            "events",
            "error",
            "created_at",
            "updated_at",
        ]
        read_only_fields = fields

    @extend_schema_field(
        serializers.DictField(
            child=serializers.DictField(), help_text="By event name: total, valid, blocked, and groups of violations."
        )
    )
    def get_events(self, found: PlanTrial) -> dict[str, Any]:
        events: dict[str, Any] = found.result.get("events", {})
        return events


class PlanDifferenceSerializer(serializers.Serializer[Any]):
    sign = serializers.CharField()
    place = serializers.CharField()
    text = serializers.CharField()


class PlanVersionsSerializer(serializers.Serializer[Any]):
    results = PlanVersionSerializer(many=True)


class ViolationGroupSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    event = serializers.CharField()
    kind = serializers.CharField()
    path = serializers.CharField()
    action = serializers.CharField()
    messages = serializers.IntegerField()
    first_seen_at = serializers.DateTimeField()
    last_seen_at = serializers.DateTimeField()


class ViolationHourSerializer(serializers.Serializer[Any]):
    hour = serializers.DateTimeField()
    kind = serializers.CharField()
    messages = serializers.IntegerField()


class ViolationsSerializer(serializers.Serializer[Any]):
    since = serializers.DateTimeField()
    groups = ViolationGroupSerializer(many=True)
    hours = ViolationHourSerializer(many=True)


class ViolationsQuery(serializers.Serializer[Any]):
    days = serializers.IntegerField(default=7, min_value=1, max_value=366)
    kind = serializers.ChoiceField(choices=[kind.value for kind in Kind], required=False, default="")


class ViolationSampleSerializer(serializers.Serializer[Any]):
    message_id = serializers.CharField()
    received_at = serializers.DateTimeField()
    text = serializers.CharField()
    quarantined = serializers.BooleanField()
    payload = serializers.JSONField(
        allow_null=True, help_text="Properties as stored, or the message as quarantined; null where it is gone."
    )


class _View(APIView):
    read_scope = Scope.EVENTS_READ
    write_scope = Scope.SOURCES_WRITE

    def source(self) -> Source:
        return get_object_or_404(Source, slug=self.kwargs["slug"])

    def person(self) -> User | None:
        user = self.request.user
        return user if isinstance(user, User) else None

    def body(self, kind: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        checked = kind(data=self.request.data)
        checked.is_valid(raise_exception=True)
        found: dict[str, Any] = checked.validated_data
        return found


class PlanView(_View):
    @extend_schema(operation_id="sources_plan_retrieve", responses=PlanSerializer)
    def get(self, _request: Request, slug: str) -> Response:  # noqa: ARG002 - the router's argument, here and below
        """The live version and the draft; null where there is none."""
        source = self.source()
        return Response(
            PlanSerializer({"live": queries.live(source=source), "draft": queries.draft(source=source)}).data
        )

    @extend_schema(operation_id="sources_plan_update", request=PlanDraftSerializer, responses=PlanVersionSerializer)
    def put(self, _request: Request, slug: str) -> Response:  # noqa: ARG002
        """Make or replace the draft. It changes nothing for messages until it is published."""
        found = self.body(PlanDraftSerializer)
        draft = operations.save_draft(source=self.source(), user=self.person(), now=timezone.now(), **found)
        return Response(PlanVersionSerializer(draft).data)

    @extend_schema(operation_id="sources_plan_destroy", responses={204: None})
    def delete(self, _request: Request, slug: str) -> Response:  # noqa: ARG002
        """Switch the live version off: messages pass unchecked. Versions and the draft stay."""
        operations.switch_off(source=self.source(), now=timezone.now())
        return Response(status=204)


class VersionsView(_View):
    @extend_schema(operation_id="sources_plan_versions_list", responses=PlanVersionsSerializer)
    def get(self, _request: Request, slug: str) -> Response:  # noqa: ARG002
        """Every version that was published, newest first."""
        return Response({"results": PlanVersionSerializer(queries.versions(source=self.source()), many=True).data})


class RestoreView(_View):
    @extend_schema(operation_id="sources_plan_versions_restore", request=None, responses={201: PlanVersionSerializer})
    def post(self, _request: Request, slug: str, number: int) -> Response:  # noqa: ARG002
        """Publish an old version again, under a new number."""
        again = operations.restore(source=self.source(), number=number, user=self.person(), now=timezone.now())
        return Response(PlanVersionSerializer(again).data, status=201)


class DifferenceView(_View):
    @extend_schema(
        operation_id="sources_plan_difference",
        responses=inline_serializer("PlanDifferences", {"results": PlanDifferenceSerializer(many=True)}),
    )
    def get(self, _request: Request, slug: str) -> Response:  # noqa: ARG002
        """What publishing the draft would change."""
        source = self.source()
        draft, live = queries.draft(source=source), queries.live(source=source)
        if draft is None:
            raise PlanNotFoundError("There is no draft.", code="draft_missing")
        found = differences(live.document if live else {}, draft.document)
        return Response({"results": PlanDifferenceSerializer(found, many=True).data})


class PublishView(_View):
    @extend_schema(operation_id="sources_plan_publish", request=PlanPublishSerializer, responses=PlanVersionSerializer)
    def post(self, _request: Request, slug: str) -> Response:  # noqa: ARG002
        """Put the draft in the place of the live version."""
        found = self.body(PlanPublishSerializer)
        version = operations.publish(source=self.source(), user=self.person(), now=timezone.now(), **found)
        return Response(PlanVersionSerializer(version).data)


class InferView(_View):
    @extend_schema(
        operation_id="sources_plan_infer",
        request=PlanInferSerializer,
        responses=inline_serializer(
            "InferredPlan",
            {
                "draft": PlanVersionSerializer(),
                "looked_at": serializers.DictField(
                    child=serializers.DictField(child=serializers.IntegerField()),
                    help_text="By event name: how many events were looked at, of how many.",
                ),
            },
        ),
    )
    def post(self, _request: Request, slug: str) -> Response:  # noqa: ARG002
        """Make a draft from the events seen; what the plan says already stays unless `replace`."""
        found = self.body(PlanInferSerializer)
        draft, inferred = operations.infer_draft(source=self.source(), user=self.person(), now=timezone.now(), **found)
        looked_at = {name: {"looked_at": looked, "total": total} for name, (looked, total) in inferred.events.items()}
        return Response({"draft": PlanVersionSerializer(draft).data, "looked_at": looked_at})


class TrialsView(_View):
    @extend_schema(operation_id="sources_plan_try_retrieve", responses=PlanTrialSerializer)
    def get(self, _request: Request, slug: str) -> Response:  # noqa: ARG002
        """The newest trial: how far it is and what it found."""
        found = queries.newest_trial(source=self.source())
        if found is None:
            raise PlanNotFoundError("No plan was tried yet.", code="trial_not_found")
        return Response(PlanTrialSerializer(found).data)

    @extend_schema(
        operation_id="sources_plan_try_create", request=PlanTrySerializer, responses={202: PlanTrialSerializer}
    )
    def post(self, _request: Request, slug: str) -> Response:  # noqa: ARG002
        """Hold a plan against the events stored in the last days, in the background."""
        found = self.body(PlanTrySerializer)
        started = operations.start_trial(source=self.source(), user=self.person(), now=timezone.now(), **found)
        return Response(PlanTrialSerializer(started).data, status=202)


class TrialView(_View):
    @extend_schema(operation_id="sources_plan_try_read", responses=PlanTrialSerializer)
    def get(self, _request: Request, slug: str, trial_id: int) -> Response:  # noqa: ARG002
        """How far a trial is, and what it found until now."""
        return Response(PlanTrialSerializer(self._trial(trial_id)).data)

    @extend_schema(operation_id="sources_plan_try_cancel", responses={204: None})
    def delete(self, _request: Request, slug: str, trial_id: int) -> Response:  # noqa: ARG002
        """Stop a trial. What it found until then stays."""
        found = self._trial(trial_id)
        operations.cancel_trial(source=self.source(), trial_id=found.pk, now=timezone.now())
        return Response(status=204)

    def _trial(self, trial_id: int) -> PlanTrial:
        found = PlanTrial.objects.filter(plan__source=self.source(), pk=trial_id).first()
        if found is None:
            raise PlanNotFoundError("There is no such trial.", code="trial_not_found")
        return found


class ViolationsView(_View):
    @extend_schema(
        operation_id="sources_plan_violations_list", parameters=[ViolationsQuery], responses=ViolationsSerializer
    )
    def get(self, request: Request, slug: str) -> Response:  # noqa: ARG002
        """Violations of the last days, in groups and by hour."""
        asked = ViolationsQuery(data=request.query_params)
        asked.is_valid(raise_exception=True)
        source, since = self.source(), timezone.now() - timedelta(days=asked.validated_data["days"])
        return Response(
            {
                "since": since,
                "groups": ViolationGroupSerializer(
                    queries.violation_groups(source=source, since=since, kind=asked.validated_data["kind"]), many=True
                ).data,
                "hours": [
                    {"hour": hour, "kind": kind, "messages": messages}
                    for hour, kind, messages in queries.violations_by_hour(source=source, since=since)
                ],
            }
        )


class SamplesView(_View):
    @extend_schema(
        operation_id="sources_plan_violations_samples",
        parameters=[OpenApiParameter("group_id", int, "path")],
        responses=inline_serializer("ViolationSamples", {"results": ViolationSampleSerializer(many=True)}),
    )
    def get(self, _request: Request, slug: str, group_id: int) -> Response:  # noqa: ARG002
        """The newest messages of a group."""
        group = ViolationGroup.objects.filter(source=self.source(), pk=group_id).first()
        if group is None:
            raise Http404
        masker = masker_for(self.request.user)
        shown = [replace(one, payload=masker.message(one.payload)) for one in queries.samples(group=group)]
        return Response({"results": ViolationSampleSerializer(shown, many=True).data})


class AllowView(_View):
    @extend_schema(operation_id="sources_plan_violations_allow", request=None, responses=PlanVersionSerializer)
    def post(self, _request: Request, slug: str, group_id: int) -> Response:  # noqa: ARG002
        """Change the draft so that it takes what this group complains of."""
        draft = operations.allow_violation(
            source=self.source(), group_id=group_id, user=self.person(), now=timezone.now()
        )
        return Response(PlanVersionSerializer(draft).data)


_ROOT = "sources/<slug:slug>/plan/"
urlpatterns = [
    path(_ROOT, PlanView.as_view(), name="api-plan"),
    path(f"{_ROOT}difference/", DifferenceView.as_view(), name="api-plan-difference"),
    path(f"{_ROOT}versions/", VersionsView.as_view(), name="api-plan-versions"),
    path(f"{_ROOT}versions/<int:number>/restore/", RestoreView.as_view(), name="api-plan-restore"),
    path(f"{_ROOT}publish/", PublishView.as_view(), name="api-plan-publish"),
    path(f"{_ROOT}infer/", InferView.as_view(), name="api-plan-infer"),
    path(f"{_ROOT}try/", TrialsView.as_view(), name="api-plan-try"),
    path(f"{_ROOT}try/<int:trial_id>/", TrialView.as_view(), name="api-plan-trial"),
    path(f"{_ROOT}violations/", ViolationsView.as_view(), name="api-plan-violations"),
    path(f"{_ROOT}violations/<int:group_id>/", SamplesView.as_view(), name="api-plan-samples"),
    path(f"{_ROOT}violations/<int:group_id>/allow/", AllowView.as_view(), name="api-plan-allow"),
]
