"""`/api/v1/identifiers/`: which identifier leads to which profile, as pages and as a file. R: C5"""

import base64
import binascii
import json
from collections.abc import Iterable
from typing import Any

from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from cdp.kernel.access.roles import Scope
from cdp.kernel.api import PageQuery, page_of
from identity.mapping import queries
from identity.mapping.contracts import IdentifierLine, MappingFilter
from identity.mapping.download import download
from identity.mapping.export import FORMATS
from ingestion.models import Source


class AnyFormat(DefaultContentNegotiation):
    """`format` is ours here: it names the file that is wanted, whatever the client says it accepts."""

    def select_renderer(self, _request: Request, renderers: Iterable[Any], _format_suffix: Any = None) -> Any:
        first = next(iter(renderers))
        return first, first.media_type


class IdentifierLineSerializer(serializers.Serializer[Any]):
    kind = serializers.CharField()
    value = serializers.CharField()
    profile = serializers.IntegerField()
    source = serializers.CharField(allow_null=True, help_text="The slug; null where the source is gone.")  # type: ignore[assignment]
    first_seen_at = serializers.DateTimeField()
    last_seen_at = serializers.DateTimeField(help_text="As of a day.")
    origin = serializers.IntegerField(help_text="The id of the profile that it was first recorded for.")


class MappingQuery(serializers.Serializer[Any]):
    kind = serializers.CharField(required=False, max_length=300, help_text="One kind, or several with commas.")
    source = serializers.SlugField(required=False, max_length=60)  # type: ignore[assignment]
    changed_since = serializers.DateTimeField(
        required=False, help_text="First seen since, or of a profile that others were merged into since."
    )

    def validate_source(self, value: str) -> int:
        found = Source.objects.filter(slug=value).values_list("pk", flat=True).first()
        if found is None:
            raise serializers.ValidationError("There is no such source.", code="source_unknown")
        return found

    def narrowed(self) -> MappingFilter:
        given = self.validated_data
        kinds = [kind.strip() for kind in given.get("kind", "").split(",") if kind.strip()]
        return MappingFilter(kinds, given.get("source"), given.get("changed_since"))


class IdentifierQuery(MappingQuery, PageQuery):
    cursor = serializers.CharField(required=False, max_length=600, help_text="From `next`.")

    def validate_cursor(self, value: str) -> queries.Key:
        try:
            profile_id, kind, text = json.loads(base64.urlsafe_b64decode(value.encode()))
            return int(profile_id), str(kind), str(text)
        except (ValueError, TypeError, binascii.Error):
            raise serializers.ValidationError("Use the cursor of `next`.", code="cursor_invalid") from None


class ExportQuery(MappingQuery):
    format = serializers.ChoiceField(choices=sorted(FORMATS), default="csv")


class IdentifierViewSet(viewsets.ViewSet):
    """The mapping from identifiers to profiles. Needs `pii:read` beside `profiles:read`."""

    read_scope = Scope.PROFILES_READ
    content_negotiation_class = AnyFormat

    def check_permissions(self, request: Request) -> None:
        super().check_permissions(request)
        user: Any = request.user
        if not user.may(Scope.PII_READ):
            raise PermissionDenied("Identifiers in clear need the scope pii:read.", code="scope_missing")

    @extend_schema(
        parameters=[IdentifierQuery],
        responses=inline_serializer(
            "IdentifierPage",
            {"results": IdentifierLineSerializer(many=True), "next": serializers.URLField(allow_null=True)},
        ),
    )
    def list(self, request: Request) -> Response:
        """Identifiers with the profiles that they lead to, in the order of these profiles."""
        query = IdentifierQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        size = query.validated_data["page_size"]
        found = queries.page(narrowed=query.narrowed(), after=query.validated_data.get("cursor"), limit=size + 1)
        page = page_of(request, found, size=size, cursor_of=_cursor)
        slugs = dict(Source.objects.values_list("pk", "slug"))
        return Response(page | {"results": [as_json(line, slugs) for line in page["results"]]})

    @extend_schema(
        parameters=[ExportQuery],
        responses={(200, kind): OpenApiTypes.BINARY for _, kind in FORMATS.values()},
    )
    @action(detail=False)
    def export(self, request: Request) -> StreamingHttpResponse:
        """Everything as one file: identifiers, and ids of absorbed profiles (kind `profile_id`) with the leading ones.

        It is written while it is read, and noted in the audit trail.
        """
        query = ExportQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        return download(
            narrowed=query.narrowed(), form=query.validated_data["format"], user=request.user, now=timezone.now()
        )


def as_json(line: IdentifierLine, slugs: dict[int, str]) -> dict[str, Any]:
    return {
        "kind": line.kind,
        "value": line.value,
        "profile": line.profile_id,
        "source": slugs.get(line.source_id),
        "first_seen_at": line.first_seen_at,
        "last_seen_at": line.last_seen_at or line.first_seen_at,
        "origin": line.origin_id,
    }


def register(router: BaseRouter) -> None:
    router.register("identifiers", IdentifierViewSet, basename="identifier")


def _cursor(line: IdentifierLine) -> str:
    return base64.urlsafe_b64encode(json.dumps([line.profile_id, line.kind, line.value]).encode()).decode()
