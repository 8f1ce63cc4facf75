"""`/api/v1/dictionary/`: the data dictionary, to read and to describe. R: A7"""

from typing import Any

from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from cdp.console import dictionary
from cdp.kernel.access.roles import Scope
from cdp.kernel.api import PageQuery, page_of
from ingestion.dictionary import operations
from ingestion.dictionary.masking import Pii
from ingestion.dictionary.models import DictionaryEntry

KINDS = DictionaryEntry.Kind.choices
CLASSES = [(one.value, one.label) for one in Pii]


class DictionaryLineSerializer(serializers.Serializer[Any]):
    """`types` are shares; `volume` counts the events of 30 days, of a property or trait by its share of them."""

    kind = serializers.ChoiceField(choices=KINDS)
    event = serializers.CharField(help_text="Of a property; else empty.")
    path = serializers.CharField()
    description = serializers.CharField()
    owner = serializers.CharField()
    type = serializers.CharField()
    types = serializers.DictField(child=serializers.FloatField())
    pii = serializers.ChoiceField(choices=CLASSES)
    pii_stated = serializers.BooleanField(help_text="Whether somebody set it, or the name suggests it.")
    first_seen = serializers.DateTimeField(allow_null=True)
    last_seen = serializers.DateTimeField(allow_null=True)
    volume = serializers.IntegerField()
    share = serializers.FloatField(allow_null=True)
    sources = serializers.ListField(child=serializers.CharField())
    segments = serializers.SerializerMethodField()

    def get_segments(self, line: Any) -> list[str]:
        return [slug for slug, _ in line.segments]


class DictionaryQuery(PageQuery):
    q = serializers.CharField(required=False, help_text="Part of a name, description or owner.")
    kind = serializers.ChoiceField(required=False, choices=KINDS)
    event = serializers.CharField(required=False)
    source = serializers.CharField(required=False, help_text="A source's slug.")  # type: ignore[assignment]
    pii = serializers.ChoiceField(required=False, choices=CLASSES)
    undocumented = serializers.BooleanField(required=False)
    cursor = serializers.IntegerField(required=False, min_value=0, help_text="From `next`.")


class DictionaryChangeSerializer(serializers.Serializer[Any]):
    """Which entry, and what is said of it; what is left out stays."""

    kind = serializers.ChoiceField(choices=KINDS)
    event = serializers.CharField(required=False, default="", allow_blank=True)
    path = serializers.CharField(max_length=200)
    description = serializers.CharField(required=False, allow_blank=True, max_length=1_000)
    owner = serializers.CharField(required=False, allow_blank=True, max_length=100)
    type = serializers.ChoiceField(required=False, allow_blank=True, choices=operations.TYPES)
    pii = serializers.ChoiceField(required=False, allow_blank=True, choices=CLASSES, help_text="Empty: by the name.")


class DictionaryView(APIView):
    """Every event, property and trait."""

    read_scope = Scope.EVENTS_READ
    write_scope = Scope.SOURCES_WRITE

    @extend_schema(
        operation_id="dictionary_list",
        parameters=[DictionaryQuery],
        responses=inline_serializer(
            "DictionaryPage",
            {"results": DictionaryLineSerializer(many=True), "next": serializers.URLField(allow_null=True)},
        ),
    )
    def get(self, request: Request) -> Response:
        """Traits first, then every event with its properties."""
        checked = DictionaryQuery(data=request.query_params)
        checked.is_valid(raise_exception=True)
        query: dict[str, Any] = checked.validated_data
        size, start = query["page_size"], query.get("cursor", 0)
        filters = {name: str(value) for name, value in query.items() if name not in {"page_size", "cursor"} and value}
        found = dictionary.lines(filters)[start : start + size + 1]
        page = page_of(request, found, size=size, cursor_of=lambda _: str(start + size))
        return Response(page | {"results": DictionaryLineSerializer(page["results"], many=True).data})

    @extend_schema(
        operation_id="dictionary_describe", request=DictionaryChangeSerializer, responses=DictionaryLineSerializer
    )
    def patch(self, request: Request) -> Response:
        """Describe an entry, named by `kind`, `event` and `path`; one that was not seen yet may be described ahead."""
        sent = DictionaryChangeSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        words: dict[str, Any] = sent.validated_data
        if (words["kind"] == "property") != bool(words["event"]):
            message = "A property needs the event that it is of; events and traits have none."
            raise operations.DictionaryError(message, code="event_mismatch", path="/event")
        operations.describe(by=str(request.user), now=timezone.now(), **words)
        key = (words["kind"], words["event"], words["path"])
        line = next((one for one in dictionary.lines({}) if one.key == key), None)
        if line is None:
            raise Http404("There is no such entry in the dictionary.")
        return Response(DictionaryLineSerializer(line).data)
