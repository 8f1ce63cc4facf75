"""`/api/v1/segments/{slug}/…` over the life of a segment: drafts, versions and their differences, archive, copies."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from cdp.kernel.access.models import User
from cdp.kernel.access.roles import Scope
from cdp.kernel.api import PageQuery, page_of
from segments import lifecycle, queries, users
from segments.api import DefinitionField, SegmentSerializer
from segments.ast import parse
from segments.difference import Kind, Line, changes, difference, summary
from segments.models import Segment, SegmentVersion


class SegmentVersionSerializer(serializers.ModelSerializer[SegmentVersion]):
    definition = DefinitionField()
    sentence = serializers.SerializerMethodField()
    created_by = serializers.CharField(source="created_by.username", default=None)
    live = serializers.SerializerMethodField()
    outcome = serializers.CharField(help_text="Why it never went live: superseded, cancelled, failed; or empty.")

    class Meta:
        model = SegmentVersion
        fields = ["number", "sentence", "definition", "created_at", "created_by", "published_at", "live", "outcome"]

    def get_sentence(self, version: SegmentVersion) -> str:
        return queries.sentence_of(version.definition)

    def get_live(self, version: SegmentVersion) -> bool:
        segment: Segment = self.context["segment"]
        return segment.is_live and segment.version == version.number


class DefinitionChangeSerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=[kind.value for kind in Kind if kind is not Kind.SAME])
    text = serializers.CharField()
    before = serializers.CharField(help_text="What it was, where it changed.")
    group = serializers.BooleanField(help_text="Whether it is how a group joins its conditions.")


class DefinitionDifferenceSerializer(serializers.Serializer[Any]):
    changed_from = serializers.IntegerField()
    changed_to = serializers.IntegerField()
    summary = serializers.CharField(help_text="In words; empty where both mean the same.")
    changes = DefinitionChangeSerializer(many=True)
    outline = serializers.DictField(help_text="Every line: `kind`, `text`, `before`, `group`, `parts`.")


class VersionToRestoreSerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField(min_value=1, max_value=2**31 - 1)


class SegmentUseSerializer(serializers.Serializer[Any]):
    kind = serializers.CharField()
    name = serializers.CharField()
    note = serializers.CharField()
    url = serializers.CharField()


class VersionsQuery(PageQuery):
    cursor = serializers.IntegerField(required=False, min_value=1, max_value=2**31 - 1, help_text="From `next`.")


class DifferenceQuery(serializers.Serializer[Any]):
    to = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=2**31 - 1,
        help_text="A version; by default the newest.",
    )


def _page(name: str, child: serializers.BaseSerializer[Any]) -> Any:
    return inline_serializer(name, {"results": child, "next": serializers.URLField(allow_null=True)})


class SegmentLifeViewSet(viewsets.GenericViewSet[Segment]):
    """What can happen to a segment between its definitions."""

    read_scope = Scope.SEGMENTS_READ
    write_scope = Scope.SEGMENTS_WRITE
    queryset = Segment.objects.all()
    serializer_class = SegmentSerializer
    lookup_field = "slug"
    filter_backends: Any = []
    pagination_class = None

    @extend_schema(request=None, responses=SegmentSerializer)
    @action(detail=True, methods=["post"])
    def publish(self, request: Request, slug: str) -> Response:
        """Make the draft the next version. It is computed in the background, and the one before it stays live."""
        return self._after(slug, lifecycle.publish(segment_id=_id(slug), user=_person(request), now=timezone.now()))

    @extend_schema(request=None, responses=SegmentSerializer)
    @action(detail=True, methods=["post"])
    def discard(self, _request: Request, slug: str) -> Response:
        """Forget the draft that waits beside the live version."""
        lifecycle.discard(segment_id=_id(slug))
        return self._after(slug)

    @extend_schema(request=None, responses=SegmentSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, slug: str) -> Response:
        """Take the next version off its way. It stays as a draft, and the version before it stays live."""
        return self._after(slug, lifecycle.cancel(segment_id=_id(slug), user=_person(request), now=timezone.now()))

    @extend_schema(
        request=VersionToRestoreSerializer,
        responses=SegmentSerializer,
        examples=[OpenApiExample("Back to the first", request_only=True, value={"version": 1})],
    )
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, slug: str) -> Response:
        """Make an earlier definition the next version."""
        checked = VersionToRestoreSerializer(data=request.data)
        checked.is_valid(raise_exception=True)
        number = checked.validated_data["version"]
        restored = lifecycle.restore(segment_id=_id(slug), number=number, user=_person(request), now=timezone.now())
        return self._after(slug, restored)

    @extend_schema(request=None, responses=SegmentSerializer)
    @action(detail=True, methods=["post"])
    def archive(self, _request: Request, slug: str) -> Response:
        """Put it away: everybody leaves, with the cause `archive`. Refused while something uses it."""
        return self._after(slug, lifecycle.archive(segment_id=_id(slug), now=timezone.now()))

    @extend_schema(request=None, responses=SegmentSerializer)
    @action(detail=True, methods=["post"])
    def unarchive(self, request: Request, slug: str) -> Response:
        """Bring it back: its version is computed again."""
        return self._after(slug, lifecycle.unarchive(segment_id=_id(slug), user=_person(request), now=timezone.now()))

    @extend_schema(request=None, responses={201: SegmentSerializer})
    @action(detail=True, methods=["post"])
    def duplicate(self, request: Request, slug: str) -> Response:
        """A draft with the same definition."""
        copy = lifecycle.duplicate(segment_id=_id(slug), user=_person(request), now=timezone.now())
        return Response(SegmentSerializer(copy).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        parameters=[VersionsQuery], responses=_page("SegmentVersionPage", SegmentVersionSerializer(many=True))
    )
    @action(detail=True)
    def versions(self, request: Request, slug: str) -> Response:
        """Every version that was asked for, the newest first."""
        segment = queries.get_segment(slug=slug)
        query = VersionsQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        size, before = query.validated_data["page_size"], query.validated_data.get("cursor")
        found = segment.versions.select_related("created_by").order_by("-number")
        rows = list((found.filter(number__lt=before) if before else found)[: size + 1])
        page = page_of(request, rows, size=size, cursor_of=lambda version: str(version.number))
        shown = SegmentVersionSerializer(page["results"], many=True, context={"segment": segment}).data
        return Response(page | {"results": shown})

    @extend_schema(
        parameters=[DifferenceQuery, OpenApiParameter("number", int, "path")],
        responses=DefinitionDifferenceSerializer,
    )
    @action(detail=True, url_path=r"versions/(?P<number>[0-9]{1,9})/diff", url_name="diff")
    def diff(self, request: Request, slug: str, number: str) -> Response:
        """What changed from one version to another, condition by condition."""
        segment = queries.get_segment(slug=slug)
        query = DifferenceQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        newest = segment.next.number if segment.next else segment.version
        to = query.validated_data.get("to") or newest
        before = lifecycle.version_of(segment=segment, number=int(number))
        after = lifecycle.version_of(segment=segment, number=to)
        line = difference(parse(before.definition), parse(after.definition))
        answer = {"changed_from": before.number, "changed_to": after.number, "summary": summary(line)}
        answer |= {"changes": list(changes(line)), "outline": _outline(line)}
        return Response(DefinitionDifferenceSerializer(answer).data)

    @extend_schema(responses=_page("SegmentUsePage", SegmentUseSerializer(many=True)))
    @action(detail=True, url_path="used-by", url_name="used-by")
    def used_by(self, _request: Request, slug: str) -> Response:
        """Who uses it: destinations, other segments. While there are any, it cannot be deleted or archived."""
        uses = users.uses_of(queries.get_segment(slug=slug))
        return Response({"results": SegmentUseSerializer(uses, many=True).data, "next": None})

    @staticmethod
    def _after(slug: str, _changed: object = None) -> Response:
        return Response(SegmentSerializer(queries.get_segment(slug=slug)).data)


def register(router: BaseRouter) -> None:
    router.register("segments", SegmentLifeViewSet, basename="segment-life")


def _id(slug: str) -> int:
    found: int = queries.get_segment(slug=slug).pk
    return found


def _person(request: Request) -> User | None:
    return request.user if isinstance(request.user, User) else None


def _outline(line: Line) -> dict[str, Any]:
    return {
        "kind": line.kind.value,
        "text": line.text,
        "before": line.before,
        "group": line.group,
        "parts": [_outline(part) for part in line.parts],
    }
