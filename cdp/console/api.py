"""`/api/v1/events/trace/`: what became of a message or of somebody's messages."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from cdp.console.why import explain
from cdp.kernel.access.roles import Scope


class TraceQuery(serializers.Serializer[Any]):
    message_id = serializers.CharField(required=False, max_length=100)
    identifier = serializers.CharField(required=False, max_length=254, help_text="User id, e-mail, anonymous id.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs.get("message_id") and not attrs.get("identifier"):
            raise serializers.ValidationError("Give a message_id or an identifier.", code="query_missing")
        return attrs


class FindingSerializer(serializers.Serializer[Any]):
    outcome = serializers.ChoiceField(
        choices=["stored", "waiting", "quarantined", "replayed", "discarded", "no_consent", "duplicate"]
    )
    words = serializers.CharField()
    received_at = serializers.DateTimeField(source="at")
    source = serializers.CharField(help_text="The slug of the source.")  # type: ignore[assignment]
    event = serializers.CharField()
    message_id = serializers.CharField()
    event_id = serializers.CharField()
    profile_id = serializers.IntegerField(allow_null=True)
    quarantine_id = serializers.IntegerField(allow_null=True)


class RefusedSerializer(serializers.Serializer[Any]):
    hour = serializers.DateTimeField()
    source_id = serializers.IntegerField(help_text="0 where the key was unknown.")
    status = serializers.IntegerField()
    code = serializers.CharField()
    requests = serializers.IntegerField()


class TraceSerializer(serializers.Serializer[Any]):
    findings = FindingSerializer(many=True)
    refused = RefusedSerializer(many=True, help_text="Requests refused at the door in the last 48 hours.")
    complete = serializers.BooleanField(help_text="Whether the whole event log could be searched in time.")


class EventTraceViewSet(viewsets.ViewSet):
    """What became of events, stored or not."""

    read_scope = Scope.EVENTS_READ

    @extend_schema(parameters=[TraceQuery], responses=TraceSerializer)
    @action(detail=False)
    def trace(self, request: Request) -> Response:
        """Why an event did not arrive, or where it is: by message id or by somebody's identifier."""
        query = TraceQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        return Response(TraceSerializer(explain(**query.validated_data, now=timezone.now())).data)


def register(router: BaseRouter) -> None:
    router.register("events", EventTraceViewSet, basename="event")
