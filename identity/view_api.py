"""What `/api/v1/profiles/{id}/` tells beyond the profile: traits and their history, identifiers, the graph."""

from typing import Any

from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from identity import queries
from identity.contracts import ProfileView
from identity.mapping.api import IdentifierLineSerializer, as_json
from identity.mapping.picture import picture_of
from identity.mapping.queries import identifiers_of
from identity.mapping.viewing import mask_line, mask_picture
from identity.survivorship import queries as survivorship
from identity.survivorship.models import RULES
from ingestion.dictionary.viewing import masker_for
from ingestion.models import Source

_ID = OpenApiParameter("id", int, "path")


class SaidSerializer(serializers.Serializer[Any]):
    source = serializers.CharField(allow_null=True)  # type: ignore[assignment]
    value = serializers.JSONField()
    at = serializers.DateTimeField()
    counts = serializers.BooleanField()


class ProfileTraitSerializer(serializers.Serializer[Any]):
    trait = serializers.CharField()
    value = serializers.JSONField()
    source = serializers.CharField(allow_null=True, help_text="Whose word counts; null where it is gone.")  # type: ignore[assignment]
    at = serializers.DateTimeField(allow_null=True, help_text="When its source said it last.")
    since = serializers.DateTimeField(
        allow_null=True, help_text="When its source began to say it; null where the history does not go back to it."
    )
    policy = serializers.ChoiceField(choices=RULES)
    disputed = serializers.BooleanField()
    said = SaidSerializer(many=True, help_text="What every source says now.")


class PastSerializer(serializers.Serializer[Any]):
    value = serializers.JSONField(help_text="null: it was deleted.")
    source = serializers.CharField(allow_null=True)  # type: ignore[assignment]
    at = serializers.DateTimeField()
    until = serializers.DateTimeField(allow_null=True, help_text="When the same source said something else.")
    event = serializers.UUIDField(help_text="The event that said it.")


class PictureSerializer(serializers.Serializer[Any]):
    profile = serializers.IntegerField()
    nodes = serializers.ListField(child=serializers.DictField())
    edges = serializers.ListField(child=serializers.DictField())
    left_out = serializers.IntegerField(help_text="Identifiers beyond those that are given.")


class OneViewMixin:
    """Actions of the profile's viewset."""

    @extend_schema(
        parameters=[_ID],
        responses=inline_serializer("ProfileTraits", {"results": ProfileTraitSerializer(many=True)}),
    )
    @action(detail=True)
    def traits(self, request: Request, pk: str) -> Response:
        """Every trait with its source, since when it holds, its policy, and what every source says of it."""
        masker = masker_for(request.user)
        slugs = _slugs()
        found = [survivorship.mask_trait(view, masker) for view in survivorship.traits_of(_profile(pk))]
        return Response({"results": [_trait(view, slugs) for view in found]})

    @extend_schema(
        parameters=[_ID, OpenApiParameter("trait", str, "path")],
        responses=inline_serializer("TraitHistoryOfProfile", {"results": PastSerializer(many=True)}),
    )
    @action(detail=True, url_path=r"traits/(?P<trait>.+)/history")
    def trait_history(self, request: Request, pk: str, trait: str) -> Response:
        """Every value that sources gave for a trait of this person, the newest first."""
        masker = masker_for(request.user)
        slugs = _slugs()
        found = survivorship.history_of(profile_id=_profile(pk).id, trait=trait)
        shown = [survivorship.mask_past(past, masker) for past in found]
        return Response(
            {
                "results": [
                    {
                        "value": past.value,
                        "source": slugs.get(past.source_id),
                        "at": past.at,
                        "until": past.until,
                        "event": past.event_id,
                    }
                    for past in shown
                ]
            }
        )

    @extend_schema(
        parameters=[_ID],
        responses=inline_serializer("ProfileIdentifiers", {"results": IdentifierLineSerializer(many=True)}),
    )
    @action(detail=True)
    def identifiers(self, request: Request, pk: str) -> Response:
        """Identifiers with source, and when each was first and last seen."""
        masker = masker_for(request.user)
        slugs = _slugs()
        found = [mask_line(line, masker) for line in identifiers_of(profile_id=_profile(pk).id)]
        return Response({"results": [as_json(line, slugs) for line in found]})

    @extend_schema(parameters=[_ID], responses=PictureSerializer)
    @action(detail=True)
    def graph(self, request: Request, pk: str) -> Response:
        """How the profile was put together: origins and identifiers as nodes, messages and merges as edges."""
        picture = mask_picture(picture_of(profile_id=_profile(pk).id), masker_for(request.user))
        return Response(picture.as_json())


def _trait(view: survivorship.TraitView, slugs: dict[int, str]) -> dict[str, Any]:
    return {
        "trait": view.name,
        "value": view.value,
        "source": slugs.get(view.source_id or 0),
        "at": view.at,
        "since": view.since,
        "policy": view.policy.rule.value,
        "disputed": view.disputed,
        "said": [
            {"source": slugs.get(one.source_id), "value": one.value, "at": one.at, "counts": one.counts}
            for one in view.said
        ],
    }


def _slugs() -> dict[int, str]:
    return dict(Source.objects.values_list("pk", "slug"))


def _profile(pk: str) -> ProfileView:
    found = queries.get_profile(profile_id=int(pk)) if pk.isascii() and pk.isdigit() and len(pk) < 19 else None
    if found is None:
        raise Http404("There is no profile with this id.")
    return found
