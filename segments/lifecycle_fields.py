"""The parts of a segment in `/api/v1/segments/` that tell of its life: the next version, the draft, filters."""

import django_filters
from django.db.models import QuerySet
from rest_framework import serializers

from segments import organise
from segments.models import Computation, Draft, Segment


class NextVersionSerializer(serializers.ModelSerializer[Computation]):
    """The version on its way; with an `error` it could not be computed, and the one before it stays."""

    class Meta:
        model = Computation
        fields = ["number", "phase", "done", "total", "asked_at", "started_at", "attempts", "error"]
        read_only_fields = fields


class SegmentDraftSerializer(serializers.ModelSerializer[Draft]):
    """An edit that waits beside the live version."""

    saved_by = serializers.CharField(source="saved_by.username", default=None, read_only=True)

    class Meta:
        model = Draft
        fields = ["name", "description", "definition", "base_version", "saved_by", "saved_at"]
        read_only_fields = fields


class SegmentFilter(django_filters.FilterSet):
    state = django_filters.ChoiceFilter(
        choices=Segment.State.choices, method="filter_state", help_text="Without it, archived segments are left out."
    )
    folder = django_filters.CharFilter(help_text="The name of a folder.")
    tag = django_filters.CharFilter(field_name="tags", method="filter_tag", help_text="A tag, as it is written.")
    q = django_filters.CharFilter(
        method="filter_text", help_text="Words in the name, description, sentence, tags, or names in the definition."
    )

    class Meta:
        model = Segment
        fields = ["state", "folder"]

    def filter_state(self, found: QuerySet[Segment], _name: str, state: str) -> QuerySet[Segment]:
        return organise.in_state(found, state)

    def filter_tag(self, found: QuerySet[Segment], _name: str, tag: str) -> QuerySet[Segment]:
        return found.filter(tags__contains=[tag])

    def filter_text(self, found: QuerySet[Segment], _name: str, text: str) -> QuerySet[Segment]:
        return organise.with_words(found, text)
