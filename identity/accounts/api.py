"""`/api/v1/accounts/`: the accounts that `group` messages tell of, and who belongs to them. R: F7"""

from dataclasses import replace
from typing import Any

from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import BaseRouter

from cdp.kernel.access.roles import Scope
from cdp.kernel.api import PageQuery, page_of
from identity.accounts import queries
from identity.accounts.contracts import AccountView
from identity.viewing import mask_profile
from ingestion.dictionary.viewing import masker_for


class AccountSerializer(serializers.Serializer[AccountView]):
    id = serializers.IntegerField()
    group_id = serializers.CharField()
    traits = serializers.DictField()
    members = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class MembershipSerializer(serializers.Serializer[Any]):
    """An account of a person, with the times of the first and the last message that said so."""

    account = AccountSerializer()
    first_seen_at = serializers.DateTimeField()
    last_seen_at = serializers.DateTimeField()


class AccountMemberSerializer(serializers.Serializer[Any]):
    profile = serializers.IntegerField(source="profile.id")
    identifiers = serializers.DictField(
        source="profile.identifiers", child=serializers.ListField(child=serializers.CharField())
    )
    first_seen_at = serializers.DateTimeField()
    last_seen_at = serializers.DateTimeField()


class AccountQuery(PageQuery):
    search = serializers.CharField(required=False, default="", allow_blank=True, max_length=200)
    cursor = serializers.IntegerField(required=False, min_value=1, help_text="From `next`.")


class AccountMemberQuery(PageQuery):
    cursor = serializers.IntegerField(required=False, min_value=1, default=0, help_text="From `next`.")


def _page(name: str, child: serializers.BaseSerializer[Any]) -> Any:
    return inline_serializer(name, {"results": child, "next": serializers.URLField(allow_null=True)})


class AccountViewSet(viewsets.ViewSet):
    """Accounts: companies, households, teams. `group_id` is the `groupId` of the messages."""

    read_scope = Scope.PROFILES_READ

    @extend_schema(
        operation_id="accounts_list",
        parameters=[AccountQuery],
        responses=_page("AccountPage", AccountSerializer(many=True)),
    )
    def list(self, request: Request) -> Response:
        """Accounts, newest first; with `search`, those whose id begins with it or whose name holds it."""
        query = _validated(AccountQuery, request)
        size = query["page_size"]
        found = queries.search(text=query["search"], limit=size + 1, before_id=query.get("cursor"))
        page = page_of(request, found, size=size, cursor_of=lambda view: str(view.id))
        return Response(page | {"results": AccountSerializer(page["results"], many=True).data})

    @extend_schema(parameters=[OpenApiParameter("id", int, "path")], responses=AccountSerializer)
    def retrieve(self, _request: Request, pk: str) -> Response:
        return Response(AccountSerializer(_account(pk)).data)

    @extend_schema(
        parameters=[AccountMemberQuery, OpenApiParameter("id", int, "path")],
        responses=_page("AccountMemberPage", AccountMemberSerializer(many=True)),
    )
    @action(detail=True)
    def members(self, request: Request, pk: str) -> Response:
        """Who belongs to the account."""
        query = _validated(AccountMemberQuery, request)
        size = query["page_size"]
        found = queries.members(account_id=_account(pk).id, limit=size + 1, after_id=query["cursor"])
        page = page_of(request, found, size=size, cursor_of=lambda member: str(member.profile.id))
        masker = masker_for(request.user)
        shown: Any = [replace(one, profile=mask_profile(one.profile, masker)) for one in page["results"]]
        return Response(page | {"results": AccountMemberSerializer(shown, many=True).data})


def register(router: BaseRouter) -> None:
    router.register("accounts", AccountViewSet, basename="account")


def _validated(serializer: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    checked = serializer(data=request.query_params)
    checked.is_valid(raise_exception=True)
    return dict(checked.validated_data)


def _account(pk: str) -> AccountView:
    found = queries.get_account(account_id=int(pk)) if pk.isascii() and pk.isdigit() and len(pk) < 19 else None
    if found is None:
        raise Http404("There is no account with this id.")
    return found
