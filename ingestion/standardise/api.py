"""`/api/v1/sources/{slug}/standardise/`: the rules of a source, all at once, and a preview of one. R: B3, A7"""

from dataclasses import asdict
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from cdp.kernel.access.roles import Scope
from ingestion.models import Source
from ingestion.standardise import operations, queries
from ingestion.standardise.models import StandardRule
from ingestion.standardise.rules import MOVES, RuleSpec
from ingestion.standardise.values import KINDS

KIND_NAMES = (*KINDS, *MOVES)


class StandardRuleSerializer(serializers.Serializer[Any]):
    """A rule. `options` depend on the kind: docs/reference/standardisation.md."""

    field = serializers.CharField(max_length=200)
    kind = serializers.ChoiceField(choices=KIND_NAMES)
    of = serializers.ChoiceField(choices=StandardRule.Of.choices, default="properties")
    event = serializers.CharField(max_length=200, default="", allow_blank=True, help_text="Empty for every event.")
    options = serializers.DictField(default=dict)
    on_failure = serializers.ChoiceField(choices=StandardRule.OnFailure.choices, default="keep")
    enabled = serializers.BooleanField(default=True)


class StandardRulesSerializer(serializers.Serializer[Any]):
    rules = StandardRuleSerializer(many=True)


class StandardExampleSerializer(serializers.Serializer[Any]):
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)
    count = serializers.IntegerField()
    problem = serializers.CharField()


class StandardPreviewSerializer(serializers.Serializer[Any]):
    """Of the last `events`: values that would change, stay, fail; events that lack the field."""

    events = serializers.IntegerField()
    absent = serializers.IntegerField()
    changed = serializers.IntegerField()
    same = serializers.IntegerField()
    failed = serializers.IntegerField()
    examples = StandardExampleSerializer(many=True)
    failures = StandardExampleSerializer(many=True)


class StandardiseViewSet(viewsets.GenericViewSet[Source]):
    """Rules that standardise a source's values, in the order in which they are applied."""

    read_scope = Scope.SOURCES_WRITE
    write_scope = Scope.SOURCES_WRITE
    queryset = Source.objects.all()
    serializer_class = StandardRulesSerializer
    lookup_field = "slug"

    @extend_schema(responses=StandardRulesSerializer, operation_id="sources_standardise_list")
    @action(detail=True, url_path="standardise")
    def rules(self, _request: Request, slug: str) -> Response:  # noqa: ARG002 - the router's argument
        return self._answer(self.get_object())

    @extend_schema(
        request=StandardRulesSerializer,
        responses=StandardRulesSerializer,
        operation_id="sources_standardise_replace",
    )
    @rules.mapping.put
    def replace(self, request: Request, slug: str) -> Response:  # noqa: ARG002
        """Put these rules in place of all there are. Either all are taken or none."""
        source = self.get_object()
        sent = StandardRulesSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        rules = [RuleSpec(**rule) for rule in sent.validated_data["rules"]]
        operations.replace_rules(source=source, rules=rules, now=timezone.now())
        return self._answer(source)

    @extend_schema(request=StandardRuleSerializer, responses=StandardPreviewSerializer)
    @action(detail=True, methods=["post"], url_path="standardise/preview")
    def preview(self, request: Request, slug: str) -> Response:  # noqa: ARG002
        """What a rule would do to the last 500 events that it looks at; nothing is changed."""
        sent = StandardRuleSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        rule = RuleSpec(**sent.validated_data)
        operations.check_rule(rule)
        found = queries.preview(source=self.get_object(), rule=rule, now=timezone.now())
        return Response(StandardPreviewSerializer(asdict(found)).data)

    def _answer(self, source: Source) -> Response:
        return Response({"rules": StandardRuleSerializer(queries.rules_of(source), many=True).data})


def register(router: BaseRouter) -> None:
    router.register("sources", StandardiseViewSet, basename="source-standardise")
