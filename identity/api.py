"""`/api/v1/profiles/`: look people up, page through them, read their events. R: C4, F7"""

import uuid
from datetime import datetime
from typing import Any

from django.http import Http404
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

import ingestion.queries
from cdp.kernel.access.roles import Scope
from cdp.kernel.api import PageQuery, page_of
from cdp.kernel.errors import TributaryError
from identity import queries
from identity.accounts import queries as account_queries
from identity.accounts.api import MembershipSerializer
from identity.contracts import ProfileView
from identity.view_api import OneViewMixin
from identity.viewing import mask_profile, mask_profiles
from ingestion.dictionary.viewing import mask_event, masker_for


class SearchTooSlowError(TributaryError):
    """A search by name that would look at too many profiles."""

    code = "search_too_slow"
    http_status = 503


class ProfileSerializer(serializers.Serializer[ProfileView]):
    id = serializers.IntegerField()
    traits = serializers.DictField()
    identifiers = serializers.DictField(child=serializers.ListField(child=serializers.CharField()))
    created_at = serializers.DateTimeField()


class EventSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    event = serializers.CharField(source="name")
    type = serializers.CharField()
    timestamp = serializers.DateTimeField(source="ts")
    properties = serializers.DictField()


class ProfileQuery(PageQuery):
    search = serializers.CharField(required=False, default="", allow_blank=True, max_length=200)
    cursor = serializers.IntegerField(required=False, min_value=1, help_text="From `next`.")


class LookupQuery(serializers.Serializer[Any]):
    kind = serializers.RegexField(
        r"^[a-z0-9][a-z0-9_.-]*$",
        max_length=30,
        help_text="`user_id`, `email`, `phone`, `anonymous_id`, or the type of an external id.",
    )
    value = serializers.CharField(max_length=254)


class EventQuery(PageQuery):
    event = serializers.CharField(required=False, max_length=200)
    cursor = serializers.CharField(required=False, max_length=80, help_text="From `next`.")

    def validate_cursor(self, value: str) -> tuple[datetime, uuid.UUID]:
        instant, _, event_id = value.partition("_")
        try:
            return datetime.fromisoformat(instant), uuid.UUID(event_id)
        except ValueError:
            raise serializers.ValidationError("Use the cursor of `next`.", code="cursor_invalid") from None


def _page(name: str, child: serializers.BaseSerializer[Any]) -> Any:
    fields = {"results": child, "next": serializers.URLField(allow_null=True)}
    return inline_serializer(name, fields)


class ProfileViewSet(OneViewMixin, viewsets.ViewSet):
    """Profiles. The id of a profile that was merged into another leads to the other.

    Personal data is in clear for tokens that carry `pii:read`, masked for others.
    """

    read_scope = Scope.PROFILES_READ

    @property
    def _events_only(self) -> bool:
        return self.action == "events"

    def get_permissions(self) -> Any:
        if self._events_only:
            self.read_scope = Scope.EVENTS_READ
        return super().get_permissions()

    @extend_schema(
        operation_id="profiles_list",
        parameters=[ProfileQuery],
        responses=_page("ProfilePage", ProfileSerializer(many=True)),
    )
    def list(self, request: Request) -> Response:
        """Profiles, newest first; with `search`, those that an identifier, a name or an id means."""
        query = _validated(ProfileQuery, request)
        size = query["page_size"]
        people = queries.find_people(text=query["search"], limit=size + 1, before_id=query.get("cursor"))
        if not people.complete and not people.profiles:
            raise SearchTooSlowError("Looking through all names takes too long: search by an identifier.")
        found = people.profiles
        page = page_of(request, found, size=size, cursor_of=lambda view: str(view.id))
        shown: Any = mask_profiles(page["results"], masker_for(request.user))
        return Response(page | {"results": ProfileSerializer(shown, many=True).data})

    @extend_schema(parameters=[OpenApiParameter("id", int, "path")], responses=ProfileSerializer)
    def retrieve(self, request: Request, pk: str) -> Response:
        return Response(ProfileSerializer(mask_profile(_profile(pk), masker_for(request.user))).data)

    @extend_schema(
        parameters=[LookupQuery],
        responses=ProfileSerializer,
        examples=[
            OpenApiExample(
                "A profile",
                value={
                    "id": 42,
                    "traits": {"name": "Anna Smith", "country": "DE"},
                    "identifiers": {"user_id": ["u-1"], "email": ["anna@example.com"]},
                    "created_at": "2026-01-02T03:04:05Z",
                },
            )
        ],
    )
    @action(detail=False)
    def lookup(self, request: Request) -> Response:
        """The profile that an identifier leads to, in whatever spelling it is given."""
        query = _validated(LookupQuery, request)
        profile_id = queries.lookup(kind=query["kind"], value=query["value"])
        if profile_id is None:
            raise Http404("No profile has this identifier.")
        return Response(ProfileSerializer(mask_profile(_profile(str(profile_id)), masker_for(request.user))).data)

    @extend_schema(
        parameters=[OpenApiParameter("id", int, "path")],
        responses=inline_serializer("ProfileAccounts", {"results": MembershipSerializer(many=True)}),
    )
    @action(detail=True)
    def accounts(self, _request: Request, pk: str) -> Response:
        """The accounts that the person belongs to, the one that was named last first."""
        found = account_queries.accounts_of(profile_id=_profile(pk).id)
        return Response({"results": MembershipSerializer(found, many=True).data})

    @extend_schema(
        parameters=[EventQuery, OpenApiParameter("id", int, "path")],
        responses=_page("EventPage", EventSerializer(many=True)),
    )
    @action(detail=True)
    def events(self, request: Request, pk: str) -> Response:
        """The events of a profile, newest first."""
        query = _validated(EventQuery, request)
        size = query["page_size"]
        before, before_id = query.get("cursor", (None, None))
        found = ingestion.queries.timeline(
            profile_id=_profile(pk).id, before=before, before_id=before_id, event=query.get("event"), limit=size + 1
        )
        page = page_of(request, found, size=size, cursor_of=lambda event: f"{event.ts.isoformat()}_{event.id}")
        masker = masker_for(request.user)
        shown = [mask_event(event, masker) for event in page["results"]]
        return Response(page | {"results": EventSerializer(shown, many=True).data})


def register(router: BaseRouter) -> None:
    router.register("profiles", ProfileViewSet, basename="profile")


def _validated(serializer: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    checked = serializer(data=request.query_params)
    checked.is_valid(raise_exception=True)
    return dict(checked.validated_data)


def _profile(pk: str) -> ProfileView:
    found = queries.get_profile(profile_id=int(pk)) if pk.isascii() and pk.isdigit() and len(pk) < 19 else None
    if found is None:
        raise Http404("There is no profile with this id.")
    return found
