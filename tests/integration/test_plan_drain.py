"""A live tracking plan in the drain: blocked, stripped, flagged, and counted once."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from cdp.demo.blueprint import WEBSITE_PLAN
from cdp.demo.browsing import Product
from cdp.demo.malformed import off_the_plan
from identity.models import Profile
from ingestion.models import Source
from ingestion.plans import operations, queries, violations
from ingestion.plans.models import BlockedMessage, ViolationCount, ViolationGroup, ViolationSample
from ingestion.quarantine.models import QuarantinedMessage
from tests.factories.access import make_user
from tests.factories.ingestion import NOW, identify, message, track
from tests.factories.plans import live_plan, plan_document
from tests.integration.conftest import drain_all, rows

DAY = timedelta(days=1)


def order(**properties: Any) -> dict[str, Any]:
    return track("Order Completed", properties={"order_id": "o-1"} | properties)


def stored() -> list[Any]:
    return [json.loads(text) for (text,) in rows("SELECT properties FROM event ORDER BY ts, id")]


def counted() -> dict[tuple[str, str, str, str], int]:
    found = ViolationCount.objects.values_list(
        "group__event", "group__kind", "group__path", "group__action", "messages"
    )
    return {(event, kind, path, action): messages for event, kind, path, action, messages in found}


class TestLivePlan:
    def test_lets_valid_messages_pass_as_they_came(self, accept, source: Source):
        live_plan(source, wrong_type="block")
        accept(order(revenue=5.0))

        drain_all(NOW)

        assert (stored(), counted()) == ([{"order_id": "o-1", "revenue": 5.0}], {})

    def test_blocks_to_quarantine_with_code_and_path(self, accept, source: Source):
        live_plan(source, wrong_type="block")
        accept(order(products=[{"sku": "a"}, {"sku": 5}]), order())

        drained = drain_all(NOW)

        held = QuarantinedMessage.objects.get()
        assert (drained.stored, drained.quarantined) == (1, 1)
        assert (held.code, held.path) == ("plan_wrong_type", "/properties/products/1/sku")
        assert held.message == "products.1.sku is a whole number, expected text, says the tracking plan."
        assert counted() == {("Order Completed", "wrong_type", "/products/*/sku", "block"): 1}

    def test_strips_the_property_and_stores_the_rest(self, accept, source: Source):
        live_plan(source, unknown_property="strip")
        accept(order(gift=True, revenue=3))

        drain_all(NOW)

        assert stored() == [{"order_id": "o-1", "revenue": 3}]
        assert counted() == {("Order Completed", "unknown_property", "/gift", "strip"): 1}

    def test_strips_a_number_from_what_segments_sum(self, accept, source: Source):
        schema = {"properties": {"order_id": {}}, "additionalProperties": False}
        live_plan(source, plan_document(schema=schema, unknown_property="strip"))
        accept(order(revenue=3))

        drain_all(NOW)

        assert rows("SELECT value FROM event") == [(None,)]

    def test_flags_and_stores(self, accept, source: Source):
        live_plan(source)
        accept(order(revenue=-3, gift=1))

        drain_all(NOW)

        assert stored() == [{"order_id": "o-1", "revenue": -3, "gift": 1}]
        assert set(counted()) == {
            ("Order Completed", "wrong_value", "/revenue", "flag"),
            ("Order Completed", "unknown_property", "/gift", "flag"),
        }

    def test_blocks_events_it_does_not_name_and_no_identify(self, accept, source: Source):
        document = plan_document(unknown_event="block")
        del document["traits"]
        live_plan(source, document)
        accept(track("Typo Completed"), identify(traits={"a": 1}), order())

        drained = drain_all(NOW)

        assert (drained.stored, drained.quarantined) == (2, 1)
        assert QuarantinedMessage.objects.get().code == "plan_unknown_event"

    def test_holds_traits_against_their_schema(self, accept, source: Source):
        live_plan(source, wrong_value="strip")
        accept(identify(traits={"email": "anna", "city": "Graz"}))

        drain_all(NOW)

        assert stored() == [{"city": "Graz"}]
        assert [profile.traits for profile in Profile.objects.all()] == [{"city": "Graz"}]
        assert counted() == {("Identify", "wrong_value", "/email", "strip"): 1}

    def test_holds_the_traits_of_groups_against_their_own(self, accept, source: Source):
        document = plan_document(unknown_event="block", wrong_type="strip")
        document["group_traits"] = {"schema": {"properties": {"seats": {"type": "integer"}}}}
        live_plan(source, document)
        group = {"type": "group", "event": ..., "groupId": "g-1", "traits": {"seats": "many", "plan": "pro"}}
        accept(message(**group), message(type="alias", event=..., previousId="u-0"))

        drained = drain_all(NOW)

        assert drained.quarantined == 0
        assert {"plan": "pro"} in stored()
        assert counted() == {("Group", "wrong_type", "/seats", "strip"): 1}

    def test_is_asked_no_more_once_it_is_switched_off(self, accept, source: Source):
        live_plan(source, wrong_type="block")
        accept(order(revenue="x"))
        drain_all(NOW)

        operations.switch_off(source=source, now=NOW)
        accept(order(revenue="x"))

        assert drain_all(NOW).stored == 1

    def test_is_replaced_from_the_next_chunk_on(self, accept, source: Source):
        live_plan(source, wrong_type="block")
        accept(order(revenue="x"))
        first = drain_all(NOW)

        live_plan(source, wrong_type="flag")
        accept(order(revenue="x"))

        assert (first.quarantined, drain_all(NOW).stored) == (1, 1)


class TestCounts:
    def test_count_a_message_once_however_often_it_is_sent(self, accept, source: Source):
        live_plan(source, wrong_type="block")
        flagged, blocked = order(gift=1), order(revenue="x")
        accept(flagged, flagged, blocked, blocked)
        drain_all(NOW)

        accept(flagged, blocked)
        drain_all(NOW + DAY)

        assert sorted(counted().values()) == [1, 1]
        assert ViolationSample.objects.count() == 2

    def test_are_exact_over_many_messages(self, accept, source: Source):
        live_plan(source)
        for hour in range(3):
            accept(*(order(gift=n, revenue="x" if n % 2 else n) for n in range(50)), now=NOW + timedelta(hours=hour))

        drain_all(NOW + DAY, max_events=60)

        by_hour = queries.violations_by_hour(source=source, since=NOW)
        assert {(kind, total) for _, kind, total in by_hour} == {("unknown_property", 50), ("wrong_type", 25)}
        assert len(by_hour) == 6

    def test_keep_the_newest_messages_to_look_at(self, accept, source: Source):
        live_plan(source)
        for minute in range(3):
            sent = [order(gift=n) | {"messageId": f"{minute}-{n}"} for n in range(8)]
            accept(*sent, now=NOW + timedelta(minutes=minute))
            drain_all(NOW + DAY)

        samples = queries.samples(group=ViolationGroup.objects.get())

        assert len(samples) == violations.SAMPLES
        assert {one.message_id[0] for one in samples[:8]} == {"2"}
        assert samples[0].payload is not None
        assert (samples[0].text, set(samples[0].payload)) == ("gift not in the plan", {"order_id", "gift"})

    def test_show_what_was_blocked_as_it_was_sent(self, accept, source: Source):
        live_plan(source, wrong_type="block")
        accept(order(revenue="x") | {"messageId": "m-1"})
        drain_all(NOW)

        (sample,) = queries.samples(group=ViolationGroup.objects.get())

        assert (sample.quarantined, sample.message_id) == (True, "m-1")
        assert sample.payload is not None
        assert sample.payload["properties"]["revenue"] == "x"

    def test_of_names_made_up_by_the_million_count_together(
        self, accept, source: Source, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(violations, "MAX_GROUPS", 3)
        live_plan(source)
        accept(*(track(f"Order {n}") for n in range(20)))
        drain_all(NOW)
        accept(*(track(f"Order {n}") for n in range(30)))

        drain_all(NOW)

        assert sum(counted().values()) == 50
        assert counted()["(others)", "unknown_event", "", "flag"] == 44
        assert ViolationGroup.objects.count() == 4

    def test_are_forgotten_after_their_time(self, accept, source: Source):
        live_plan(source, wrong_type="block")
        accept(order(revenue="x"))
        drain_all(NOW)

        violations.forget_old(now=NOW + 90 * DAY, days=90)
        kept = ViolationGroup.objects.count()
        violations.forget_old(now=NOW + 91 * DAY, days=90)

        assert (kept, ViolationGroup.objects.count(), BlockedMessage.objects.count()) == (1, 0, 0)


class TestSamples:
    def test_show_no_addresses_to_those_who_may_not_see_people(self, accept, source: Source):
        live_plan(source, unknown_property="flag")
        accept(order(email="anna@example.com", gift=True))
        drain_all(NOW)
        group = ViolationGroup.objects.filter(path="/gift").get()
        pages = {}
        for role in ("analyst", "engineer"):
            client = Client()
            client.force_login(make_user(role))
            pages[role] = client.get(reverse("sources:plan_samples", args=[source.slug, group.pk])).content.decode()

        assert "anna@example.com" in pages["engineer"]
        assert "anna@example.com" not in pages["analyst"]
        assert "gift" in pages["analyst"]


class TestVisits:
    """A session's id is given to stored events; what comes in has none."""

    VISIT = {"page": {"path": "/"}}

    def view(self, number: int) -> dict[str, Any]:
        return track("Viewed", anonymousId="a-1", context=self.VISIT, properties={"sku": f"s-{number}", "price": 1.5})

    def test_fit_a_plan_that_was_inferred_from_visits(self, accept, source: Source):
        accept(*(self.view(number) for number in range(40)))
        drain_all(NOW)
        assert all("session_id" in properties for properties in stored() if "sku" in properties)
        operations.infer_draft(source=source, now=NOW + timedelta(minutes=1))
        operations.publish(source=source, now=NOW + timedelta(minutes=1))

        accept(self.view(41), now=NOW + timedelta(minutes=2))
        drain_all(NOW + timedelta(minutes=2))

        assert counted() == {}


class TestDemoPlan:
    def test_fits_what_visitors_send_of_products(self, accept, source: Source):
        operations.save_draft(source=source, document=WEBSITE_PLAN, now=NOW)
        operations.publish(source=source, now=NOW)
        product = Product("1", "Oat milk", "Milk", "Grocery", "National", 2.5).properties()
        in_cart = product | {"cart_id": "cart-1", "quantity": 2}
        accept(track("Product Viewed", properties=product), track("Product Added", properties=in_cart))

        drain_all(NOW)

        assert counted() == {}

    def test_speaks_up_when_the_old_app_forgets_a_field_and_writes_a_price_as_text(self, accept, source: Source):
        operations.save_draft(source=source, document=WEBSITE_PLAN, now=NOW)
        operations.publish(source=source, now=NOW)
        good = track("Product Viewed", messageId="good", properties={"product_id": "p", "price": 4.5}, context={})
        accept(good, off_the_plan({**good, "messageId": "bad"}))

        drain_all(NOW)

        assert sorted(stored(), key=str) == [
            {"price": "4.50", "product_id": "p"},
            {"price": 4.5, "product_id": "p"},
        ]
        assert counted() == {
            ("Product Viewed", "unknown_property", "/debug_trace", "strip"): 1,
            ("Product Viewed", "wrong_type", "/price", "flag"): 1,
        }
