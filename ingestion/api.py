"""`/api/v1/sources/`: make sources, rotate and revoke their write keys, see what became of their events."""

from datetime import timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field, inline_serializer
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from cdp.kernel.access.roles import Scope
from consent.models import Purpose
from ingestion import operations, queries
from ingestion.models import Source, WriteKey
from ingestion.settings import merge_settings, settings_of, stored_form, whole_form
from ingestion.standardise import api as standardise


class WriteKeySerializer(serializers.ModelSerializer[WriteKey]):
    class Meta:
        model = WriteKey
        fields = ["id", "hint", "created_at", "last_used_at", "revoked_at"]
        read_only_fields = fields


@extend_schema_field({"type": "object", "additionalProperties": {"type": "object"}})
class SettingsField(serializers.Field[dict[str, Any], Any, dict[str, Any], Source]):
    """Every part and field is answered; what is sent changes the fields that it names."""

    def get_attribute(self, instance: Source) -> dict[str, Any]:
        return dict(instance.settings)

    def to_representation(self, value: dict[str, Any]) -> dict[str, Any]:
        return whole_form(settings_of(value))

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        source = self.parent.instance if self.parent is not None else None
        return stored_form(merge_settings(settings_of(source.settings if source else {}), data))


class SourceSerializer(serializers.ModelSerializer[Source]):
    slug = serializers.SlugField(max_length=60, required=False, help_text="Made from the name where it is missing.")
    purpose = serializers.SlugRelatedField(
        slug_field="slug", queryset=Purpose.objects.all(), required=False, allow_null=True
    )
    settings = SettingsField(required=False)
    write_keys = WriteKeySerializer(many=True, read_only=True)

    class Meta:
        model = Source
        fields = [
            "slug",
            "name",
            "kind",
            "description",
            "state",
            "priority",
            "purpose",
            "settings",
            "created_at",
            "write_keys",
        ]
        read_only_fields = ["kind", "created_at"]


class SourceChangeSerializer(SourceSerializer):
    """The slug is the source's address and stays."""

    class Meta(SourceSerializer.Meta):
        read_only_fields = ["slug", "kind", "created_at"]


_SECRET = inline_serializer("WriteKeySecret", {"write_key": serializers.CharField()})


class SourceViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.UpdateModelMixin, viewsets.GenericViewSet[Source]
):
    """Sources. A write key is answered once, when it is made; afterwards only its first characters are known."""

    read_scope = Scope.SOURCES_WRITE
    write_scope = Scope.SOURCES_WRITE
    queryset = Source.objects.select_related("purpose").prefetch_related("write_keys")
    serializer_class = SourceSerializer
    lookup_field = "slug"
    filterset_fields = ["state", "kind"]
    http_method_names = ["get", "post", "patch", "head", "options"]

    def get_serializer_class(self) -> type[SourceSerializer]:
        return SourceChangeSerializer if self.action == "partial_update" else SourceSerializer

    @extend_schema(
        responses={
            201: inline_serializer(
                "SourceCreated", {"source": SourceSerializer(), "write_key": serializers.CharField()}
            )
        }
    )
    def create(self, request: Request) -> Response:
        checked = self.get_serializer(data=request.data)
        checked.is_valid(raise_exception=True)
        wanted: dict[str, Any] = checked.validated_data
        source, key = operations.create_source(
            slug=wanted.get("slug", ""),
            name=wanted["name"],
            description=wanted.get("description", ""),
            purpose=wanted.get("purpose"),
            now=timezone.now(),
        )
        if "settings" in wanted:
            operations.change_settings(source=source, settings=settings_of(wanted["settings"]))
        return Response({"source": SourceSerializer(source).data, "write_key": key}, status=201)

    def perform_update(self, serializer: serializers.BaseSerializer[Source]) -> None:
        source = serializer.save()
        operations.set_source_state(source=source, state=source.state)

    @extend_schema(request=None, responses={201: _SECRET})
    @action(detail=True, methods=["post"], url_path="write-keys")
    def rotate(self, _request: Request, slug: str) -> Response:  # noqa: ARG002 - the router's argument
        """Make a second live key; the older one works until it is revoked."""
        key = operations.rotate_write_key(source=self.get_object(), now=timezone.now())
        return Response({"write_key": key}, status=201)

    @extend_schema(request=None, responses={204: None})
    @action(detail=True, methods=["post"], url_path=r"write-keys/(?P<key_id>\d+)/revoke")
    def revoke(self, _request: Request, slug: str, key_id: str) -> Response:  # noqa: ARG002
        key = self.get_object().write_keys.filter(pk=int(key_id)).first()
        if key is not None:
            operations.revoke_write_key(key_id=key.pk, now=timezone.now())
        return Response(status=204 if key else 404)

    @extend_schema(
        responses=inline_serializer(
            "SourceCounts", {"since": serializers.DateTimeField(), "outcomes": serializers.DictField()}
        )
    )
    @action(detail=True)
    def counts(self, _request: Request, slug: str) -> Response:  # noqa: ARG002
        """Messages of the last 24 hours by what became of them."""
        since = timezone.now() - timedelta(hours=24)
        outcomes = queries.counts_by_outcome(source_id=self.get_object().pk, since=since)
        return Response({"since": since, "outcomes": outcomes})


def register(router: BaseRouter) -> None:
    router.register("sources", SourceViewSet, basename="source")
    standardise.register(router)
