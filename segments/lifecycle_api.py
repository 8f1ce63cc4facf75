"""What `/api/v1/segments/` offers over the life of a segment: drafts, versions, archive, folders."""

import django_filters
from django.db.models import Q, QuerySet
from rest_framework import serializers

from segments.models import Computation, Segment


class NextVersionSerializer(serializers.ModelSerializer[Computation]):
    """The version on its way; with an `error` it could not be computed, and the one before it stays."""

    class Meta:
        model = Computation
        fields = ["number", "phase", "done", "total", "asked_at", "started_at", "attempts", "error"]
        read_only_fields = fields


class SegmentFilter(django_filters.FilterSet):
    state = django_filters.ChoiceFilter(choices=Segment.State.choices, method="filter_state")

    class Meta:
        model = Segment
        fields = ["state"]

    def filter_state(self, found: QuerySet[Segment], _name: str, state: str) -> QuerySet[Segment]:
        """As the state is shown: a segment whose next version is computed is computing."""
        on_its_way = Q(computation__isnull=False, computation__error="")
        if state == Segment.State.COMPUTING:
            return found.filter(on_its_way)
        return found.filter(state=state).exclude(on_its_way)
