"""`/api/v1/destinations/`, `subscriptions/`, `deliveries/`. R: F1"""

from typing import Any

from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, inline_serializer
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from activation import operations, queries
from activation.contracts import AttemptRow, DeliveryDetail, DeliveryRow, TestResult
from activation.destinations import get_kind
from activation.models import Delivery, Destination, Subscription
from cdp.kernel.access.roles import Scope
from cdp.kernel.api import PageQuery, page_of
from consent.models import Purpose
from ingestion.dictionary.viewing import masker_for
from segments.models import Segment


class DestinationSerializer(serializers.ModelSerializer[Destination]):
    address = serializers.SerializerMethodField()
    config = serializers.DictField(help_text='The settings of its kind; a webhook has `{"url"}`.')

    class Meta:
        model = Destination
        fields = [
            "slug",
            "name",
            "kind",
            "config",
            "address",
            "state",
            "state_reason",
            "failures",
            "failing_since",
            "held_until",
            "created_at",
        ]
        read_only_fields = ["state", "state_reason", "failures", "failing_since", "held_until", "created_at"]

    def get_address(self, destination: Destination) -> str:
        return get_kind(destination.kind).describe(destination.config)


class SecretSerializer(serializers.Serializer[Any]):
    secret = serializers.CharField(help_text="What the receiver verifies with, as Standard Webhooks describe it.")


class DestinationMadeSerializer(DestinationSerializer):
    secret = serializers.CharField(help_text="What the receiver verifies with; `rotate-secret/` makes another.")

    class Meta(DestinationSerializer.Meta):
        fields = [*DestinationSerializer.Meta.fields, "secret"]


class StateSerializer(serializers.Serializer[Any]):
    state = serializers.ChoiceField(choices=Destination.State.choices)
    reason = serializers.CharField(max_length=300, default="", allow_blank=True)


class TestResultSerializer(serializers.Serializer[TestResult]):
    ok = serializers.BooleanField()
    status = serializers.IntegerField(allow_null=True)
    error = serializers.CharField()
    response = serializers.CharField()
    duration_ms = serializers.IntegerField()


class DestinationViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.DestroyModelMixin, viewsets.GenericViewSet[Destination]
):
    """Tools that act on segments."""

    queryset = Destination.objects.all()
    serializer_class = DestinationSerializer
    lookup_field = "slug"
    read_scope = write_scope = Scope.ACTIVATION_WRITE

    @extend_schema(
        responses={201: DestinationMadeSerializer},
        examples=[
            OpenApiExample(
                "A webhook",
                value={
                    "slug": "crm",
                    "name": "CRM",
                    "kind": "webhook",
                    "config": {"url": "https://example.com/hooks"},
                },
                request_only=True,
            )
        ],
    )
    def create(self, request: Request) -> Response:
        """Add a destination. The answer carries the signing secret."""
        given = _checked(DestinationSerializer(data=request.data))
        destination, secret = operations.create_destination(
            slug=given["slug"], name=given["name"], kind=given.get("kind", "webhook"), config=given["config"]
        )
        return Response(DestinationSerializer(destination).data | {"secret": secret}, status=status.HTTP_201_CREATED)

    @extend_schema(
        request=inline_serializer(
            "DestinationChange",
            {"name": serializers.CharField(required=False), "config": serializers.DictField(required=False)},
        ),
        responses=DestinationSerializer,
    )
    def partial_update(self, request: Request, slug: str) -> Response:  # noqa: ARG002 - get_object reads it
        """Change name or settings."""
        destination = self.get_object()
        given = _checked(DestinationSerializer(destination, data=request.data, partial=True))
        changed = operations.update_destination(
            destination=destination, name=given.get("name"), config=given.get("config")
        )
        return Response(DestinationSerializer(changed).data)

    def perform_destroy(self, instance: Destination) -> None:
        operations.delete_destination(destination=instance)

    @extend_schema(request=StateSerializer, responses=DestinationSerializer)
    @action(detail=True, methods=["post"])
    def state(self, request: Request, slug: str) -> Response:  # noqa: ARG002 - get_object reads it
        """Pause it, disable it, or make it active again."""
        given = _checked(StateSerializer(data=request.data))
        changed = operations.set_destination_state(
            destination=self.get_object(), state=Destination.State(given["state"]), reason=given["reason"]
        )
        return Response(DestinationSerializer(changed).data)

    @extend_schema(request=None, responses=SecretSerializer)
    @action(detail=True, methods=["post"], url_path="rotate-secret")
    def rotate_secret(self, request: Request, slug: str) -> Response:  # noqa: ARG002 - get_object reads it
        """A new signing secret; the old ones go on signing beside it for a day."""
        return Response({"secret": operations.rotate_secret(destination=self.get_object(), now=timezone.now())})

    @extend_schema(request=None, responses=TestResultSerializer)
    @action(detail=True, methods=["post"])
    def test(self, request: Request, slug: str) -> Response:  # noqa: ARG002 - get_object reads it
        """Send a test message and wait for the answer."""
        result = operations.send_test(destination=self.get_object(), now=timezone.now())
        return Response(TestResultSerializer(result).data)


class SubscriptionSerializer(serializers.ModelSerializer[Subscription]):
    destination = serializers.SlugRelatedField(slug_field="slug", queryset=Destination.objects.all())
    segment = serializers.SlugRelatedField(
        slug_field="slug", queryset=Segment.objects.exclude(state__in=Segment.AT_REST)
    )
    purpose = serializers.SlugRelatedField(
        slug_field="slug",
        queryset=Purpose.objects.filter(kind=Purpose.Kind.ACTIVATION),
        required=False,
        allow_null=True,
    )

    class Meta:
        model = Subscription
        fields = ["id", "destination", "segment", "on_enter", "on_exit", "purpose", "enabled", "created_at"]
        read_only_fields = ["created_at"]
        validators: list[Any] = []  # the operation refuses a second one, by the database's constraint


class SubscriptionViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.DestroyModelMixin, viewsets.GenericViewSet[Subscription]
):
    """Which destination hears of which segment."""

    queryset = Subscription.objects.select_related("destination", "segment", "purpose")
    serializer_class = SubscriptionSerializer
    filterset_fields = {"destination__slug": ["exact"], "segment__slug": ["exact"]}
    read_scope = write_scope = Scope.ACTIVATION_WRITE

    @extend_schema(responses={201: SubscriptionSerializer})
    def create(self, request: Request) -> Response:
        """Tell a destination of entries or exits from now on."""
        given = _checked(SubscriptionSerializer(data=request.data))
        subscription = operations.subscribe(
            destination=given["destination"],
            segment=given["segment"],
            on_enter=given.get("on_enter", True),
            on_exit=given.get("on_exit", False),
            purpose=given.get("purpose"),
        )
        return Response(SubscriptionSerializer(subscription).data, status=status.HTTP_201_CREATED)

    def partial_update(self, request: Request, pk: str) -> Response:  # noqa: ARG002 - get_object reads it
        """Change what it listens to; destination and segment stay."""
        current = self.get_object()
        given = _checked(SubscriptionSerializer(current, data=request.data, partial=True))
        changed = operations.update_subscription(
            subscription=current,
            on_enter=given.get("on_enter", current.on_enter),
            on_exit=given.get("on_exit", current.on_exit),
            purpose=given.get("purpose", current.purpose),
            enabled=given.get("enabled", current.enabled),
        )
        return Response(SubscriptionSerializer(changed).data)

    def perform_destroy(self, instance: Subscription) -> None:
        operations.unsubscribe(subscription=instance, now=timezone.now())


class DeliverySerializer(serializers.Serializer[DeliveryRow]):
    id = serializers.IntegerField()
    message_id = serializers.UUIDField(help_text="The webhook-id, the same on every try.")
    destination = serializers.CharField(source="destination_slug")
    segment = serializers.CharField(source="segment_slug")
    profile = serializers.IntegerField(source="profile_id")
    event = serializers.CharField()
    state = serializers.ChoiceField(choices=Delivery.State.choices)
    attempts = serializers.IntegerField()
    next_attempt_at = serializers.DateTimeField(allow_null=True)
    last_status = serializers.IntegerField(allow_null=True)
    reason = serializers.CharField(help_text="Why it failed or was held back.")
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class AttemptSerializer(serializers.Serializer[AttemptRow]):
    at = serializers.DateTimeField()
    duration_ms = serializers.IntegerField()
    status = serializers.IntegerField(allow_null=True)
    error = serializers.CharField()
    response = serializers.CharField()


class DeliveryDetailSerializer(DeliverySerializer):
    payload = serializers.DictField()
    consent_record = serializers.IntegerField(allow_null=True)
    tries = AttemptSerializer(many=True)


class DeliveryQuery(PageQuery):
    state = serializers.ChoiceField(choices=Delivery.State.choices, required=False)
    destination = serializers.SlugField(required=False)
    segment = serializers.SlugField(required=False)
    profile = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1)
    cursor = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1, help_text="From `next`.")


class DeliveryViewSet(viewsets.ViewSet):
    """Every message that was planned, and what became of it."""

    read_scope = write_scope = Scope.ACTIVATION_WRITE
    lookup_value_regex = "[0-9]{1,18}"

    @extend_schema(
        operation_id="deliveries_list",
        parameters=[DeliveryQuery],
        responses=inline_serializer(
            "DeliveryPage",
            {"results": DeliverySerializer(many=True), "next": serializers.URLField(allow_null=True)},
        ),
    )
    def list(self, request: Request) -> Response:
        """Deliveries, newest first."""
        query = _checked(DeliveryQuery(data=request.query_params))
        size = query["page_size"]
        found = queries.deliveries(
            state=query.get("state"),
            destination=query.get("destination"),
            segment=query.get("segment"),
            profile_id=query.get("profile"),
            before=query.get("cursor"),
            limit=size + 1,
        )
        page = page_of(request, found, size=size, cursor_of=lambda row: str(row.id))
        return Response(page | {"results": DeliverySerializer(page["results"], many=True).data})

    @extend_schema(parameters=[OpenApiParameter("id", int, "path")], responses=DeliveryDetailSerializer)
    def retrieve(self, request: Request, pk: str) -> Response:
        """A delivery with its payload and every try."""
        found = queries.delivery(delivery_id=int(pk))
        if found is None:
            raise Http404("There is no delivery with this id.")
        return Response(_detail(found, request))

    @extend_schema(
        request=None, parameters=[OpenApiParameter("id", int, "path")], responses={202: DeliveryDetailSerializer}
    )
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, pk: str) -> Response:
        """Send it again as the same message; consent is asked again."""
        try:
            operations.replay_delivery(delivery_id=int(pk), now=timezone.now())
        except Delivery.DoesNotExist:
            raise Http404("There is no delivery with this id.") from None
        found = queries.delivery(delivery_id=int(pk))
        return Response(_detail(found, request) if found else {}, status=status.HTTP_202_ACCEPTED)


def register(router: BaseRouter) -> None:
    router.register("destinations", DestinationViewSet, basename="destination")
    router.register("subscriptions", SubscriptionViewSet, basename="subscription")
    router.register("deliveries", DeliveryViewSet, basename="delivery")


def _detail(found: DeliveryDetail, request: Request) -> dict[str, Any]:
    attempts: Any = found.attempts
    return {
        **DeliverySerializer(found.row).data,
        "payload": masker_for(request.user).message(found.payload),
        "consent_record": found.consent_record_id,
        "tries": AttemptSerializer(attempts, many=True).data,
    }


def _checked(serializer: serializers.BaseSerializer[Any]) -> dict[str, Any]:
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)
