"""Rules that standardise, from the API and through the drain. R: B3, A7"""

import json
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from cdp.kernel.access.models import ApiToken
from ingestion.models import Source
from ingestion.quarantine.models import QuarantinedMessage
from ingestion.standardise import operations, queries
from ingestion.standardise.models import StandardRule
from ingestion.standardise.rules import RuleSpec
from tests.factories.ingestion import NOW, identify, track
from tests.integration.conftest import drain_all, rows

EMAIL = RuleSpec(field="email", kind="email", of="traits")


def rule(source: Source, field: str, kind: str, **fields: Any) -> StandardRule:
    spec = RuleSpec(**({"field": field, "kind": kind} | fields))
    return operations.add_rule(source=source, rule=spec, now=NOW)


def properties(name: str) -> dict[str, Any]:
    ((found,),) = rows(
        "SELECT e.properties FROM event e JOIN event_name n ON n.id = e.name_id WHERE n.name = %s", name
    )
    return json.loads(found) if isinstance(found, str) else found


class TestDrain:
    def test_standardises_properties_nested_and_in_lists(self, accept, source: Source):
        rule(source, "shipping.country", "country")
        rule(source, "products[].price", "number", event="Paid", options={"decimal": ","})
        accept(
            track(
                "Paid",
                properties={
                    "shipping": {"country": "Germany"},
                    "products": [{"price": "1.234,50 €"}, {"price": 7}, 3],
                },
            ),
            track("Else", properties={"products": [{"price": "1,5"}], "shipping": {"country": "DEU"}}),
        )

        drain_all(NOW)

        assert properties("Paid") == {"shipping": {"country": "DE"}, "products": [{"price": 1234.5}, {"price": 7}, 3]}
        assert properties("Else") == {"shipping": {"country": "DE"}, "products": [{"price": "1,5"}]}

    def test_the_standardised_e_mail_identifies(self, accept, source: Source):
        operations.add_rule(source=source, rule=EMAIL, now=NOW)
        accept(
            identify(userId="u-1", traits={"email": "mailto:Anna@Example.org"}),
            track("A", userId="u-2", context={"traits": {"email": "MAILTO:anna@example.org"}}),
        )

        drain_all(NOW)

        assert rows("SELECT value FROM identifier WHERE kind = 'email'") == [("anna@example.org",)]
        assert rows("SELECT traits->>'email' FROM profile WHERE traits ? 'email'") == [("anna@example.org",)]

    def test_the_promoted_number_follows(self, accept, source: Source):
        rule(source, "revenue", "money", event="Paid")
        accept(track("Paid", properties={"revenue": "12,50 EUR"}))

        drain_all(NOW)

        assert rows("SELECT value FROM event") == [(12.5,)]

    def test_what_cannot_be_read_stays_and_loses_nothing(self, accept, source: Source):
        rule(source, "when", "date")
        rule(source, "size", "quantity", options={"unit": "kg"}, on_failure="null")
        accept(track("A", properties={"when": "01/02/2024", "size": "big"}))

        drain_all(NOW)

        assert properties("A") == {"when": "01/02/2024", "size": None}
        assert not QuarantinedMessage.objects.exists()

    def test_rules_follow_each_other_in_their_order(self, accept, source: Source):
        rule(source, "Mail", "rename", of="traits", options={"to": "email"})
        operations.add_rule(source=source, rule=EMAIL, now=NOW)
        rule(source, "email", "copy", of="traits", options={"to": "contact.address"})
        accept(identify(traits={"Mail": "ANNA@example.org"}))

        drain_all(NOW)

        assert rows("SELECT traits FROM profile") == [
            ('{"email": "anna@example.org", "contact": {"address": "anna@example.org"}}',)
        ]

    def test_a_rule_acts_from_the_next_chunk_until_it_is_switched_off_or_deleted(self, accept, source: Source):
        def send(name: str) -> str:
            accept(track(name, properties={"size": " xl "}))
            drain_all(NOW)
            return properties(name)["size"]

        before = send("A")
        row = rule(source, "size", "text", options={"case": "upper"})
        after = send("B")
        operations.switch_rule(row=row, enabled=False, now=NOW)
        off = send("C")
        operations.switch_rule(row=row, enabled=True, now=NOW)
        operations.delete_rule(row=row, now=NOW)
        deleted = send("D")
        operations.restore_rule(row=row, now=NOW)

        assert [before, after, off, deleted, send("E")] == [" xl ", "XL", " xl ", " xl ", "XL"]

    def test_a_track_that_is_called_identify_has_properties(self, accept, source: Source):
        rule(source, "plan", "text", of="traits", options={"case": "upper"})
        rule(source, "plan", "text", options={"case": "title"})
        accept(track("Identify", properties={"plan": "pro"}), identify(traits={"plan": "pro"}))

        drain_all(NOW)

        plans = {plan for (plan,) in rows("SELECT properties->>'plan' FROM event")}
        assert plans == {"Pro", "PRO"}


class TestPreview:
    def test_counts_what_changes_stays_fails_and_is_absent(self, accept, source: Source):
        sizes = ["12 kg", "3 kg", 5, "big", None]
        accept(
            *(track("A", properties={"size": size}) for size in sizes), track("B"), identify(traits={"size": "1 kg"})
        )
        drain_all(NOW)

        found = queries.preview(
            source=source, rule=RuleSpec(field="size", kind="quantity", options={"unit": "kg"}), now=NOW
        )

        assert (found.events, found.changed, found.same, found.failed, found.absent) == (6, 2, 1, 1, 2)
        assert {(one.before, one.after) for one in found.examples} == {("12 kg", 12), ("3 kg", 3)}
        assert [(one.before, one.problem) for one in found.failures] == [("big", "not a number with a unit we know")]

    def test_changes_nothing(self, accept, source: Source):
        accept(track("A", properties={"a": " x "}))
        drain_all(NOW)

        queries.preview(source=source, rule=RuleSpec(field="a", kind="rename", options={"to": "b"}), now=NOW)

        assert properties("A") == {"a": " x "}


class TestSeenFields:
    def test_suggest_a_rule_where_values_ask_for_one(self, accept, source: Source):
        accept(
            identify(traits={"email": "Anna@Example.org", "phone": "0170 1234567", "newsletter": "ja"}),
            identify(traits={"email": "Bob@Example.org", "phone": "+49 170 1234568", "newsletter": "nein"}),
            track("Paid", properties={"country": "Germany", "paid_at": "31.12.2024", "total": "1.234,50", "n": 1}),
            track("Paid", properties={"country": "France", "paid_at": "01.02.2024", "items": [{"sku": "a-1"}]}),
        )
        drain_all(NOW)

        found = {
            (seen.of, seen.field): seen.suggestion and (seen.suggestion.kind, seen.suggestion.options)
            for seen in queries.seen_fields(source=source, now=NOW)
        }

        assert found == {
            ("traits", "email"): ("email", {}),
            ("traits", "phone"): ("phone", {"region": "DE"}),
            ("traits", "newsletter"): ("boolean", {}),
            ("properties", "country"): ("country", {}),
            ("properties", "paid_at"): ("date", {"order": "day_first"}),
            ("properties", "total"): ("money", {}),
            ("properties", "n"): None,
            ("properties", "items[].sku"): None,
        }

    def test_the_unmapped_values_of_a_table_with_their_counts(self, accept, source: Source):
        accept(*(track("A", properties={"sex": sex}) for sex in ("m", "m", "w", "w", "w", "male", "x", 1)))
        drain_all(NOW)

        found = queries.unmapped_values(
            source=source, rule=RuleSpec(field="sex", kind="mapping", options={"table": {"m": "male"}}), now=NOW
        )

        assert found == [("w", 3), ("1", 1), ("x", 1)]


@pytest.fixture
def api(database: None) -> APIClient:
    _, token = ApiToken.issue(name="engineer", scopes=["sources:write"])
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


class TestApi:
    URL = "/api/v1/sources/shop/standardise/"

    def test_replaces_all_rules_and_lists_them_in_their_order(self, api: APIClient, source: Source):
        sent = [
            {"field": "products[].cost", "kind": "rename", "options": {"to": "products[].price"}},
            {"field": "email", "kind": "email", "of": "traits", "on_failure": "null", "enabled": False},
        ]

        answer = api.put(self.URL, {"rules": sent})

        assert answer.status_code == 200, answer.json()
        assert api.get(self.URL).json() == answer.json()
        assert [found["field"] for found in answer.json()["rules"]] == ["products[].cost", "email"]
        source.refresh_from_db()
        assert source.rules_version == 1

    @pytest.mark.parametrize(
        ("wrong", "code", "path"),
        [
            ({"kind": "phone", "options": {"region": "XX"}}, "region_unknown", "/rules/1/options/region"),
            ({"kind": "magic"}, "invalid_choice", "/rules/1/kind"),
            ({"kind": "text", "field": "a..b"}, "path_invalid", "/rules/1/field"),
            ({"kind": "text", "of": "traits", "event": "A"}, "event_unexpected", "/rules/1/event"),
            ({"kind": "rename", "options": {}}, "option_invalid", "/rules/1/options/to"),
            ({"kind": "copy", "options": {"to": "a.b"}}, "same_field", "/rules/1/options/to"),
            ({"kind": "copy", "field": "x[].a", "options": {"to": "b"}}, "list_left", "/rules/1/options/to"),
            ({"kind": "text", "options": {"case": "odd"}}, "option_invalid", "/rules/1/options/case"),
        ],
    )
    def test_says_what_is_wrong_where_and_takes_nothing(
        self, api: APIClient, source: Source, wrong: dict[str, Any], code: str, path: str
    ):
        good = {"field": "b", "kind": "text"}

        answer = api.put(self.URL, {"rules": [good, {"field": "a"} | wrong]})

        assert answer.status_code == 400
        assert (answer.json()["code"], answer.json()["path"]) == (code, path)
        assert not StandardRule.objects.exists()

    def test_previews_a_rule(self, api: APIClient, accept, source: Source):
        accept(track("A", properties={"land": "Germany"}), now=timezone.now())
        drain_all()

        answer = api.post(f"{self.URL}preview/", {"field": "land", "kind": "country"}).json()

        assert (answer["events"], answer["changed"], answer["failed"]) == (1, 1, 0)
        assert answer["examples"] == [{"before": "Germany", "after": "DE", "count": 1, "problem": ""}]

    def test_needs_the_scope(self, source: Source):
        _, token = ApiToken.issue(name="reader", scopes=["events:read"])
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")

        assert client.get(self.URL).status_code == 403
