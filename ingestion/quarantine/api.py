"""`/api/v1/quarantine/`: find what could not be taken in, try a fix, replay, discard."""

from dataclasses import replace
from typing import Any

import msgspec
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from cdp.kernel.access.roles import Scope
from cdp.kernel.api import PageQuery, page_of
from cdp.kernel.tasks import send_on_commit
from ingestion.dictionary.masking import Masker
from ingestion.dictionary.viewing import masker_for
from ingestion.models import Source
from ingestion.people import hashes_of_anyone
from ingestion.quarantine import check, operations, queries
from ingestion.quarantine.contracts import Criteria
from ingestion.quarantine.errors import FixError
from ingestion.quarantine.fix import read_steps
from ingestion.quarantine.models import QuarantinedMessage, Replay

State = QuarantinedMessage.State


class CriteriaSerializer(serializers.Serializer[Any]):
    """Which messages: those for which all that is given holds."""

    source = serializers.CharField(required=False, help_text="The slug of the source.")  # type: ignore[assignment]
    ids = serializers.ListField(child=serializers.IntegerField(), required=False, max_length=10_000)
    reason = serializers.IntegerField(required=False)
    state = serializers.ChoiceField(choices=State.choices, required=False)
    code = serializers.CharField(required=False)
    path = serializers.CharField(required=False, help_text="Of the reason, with * for numbers.")
    event = serializers.CharField(required=False)
    message_id = serializers.CharField(required=False)
    person = serializers.CharField(required=False, help_text="User id, e-mail or anonymous id.")
    text = serializers.CharField(required=False, help_text="Stands in the payload just so.")
    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False)


class ListQuery(CriteriaSerializer, PageQuery):
    ids = None  # type: ignore[assignment]
    cursor = serializers.IntegerField(required=False, min_value=1, help_text="From `next`.")


class ReasonQuery(serializers.Serializer[Any]):
    source = serializers.SlugField(required=False)  # type: ignore[assignment]


class QuarantinedSerializer(serializers.ModelSerializer[QuarantinedMessage]):
    source = serializers.CharField(source="source.slug")  # type: ignore[assignment]
    reason = serializers.IntegerField(source="reason_id")
    payload = serializers.SerializerMethodField(help_text="As it was sent; empty once it was replayed.")

    class Meta:
        model = QuarantinedMessage
        fields = [
            "id",
            "source",
            "state",
            "reason",
            "code",
            "path",
            "message",
            "event",
            "message_id",
            "received_at",
            "last_received_at",
            "times",
            "history",
            "discard_reason",
            "closed_at",
            "payload",
        ]
        read_only_fields = fields

    def get_payload(self, message: QuarantinedMessage) -> str:
        request = self.context.get("request")
        masker = masker_for(request.user) if request else Masker()
        return masker.text(bytes(message.payload).decode("utf-8", "replace"))


class ReasonSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    source = serializers.CharField(source="source_slug")  # type: ignore[assignment]
    code = serializers.CharField()
    path = serializers.CharField()
    event = serializers.CharField()
    message = serializers.CharField()
    first_seen_at = serializers.DateTimeField()
    last_seen_at = serializers.DateTimeField()
    times = serializers.IntegerField(help_text="Messages that came, repetitions counted, also those long deleted.")
    held = serializers.IntegerField(help_text="Messages that wait.")
    hours = serializers.ListField(child=serializers.IntegerField(), help_text="Of the last 24, the oldest first.")


class FixSerializer(serializers.Serializer[Any]):
    source = serializers.SlugField()  # type: ignore[assignment]
    filter = CriteriaSerializer(required=False, default=dict)
    operations = serializers.ListField(
        child=serializers.DictField(),
        required=False,
        default=list,
        help_text='Such as `{"op": "rename", "path": "/properties/amount", "to": "revenue"}`; also `set` (`value`),'
        " `remove`, `convert` (`to` a type) and `event` (`to` a name).",
    )


class DiscardSerializer(serializers.Serializer[Any]):
    filter = CriteriaSerializer()
    reason = serializers.CharField(max_length=200)


class RestoreSerializer(serializers.Serializer[Any]):
    filter = CriteriaSerializer()


class MendSerializer(serializers.Serializer[Any]):
    payload = serializers.CharField(required=False, help_text="The mended message as JSON text.")


class ExampleSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    accepted = serializers.BooleanField()
    before = serializers.CharField()
    after = serializers.CharField()
    code = serializers.CharField()
    path = serializers.CharField()
    message = serializers.CharField()


class FixPreviewSerializer(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    checked = serializers.IntegerField()
    accepted = serializers.IntegerField()
    examples = ExampleSerializer(many=True)


class ReplaySerializer(serializers.ModelSerializer[Replay]):
    state = serializers.CharField(read_only=True, help_text="running, done or cancelled.")
    source = serializers.CharField(source="source.slug")  # type: ignore[assignment]

    class Meta:
        model = Replay
        fields = [
            "id",
            "source",
            "state",
            "total",
            "done",
            "stored",
            "duplicates",
            "refused",
            "failed",
            "asked_by",
            "asked_at",
            "finished_at",
        ]
        read_only_fields = fields


_COUNT = inline_serializer("QuarantineCount", {"messages": serializers.IntegerField()})


class QuarantineViewSet(mixins.RetrieveModelMixin, viewsets.GenericViewSet[QuarantinedMessage]):
    """Messages that could not be taken in, each once, with the reason and the path of the bad part."""

    read_scope = Scope.EVENTS_READ
    write_scope = Scope.SOURCES_WRITE
    queryset = QuarantinedMessage.objects.select_related("source")
    serializer_class = QuarantinedSerializer
    filterset_fields: list[str] = []

    @extend_schema(
        operation_id="quarantine_list",
        parameters=[ListQuery],
        responses=inline_serializer(
            "QuarantinePage",
            {"results": QuarantinedSerializer(many=True), "next": serializers.URLField(allow_null=True)},
        ),
    )
    def list(self, request: Request) -> Response:
        """The newest first; those that wait, unless another state is asked for."""
        query = _validated(ListQuery, request.query_params)
        size, cursor = query.pop("page_size"), query.pop("cursor", None)
        rows = queries.matching(_criteria({"state": State.HELD.value} | query)).select_related("source")
        rows = rows if cursor is None else rows.filter(pk__lt=cursor)
        found = list(rows.order_by("-pk")[: size + 1])
        page = page_of(request, found, size=size, cursor_of=lambda row: str(row.pk))
        return Response(
            page | {"results": QuarantinedSerializer(page["results"], many=True, context={"request": request}).data}
        )

    @extend_schema(
        parameters=[ReasonQuery],
        responses=ReasonSerializer(many=True),
    )
    @action(detail=False, pagination_class=None)
    def reasons(self, request: Request) -> Response:
        """Groups by code, path and event; up to 200, those with most messages waiting first."""
        slug = request.query_params.get("source")
        source_id = get_object_or_404(Source, slug=slug).pk if slug else None
        return Response(ReasonSerializer(queries.reasons(source_id=source_id, now=timezone.now()), many=True).data)

    @extend_schema(request=FixSerializer, responses=FixPreviewSerializer)
    @action(detail=False, methods=["post"])
    def preview(self, request: Request) -> Response:
        """What a fix would do to the newest thousand held messages that match. Stores nothing."""
        source, criteria, steps = _fix(request.data)
        masker = masker_for(request.user)
        tried = check.preview(source=source, criteria=criteria, steps=steps)
        shown = [replace(one, before=masker.text(one.before), after=masker.text(one.after)) for one in tried.examples]
        return Response(FixPreviewSerializer(replace(tried, examples=shown)).data)

    @extend_schema(request=FixSerializer, responses={202: ReplaySerializer})
    @action(detail=False, methods=["post"])
    def replay(self, request: Request) -> Response:
        """Send all held messages that match through the drain again, each after the operations."""
        source, criteria, steps = _fix(request.data)
        return _replaying(request, source, criteria, steps)

    @extend_schema(operation_id="quarantine_replay_one", request=MendSerializer, responses={202: ReplaySerializer})
    @action(detail=True, methods=["post"], url_path="replay")
    def replay_one(self, request: Request, pk: str) -> Response:  # noqa: ARG002 - the router's argument
        """Send one message through the drain again, as it is or as it was mended."""
        message = self.get_object()
        mended = _validated(MendSerializer, request.data).get("payload")
        if mended is not None:
            rejected = check.problem_of(message.source, operations.row_of(message, payload=mended.encode()))
            if rejected is not None:
                raise FixError(rejected.message, code=rejected.code, path=rejected.path)
            operations.edit(message=message, payload=mended.encode())
        return _replaying(request, message.source, Criteria(ids=(message.pk,)))

    @extend_schema(request=DiscardSerializer, responses=_COUNT)
    @action(detail=False, methods=["post"])
    def discard(self, request: Request) -> Response:
        """Set the held messages that match aside; `restore/` takes them back."""
        asked = _validated(DiscardSerializer, request.data)
        number = operations.discard(
            criteria=_criteria(asked["filter"]), reason=asked["reason"], by=str(request.user), now=timezone.now()
        )
        return Response({"messages": number})

    @extend_schema(request=RestoreSerializer, responses=_COUNT)
    @action(detail=False, methods=["post"])
    def restore(self, request: Request) -> Response:
        """Hold the discarded messages that match again."""
        asked = _validated(RestoreSerializer, request.data)
        return Response({"messages": operations.restore(criteria=_criteria(asked["filter"]))})


class ReplayViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Replay]):
    """Replays: how far they are."""

    read_scope = Scope.EVENTS_READ
    write_scope = Scope.SOURCES_WRITE
    queryset = Replay.objects.select_related("source").order_by("-pk")
    serializer_class = ReplaySerializer

    @extend_schema(request=None, responses=ReplaySerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, _request: Request, pk: str) -> Response:  # noqa: ARG002 - the router's argument
        """Stop after the batch at hand. What was replayed stays replayed."""
        replay = self.get_object()
        operations.cancel_replay(replay_id=replay.pk, now=timezone.now())
        replay.refresh_from_db()
        return Response(ReplaySerializer(replay).data)


def register(router: BaseRouter) -> None:
    router.register("quarantine/replays", ReplayViewSet, basename="quarantine-replay")
    router.register("quarantine", QuarantineViewSet, basename="quarantine")


def _replaying(request: Request, source: Source, criteria: Criteria, steps: Any = ()) -> Response:
    started = operations.start_replay(
        source=source, criteria=criteria, steps=steps, by=str(request.user), now=timezone.now()
    )
    send_on_commit("cdp.replay")
    return Response(ReplaySerializer(started).data, status=202)


def _fix(data: Any) -> tuple[Source, Criteria, Any]:
    asked = _validated(FixSerializer, data)
    source = get_object_or_404(Source, slug=asked["source"])
    try:
        steps = read_steps(asked["operations"])
    except FixError as error:
        raise FixError(error.message, code=error.code, path=f"/operations{error.path}") from None
    return source, _criteria(asked["filter"]), steps


def _criteria(asked: dict[str, Any]) -> Criteria:
    person = asked.pop("person", None)
    criteria = operations.read_criteria(dict(asked))
    if person:
        return msgspec.structs.replace(criteria, people=tuple(hashes_of_anyone(person) or ["nobody"]))
    return criteria


def _validated(kind: type[serializers.Serializer[Any]], data: Any) -> dict[str, Any]:
    checked = kind(data=data)
    checked.is_valid(raise_exception=True)
    return dict(checked.validated_data)
