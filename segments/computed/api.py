"""`/api/v1/computed-traits/`: traits that follow from events, kept current."""

from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field, inline_serializer
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from cdp.kernel.access.models import User
from cdp.kernel.access.roles import Scope
from ingestion.dictionary.viewing import masker_for
from segments.ast import DefinitionError
from segments.computed import operations, queries
from segments.computed.definition import read
from segments.computed.models import ComputedTrait
from segments.computed.queries import Spread
from segments.computed.sentence import describe

SPENT = {"kind": "measure", "event": "Order Completed", "measure": "sum", "of": "revenue", "window": {"last": "365d"}}


@extend_schema_field(OpenApiTypes.OBJECT)
class DefinitionField(serializers.JSONField):
    """Understood by the room's own reader, whose errors have a path into the definition."""


class ComputedTraitSerializer(serializers.ModelSerializer[ComputedTrait]):
    name = serializers.CharField(help_text="Of the trait: small letters, digits and underscores. It stays.")
    label = serializers.CharField(required=False)  # type: ignore[assignment]
    description = serializers.CharField(required=False, allow_blank=True)
    definition = DefinitionField()
    sentence = serializers.SerializerMethodField()
    progress = serializers.SerializerMethodField(help_text="Of the version being computed, from 0 to 1.")
    bounds = serializers.JSONField(
        source="live_bounds", read_only=True, help_text="Of RFM: recency in seconds, frequency, monetary."
    )

    class Meta:
        model = ComputedTrait
        fields = [
            "name",
            "label",
            "description",
            "definition",
            "sentence",
            "state",
            "error",
            "version",
            "live_version",
            "progress",
            "bounds",
            "holders",
            "computed_at",
            "created_at",
            "updated_at",
        ]
        read_only_fields = [
            "state", "error", "version", "live_version", "holders", "computed_at", "created_at", "updated_at"
        ]  # fmt: skip

    def get_sentence(self, trait: ComputedTrait) -> str:
        try:
            return describe(read(trait.definition))
        except DefinitionError as error:
            return error.message

    @extend_schema_field(serializers.FloatField(allow_null=True))
    def get_progress(self, trait: ComputedTrait) -> float | None:
        found = getattr(trait, "computing", None)
        return None if found is None else round(found.progress, 3)


class ComputedTraitChangeSerializer(ComputedTraitSerializer):
    """The name is what segments read, and stays."""

    name = serializers.CharField(read_only=True)


class SpreadSerializer(serializers.Serializer[Any]):
    labels = serializers.ListField(child=serializers.CharField())
    series = serializers.ListField(child=serializers.DictField(), help_text="`{name, data}`; three for RFM.")
    having = serializers.IntegerField(help_text="Profiles that have a value.")

    def to_representation(self, found: Spread) -> dict[str, Any]:
        chart = found.as_chart()
        return {"labels": chart["x"], "series": chart["series"], "having": found.having}


class ComputedPreviewSerializer(serializers.Serializer[Any]):
    sentence = serializers.CharField()
    asked = serializers.IntegerField(help_text="Profiles of the sample.")
    having = serializers.IntegerField(help_text="Of them, those that would have a value.")
    distribution = SpreadSerializer(source="spread")
    sample = serializers.ListField(child=serializers.DictField(), help_text="`{profile, value}` of some.")


_EXAMPLES = [
    OpenApiExample("Spend in a year", request_only=True, value={"name": "spend_365d", "definition": SPENT}),
    OpenApiExample(
        "Favourite category",
        request_only=True,
        value={
            "name": "favourite_category",
            "definition": {
                "kind": "measure",
                "event": "Order Completed",
                "measure": "most_frequent",
                "of": "products[].category",
            },
        },
    ),
    OpenApiExample(
        "RFM",
        request_only=True,
        value={"name": "rfm", "definition": {"kind": "rfm", "event": "Order Completed", "of": "revenue"}},
    ),
    OpenApiExample(
        "Lifecycle",
        request_only=True,
        value={
            "name": "lifecycle",
            "definition": {
                "kind": "lifecycle",
                "event": "Order Completed",
                "new": "30d",
                "active": "90d",
                "dormant": "365d",
            },
        },
    ),
]


class ComputedTraitViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.DestroyModelMixin, viewsets.GenericViewSet[ComputedTrait]
):
    """Computed traits. Creating or changing one answers at once and computes in the background."""

    read_scope = Scope.SEGMENTS_READ
    queryset = ComputedTrait.objects.select_related("computing")
    serializer_class = ComputedTraitSerializer
    lookup_field = "name"
    lookup_value_regex = "[a-z][a-z0-9_]*"
    filterset_fields = ["state"]

    @property
    def write_scope(self) -> Scope:
        """Asking what a definition would give changes nothing."""
        return Scope.SEGMENTS_READ if self.action == "preview" else Scope.SEGMENTS_WRITE

    @extend_schema(responses={201: ComputedTraitSerializer}, examples=_EXAMPLES)
    def create(self, request: Request) -> Response:
        data = self._body(ComputedTraitSerializer, request)
        user = request.user if isinstance(request.user, User) else None
        trait = operations.create_computed(**data, user=user, now=timezone.now())
        return Response(ComputedTraitSerializer(trait).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        request=ComputedTraitChangeSerializer(partial=True), responses=ComputedTraitSerializer, examples=_EXAMPLES[:1]
    )
    def partial_update(self, request: Request, name: str) -> Response:
        trait = operations.get_trait(name=name)
        data = self._body(ComputedTraitChangeSerializer, request, partial=True)
        operations.update_computed(trait_id=trait.pk, **data, now=timezone.now())
        return self._shown(name)

    def perform_destroy(self, instance: ComputedTrait) -> None:
        operations.delete_computed(trait_id=instance.pk, now=timezone.now())

    @extend_schema(
        request=inline_serializer("ComputedPreviewRequest", {"definition": DefinitionField()}),
        responses=ComputedPreviewSerializer,
        examples=[OpenApiExample("Spend in a year", request_only=True, value={"definition": SPENT})],
    )
    @action(detail=False, methods=["post"])
    def preview(self, request: Request) -> Response:
        """What a definition would give, asked of up to 5,000 profiles; nothing is saved."""
        body = request.data
        if not isinstance(body, dict) or "definition" not in body:
            raise DefinitionError("Send a `definition`.", code="missing_key", path="/definition")
        found = queries.preview(definition=body["definition"], now=timezone.now())
        masker = masker_for(request.user)
        sample = [
            {"profile": id_, "value": value} if masker.clear else {"profile": id_} for id_, value in found.sample
        ]
        told = {"sentence": found.sentence, "asked": found.asked, "having": found.having, "spread": found.spread}
        return Response(ComputedPreviewSerializer(told | {"sample": sample}).data)

    @extend_schema(responses=SpreadSerializer, filters=False)
    @action(detail=True, filter_backends=[], pagination_class=None)
    def distribution(self, _request: Request, name: str) -> Response:
        """How many profiles have which value."""
        return Response(SpreadSerializer(queries.spread_of(operations.get_trait(name=name))).data)

    @extend_schema(request=None, responses={202: ComputedTraitSerializer})
    @action(detail=True, methods=["post"])
    def recompute(self, _request: Request, name: str) -> Response:
        """Compute anew for everybody; of RFM, with quintiles estimated again."""
        operations.recompute(trait_id=operations.get_trait(name=name).pk, now=timezone.now())
        return self._shown(name, status.HTTP_202_ACCEPTED)

    @extend_schema(request=None, responses=ComputedTraitSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, _request: Request, name: str) -> Response:
        """Leave the values as they are, and follow nothing more."""
        operations.pause(trait_id=operations.get_trait(name=name).pk, now=timezone.now())
        return self._shown(name)

    @extend_schema(request=None, responses={202: ComputedTraitSerializer})
    @action(detail=True, methods=["post"])
    def resume(self, _request: Request, name: str) -> Response:
        """Compute anew for everybody, and follow again."""
        operations.resume(trait_id=operations.get_trait(name=name).pk, now=timezone.now())
        return self._shown(name, status.HTTP_202_ACCEPTED)

    def _shown(self, name: str, code: int = status.HTTP_200_OK) -> Response:
        return Response(ComputedTraitSerializer(self.queryset.get(name=name)).data, status=code)

    @staticmethod
    def _body(serializer: type[serializers.Serializer[Any]], request: Request, *, partial: bool = False) -> Any:
        checked = serializer(data=request.data, partial=partial)
        checked.is_valid(raise_exception=True)
        return checked.validated_data


def register(router: BaseRouter) -> None:
    router.register("computed-traits", ComputedTraitViewSet, basename="computed-trait")
