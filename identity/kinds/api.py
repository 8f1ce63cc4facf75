"""`/api/v1/identifier-kinds/` and `/api/v1/identity-conflicts/`: by what people are recognised. R: C1"""

from dataclasses import asdict, fields, replace
from datetime import datetime
from typing import Any

from django.http import Http404
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from cdp.kernel.access.roles import Scope
from cdp.kernel.api import PageQuery, page_of
from identity.kinds import operations, queries
from identity.kinds.judge import judge_value
from identity.kinds.models import ConflictGroup, KindRun
from identity.kinds.normalisers import NORMALISERS
from identity.kinds.rules import KindSettings
from identity.kinds.words import REASONS
from ingestion.dictionary.viewing import masker_for

_NAMES = tuple(field.name for field in fields(KindSettings))


class KindFields(serializers.Serializer[Any]):
    """The settings of a kind; what is left out stays as it is. docs/reference/identifiers.md says what each does."""

    label = serializers.CharField(max_length=60, required=False, allow_blank=True)  # type: ignore[assignment]
    icon = serializers.CharField(max_length=40, required=False)
    normaliser = serializers.ChoiceField(choices=tuple(NORMALISERS), required=False)
    options = serializers.DictField(required=False)
    priority = serializers.IntegerField(required=False, help_text="The lower number decides.")
    limit_ever = serializers.IntegerField(required=False, allow_null=True)
    limit_yearly = serializers.IntegerField(required=False, allow_null=True)
    limit_monthly = serializers.IntegerField(required=False, allow_null=True)
    limit_weekly = serializers.IntegerField(required=False, allow_null=True)
    blocked = serializers.ListField(child=serializers.CharField(max_length=254), required=False)
    patterns = serializers.ListField(child=serializers.CharField(max_length=100), required=False)
    min_length = serializers.IntegerField(required=False)
    min_distinct = serializers.IntegerField(required=False)
    enabled = serializers.BooleanField(required=False)
    protected = serializers.BooleanField(required=False)


class IdentifierKindSerializer(KindFields):
    name = serializers.CharField(max_length=30, help_text="`*` stands for external ids without settings of their own.")


class KindRunSerializer(serializers.ModelSerializer[KindRun]):
    """A dry run, or a change being carried out on stored identifiers."""

    samples = serializers.SerializerMethodField()

    class Meta:
        model = KindRun
        fields = (
            "id", "kind", "mode", "state", "error", "total", "looked_at", "respelt", "together", "merged", "refused",
            "blocked", "profiles", "samples", "created_at", "updated_at",
        )  # fmt: skip

    def get_samples(self, run: KindRun) -> dict[str, list[dict[str, Any]]]:
        masker = masker_for(self.context["request"].user)
        return {what: [_masked(masker, one) for one in found] for what, found in run.samples.items()}


class SavedKindSerializer(serializers.Serializer[Any]):
    kind = IdentifierKindSerializer()
    run = KindRunSerializer(allow_null=True, help_text="What carries the change out on stored identifiers, if needed.")


class TrySerializer(KindFields):
    value = serializers.CharField(max_length=400, help_text="As it would be sent.", trim_whitespace=False)


class TriedSerializer(serializers.Serializer[Any]):
    spelt = serializers.CharField(allow_null=True)
    reason = serializers.CharField(allow_blank=True, help_text="Why the value is refused; empty where it is not.")
    profile_id = serializers.IntegerField(allow_null=True)


class OrderSerializer(serializers.Serializer[Any]):
    names = serializers.ListField(child=serializers.CharField(max_length=30), max_length=500)


class ConflictSampleSerializer(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    source_id = serializers.IntegerField()
    message_id = serializers.CharField()
    kind = serializers.CharField()
    value = serializers.CharField()
    profile_id = serializers.IntegerField(allow_null=True, help_text="Where the event went.")
    other_id = serializers.IntegerField(allow_null=True, help_text="Where the identifier leads.")


class IdentityConflictSerializer(serializers.Serializer[Any]):
    """A value that met identifiers which were not linked to it. `people` is about how many others it met."""

    id = serializers.IntegerField()
    kind = serializers.CharField()
    value = serializers.CharField()
    reason = serializers.CharField()
    limit_of = serializers.CharField(allow_blank=True)
    messages = serializers.IntegerField()
    people = serializers.IntegerField()
    suspicious = serializers.BooleanField(source="is_suspicious")
    first_at = serializers.DateTimeField()
    last_at = serializers.DateTimeField()
    state = serializers.CharField()
    samples = ConflictSampleSerializer(many=True)


class ConflictQuery(PageQuery):
    kind = serializers.CharField(required=False, default="", max_length=30)
    reason = serializers.ChoiceField(required=False, choices=tuple(REASONS))
    conflict_state = serializers.ChoiceField(required=False, choices=("open", "dismissed", "blocked", "merged"))
    search = serializers.CharField(required=False, default="", max_length=254, help_text="Beginning of the value.")
    cursor = serializers.CharField(required=False, max_length=80, help_text="From `next`.")

    def validate_cursor(self, value: str) -> tuple[datetime, int]:
        moment, _, id_ = value.partition("_")
        try:
            at = parse_datetime(moment)
        except ValueError:
            at = None
        if at is None or at.tzinfo is None or not id_.isdigit() or len(id_) > 18:
            raise serializers.ValidationError("Use the cursor of `next`.", code="cursor_invalid")
        return at, int(id_)


class MergeSerializer(serializers.Serializer[Any]):
    one = serializers.IntegerField()
    other = serializers.IntegerField()


_NAME = OpenApiParameter("name", str, "path", description="The kind; `*` (as `%2A`) for other external ids.")
_ID = OpenApiParameter("id", int, "path")


class IdentifierKindViewSet(viewsets.ViewSet):
    """Identifier kinds, the one that decides first."""

    read_scope = Scope.PROFILES_READ
    write_scope = Scope.IDENTITY_WRITE
    lookup_field = "name"
    lookup_value_regex = r"[a-z0-9*][a-z0-9_.-]*"

    @extend_schema(
        operation_id="identifier_kinds_list",
        responses=inline_serializer(
            "IdentifierKindPage",
            {"results": IdentifierKindSerializer(many=True), "next": serializers.URLField(allow_null=True)},
        ),
    )
    def list(self, _request: Request) -> Response:
        """Kinds with settings of their own; there is one page of them."""
        return Response({"results": [_kind(one) for one in queries.all_settings()], "next": None})

    @extend_schema(request=IdentifierKindSerializer, responses={201: SavedKindSerializer})
    def create(self, request: Request) -> Response:
        """Give a kind settings; what is left out is as for other external ids."""
        given = _valid(IdentifierKindSerializer, request)
        name = given.pop("name")
        return self._save(request, replace(queries.settings_named(name), **given), status=201)

    @extend_schema(parameters=[_NAME], responses=IdentifierKindSerializer)
    def retrieve(self, _request: Request, name: str) -> Response:
        """The settings that hold for a kind, its own or those of other external ids."""
        return Response(_kind(queries.settings_named(name)))

    @extend_schema(parameters=[_NAME], request=KindFields, responses=SavedKindSerializer)
    def partial_update(self, request: Request, name: str) -> Response:
        """Change some settings. They hold for messages from now on; stored identifiers follow, as `run` tells."""
        return self._save(request, replace(queries.settings_named(name), **_valid(KindFields, request)))

    @extend_schema(parameters=[_NAME], responses={204: None})
    def destroy(self, _request: Request, name: str) -> Response:
        """Back to the defaults; a kind that is not built in follows those of other external ids again."""
        operations.reset_kind(name=name, now=timezone.now())
        return Response(status=204)

    @extend_schema(request=OrderSerializer, responses={204: None})
    @action(detail=False, methods=["put"])
    def order(self, request: Request) -> Response:
        """Let kinds decide in this order; those that are not named follow."""
        operations.order_kinds(
            names=_valid(OrderSerializer, request)["names"], actor=_person(request), now=timezone.now()
        )
        return Response(status=204)

    @extend_schema(parameters=[_NAME], request=TrySerializer, responses=TriedSerializer)
    @action(detail=True, methods=["post"], url_path="try")
    def try_value(self, request: Request, name: str) -> Response:
        """What becomes of a value: its one spelling, or why it is refused. Settings may be given to be tried."""
        given = _valid(TrySerializer, request)
        value = given.pop("value")
        settings = operations.check_settings(replace(queries.settings_named(name), **given))
        return Response(asdict(judge_value(settings, value)))

    @extend_schema(parameters=[_NAME], request=KindFields, responses={202: KindRunSerializer})
    @action(detail=True, methods=["post"], url_path="dry-runs", url_name="dry-runs")
    def dry_runs(self, request: Request, name: str) -> Response:
        """Hold settings against the stored identifiers; nothing is changed. Ask for the run to see how far it is."""
        settings = replace(queries.settings_named(name), **_valid(KindFields, request))
        run = operations.try_settings(settings=settings, actor=_person(request), now=timezone.now())
        return Response(KindRunSerializer(run, context={"request": request}).data, status=202)

    @extend_schema(
        parameters=[_NAME, OpenApiParameter("run_id", int, "path")],
        responses=KindRunSerializer,
        operation_id="identifier_kinds_run",
    )
    @action(detail=True, methods=["get"], url_path=r"dry-runs/(?P<run_id>\d{1,18})", url_name="run")
    def run(self, request: Request, name: str, run_id: str) -> Response:
        """A dry run or a change of the kind: how far it is, and what it found."""
        found = get_object_or_404(KindRun, kind=name, pk=int(run_id))
        return Response(KindRunSerializer(found, context={"request": request}).data)

    def _save(self, request: Request, settings: KindSettings, *, status: int = 200) -> Response:
        run = operations.save_kind(settings=settings, actor=_person(request), now=timezone.now())
        shown = None if run is None else KindRunSerializer(run, context={"request": request}).data
        return Response({"kind": _kind(queries.settings_named(settings.name)), "run": shown}, status=status)


class IdentityConflictViewSet(viewsets.ViewSet):
    """Identifiers that met and were not linked, counted per value that they share; values that were refused, too."""

    read_scope = Scope.PROFILES_READ
    write_scope = Scope.IDENTITY_WRITE
    lookup_value_regex = r"\d{1,18}"

    @extend_schema(
        operation_id="identity_conflicts_list",
        parameters=[ConflictQuery],
        responses=inline_serializer(
            "IdentityConflictPage",
            {"results": IdentityConflictSerializer(many=True), "next": serializers.URLField(allow_null=True)},
        ),
    )
    def list(self, request: Request) -> Response:
        """Conflicts, the newest first."""
        checked = ConflictQuery(data=request.query_params)
        checked.is_valid(raise_exception=True)
        asked = checked.validated_data
        found = queries.conflicts(
            kind=asked["kind"],
            reason=asked.get("reason", ""),
            state=asked.get("conflict_state", ""),
            text=asked["search"],
            before=asked.get("cursor"),
            limit=asked["page_size"] + 1,
        )
        page = page_of(
            request, found, size=asked["page_size"], cursor_of=lambda one: f"{one.last_at.isoformat()}_{one.id}"
        )
        return Response(page | {"results": [_conflict(request, one) for one in page["results"]]})

    @extend_schema(parameters=[_ID], responses=IdentityConflictSerializer)
    def retrieve(self, request: Request, pk: str) -> Response:
        return self._shown(request, int(pk))

    @extend_schema(parameters=[_ID], request=None, responses=IdentityConflictSerializer)
    @action(detail=True, methods=["post"])
    def block(self, request: Request, pk: str) -> Response:
        """Block the value: it leads to nobody from now on, and is taken from the profile that has it."""
        operations.block_conflict(group=_group(pk), actor=_person(request), now=timezone.now())
        return self._shown(request, int(pk))

    @extend_schema(parameters=[_ID], request=None, responses=IdentityConflictSerializer)
    @action(detail=True, methods=["post"])
    def dismiss(self, request: Request, pk: str) -> Response:
        """Say that it is as it should be. It goes on to be counted."""
        operations.dismiss_conflict(group=_group(pk), actor=_person(request), now=timezone.now())
        return self._shown(request, int(pk))

    @extend_schema(parameters=[_ID], request=None, responses=IdentityConflictSerializer)
    @action(detail=True, methods=["post"])
    def reopen(self, request: Request, pk: str) -> Response:
        operations.reopen_conflict(group=_group(pk), now=timezone.now())
        return self._shown(request, int(pk))

    @extend_schema(parameters=[_ID], request=MergeSerializer, responses=IdentityConflictSerializer)
    @action(detail=True, methods=["post"])
    def merge(self, request: Request, pk: str) -> Response:
        """Merge the two profiles of a sample after all; `one` is its `profile_id`, `other` its `other_id`."""
        pair = _valid(MergeSerializer, request)
        operations.merge_conflict(group=_group(pk), **pair, actor=_person(request), now=timezone.now())
        return self._shown(request, int(pk))

    def _shown(self, request: Request, group_id: int) -> Response:
        found = queries.conflict(group_id)
        if found is None:
            raise Http404("There is no such conflict.")
        return Response(_conflict(request, found))


def register(router: BaseRouter) -> None:
    router.register("identifier-kinds", IdentifierKindViewSet, basename="identifier-kind")
    router.register("identity-conflicts", IdentityConflictViewSet, basename="identity-conflict")


def _kind(settings: KindSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in ("name", *_NAMES[1:])}


def _conflict(request: Request, one: queries.ConflictView) -> Any:
    masker = masker_for(request.user)
    hidden = [_sample(sample, masker) for sample in one.samples]
    shown = {name: getattr(one, name) for name in ("is_suspicious", *(field.name for field in fields(one)))}
    shown |= {"value": masker.identifiers({one.kind: one.value})[one.kind], "samples": hidden}
    return IdentityConflictSerializer(shown).data


def _sample(sample: Any, masker: Any) -> dict[str, Any]:
    names = ("at", "source_id", "message_id", "kind", "profile_id", "other_id")
    shown = masker.identifiers({sample.kind: sample.value})[sample.kind]
    return {name: getattr(sample, name) for name in names} | {"value": shown}


def _masked(masker: Any, one: dict[str, Any]) -> dict[str, Any]:
    values = {
        name: masker.identifiers({one["kind"]: one[name]})[one["kind"]] for name in ("value", "spelt") if name in one
    }
    return one | values


def _valid(serializer: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    checked = serializer(data=request.data)
    checked.is_valid(raise_exception=True)
    return dict(checked.validated_data)


def _group(pk: str) -> ConflictGroup:
    return get_object_or_404(ConflictGroup, pk=int(pk))


def _person(request: Request) -> Any:
    """Who decided; a token is nobody."""
    from cdp.kernel.access.models import User

    return request.user if isinstance(request.user, User) else None
