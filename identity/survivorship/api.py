"""`/api/v1/trait-policies/`: which value of a trait counts; `/api/v1/trait-disputes/`: what sources disagree about."""

from typing import Any

from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from cdp.kernel.access.roles import Scope
from identity.survivorship import operations, queries
from identity.survivorship.errors import PolicyError
from identity.survivorship.models import RULES, PolicyRun, TraitPolicy
from ingestion.dictionary.viewing import masker_for
from ingestion.models import Source

RULE_NAMES = [name for name, _ in RULES]


class TraitPolicySerializer(serializers.Serializer[Any]):
    trait = serializers.CharField(max_length=200)
    rule = serializers.ChoiceField(choices=RULES)
    sources = serializers.ListField(
        child=serializers.CharField(max_length=60),
        required=False,
        default=list,
        help_text="Slugs, the best first; for the rule `priority` only.",
    )


class KeptPolicySerializer(TraitPolicySerializer):
    changed_at = serializers.DateTimeField(read_only=True)
    changed_by = serializers.CharField(read_only=True)


class PolicyExampleSerializer(serializers.Serializer[Any]):
    profile = serializers.IntegerField()
    before = serializers.JSONField()
    after = serializers.JSONField()


class PolicyRunSerializer(TraitPolicySerializer):
    id = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=PolicyRun.Kind.choices)
    state = serializers.ChoiceField(choices=PolicyRun.State.choices)
    progress = serializers.FloatField(help_text="From 0 to 1.")
    looked_at = serializers.IntegerField(help_text="Profiles with the trait.")
    differing = serializers.IntegerField(help_text="Of them, those whose value would change or has changed.")
    examples = PolicyExampleSerializer(many=True)


class DisputeSerializer(serializers.Serializer[Any]):
    trait = serializers.CharField()
    sources = serializers.ListField(child=serializers.CharField(), help_text="The slugs of both.")
    compared = serializers.IntegerField(help_text="People of whom both say something.")
    differing = serializers.IntegerField()
    examples = serializers.ListField(child=serializers.DictField())


class TraitPolicyViewSet(viewsets.ViewSet):
    """Which value of a trait counts where several were said. A trait that is not listed goes by the newest."""

    read_scope = Scope.PROFILES_READ
    write_scope = Scope.IDENTITY_WRITE

    @extend_schema(
        operation_id="trait_policies_list",
        responses=inline_serializer("TraitPolicies", {"results": KeptPolicySerializer(many=True)}),
    )
    def list(self, _request: Request) -> Response:
        """All policies other than the newest."""
        slugs = _slugs()
        found = [
            {
                "trait": row.trait,
                "rule": row.rule,
                "sources": [slugs.get(pk) for pk in row.sources],
                "changed_at": row.changed_at,
                "changed_by": row.changed_by,
            }
            for row in TraitPolicy.objects.all()
        ]
        return Response({"results": found})

    @extend_schema(request=TraitPolicySerializer, responses={202: PolicyRunSerializer})
    def create(self, request: Request) -> Response:
        """Let a trait go by this rule. What comes follows it at once; what is there, as the run goes on."""
        run = operations.change_policy(**_asked(request), by=str(request.user), now=timezone.now())
        return Response(_run(run, request), status=202)

    @extend_schema(request=TraitPolicySerializer, responses={202: PolicyRunSerializer})
    @action(detail=False, methods=["post"])
    def preview(self, request: Request) -> Response:
        """Count, in the background, the profiles whose value the rule would change. Changes nothing."""
        run = operations.preview_policy(**_asked(request), by=str(request.user), now=timezone.now())
        return Response(_run(run, request), status=202)

    @extend_schema(
        parameters=[OpenApiParameter("run_id", int, "path")],
        responses=PolicyRunSerializer,
    )
    @action(detail=False, url_path=r"runs/(?P<run_id>\d{1,18})")
    def runs(self, request: Request, run_id: str) -> Response:
        """How far a preview or a change is, and what it found."""
        found = PolicyRun.objects.filter(pk=int(run_id)).first()
        if found is None:
            raise Http404("There is no such run.")
        return Response(_run(found, request))


class TraitDisputeViewSet(viewsets.ViewSet):
    """Traits that sources disagree about."""

    read_scope = Scope.PROFILES_READ

    @extend_schema(
        operation_id="trait_disputes_list",
        parameters=[OpenApiParameter("trait", str, required=False)],
        responses=inline_serializer("TraitDisputes", {"results": DisputeSerializer(many=True)}),
    )
    def list(self, request: Request) -> Response:
        """By trait and pair of sources, the most people first, as of the last count."""
        masker = masker_for(request.user)
        found = [
            {
                "trait": row.trait,
                "sources": [row.first.slug, row.second.slug],
                "compared": row.compared,
                "differing": row.differing,
                "examples": queries.mask_examples(row, masker),
            }
            for row in queries.list_disputes(trait=request.query_params.get("trait", ""))
        ]
        return Response({"results": found})


def register(router: BaseRouter) -> None:
    router.register("trait-policies", TraitPolicyViewSet, basename="trait-policy")
    router.register("trait-disputes", TraitDisputeViewSet, basename="trait-dispute")


def _asked(request: Request) -> dict[str, Any]:
    checked = TraitPolicySerializer(data=request.data)
    checked.is_valid(raise_exception=True)
    given = dict(checked.validated_data)
    ids = dict(Source.objects.filter(slug__in=given["sources"]).values_list("slug", "pk"))
    for place, slug in enumerate(given["sources"]):
        if slug not in ids:
            raise PolicyError("There is no such source.", code="source_unknown", path=f"/sources/{place}")
    return given | {"sources": [ids[slug] for slug in given["sources"]]}


def _run(run: PolicyRun, request: Request) -> dict[str, Any]:
    masker = masker_for(request.user)
    slugs = _slugs()
    return {
        "id": run.pk,
        "kind": run.kind,
        "trait": run.trait,
        "rule": run.rule,
        "sources": [slugs.get(pk) for pk in run.sources],
        "state": run.state,
        "progress": round(run.progress, 3),
        "looked_at": run.looked_at,
        "differing": run.differing,
        "examples": [
            one | {side: masker.value("trait", "", run.trait, one[side]) for side in ("before", "after")}
            for one in run.examples
        ],
    }


def _slugs() -> dict[int, str]:
    return dict(Source.objects.values_list("pk", "slug"))
