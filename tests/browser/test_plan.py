"""A tracking plan in a browser: from traffic to a live plan, and the first violation."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from ingestion.models import Source
from ingestion.plans import queries, trial
from ingestion.plans.models import PlanTrial
from tests.browser.conftest import NARROW, WIDE, fits
from tests.factories.ingestion import identify, track
from tests.factories.plans import live_plan, plan_document


def order(number: int, **properties: Any) -> dict[str, Any]:
    base = {
        "order_id": f"o-{number}",
        "revenue": 10.5 + number,
        "currency": "EUR" if number % 2 else "USD",
        "products": [{"sku": f"s-{number}", "quantity": number % 3}],
    }
    moment = timezone.now() - timedelta(hours=1, minutes=number)
    return track("Order Completed", userId=f"u-{number}", properties=base | properties, timestamp=moment.isoformat())


@pytest.fixture
def traffic(send) -> None:
    send(*(order(number) for number in range(60)), track("Cart Viewed"), identify(traits={"city": "Graz"}))


def finish_trial() -> None:
    """What a worker does; there is none in tests."""
    found = PlanTrial.objects.get(state="running")
    while trial.continue_trial(trial_id=found.pk, clock=timezone.now):
        pass


def row(page: Page, name: str) -> Any:
    return page.locator(f'.prop[data-path$="/properties/{name}"]').first


class TestPlan:
    def test_is_inferred_edited_tried_published_and_violated(self, log_in, traffic, shop, send, screenshot):
        page = log_in("engineer")
        page.goto("/sources/shop/plan/")
        screenshot(page, "plan-empty-1280")

        page.get_by_role("button", name="Infer from traffic").click()
        expect(page.get_by_text("Looked at 62 of 62 events of 3 kinds")).to_be_visible()
        expect(page.locator(".plan-event[data-event='Order Completed']")).to_contain_text("4")
        page.locator(".plan-event[data-event='Order Completed']").click()
        screenshot(page, "plan-inferred-1280")

        row(page, "currency").get_by_role("button", name="Details of currency").click()
        expect(row(page, "currency").get_by_label("Allowed values")).to_have_value("EUR\nUSD")
        row(page, "revenue").get_by_role("button", name="Details of revenue").click()
        row(page, "revenue").get_by_role("button", name="Make these the limits").click()
        expect(row(page, "revenue").get_by_label("Least")).to_have_value("10.5")
        row(page, "revenue").get_by_label("Most").fill("60")
        page.get_by_role("button", name="Add property").first.click()
        row(page, "new_property").get_by_label("Name of the property").fill("gift")
        row(page, "new_property").get_by_label("Name of the property").press("Tab")
        row(page, "gift").get_by_label("Type of gift").select_option("boolean")
        page.locator("#action-wrong_type-plan").select_option("block")
        screenshot(page, "plan-edited-1280")

        page.get_by_role("button", name="Try it").click()
        page.get_by_role("button", name="Try it on the last 7 days").click()
        expect(page.get_by_role("progressbar")).to_be_visible()
        screenshot(page, "plan-trying-1280")
        finish_trial()
        expect(page.get_by_role("heading", name="Would have blocked 0 of 62 events")).to_be_visible()
        expect(page.get_by_text("is more than 60").first).to_be_visible()
        page.get_by_text("is more than 60").first.click()
        expect(page.get_by_text('"order_id"').first).to_be_visible()
        screenshot(page, "plan-tried-1280")

        page.get_by_role("link", name="Publish…").click()
        expect(page.get_by_text("it would have blocked 0 of 62 events")).to_be_visible()
        screenshot(page, "plan-publish-1280")
        page.get_by_label("Note").fill("First plan")
        page.get_by_role("button", name="Publish", exact=True).click()
        expect(page.get_by_text("Version 1", exact=True)).to_be_visible()

        send(order(99, revenue="much"))
        page.get_by_role("link", name="Violations", exact=True).click()
        page.get_by_text("Order Completed: revenue").click()
        expect(page.get_by_text("revenue is text, expected a number")).to_be_visible()
        expect(page.get_by_text('"revenue": "much"')).to_be_visible()
        screenshot(page, "plan-violations-1280")
        page.get_by_role("button", name="Allow this").click()
        expect(page.get_by_text("The draft allows this now")).to_be_visible()

        source = Source.objects.get()
        live, draft = queries.live(source=source), queries.draft(source=source)
        assert live is not None
        assert draft is not None
        schema = live.document["events"]["Order Completed"]["schema"]
        assert schema["properties"]["gift"] == {"type": "boolean"}
        assert schema["properties"]["revenue"]["maximum"] == 60
        assert draft.document["events"]["Order Completed"]["schema"]["properties"]["revenue"]["type"] == [
            "number",
            "string",
        ]

    def test_goes_from_form_to_json_and_back_without_loss(self, log_in, shop):
        document = plan_document(wrong_type="block")
        schema = document["events"]["Order Completed"]["schema"]
        schema["properties"]["odd"] = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/n"}]}
        schema["$defs"] = {"n": {"type": "number"}}
        live_plan(shop[0], document)
        page = log_in("engineer")
        page.goto("/sources/shop/plan/")

        row(page, "order_id").get_by_label("Required").uncheck()
        page.get_by_role("button", name="JSON").click()
        shown = json.loads(page.get_by_label("The plan as JSON").input_value())
        page.get_by_role("button", name="Form").click()
        row(page, "order_id").get_by_label("Required").check()
        page.get_by_role("button", name="JSON").click()
        again = page.get_by_label("The plan as JSON").input_value()

        assert "required" not in shown["events"]["Order Completed"]["schema"]
        kept = json.loads(again)
        assert kept == document
        assert list(kept["events"]["Order Completed"]["schema"]["properties"]) == list(schema["properties"])

    def test_shows_where_json_is_wrong(self, log_in, shop, complaints):
        live_plan(shop[0])
        complaints.expect("422")
        page = log_in("engineer")
        page.goto("/sources/shop/plan/")
        page.get_by_role("button", name="JSON").click()
        area = page.get_by_label("The plan as JSON")

        area.fill(area.input_value().replace('"minimum": 0', '"minimum": "none"'))
        page.get_by_role("button", name="Save draft").click()

        expect(page.get_by_role("alert")).to_contain_text("/events/Order Completed/schema/properties/revenue/minimum")
        chosen = area.evaluate("area => area.value.slice(area.selectionStart, area.selectionEnd)")
        assert chosen.strip() == '"minimum": "none"'
        area.fill("{")
        page.get_by_role("button", name="Form").click()
        expect(page.get_by_role("alert")).to_contain_text("This is not JSON")

    def test_is_only_shown_to_those_who_may_not_change_it(self, log_in, shop):
        live_plan(shop[0])
        page = log_in("marketer")

        page.goto("/sources/shop/plan/")

        expect(page.get_by_label("Name of the event")).to_be_disabled()
        expect(page.get_by_role("button", name="Save draft")).to_have_count(0)

    @pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["1280", "390"])
    def test_fits_every_screen(self, log_in, shop, send, screenshot, viewport):
        live_plan(shop[0])
        live_plan(shop[0], plan_document(wrong_type="block", unknown_property="strip"))
        send(order(1), order(2, gift=True), order(3, revenue="x"), track("Typo"))
        page = log_in("engineer", viewport=viewport, color_scheme="dark" if viewport == NARROW else "light")

        for name in ("", "violations/", "try/", "versions/"):
            page.goto(f"/sources/shop/plan/{name}")
            page.wait_for_load_state("networkidle")
            if not name:
                row(page, "products").get_by_role("button", name=re.compile("Details of products")).click()
            screenshot(page, f"plan-{name.strip('/') or 'edit'}-{viewport['width']}")
            assert fits(page), name
