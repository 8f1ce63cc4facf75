"""Whom a message is of: identifiers, the object that messages of the same share, accounts and former identifiers."""

import json
from typing import Any

import pytest

from ingestion import messages
from tests.factories.ingestion import identify, message
from tests.factories.messages import refused, taken


class TestIdentifiers:
    def test_come_in_the_order_of_the_fields(self):
        event = taken(identify(userId=" u-1 ", anonymousId="a-1", traits={"email": "A@B.c"}))

        assert event.identifiers == (("user_id", "u-1"), ("anonymous_id", "a-1"), ("email", "a@b.c"))

    @pytest.mark.parametrize("nobody", [None, "", "null", " ", "-1", 0])
    def test_that_mean_nobody_are_absent(self, nobody: Any):
        assert taken(message(userId=nobody, anonymousId="a-1")).identifiers == (("anonymous_id", "a-1"),)

    @pytest.mark.parametrize(("sent", "kept"), [(5, "5"), (12345678901234567890123, "12345678901234567890123")])
    def test_numbers_are_spelt_as_text(self, sent: Any, kept: str):
        assert taken(message(userId=sent)).identifiers == (("user_id", kept),)

    @pytest.mark.parametrize("value", [True, None, {}, [], "not an address"])
    def test_an_email_that_is_none_is_left_out(self, value: Any):
        assert taken(identify(traits={"email": value})).identifiers == (("user_id", "u-1"),)

    @pytest.mark.parametrize(
        ("number", "kept"), [("+49 30 901820", "+4930901820"), ("030 901820", None), ("+49", None), ("hello", None)]
    )
    def test_a_telephone_number_counts_in_international_form(self, number: str, kept: str | None):
        event = taken(identify(userId=..., anonymousId="a-1", traits={"phone": number}))

        assert dict(event.identifiers).get("phone") == kept

    def test_of_other_systems_come_with_the_context(self):
        external = [
            {"id": "88", "type": "Loyalty Card".replace(" ", "_"), "collection": "users", "encoding": "none"},
            {"id": 7, "type": "crm.id"},
            {"id": "X@Example.org", "type": "email"},
            {"id": "acme", "type": "crm", "collection": "accounts"},
            {"id": "sly", "type": "previous_id"},
            {"id": "bad kind", "type": "a b"},
            {"id": "null", "type": "crm"},
            {},
        ]

        event = taken(message(context={"externalIds": external}))

        assert event.identifiers == (
            ("user_id", "u-1"),
            ("loyalty_card", "88"),
            ("crm.id", "7"),
            ("email", "x@example.org"),
        )

    def test_of_other_systems_are_enough(self):
        event = taken(message(userId=..., context={"externalIds": [{"id": "88", "type": "card"}]}))

        assert event.identifiers == (("card", "88"),)

    @pytest.mark.parametrize(("sent", "path"), [("x", "/context/externalIds"), ([5], "/context/externalIds/0")])
    def test_of_other_systems_that_are_no_list(self, sent: Any, path: str):
        bad = refused(message(context={"externalIds": sent}))

        assert (bad.code, bad.path) == ("type_mismatch", path)

    def test_no_more_than_ten_of_other_systems_count(self):
        event = taken(message(context={"externalIds": [{"id": n, "type": "card"} for n in range(1, 40)]}))

        assert len(event.identifiers) == 1 + messages.MAX_EXTERNAL_IDS


class TestPeople:
    def test_messages_that_name_the_same_share_one(self):
        told = [message(messageId=f"m-{number}", userId="anna", anonymousId="a-1") for number in range(2)]
        named_by_traits = [
            identify(messageId=f"i-{number}", userId="anna", traits={"email": "a@b.org"}) for number in (1, 2)
        ]

        one, two, three, four = (taken(item).person for item in [*told, *named_by_traits])

        assert one is two is not three is four
        assert one.identifiers == (("user_id", "anna"), ("anonymous_id", "a-1"))

    def test_that_name_another_have_their_own(self):
        assert taken(message(userId="anna")).person is not taken(message(userId="ben")).person

    def test_are_made_anew_once_forgotten(self):
        before = taken(message(userId="anna")).person
        before.home = 7

        messages.forget_people()

        assert taken(message(userId="anna")).person.home == 0


class TestGroup:
    def test_keeps_the_traits_of_the_account_apart_from_the_persons(self):
        event = taken(
            message(type="group", event=..., groupId=7, traits={"name": "Acme", "email": "info@acme.example"})
        )

        assert event.group == "7"
        assert json.loads(event.properties) == {"name": "Acme", "email": "info@acme.example"}
        assert json.loads(event.context) == {"groupId": "7"}
        assert (event.traits, event.identifiers) == (None, (("user_id", "u-1"),))

    def test_of_other_messages_comes_with_the_context(self):
        assert taken(message(context={"groupId": "acme"})).group == "acme"
        assert taken(message(context={"app": {"groupId": "acme"}})).group is None
        assert taken(message(context={"groupId": "null"})).group is None

    @pytest.mark.parametrize("nobody", [..., None, "", "null", "0"])
    def test_needs_an_account(self, nobody: Any):
        bad = refused(message(type="group", event=..., groupId=nobody))

        assert (bad.code, bad.path) == ("group_id_missing", "/groupId")


class TestAlias:
    def test_names_who_the_user_was(self):
        event = taken(message(type="alias", event=..., previousId="a-1", anonymousId="a-2"))

        assert event.identifiers == (("user_id", "u-1"), ("anonymous_id", "a-2"), ("previous_id", "a-1"))
        assert json.loads(event.properties) == {"previousId": "a-1"}

    def test_of_a_user_with_itself_says_nothing(self):
        assert taken(message(type="alias", event=..., previousId="u-1")).identifiers == (("user_id", "u-1"),)

    @pytest.mark.parametrize(
        ("fields", "code", "path"),
        [
            ({"previousId": None}, "previous_id_missing", "/previousId"),
            ({"previousId": "undefined"}, "previous_id_missing", "/previousId"),
            ({"previousId": "a-1", "userId": None}, "identifier_missing", "/userId"),
            ({"previousId": "a-1", "userId": None, "anonymousId": "a-2"}, "identifier_missing", "/userId"),
        ],
    )
    def test_needs_both(self, fields: dict[str, Any], code: str, path: str):
        bad = refused(message(**{"type": "alias", "event": ...} | fields))

        assert (bad.code, bad.path) == (code, path)
