"""REST: the quality of a source, its value rules and flagged values, loads, and alerts."""

from typing import Any

from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter
from rest_framework.views import APIView

from cdp.kernel.access.roles import Scope
from ingestion.models import Source
from ingestion.quality import operations, queries, score, watch
from ingestion.quality.contracts import LOAD_STATES
from ingestion.quality.models import Alert, FlaggedValue, Load, ValueRule

MAX_MESSAGE_IDS = 10_000


class ScorePartSerializer(serializers.Serializer[Any]):
    key = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # the name of an attribute of every field
    score = serializers.IntegerField(allow_null=True)
    sentence = serializers.CharField()
    advice = serializers.CharField()


class PropertyProfileSerializer(serializers.Serializer[Any]):
    path = serializers.CharField()
    type = serializers.CharField()
    types = serializers.DictField(child=serializers.IntegerField())
    present = serializers.IntegerField()
    null_rate = serializers.FloatField()
    distinct = serializers.IntegerField()
    distinct_is_exact = serializers.BooleanField()
    top = serializers.SerializerMethodField()
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)
    mean = serializers.FloatField(allow_null=True)
    deviation = serializers.FloatField(allow_null=True)
    quantiles = serializers.DictField(child=serializers.FloatField())
    shortest = serializers.IntegerField(allow_null=True)
    longest = serializers.IntegerField(allow_null=True)
    first_seen_at = serializers.DateTimeField(allow_null=True)
    last_seen_at = serializers.DateTimeField(allow_null=True)
    badges = serializers.ListField(child=serializers.CharField())

    def get_top(self, profile: Any) -> list[dict[str, Any]]:
        return [{"value": value, "count": count} for value, count in profile.top]


class EventProfileSerializer(serializers.Serializer[Any]):
    event = serializers.CharField(source="name")
    events = serializers.IntegerField()
    flagged = serializers.IntegerField()
    seen = serializers.IntegerField(help_text="On how many events the statistics rest.")
    badges = serializers.ListField(child=serializers.CharField())
    properties = PropertyProfileSerializer(many=True)


class SourceQualitySerializer(serializers.Serializer[Any]):
    score = serializers.IntegerField(allow_null=True)
    letter = serializers.CharField()
    word = serializers.CharField()
    parts = ScorePartSerializer(many=True)
    last_event_at = serializers.DateTimeField(allow_null=True)
    overdue = serializers.BooleanField(help_text="Silent for longer than its settings promise.")
    events = EventProfileSerializer(many=True)


class SourceQualityView(APIView):
    """The score of a source, and the profile of its events over the last seven days."""

    read_scope = Scope.EVENTS_READ

    @extend_schema(operation_id="source_quality_retrieve", responses=SourceQualitySerializer)
    def get(self, _request: Request, slug: str) -> Response:
        source, now = get_object_or_404(Source, slug=slug), timezone.now()
        profiles = queries.event_profiles(source_id=source.pk, now=now)
        found = score.explain(score.gather(source=source, profiles=profiles, now=now))
        fresh = queries.freshness(source=source, now=now)
        body = {
            "score": found.score,
            "letter": found.letter,
            "word": found.word,
            "parts": found.parts,
            "last_event_at": fresh.last_at,
            "overdue": fresh.overdue,
            "events": profiles,
        }
        return Response(SourceQualitySerializer(body).data)


class _OfSource(viewsets.GenericViewSet[Any]):
    """What belongs to the source in the address."""

    read_scope = Scope.EVENTS_READ
    write_scope = Scope.SOURCES_WRITE

    def source(self) -> Source:
        return get_object_or_404(Source, slug=self.kwargs["slug"])

    def get_queryset(self) -> Any:
        found: Any = super().get_queryset()
        return found if getattr(self, "swagger_fake_view", False) else found.filter(source=self.source())


class ValueRuleSerializer(serializers.ModelSerializer[ValueRule]):
    allowed = serializers.ListField(child=serializers.JSONField(), required=False)

    class Meta:
        model = ValueRule
        fields = ["id", "event", "path", "low", "high", "allowed", "shortest", "longest", "changed_at", "changed_by"]
        read_only_fields = ["changed_at", "changed_by"]


class ValueRuleViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, _OfSource):
    """What the values of a property may be. Posting a rule for a property that has one replaces it."""

    queryset = ValueRule.objects.all()
    serializer_class = ValueRuleSerializer

    @extend_schema(responses={201: ValueRuleSerializer})
    def create(self, request: Request, slug: str) -> Response:  # noqa: ARG002 - the router's argument
        checked = ValueRuleSerializer(data=request.data)
        checked.is_valid(raise_exception=True)
        rule = operations.set_rule(
            source=self.source(), actor=str(request.user), now=timezone.now(), **checked.validated_data
        )
        return Response(ValueRuleSerializer(rule).data, status=201)

    def destroy(self, _request: Request, slug: str, pk: str) -> Response:  # noqa: ARG002
        operations.remove_rule(rule=self.get_object())
        return Response(status=204)


class FlaggedValueSerializer(serializers.ModelSerializer[FlaggedValue]):
    class Meta:
        model = FlaggedValue
        fields = [
            "id",
            "kind",
            "event",
            "path",
            "value",
            "why",
            "profile_id",
            "event_id",
            "happened_at",
            "received_at",
            "state",
            "decided_at",
            "decided_by",
        ]


class FlagDecisionSerializer(serializers.Serializer[Any]):
    word = serializers.ChoiceField(["fine", "always", "wrong"])


class FlaggedValueViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, _OfSource):
    """Stored values that break a rule or stand out, for a person to decide about."""

    queryset = FlaggedValue.objects.all()
    serializer_class = FlaggedValueSerializer
    filterset_fields = ["state", "kind", "event", "path"]

    @extend_schema(request=FlagDecisionSerializer, responses=FlaggedValueSerializer)
    @action(detail=True, methods=["post"])
    def decide(self, request: Request, slug: str, pk: str) -> Response:  # noqa: ARG002
        """`fine` or `wrong`; `always` also widens or makes the rule of the property."""
        asked = FlagDecisionSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        word = asked.validated_data["word"]
        flag, actor, now = self.get_object(), str(request.user), timezone.now()
        if word == "always":
            operations.accept_for_good(flag=flag, actor=actor, now=now)
        else:
            operations.decide_flag(flag=flag, fine=word == "fine", actor=actor, now=now)
        flag.refresh_from_db()
        return Response(FlaggedValueSerializer(flag).data)


class LoadStatementSerializer(serializers.Serializer[Any]):
    id = serializers.CharField(max_length=100, help_text="As messages name it in context.load.id.")
    count = serializers.IntegerField(min_value=0, max_value=10**12, help_text="How many messages were sent.")
    checksum = serializers.CharField(
        required=False,
        allow_blank=True,
        help_text="Exclusive or of the first eight bytes of the SHA-256 of each different messageId, in hexadecimal.",
    )
    message_ids = serializers.ListField(
        child=serializers.CharField(max_length=100),
        required=False,
        max_length=MAX_MESSAGE_IDS,
        help_text="Some or all messageIds, to be told which of them were not received in the last week or two.",
    )


class LoadSerializer(serializers.Serializer[Any]):
    id = serializers.CharField(source="key")
    count = serializers.IntegerField(source="stated")
    stored = serializers.IntegerField()
    missing = serializers.IntegerField()
    checksum_matches = serializers.BooleanField(allow_null=True)
    waiting = serializers.IntegerField(help_text="Messages of the source that are not drained yet.")
    state = serializers.ChoiceField(LOAD_STATES)
    unknown_message_ids = serializers.ListField(child=serializers.CharField(), required=False)


class LoadViewSet(_OfSource):
    """Loads: what a sender says that it sent, compared with what is stored."""

    queryset = Load.objects.order_by("-stated_at")
    serializer_class = LoadSerializer
    lookup_field = "key"
    lookup_value_regex = r"[^/]+"

    @extend_schema(responses=LoadSerializer(many=True))
    def list(self, _request: Request, slug: str) -> Response:  # noqa: ARG002
        """The newest hundred."""
        found = [queries.check_load(load) for load in self.get_queryset().order_by("-stated_at")[:100]]
        return Response({"results": LoadSerializer(found, many=True).data, "next": None})

    def retrieve(self, _request: Request, slug: str, key: str) -> Response:  # noqa: ARG002
        return Response(LoadSerializer(queries.check_load(self.get_object())).data)

    @extend_schema(request=LoadStatementSerializer, responses={201: LoadSerializer})
    def create(self, request: Request, slug: str) -> Response:  # noqa: ARG002
        """State a load, or state it again; the answer compares. Announce the first load before sending it."""
        checked = LoadStatementSerializer(data=request.data)
        checked.is_valid(raise_exception=True)
        stated: dict[str, Any] = checked.validated_data
        source = self.source()
        load = operations.state_load(
            source=source,
            key=stated["id"],
            count=stated["count"],
            checksum=stated.get("checksum", ""),
            now=timezone.now(),
        )
        body = dict(LoadSerializer(queries.check_load(load)).data)
        if "message_ids" in stated:
            body["unknown_message_ids"] = queries.unknown_messages(
                source_id=source.pk, message_ids=stated["message_ids"]
            )
        return Response(body, status=201)


class AlertSerializer(serializers.ModelSerializer[Alert]):
    source = serializers.SlugField(source="source.slug", read_only=True)  # type: ignore[assignment]

    class Meta:
        model = Alert
        fields = [
            "id",
            "source",
            "kind",
            "subject",
            "state",
            "message",
            "value",
            "usual",
            "opened_at",
            "last_seen_at",
            "acknowledged_by",
            "resolved_at",
        ]


class AlertViewSet(viewsets.ReadOnlyModelViewSet[Alert]):
    """What deviates from the usual, from when it began until it was over."""

    read_scope = Scope.EVENTS_READ
    write_scope = Scope.SOURCES_WRITE
    queryset = Alert.objects.select_related("source").order_by("-id")
    serializer_class = AlertSerializer
    filterset_fields = {"state": ["exact"], "kind": ["exact"], "source__slug": ["exact"]}

    @extend_schema(request=None, responses=AlertSerializer)
    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Somebody has seen it. It ends by itself."""
        alert = self.get_object()
        watch.acknowledge(alert=alert, actor=str(request.user))
        alert.refresh_from_db()
        return Response(AlertSerializer(alert).data)


def register(router: BaseRouter) -> None:
    of_source = r"sources/(?P<slug>[-\w]+)"
    router.register(rf"{of_source}/quality/rules", ValueRuleViewSet, basename="value-rule")
    router.register(rf"{of_source}/quality/flags", FlaggedValueViewSet, basename="flagged-value")
    router.register(rf"{of_source}/loads", LoadViewSet, basename="load")
    router.register("alerts", AlertViewSet, basename="alert")


urlpatterns = [path("sources/<slug:slug>/quality/", SourceQualityView.as_view(), name="source-quality")]
