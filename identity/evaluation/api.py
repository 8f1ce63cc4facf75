"""`/api/v1/match-evaluations/`: how right matching is; ask for an evaluation, read what it found. R: C2, F7"""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from cdp.kernel.access.roles import Scope
from identity.candidates.models import MatchModel
from identity.evaluation import operations
from identity.evaluation.models import MatchEvaluation
from identity.evaluation.uploads import Row

MOST_ROWS = 50_000


class EvaluationSerializer(serializers.ModelSerializer[MatchEvaluation]):
    state = serializers.SerializerMethodField(help_text="waiting, running, done or failed.")
    progress = serializers.SerializerMethodField(help_text="From 0 to 1, within the present phase.")
    error = serializers.SerializerMethodField()
    result = serializers.JSONField(
        read_only=True, help_text="See docs/reference/match-evaluations.md; null until done."
    )

    class Meta:
        model = MatchEvaluation
        fields = ["id", "kind", "model", "name", "state", "progress", "error", "asked_at", "finished_at", "result"]

    def get_state(self, row: MatchEvaluation) -> str:
        if row.finished_at is not None:
            return "done"
        return row.run.state if row.run is not None else "failed"

    def get_progress(self, row: MatchEvaluation) -> float:
        if row.finished_at is not None:
            return 1.0
        return row.run.done / row.run.total if row.run is not None and row.run.total else 0.0

    def get_error(self, row: MatchEvaluation) -> str:
        return row.run.error if row.run is not None else ""


class LabelledRowSerializer(serializers.Serializer[Any]):
    kind = serializers.CharField(max_length=30, help_text="Of the identifier: `user_id`, `email` …")
    value = serializers.CharField(max_length=254)
    truth = serializers.CharField(max_length=254, help_text="The same word for the ids of one person.")


class EvaluationRequestSerializer(serializers.Serializer[Any]):
    """All profiles by a version of the model (the live one if left out); or, with `rows`, profiles against a truth."""

    model = serializers.PrimaryKeyRelatedField(queryset=MatchModel.objects.all(), required=False, allow_null=True)
    name = serializers.CharField(required=False, default="", allow_blank=True, max_length=200)
    rows = LabelledRowSerializer(many=True, required=False, allow_empty=False)

    def validate_rows(self, rows: list[dict[str, str]]) -> list[dict[str, str]]:
        if len(rows) > MOST_ROWS:
            raise serializers.ValidationError(f"At most {MOST_ROWS:,} rows at once.", code="too_many")
        return rows


class EvaluationViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[MatchEvaluation]):
    """Evaluations of matching, newest first. Results name profiles by id and hold no personal data."""

    queryset = MatchEvaluation.objects.select_related("run").defer("upload").order_by("-id")
    serializer_class = EvaluationSerializer
    read_scope = Scope.PROFILES_READ
    write_scope = Scope.IDENTITY_WRITE
    filterset_fields = ["kind", "model"]

    @extend_schema(request=EvaluationRequestSerializer, responses={202: EvaluationSerializer})
    def create(self, request: Request) -> Response:
        """Ask for an evaluation. It is done in the background: read it until its state is `done`."""
        checked = EvaluationRequestSerializer(data=request.data)
        checked.is_valid(raise_exception=True)
        asked: dict[str, Any] = checked.validated_data
        row = _ask(asked, actor=request.user if getattr(request.user, "pk", None) else None)
        return Response(EvaluationSerializer(row).data, status=202)


def _ask(asked: dict[str, Any], *, actor: Any) -> MatchEvaluation:
    now = timezone.now()
    if "rows" in asked:
        rows = [Row(row["kind"].lower(), row["value"], row["truth"]) for row in asked["rows"]]
        return operations.evaluate_rows(rows=rows, name=asked["name"], actor=actor, now=now)
    model = asked.get("model") or MatchModel.objects.filter(state=MatchModel.State.LIVE).first()
    return operations.evaluate_profiles(model=model, actor=actor, now=now)


def register(router: BaseRouter) -> None:
    router.register("match-evaluations", EvaluationViewSet, basename="match-evaluation")
