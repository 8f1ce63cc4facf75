"""`/api/v1/sources/{slug}/live/`: the newest messages of a source with what became of them."""

from typing import Any

import msgspec
import redis
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import APIException
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from cdp.kernel.access.roles import Scope
from ingestion.live import feed
from ingestion.live.screens import wanted
from ingestion.models import Source


class LiveUnavailable(APIException):
    status_code = 503
    default_code = "live_unavailable"
    default_detail = "Redis is down: there is no live view at the moment."


class LiveQuery(serializers.Serializer[Any]):
    after = serializers.RegexField(r"^\d+-\d+$", required=False, help_text="`cursor` of the answer before.")
    outcome = serializers.ChoiceField(choices=feed.OUTCOMES, required=False)
    event = serializers.CharField(required=False, max_length=200)
    person = serializers.CharField(required=False, max_length=254)
    text = serializers.CharField(required=False, max_length=200)


class ChangeSerializer(serializers.Serializer[Any]):
    stage = serializers.CharField()
    path = serializers.CharField()
    what = serializers.CharField()
    before = serializers.JSONField()
    after = serializers.JSONField()


class LiveEntrySerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    outcome = serializers.ChoiceField(choices=feed.OUTCOMES)
    type = serializers.CharField()
    event = serializers.CharField()
    received_at = serializers.DateTimeField()
    timestamp = serializers.DateTimeField(source="at", allow_null=True)
    message_id = serializers.CharField()
    people = serializers.ListField(child=serializers.ListField(child=serializers.CharField()))
    payload = serializers.CharField(help_text="The message as it came; empty of who does not consent.")
    changes = ChangeSerializer(many=True)
    profile_id = serializers.IntegerField(help_text="0 where it went to none.")
    code = serializers.CharField()
    path = serializers.CharField()
    message = serializers.CharField()


class LiveSerializer(serializers.Serializer[Any]):
    results = LiveEntrySerializer(many=True)
    cursor = serializers.CharField(help_text="For `after` of the next request.")
    rate = serializers.FloatField(help_text="Messages per second over the last ten seconds.")


class LiveView(APIView):
    read_scope = Scope.EVENTS_READ

    @extend_schema(operation_id="sources_live", parameters=[LiveQuery], responses=LiveSerializer)
    def get(self, request: Request, slug: str) -> Response:
        """Of about the newest 200 messages those that came after a cursor, the oldest first."""
        source = get_object_or_404(Source.objects.all(), slug=slug)
        query = LiveQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        after = query.validated_data.get("after", "")
        try:
            came = feed.entries(source_id=source.pk, after=after)
            rate = feed.rate(source_id=source.pk)
        except redis.RedisError:
            raise LiveUnavailable from None
        asked = wanted(query.validated_data)
        results = [_plain(entry) for entry in came if asked.takes(entry)]
        return Response({"results": results, "cursor": came[-1].id if came else after, "rate": rate})


def _plain(entry: feed.Entry) -> Any:
    values = {field: getattr(entry, field) for field in entry.__struct_fields__}
    return LiveEntrySerializer(values | {"changes": [msgspec.to_builtins(one) for one in entry.changes]}).data
