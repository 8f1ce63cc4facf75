"""`/api/v1/merges/`, `constraints/` and what belongs to a profile: merge, look first, take back, split. R: C2, C4"""

from typing import Any

from django.http import Http404
from django.urls import path
from django.utils import timezone
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from cdp.console.merging import effects
from cdp.kernel.access.models import User
from cdp.kernel.access.roles import Scope
from cdp.kernel.api import PageQuery, page_of
from identity.api import ProfileSerializer
from identity.merging import operations, queries, split
from identity.merging.contracts import MergeView
from identity.merging.viewing import mask_merge, mask_merge_preview, mask_undo_preview
from identity.models import Constraint, Merge
from identity.queries import canonical_id, get_profile
from ingestion.dictionary.viewing import masker_for


class ProfileMergeSerializer(serializers.Serializer[MergeView]):
    """`survivor` and `absorbed` led at the time; `one_origin` and `other_origin` are what it ties, for ever."""

    id = serializers.IntegerField()
    at = serializers.DateTimeField()
    survivor = serializers.IntegerField(source="survivor_id")
    absorbed = serializers.IntegerField(source="absorbed_id")
    one_origin = serializers.IntegerField()
    other_origin = serializers.IntegerField()
    cause = serializers.ChoiceField(choices=Merge.Cause.choices)
    evidence = serializers.DictField(help_text="Of a message: the `identifiers` that met, its source and id.")
    moved = serializers.DictField(child=serializers.IntegerField(), help_text="How much changed its profile.")
    actor = serializers.CharField(help_text="Who merged them; empty where nobody did.")
    undone_at = serializers.DateTimeField(allow_null=True)
    undone_by = serializers.CharField()


class PairSerializer(serializers.Serializer[Any]):
    one = serializers.IntegerField(min_value=1, max_value=2**63 - 1)
    other = serializers.IntegerField(min_value=1, max_value=2**63 - 1)


class ReasonedPairSerializer(PairSerializer):
    reason = serializers.CharField(required=False, default="", allow_blank=True, max_length=200)


class ConstraintRequestSerializer(ReasonedPairSerializer):
    kind = serializers.ChoiceField(choices=Constraint.Kind.choices)


class ConstraintSerializer(serializers.Serializer[Any]):
    """What a person said of two origins, and which profiles they lead to now."""

    one_origin = serializers.IntegerField()
    other_origin = serializers.IntegerField()
    one_profile = serializers.IntegerField()
    other_profile = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=Constraint.Kind.choices)
    reason = serializers.CharField()
    made_at = serializers.DateTimeField()
    made_by = serializers.CharField()


class UndoRequestSerializer(serializers.Serializer[Any]):
    never_again = serializers.BooleanField(
        default=True, help_text="Put a never-link between the two, so that nothing merges them again."
    )


class PartingSerializer(serializers.Serializer[Any]):
    profile = serializers.IntegerField(source="profile_id", help_text="Keeps its id.")
    restored = serializers.IntegerField(source="restored_id", help_text="Lives again, or is new.")
    origins = serializers.ListField(child=serializers.IntegerField(), help_text="What the restored one consists of.")


class IdentifierSerializer(serializers.Serializer[Any]):
    kind = serializers.CharField(max_length=30)
    value = serializers.CharField(max_length=254)


class SplitRequestSerializer(serializers.Serializer[Any]):
    identifiers = IdentifierSerializer(many=True, allow_empty=False, help_text="Those that leave the profile.")


class SideSerializer(serializers.Serializer[Any]):
    profile = ProfileSerializer()
    origins = serializers.ListField(child=serializers.IntegerField())
    events = serializers.IntegerField()
    accounts = serializers.ListField(child=serializers.CharField())


class TraitDifferenceSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    survivor = serializers.JSONField(source="one")
    absorbed = serializers.JSONField(source="other")
    merged = serializers.JSONField()


class BrokenLimitSerializer(serializers.Serializer[Any]):
    kind = serializers.CharField()
    count = serializers.IntegerField()
    limit = serializers.IntegerField()


class SegmentEffectSerializer(serializers.Serializer[Any]):
    """`before` and `after` are of the survivor, then of the other profile."""

    slug = serializers.CharField()
    name = serializers.CharField()
    before = serializers.ListField(child=serializers.BooleanField())
    after = serializers.ListField(child=serializers.BooleanField())


class ConsentEffectSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    before = serializers.ListField(child=serializers.BooleanField(allow_null=True))
    after = serializers.ListField(child=serializers.BooleanField(allow_null=True))


class EffectsSerializer(serializers.Serializer[Any]):
    segments = SegmentEffectSerializer(many=True)
    consent = ConsentEffectSerializer(many=True)
    waiting_deliveries = serializers.SerializerMethodField()
    complete = serializers.BooleanField(help_text="False where it took too long to find out.")

    def get_waiting_deliveries(self, found: effects.Effects) -> list[int]:
        return [row.id for row in found.waiting]


class MergePreviewSerializer(serializers.Serializer[Any]):
    survivor = SideSerializer()
    absorbed = SideSerializer()
    traits = TraitDifferenceSerializer(many=True)
    broken_limits = BrokenLimitSerializer(many=True)
    refusals = serializers.DictField(child=serializers.CharField(), help_text="Why it would not happen, by code.")


class UndoPreviewSerializer(serializers.Serializer[Any]):
    merge = ProfileMergeSerializer()
    kept = SideSerializer()
    restored = SideSerializer()
    refusals = serializers.DictField(child=serializers.CharField(), help_text="Why it would not happen, by code.")


def _with_effects(name: str, preview: type[serializers.Serializer[Any]]) -> Any:
    return inline_serializer(name, {"preview": preview(), "effects": EffectsSerializer(allow_null=True)})


class ProfileMergesView(APIView):
    """The merges that a profile was put together by."""

    read_scope = Scope.PROFILES_READ

    @extend_schema(
        operation_id="profiles_merges",
        responses=inline_serializer("ProfileMerges", {"results": ProfileMergeSerializer(many=True)}),
    )
    def get(self, request: Request, pk: int) -> Response:
        """Newest first, those that were taken back included; of an absorbed profile, those of where it leads."""
        profile_id = _leading(pk)
        masker = masker_for(request.user)
        found: Any = [mask_merge(one, masker) for one in queries.merges_of(profile_id)]
        return Response({"results": ProfileMergeSerializer(found, many=True).data})


class ProfileSplitView(APIView):
    """Take identifiers out of a profile, into one of their own."""

    write_scope = Scope.IDENTITY_WRITE

    @extend_schema(operation_id="profiles_split", request=SplitRequestSerializer, responses=PartingSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """The chosen identifiers leave, with what is known to be theirs; nothing merges both sides again."""
        given = _validated(SplitRequestSerializer, request)
        chosen = [(one["kind"], one["value"]) for one in given["identifiers"]]
        parting = split.split_profile(profile_id=pk, identifiers=chosen, actor=_actor(request), now=timezone.now())
        return Response(PartingSerializer(parting).data)


class MergesView(APIView):
    write_scope = Scope.IDENTITY_WRITE

    @extend_schema(
        operation_id="merges_create", request=ReasonedPairSerializer, responses={201: ProfileMergeSerializer}
    )
    def post(self, request: Request) -> Response:
        """Merge two profiles; the older id stays. Ids of absorbed profiles mean what they have become part of."""
        given = _validated(ReasonedPairSerializer, request)
        made = operations.merge_profiles(
            one=given["one"],
            other=given["other"],
            cause=Merge.Cause.PERSON,
            evidence={"reason": given["reason"]} if given["reason"] else {},
            actor=_actor(request),
            now=timezone.now(),
        )
        view = queries.get_merge(made.pk)
        return Response(ProfileMergeSerializer(view).data, status=status.HTTP_201_CREATED)


class MergePreviewView(APIView):
    read_scope = write_scope = Scope.PROFILES_READ

    @extend_schema(
        operation_id="merges_preview",
        request=PairSerializer,
        responses=_with_effects("MergeWithEffects", MergePreviewSerializer),
    )
    def post(self, request: Request) -> Response:
        """What merging two would do to the profile, segments, consent and waiting deliveries. Changes nothing."""
        given = _validated(PairSerializer, request)
        preview = operations.preview_merge(one=given["one"], other=given["other"])
        found = None
        if not preview.refusals:
            found = effects.of_merge(
                survivor_id=preview.survivor.profile.id, absorbed_id=preview.absorbed.profile.id, now=timezone.now()
            )
        shown = mask_merge_preview(preview, masker_for(request.user))
        return Response(_told(MergePreviewSerializer(shown), found))


class OneMergeView(APIView):
    read_scope = Scope.PROFILES_READ

    @extend_schema(operation_id="merges_retrieve", responses=ProfileMergeSerializer)
    def get(self, request: Request, pk: int) -> Response:
        """One merge: why, what it moved, and whether it was taken back."""
        view = queries.get_merge(pk)
        if view is None:
            raise Http404("There is no such merge.")
        return Response(ProfileMergeSerializer(mask_merge(view, masker_for(request.user))).data)


class UndoView(APIView):
    read_scope = Scope.PROFILES_READ
    write_scope = Scope.IDENTITY_WRITE

    @extend_schema(operation_id="merges_undo", request=UndoRequestSerializer, responses=PartingSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """Take a merge back: either side gets what it was recorded for, with what came since."""
        given = _validated(UndoRequestSerializer, request)
        parting = operations.undo_merge(
            merge_id=pk, actor=_actor(request), never_again=given["never_again"], now=timezone.now()
        )
        return Response(PartingSerializer(parting).data)


class UndoPreviewView(APIView):
    read_scope = Scope.PROFILES_READ

    @extend_schema(
        operation_id="merges_undo_preview", responses=_with_effects("UndoWithEffects", UndoPreviewSerializer)
    )
    def get(self, request: Request, pk: int) -> Response:
        """What taking a merge back would do. Changes nothing."""
        preview = operations.preview_undo(merge_id=pk)
        found = None
        if not preview.refusals:
            found = effects.of_undo(
                merge_id=pk,
                profile_id=preview.kept.profile.id,
                restored_id=preview.restored.profile.id,
                now=timezone.now(),
            )
        shown = mask_undo_preview(preview, masker_for(request.user))
        return Response(_told(UndoPreviewSerializer(shown), found))


class ConstraintQuery(PageQuery):
    cursor = serializers.RegexField(r"^\d{1,18}-\d{1,18}$", required=False, help_text="From `next`.")
    profile = serializers.IntegerField(required=False, min_value=1, help_text="Only what was said of this one.")


class ConstraintsView(APIView):
    """What people have said of pairs: never one person, or one for certain."""

    read_scope = Scope.PROFILES_READ
    write_scope = Scope.IDENTITY_WRITE

    @extend_schema(
        operation_id="constraints_list",
        parameters=[ConstraintQuery],
        responses=inline_serializer(
            "ConstraintPage",
            {"results": ConstraintSerializer(many=True), "next": serializers.URLField(allow_null=True)},
        ),
    )
    def get(self, request: Request) -> Response:
        """In the order of the pairs; with `profile`, all that was said of that one."""
        query = ConstraintQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        given = query.validated_data
        if "profile" in given:
            said = queries.constraints_of(given["profile"])
            return Response({"results": ConstraintSerializer(said, many=True).data, "next": None})
        size = given["page_size"]
        first, _, second = given.get("cursor", "").partition("-")
        found = queries.constraints(limit=size + 1, after=(int(first), int(second)) if first else None)
        page = page_of(request, found, size=size, cursor_of=lambda one: f"{one.one_origin}-{one.other_origin}")
        return Response(page | {"results": ConstraintSerializer(page["results"], many=True).data})

    @extend_schema(
        operation_id="constraints_create",
        request=ConstraintRequestSerializer,
        responses={201: ConstraintSerializer(many=True)},
    )
    def post(self, request: Request) -> Response:
        """Say it of two profiles; `must` merges them at once. Answers all that is said of the first now."""
        given = _validated(ConstraintRequestSerializer, request)
        say = operations.require if given["kind"] == Constraint.Kind.MUST else operations.forbid
        say(
            one=given["one"],
            other=given["other"],
            actor=_actor(request),
            reason=given["reason"],
            now=timezone.now(),
        )
        said = queries.constraints_of(given["one"])
        return Response(ConstraintSerializer(said, many=True).data, status=status.HTTP_201_CREATED)


class LiftView(APIView):
    write_scope = Scope.IDENTITY_WRITE

    @extend_schema(operation_id="constraints_lift", request=PairSerializer, responses={204: None})
    def post(self, request: Request) -> Response:
        """Take back what was said of two origins. Nothing is merged or parted by it."""
        given = _validated(PairSerializer, request)
        operations.lift(one=given["one"], other=given["other"])
        return Response(status=status.HTTP_204_NO_CONTENT)


urlpatterns = [
    path("profiles/<int:pk>/merges/", ProfileMergesView.as_view(), name="api-profile-merges"),
    path("profiles/<int:pk>/split/", ProfileSplitView.as_view(), name="api-profile-split"),
    path("merges/", MergesView.as_view(), name="api-merges"),
    path("merges/preview/", MergePreviewView.as_view(), name="api-merge-preview"),
    path("merges/<int:pk>/", OneMergeView.as_view(), name="api-merge"),
    path("merges/<int:pk>/undo/", UndoView.as_view(), name="api-merge-undo"),
    path("merges/<int:pk>/undo/preview/", UndoPreviewView.as_view(), name="api-merge-undo-preview"),
    path("constraints/", ConstraintsView.as_view(), name="api-constraints"),
    path("constraints/lift/", LiftView.as_view(), name="api-constraint-lift"),
]


def _validated(serializer: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    checked = serializer(data=request.data)
    checked.is_valid(raise_exception=True)
    return dict(checked.validated_data)


def _leading(profile_id: int) -> int:
    leads = canonical_id(profile_id)
    if get_profile(profile_id=leads) is None:
        raise Http404("There is no profile with this id.")
    return leads


def _actor(request: Request) -> User | None:
    """The person; a token is nobody."""
    return request.user if isinstance(request.user, User) else None


def _told(preview: serializers.Serializer[Any], found: effects.Effects | None) -> dict[str, Any]:
    return {"preview": preview.data, "effects": None if found is None else EffectsSerializer(found).data}
