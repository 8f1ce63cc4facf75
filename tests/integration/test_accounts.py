"""Accounts through the whole drain: what group messages say of them, who belongs to them, and who reads that."""

import itertools
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from cdp.kernel.access.models import ApiToken
from identity import queries as profiles
from identity.accounts import queries
from identity.accounts.contracts import AccountView
from tests.factories.access import make_user
from tests.factories.ingestion import message, track
from tests.integration.conftest import at_once, drain_all, rows


def group(**fields: Any) -> dict[str, Any]:
    return message(**({"type": "group", "event": ..., "groupId": "acme"} | fields))


def the_account() -> AccountView:
    (view,) = queries.search()
    return view


def drain(accept, *messages: dict[str, Any]) -> None:
    accept(*messages)
    drain_all()


class TestGroupMessages:
    def test_make_an_account_with_its_traits_and_its_member(self, accept):
        drain(accept, group(traits={"name": "Acme", "plan": "pro"}))

        account = the_account()
        assert (account.group_id, account.display_name, account.members) == ("acme", "Acme", 1)
        assert account.traits == {"name": "Acme", "plan": "pro"}
        (member,) = queries.members(account_id=account.id)
        assert member.profile.identifiers == {"user_id": ["u-1"]}
        assert member.profile.traits == {}
        assert rows(
            "SELECT n.name, properties, context->>'groupId' FROM event JOIN event_name n ON n.id = name_id"
        ) == [("Group", '{"name": "Acme", "plan": "pro"}', "acme")]

    @pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
    def test_in_any_order_and_repeated_say_the_same(self, accept, order: tuple[int, ...]):
        messages = [
            group(timestamp="2026-03-01T00:00:00Z", traits={"plan": "free", "city": "Rome"}),
            group(timestamp="2026-03-02T00:00:00Z", traits={"plan": "pro", "size": 5}),
            group(timestamp="2026-03-03T00:00:00Z", traits={"size": None}),
        ]

        for number in order:
            drain(accept, messages[number], messages[number])

        account = the_account()
        assert account.traits == {"plan": "pro", "city": "Rome"}
        (member,) = queries.members(account_id=account.id)
        assert (member.first_seen_at.day, member.last_seen_at.day) == (1, 3)

    def test_of_several_people_and_accounts_in_one_chunk(self, accept):
        drain(accept, *(group(userId=f"u-{n}", groupId=f"g-{n % 2}", traits={"n": n}) for n in range(6)))

        assert [(view.group_id, view.members) for view in queries.search()] == [("g-1", 3), ("g-0", 3)]

    def test_that_two_workers_hold_at_once_make_one_account(self, accept):
        for n in range(8):
            accept(group(userId=f"u-{n}", traits={f"t-{n}": n}))

        at_once(2, lambda _: drain_all(max_events=1))

        assert the_account().members == 8
        assert len(the_account().traits) == 8


class TestOtherMessages:
    def test_that_name_an_account_link_their_person_to_it(self, accept):
        drain(accept, track("Report Opened", context={"groupId": "acme"}))

        assert (the_account().group_id, the_account().members, the_account().traits) == ("acme", 1, {})


class TestMerge:
    def test_takes_the_memberships_along(self, accept):
        drain(accept, group(userId="u-1", timestamp="2026-03-02T00:00:00Z"), group(userId="u-1", groupId="club"))
        drain(accept, group(userId=..., anonymousId="a-1", timestamp="2026-03-01T00:00:00Z"))

        drain(accept, track("Signed In", userId="u-1", anonymousId="a-1"))

        person = profiles.lookup(kind="user_id", value="u-1")
        found = queries.accounts_of(profile_id=person)
        assert {one.account.group_id: one.account.members for one in found} == {"acme": 1, "club": 1}
        assert next(one for one in found if one.account.group_id == "acme").first_seen_at.day == 1


class TestApi:
    def test_lists_accounts_and_who_belongs_to_them(self, accept):
        drain(accept, group(traits={"name": "Acme"}))
        drain(accept, group(userId="u-2"), group(groupId="globex"))
        client = client_with("profiles:read", "pii:read")
        acme = queries.search(text="acme")[0].id
        person = profiles.lookup(kind="user_id", value="u-1")

        listed = client.get("/api/v1/accounts/?page_size=1").json()
        found = client.get("/api/v1/accounts/?search=acm").json()["results"]
        members = client.get(f"/api/v1/accounts/{acme}/members/?page_size=1").json()
        of_person = client.get(f"/api/v1/profiles/{person}/accounts/").json()["results"]

        assert [item["group_id"] for item in listed["results"]] == ["globex"]
        assert [item["group_id"] for item in client.get(listed["next"]).json()["results"]] == ["acme"]
        assert [(item["traits"], item["members"]) for item in found] == [({"name": "Acme"}, 2)]
        assert members["results"][0]["identifiers"] == {"user_id": ["u-1"]}
        assert client.get(members["next"]).json()["results"][0]["identifiers"] == {"user_id": ["u-2"]}
        assert {item["account"]["group_id"] for item in of_person} == {"acme", "globex"}

    def test_needs_the_scope(self, database: None):
        assert client_with("segments:read").get("/api/v1/accounts/").status_code == 403

    @pytest.mark.parametrize("path", ["7/", "x/", "7/members/"])
    def test_of_nothing_is_not_found(self, database: None, path: str):
        assert client_with("profiles:read", "pii:read").get(f"/api/v1/accounts/{path}").status_code == 404


def client_with(*scopes: str) -> APIClient:
    _, token = ApiToken.issue(name=f"test {' '.join(scopes)}", scopes=list(scopes))
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


class TestScreens:
    @pytest.fixture
    def browse(self, database: None):
        client = Client()
        client.force_login(make_user("marketer"))
        return client.get

    def test_say_what_to_do_where_there_is_no_account(self, browse):
        assert "No accounts yet" in browse("/accounts/").content.decode()

    def test_show_an_account_with_its_members(self, accept, browse):
        drain(accept, group(traits={"name": "Acme", "plan": "pro"}))

        assert "Acme" in browse("/accounts/?q=acm").content.decode()
        page = browse(f"/accounts/{the_account().id}/").content.decode()
        assert "u-1" in page
        assert "pro" in page

    def test_show_the_accounts_of_a_person(self, accept, browse):
        drain(accept, group(traits={"name": "Acme"}))
        person = profiles.lookup(kind="user_id", value="u-1")

        page = browse(f"/profiles/{person}/").content.decode()

        assert f"/accounts/{the_account().id}/" in page

    def test_of_nothing_are_not_found(self, browse):
        assert browse("/accounts/7/").status_code == 404
