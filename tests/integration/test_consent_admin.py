"""The privacy officer in the admin: reads and searches the ledger, changes nothing in it."""

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from cdp.kernel.access.admin import let_staff_follow_roles
from cdp.kernel.access.models import ApiToken, User
from cdp.kernel.access.roles import Role
from consent.contracts import State
from consent.models import ConsentRecord
from tests.factories.consent import PurposeFactory, choose

pytestmark = pytest.mark.django_db

RECORDS = "/admin/consent/consentrecord/"


def login(role: Role) -> Client:
    user = User.objects.create_user(f"{role.name.lower()}", password="correct horse")
    user.groups.add(Group.objects.get_or_create(name=role.value)[0])
    let_staff_follow_roles(user)
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def officer() -> Client:
    return login(Role.PRIVACY_OFFICER)


class TestLedgerInTheAdmin:
    def test_lists_records(self, officer):
        record = choose(PurposeFactory(name="Marketing"), State.GRANTED)

        page = officer.get(RECORDS)

        assert page.status_code == 200
        assert f"{RECORDS}{record}/change/" in page.content.decode()
        assert "Marketing" in page.content.decode()

    def test_finds_a_persons_records_by_e_mail(self, officer):
        purpose = PurposeFactory()
        annas = choose(purpose, State.GRANTED)
        bens = choose(purpose, State.GRANTED, ("email", "ben@example.com"))

        page = officer.get(RECORDS, {"q": "Anna@Example.com"}).content.decode()

        assert f"{RECORDS}{annas}/" in page
        assert f"{RECORDS}{bens}/" not in page

    def test_finds_nothing_for_half_an_address(self, officer):
        record = choose(PurposeFactory(), State.GRANTED)

        assert f"{RECORDS}{record}/" not in officer.get(RECORDS, {"q": "anna@"}).content.decode()

    def test_filters(self, officer):
        purpose = PurposeFactory()
        granted, denied = choose(purpose, State.GRANTED), choose(purpose, State.DENIED)

        page = officer.get(RECORDS, {"state__exact": "denied", "purpose__id__exact": purpose.pk}).content.decode()

        assert f"{RECORDS}{denied}/" in page
        assert f"{RECORDS}{granted}/" not in page

    def test_shows_a_record_without_any_way_to_change_it(self, officer):
        record = choose(PurposeFactory(), State.GRANTED)

        page = officer.get(f"{RECORDS}{record}/change/").content.decode()

        assert 'name="_save"' not in page
        assert "deletelink" not in page

    @pytest.mark.parametrize("path", ["add/", "{id}/delete/"])
    def test_refuses_to_add_and_to_delete(self, officer, path):
        record = choose(PurposeFactory(), State.GRANTED)

        assert officer.post(RECORDS + path.format(id=record), {"post": "yes"}).status_code == 403
        assert ConsentRecord.objects.count() == 1

    def test_refuses_to_change(self, officer):
        record = choose(PurposeFactory(), State.DENIED)

        assert officer.post(f"{RECORDS}{record}/change/", {"state": "granted"}).status_code == 403
        assert ConsentRecord.objects.get().state == "denied"

    def test_offers_no_deletion_as_a_bulk_action(self, officer):
        record = choose(PurposeFactory(), State.GRANTED)

        officer.post(RECORDS, {"action": "delete_selected", "_selected_action": record, "post": "yes"})

        assert ConsentRecord.objects.count() == 1


class TestWhoMayDoWhat:
    def test_a_privacy_officer_edits_purposes_and_sees_no_users(self, officer):
        purpose = PurposeFactory()

        assert b'name="_save"' in officer.get(f"/admin/consent/purpose/{purpose.pk}/change/").content
        assert officer.get("/admin/access/user/").status_code == 403
        assert "/admin/access/apitoken/" not in officer.get("/admin/").content.decode()

    def test_a_marketer_does_not_get_into_the_admin(self):
        assert login(Role.MARKETER).get(RECORDS).status_code == 302

    def test_an_admin_sees_users_and_tokens_but_no_secrets(self):
        token, secret = ApiToken.issue(name="loader", scopes=["consent:write"])

        page = login(Role.ADMIN).get(f"/admin/access/apitoken/{token.pk}/change/").content.decode()

        assert token.hint in page
        assert token.digest not in page
        assert secret not in page

    def test_an_admin_revokes_tokens(self):
        token, _ = ApiToken.issue(name="loader", scopes=["consent:write"])

        login(Role.ADMIN).post("/admin/access/apitoken/", {"action": "revoke", "_selected_action": token.pk})

        token.refresh_from_db()
        assert token.revoked_at is not None


class TestRolesInTheAdmin:
    def test_giving_and_taking_a_role_opens_and_closes_the_admin(self):
        admin = login(Role.ADMIN)
        person = User.objects.create_user("petra", password="correct horse")
        officers = Group.objects.get_or_create(name=Role.PRIVACY_OFFICER.value)[0]
        form = {"username": "petra", "is_active": "on", "email": "", "first_name": "", "last_name": ""}

        admin.post(f"/admin/access/user/{person.pk}/change/", form | {"groups": [officers.pk]})
        person.refresh_from_db()
        assert person.is_staff

        admin.post(f"/admin/access/user/{person.pk}/change/", form)
        person.refresh_from_db()
        assert not person.is_staff

    def test_an_admin_who_is_no_superuser_cannot_make_one(self):
        admin = login(Role.ADMIN)
        person = User.objects.create_user("petra", password="correct horse")
        form = {"username": "petra", "is_active": "on", "is_superuser": "on"}

        admin.post(f"/admin/access/user/{person.pk}/change/", form)

        person.refresh_from_db()
        assert not person.is_superuser
