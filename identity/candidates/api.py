"""`/api/v1/matches/` and its like: pairs that may be one person, decisions, models, runs, settings. R: C2, C3"""

from collections.abc import Callable
from typing import Any

import django_filters
import msgspec
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter
from rest_framework.views import APIView

from cdp.kernel.access.roles import Scope
from identity.candidates import operations, runs, versions
from identity.candidates.contracts import Field
from identity.candidates.fields import dump_fields, live_fields
from identity.candidates.live import load_settings
from identity.candidates.models import Candidate, MatchModel, MatchRun, MatchWarning
from identity.candidates.viewing import mask_evidence
from identity.matching.contracts import ColumnType
from ingestion.dictionary.viewing import masker_for

MAX_FIELDS = 200


class _Room(viewsets.GenericViewSet[Any]):
    read_scope = Scope.PROFILES_READ
    write_scope = Scope.IDENTITY_WRITE


# --- Pairs --------------------------------------------------------------------------------------------------


class MatchSerializer(serializers.ModelSerializer[Candidate]):
    one = serializers.IntegerField(source="one_id", help_text="A profile's id; one that was merged away leads on.")
    other = serializers.IntegerField(source="other_id")
    model = serializers.IntegerField(source="model_id", allow_null=True, help_text="Null: the weights as shipped.")
    merge = serializers.IntegerField(source="merge_id", allow_null=True)
    decided_by = serializers.CharField(allow_null=True)
    evidence = serializers.SerializerMethodField(
        help_text="The waterfall: `prior` and the `weight` of each field add up to `score`, the log2 odds."
    )

    class Meta:
        model = Candidate
        fields = [
            "id",
            "one",
            "other",
            "state",
            "reason",
            "score",
            "probability",
            "value",
            "refusal",
            "evidence",
            "model",
            "found_at",
            "updated_at",
            "skipped_at",
            "decided_at",
            "decided_by",
            "merge",
        ]

    def get_evidence(self, candidate: Candidate) -> dict[str, Any]:
        return mask_evidence(candidate.evidence, masker_for(self.context["request"].user))


class MatchFilter(django_filters.FilterSet):
    state = django_filters.ChoiceFilter(choices=Candidate.State.choices)
    reason = django_filters.ChoiceFilter(choices=Candidate.Reason.choices)
    min_probability = django_filters.NumberFilter(field_name="probability", lookup_expr="gte")
    max_probability = django_filters.NumberFilter(field_name="probability", lookup_expr="lte")
    profile = django_filters.NumberFilter(method="of_profile", label="One of the two.")

    class Meta:
        model = Candidate
        fields = ["state", "reason", "min_probability", "max_probability", "profile"]

    def of_profile(self, rows: Any, _name: str, value: Any) -> Any:
        return rows.filter(one_id=value) | rows.filter(other_id=value)


class RejectSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(required=False, default="", allow_blank=True, max_length=200)


class AcceptAboveSerializer(serializers.Serializer[Any]):
    threshold = serializers.FloatField(min_value=0.5, max_value=1)


class MatchRunSerializer(serializers.ModelSerializer[MatchRun]):
    model = serializers.IntegerField(source="model_id", allow_null=True)
    asked_by = serializers.CharField(allow_null=True)

    class Meta:
        model = MatchRun
        fields = [
            "id",
            "kind",
            "state",
            "phase",
            "done",
            "total",
            "counts",
            "seconds",
            "error",
            "model",
            "asked_at",
            "asked_by",
            "started_at",
            "finished_at",
        ]


class MatchViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, _Room):
    """Pairs of profiles that may be one person, newest first. Values in `evidence` are masked without `pii:read`."""

    queryset = Candidate.objects.select_related("decided_by")
    serializer_class = MatchSerializer
    filterset_class = MatchFilter

    @extend_schema(request=None, responses=MatchSerializer)
    @action(detail=True, methods=["post"])
    def accept(self, request: Request, pk: str) -> Response:  # noqa: ARG002 - the router's argument
        """They are one person: merge them. 409 where somebody has decided meanwhile."""
        return self._decided(operations.accept, request)

    @extend_schema(request=RejectSerializer, responses=MatchSerializer)
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """They are two people: never ask again, never merge them."""
        asked = RejectSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return self._decided(operations.reject, request, **asked.validated_data)

    @extend_schema(request=None, responses=MatchSerializer)
    @action(detail=True, methods=["post"])
    def skip(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Leave the pair to somebody else."""
        return self._decided(operations.skip, request)

    @extend_schema(request=None, responses=MatchSerializer)
    @action(detail=True, methods=["post"])
    def undo(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Take the decision back, and the merge that came of it: the pair waits again."""
        return self._decided(operations.undo_decision, request)

    @extend_schema(request=AcceptAboveSerializer, responses={202: MatchRunSerializer})
    @action(detail=False, methods=["post"], url_path="accept-above")
    def accept_above(self, request: Request) -> Response:
        """Accept every waiting pair of at least this probability, in the background; the run can be taken back."""
        asked = AcceptAboveSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        run = operations.accept_above(**asked.validated_data, actor=_person(request), now=timezone.now())
        return Response(MatchRunSerializer(run).data, status=202)

    def _decided(self, decide: Callable[..., Candidate], request: Request, **fields: Any) -> Response:
        candidate = decide(candidate=self.get_object(), actor=_person(request), now=timezone.now(), **fields)
        return Response(self.get_serializer(candidate).data)


# --- Runs ---------------------------------------------------------------------------------------------------


class AskRunSerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(["full", "estimate"])


class MatchRunViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, _Room):
    """Long jobs: full passes, estimates, previews, and decisions about many. One is done at a time."""

    queryset = MatchRun.objects.select_related("asked_by")
    serializer_class = MatchRunSerializer
    filterset_fields = ["kind", "state"]

    @extend_schema(request=AskRunSerializer, responses={202: MatchRunSerializer})
    def create(self, request: Request) -> Response:
        """Ask for a full pass, or for a new draft of the model."""
        asked = AskRunSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        actor, now = _person(request), timezone.now()
        if asked.validated_data["kind"] == "full":
            run = runs.ask(MatchRun.Kind.FULL, actor=actor, now=now)
        else:
            run = versions.estimate(actor=actor, now=now)
        return Response(MatchRunSerializer(run).data, status=202)

    @extend_schema(request=None, responses={202: MatchRunSerializer})
    @action(detail=True, methods=["post"])
    def undo(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Take back what accepting many has merged."""
        run = operations.undo_batch(run=self.get_object(), actor=_person(request), now=timezone.now())
        return Response(MatchRunSerializer(run).data, status=202)


# --- Models -------------------------------------------------------------------------------------------------


class MatchModelSerializer(serializers.ModelSerializer[MatchModel]):
    activated_by = serializers.CharField(allow_null=True)

    class Meta:
        model = MatchModel
        fields = ["id", "state", "summary", "created_at", "activated_at", "activated_by"]


class MatchModelDetailSerializer(MatchModelSerializer):
    class Meta(MatchModelSerializer.Meta):
        fields = [*MatchModelSerializer.Meta.fields, "parameters"]


class MatchModelViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, _Room):
    """Versions of the model. Where none is live, the weights that are shipped are used."""

    queryset = MatchModel.objects.select_related("activated_by")
    filterset_fields = ["state"]

    def get_serializer_class(self) -> Any:
        return MatchModelDetailSerializer if self.action == "retrieve" else MatchModelSerializer

    @extend_schema(request=None, responses={202: MatchRunSerializer})
    @action(detail=True, methods=["post"])
    def preview(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Compare it with the live version: merges gained and lost, in the `counts` of the run."""
        run = versions.preview(model=self.get_object(), actor=_person(request), now=timezone.now())
        return Response(MatchRunSerializer(run).data, status=202)

    @extend_schema(request=None, responses={202: MatchRunSerializer})
    @action(detail=True, methods=["post"], url_path="switch-on")
    def switch_on(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Make it the live version; the run scores everybody by it. A draft is to be previewed first."""
        run = versions.switch_on(model=self.get_object(), actor=_person(request), now=timezone.now())
        return Response(MatchRunSerializer(run).data, status=202)

    @extend_schema(request=None, responses={202: MatchRunSerializer})
    @action(detail=False, methods=["post"], url_path="roll-back")
    def roll_back(self, request: Request) -> Response:
        """Go back to the version that was live before, or to the weights that are shipped."""
        run = versions.roll_back(actor=_person(request), now=timezone.now())
        return Response(MatchRunSerializer(run).data, status=202)


# --- Warnings and settings ----------------------------------------------------------------------------------


class MatchWarningSerializer(serializers.ModelSerializer[MatchWarning]):
    class Meta:
        model = MatchWarning
        fields = [
            "id",
            "code",
            "field",
            "value",
            "profiles",
            "message",
            "advice",
            "first_seen_at",
            "last_seen_at",
            "dismissed_at",
        ]


class MatchWarningViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, _Room):
    """Data that would make one profile of many people, or that helps nobody, and what to do about it."""

    queryset = MatchWarning.objects.all()
    serializer_class = MatchWarningSerializer
    filterset_fields = {"code": ["exact"], "dismissed_at": ["isnull"]}

    @extend_schema(request=None, responses=MatchWarningSerializer)
    @action(detail=True, methods=["post"])
    def dismiss(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Somebody has seen to it. It comes back where twice as many share the value."""
        warning = self.get_object()
        operations.dismiss_warning(warning=warning, actor=_person(request), now=timezone.now())
        return Response(MatchWarningSerializer(warning).data)


class MatchFieldSerializer(serializers.Serializer[Any]):
    column = serializers.CharField(max_length=200)
    type = serializers.ChoiceField([(type_.value, type_.value) for type_ in ColumnType])
    traits = serializers.ListField(child=serializers.CharField(max_length=200), max_length=20, default=list)
    identifiers = serializers.ListField(child=serializers.CharField(max_length=30), max_length=20, default=list)


class MatchingSettingsSerializer(serializers.Serializer[Any]):
    automatic = serializers.BooleanField(required=False, help_text="Merge by itself what is above `accept_above`.")
    accept_above = serializers.FloatField(required=False, min_value=0.5, max_value=0.999999)
    review_above = serializers.FloatField(required=False, min_value=0.01, max_value=0.999999)
    full_pass_hour = serializers.IntegerField(required=False, min_value=0, max_value=23)
    estimate_days = serializers.IntegerField(required=False, min_value=1, max_value=365)
    fields_confirmed = serializers.BooleanField(read_only=True)
    columns = MatchFieldSerializer(many=True, required=False, help_text="What is compared, and as what.")

    def validate_columns(self, columns: list[Any]) -> list[Any]:
        if len(columns) > MAX_FIELDS:
            raise serializers.ValidationError(f"At most {MAX_FIELDS} columns.", code="max_length")
        return columns


class MatchingSettingsView(APIView):
    """What is compared, from which probability on a person is asked, and whether the surest pairs merge alone."""

    read_scope = Scope.PROFILES_READ
    write_scope = Scope.IDENTITY_WRITE

    @extend_schema(operation_id="matching_settings_retrieve", responses=MatchingSettingsSerializer)
    def get(self, _request: Request) -> Response:
        return Response(_settings_body())

    @extend_schema(
        operation_id="matching_settings_update",
        request=MatchingSettingsSerializer(partial=True),
        responses=MatchingSettingsSerializer,
    )
    def patch(self, request: Request) -> Response:
        """Change what is given. `columns` replaces all of them and has everybody be matched again."""
        asked = MatchingSettingsSerializer(data=request.data, partial=True)
        asked.is_valid(raise_exception=True)
        changed, actor, now = dict(asked.validated_data), _person(request), timezone.now()
        columns = changed.pop("columns", None)
        if changed:
            operations.change_settings(actor=actor, now=now, **changed)
        if columns is not None:
            operations.confirm_fields(fields=msgspec.convert(columns, list[Field]), actor=actor, now=now)
        return Response(_settings_body())


def _settings_body() -> dict[str, Any]:
    row = load_settings()
    body = {
        "automatic": row.automatic,
        "accept_above": row.accept_above,
        "review_above": row.review_above,
        "full_pass_hour": row.full_pass_hour,
        "estimate_days": row.estimate_days,
        "fields_confirmed": bool(row.fields),
        "columns": dump_fields(live_fields(row)),
    }
    return dict(MatchingSettingsSerializer(body).data)


def register(router: BaseRouter) -> None:
    router.register("matches", MatchViewSet, basename="match")
    router.register("match-runs", MatchRunViewSet, basename="match-run")
    router.register("match-models", MatchModelViewSet, basename="match-model")
    router.register("match-warnings", MatchWarningViewSet, basename="match-warning")


def _person(request: Request) -> Any:
    """Who asks, where that is a person: a token's owner is nobody's account."""
    return request.user if getattr(request.user, "pk", None) else None
