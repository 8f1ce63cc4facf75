"""Building segments in a browser: everything by clicking, by dragging and by keyboard."""

import re

from django.utils import timezone
from playwright.sync_api import Locator, Page, expect

from cdp import pipeline
from consent.models import Purpose
from consent.operations import record_consent
from segments import computations
from segments.models import Segment
from segments.operations import create_segment
from tests.browser.building import LAPSED, add_event, choose, conditions, counted, definition
from tests.factories.ingestion import message


def drag(grip: Locator, target: Locator, *, x: int, y: int) -> None:
    """Two moves over the target: by the first of them a browser only notices that something is dragged."""
    mouse = grip.page.mouse
    grip.hover()
    mouse.down()
    for _ in range(2):
        target.hover(position={"x": x, "y": y})
    expect(grip.page.locator(".drop-before, .drop-after, .drop-into")).to_be_visible()
    mouse.up()
    expect(grip.page.locator(".is-dragged")).to_have_count(0)


def compute() -> None:
    for segment_id in computations.waiting(now=timezone.now()):
        pipeline.recompute(segment_id=segment_id, now=timezone.now())


def build_lapsed(page: Page) -> None:
    spent = add_event(page)
    choose(page, spent.get_by_role("combobox", name="Event"), "order", "Order Completed")
    spent.get_by_label("Measure").select_option("total of")
    choose(page, spent.get_by_role("combobox", name="Property"), "rev", "revenue")
    spent.get_by_label("Operator").select_option("is more than")
    spent.get_by_label("Value").fill("500")
    counted(page, 2)
    silent = add_event(page)
    silent.get_by_label("Done or not done").select_option("Has not done")
    choose(page, silent.get_by_role("combobox", name="Event"), "order", "Order Completed")
    silent.get_by_label("How long").fill("7")


class TestBuildByClicking:
    def test_counts_saves_and_goes_live_with_its_members(self, builder):
        page = builder

        build_lapsed(page)

        counted(page, 1)
        assert definition(page) == LAPSED
        expect(page.locator("[data-part=sentence]")).to_contain_text("did not do Order Completed in the last 7 days")
        expect(page.locator(".funnel li strong")).to_have_text(["2", "1"])
        expect(page.locator(".sample a")).to_have_attribute("href", re.compile(r"^/profiles/\d+/$"))
        expect(page.locator(".sample")).to_contain_text("Anna")
        expect(page.locator("[data-insight=trend]")).to_contain_text("Exact, at the end of each day")
        expect(page.locator("[data-insight=trend] [data-drawn]")).to_be_visible()

        page.get_by_label("Name", exact=True).fill("Lapsed big spenders")
        page.get_by_role("button", name="Publish").first.click()

        expect(page.get_by_text("Computing who is in")).to_be_visible()
        compute()
        expect(page.get_by_role("heading", name="Members 1")).to_be_visible(timeout=30_000)
        expect(page.locator("#members")).to_contain_text("anna@example.org")
        expect(page.locator("#feed")).to_contain_text("Anna entered")
        assert Segment.objects.get().definition == LAPSED

    def test_says_what_happened_in_order_and_what_did_not(self, builder, screenshot):
        page = builder
        page.get_by_role("button", name="Things in order").click()
        steps = conditions(page).last.get_by_role("listitem")
        choose(page, steps.nth(0).get_by_role("combobox", name="Event"), "order", "Order Completed")
        steps.nth(0).get_by_label("When").select_option("at any time")
        choose(page, steps.nth(1).get_by_role("combobox", name="Event"), "order", "Order Completed")
        steps.nth(1).get_by_label("How long").fill("10")
        steps.nth(1).get_by_role("button", name="with the same…").click()
        choose(page, steps.nth(1).get_by_role("combobox", name="The same"), "rev", "revenue")
        expect(page.locator("[data-part=sentence]")).to_contain_text(
            "Did Order Completed, then not Order Completed with the same revenue within 10 minutes"
        )
        expect(page.locator('#preview[data-state="counted"]')).to_be_visible()
        page.get_by_role("button", name="and then…").click()
        choose(page, steps.nth(2).get_by_role("combobox", name="Event"), "order", "Order Completed")
        screenshot(page, "sequence")
        steps.nth(2).get_by_label("Remove this step").click()

        not_again = {"event": "Order Completed", "absent": True, "within": "10m", "same": "revenue"}
        expect(steps).to_have_count(2)
        assert definition(page)["of"] == [{"type": "sequence", "steps": [{"event": "Order Completed"}, not_again]}]

    def test_asks_for_a_stretch_and_for_members_of_another_segment(self, builder, screenshot):
        create_segment(
            slug="buyers", name="Buyers", definition={"type": "event", "event": "Order Completed"}, now=timezone.now()
        )
        page = builder
        often = add_event(page)
        choose(page, often.get_by_role("combobox", name="Event"), "order", "Order Completed")
        often.get_by_role("button", name="all within some hour").click()
        page.get_by_role("button", name="A segment").click()
        choose(page, conditions(page).last.get_by_role("combobox", name="Segment"), "buy", "buyers")

        expect(page.locator("[data-part=sentence]")).to_contain_text("within 1 hour")
        expect(page.locator("[data-part=sentence]")).to_contain_text("is in the segment buyers")
        screenshot(page, "span-segment")
        assert definition(page)["of"][0]["span"] == "1h"
        assert definition(page)["of"][1] == {"type": "segment", "segment": "buyers"}

    def test_asks_for_accounts_and_for_consent(self, log_in, shoppers, send, screenshot):
        Purpose.objects.create(slug="newsletter", name="Newsletter", kind=Purpose.Kind.ACTIVATION)
        for user, plan in (("anna", "enterprise"), ("ben", "free")):
            send(message(type="group", event=..., userId=user, groupId=plan, traits={"plan": plan}))
        for user in ("anna", "ben"):
            record_consent(subjects=[("user_id", user)], purpose="newsletter", state="granted", method="form",
                           happened_at=timezone.now(), now=timezone.now())  # fmt: skip
        pipeline.evaluate(now=timezone.now())
        page = log_in("marketer")
        page.goto("/segments/new/")

        page.get_by_role("button", name="Their account").click()
        account = conditions(page).last
        choose(page, account.get_by_role("combobox", name="Account trait"), "pl", "plan")
        choose(page, account.get_by_role("combobox", name="Value"), "ent", "enterprise")
        counted(page, 1)
        page.get_by_role("button", name="Their consent").click()
        consent = conditions(page).last
        choose(page, consent.get_by_role("combobox", name="Purpose"), "news", "newsletter")

        counted(page, 1)
        expect(page.locator("[data-part=sentence]")).to_contain_text(
            "Plan of an account is “enterprise” and has agreed to newsletter"
        )
        screenshot(page, "account-consent")
        consent.get_by_label("Consent").select_option("have refused")
        counted(page, 0)
        assert definition(page)["of"] == [
            {"type": "account", "trait": "plan", "op": "eq", "value": "enterprise"},
            {"type": "consent", "purpose": "newsletter", "state": "denied"},
        ]

    def test_takes_values_from_the_data_and_keeps_their_types(self, builder):
        page = builder
        page.get_by_role("button", name="Something about them").click()
        trait = conditions(page).last
        choose(page, trait.get_by_role("combobox", name="Trait"), "ag", "age")
        trait.get_by_label("Operator").select_option("is one of")
        trait.get_by_role("combobox", name="Add a value").click()
        page.get_by_role("option", name="31").click()
        counted(page, 1)
        trait.get_by_role("combobox", name="Add a value").fill("40")
        trait.get_by_role("combobox", name="Add a value").press("Enter")

        counted(page, 3)
        assert definition(page)["of"] == [{"type": "trait", "trait": "age", "op": "in", "value": [31, 40]}]

        page.get_by_label("Remove 40").click()
        counted(page, 1)

    def test_filters_on_properties(self, builder):
        page = builder
        bought = add_event(page)
        choose(page, bought.get_by_role("combobox", name="Event"), "", "Order Completed")
        bought.get_by_role("button", name="only where…").click()
        choose(page, bought.get_by_role("combobox", name="Property"), "cat", "category")
        choose(page, bought.get_by_role("combobox", name="Value"), "mi", "milk")

        counted(page, 1)
        assert definition(page)["of"][0]["where"] == [{"property": "category", "op": "eq", "value": "milk"}]

    def test_nests_moves_duplicates_and_removes(self, builder):
        page = builder
        first = add_event(page)
        choose(page, first.get_by_role("combobox", name="Event"), "", "Order Completed")
        page.get_by_role("button", name="Group", exact=True).click()
        group = page.get_by_role("group", name="Group: at least one of these is true")
        choose(page, group.get_by_role("combobox", name="Event"), "", "Order Completed")
        group.get_by_label("How these combine").select_option("none of these is true")
        counted(page, 0)
        expect(page.locator("[data-part=hint]")).to_contain_text("Nobody matches")

        first.get_by_role("combobox", name="Event").press("Alt+ArrowDown")
        inner = {**LAPSED["of"][1], "op": "gte", "value": 1, "window": {"last": "30d"}}
        assert definition(page)["of"] == [{"type": "not", "of": {"type": "any", "of": [inner, inner]}}]
        expect(conditions(page).first.get_by_role("combobox", name="Event")).to_be_focused()

        conditions(page).first.get_by_label("Duplicate this condition").click()
        expect(conditions(page)).to_have_count(3)
        page.get_by_label("Remove this group").click()
        expect(conditions(page)).to_have_count(0)
        page.keyboard.press("Control+z")
        expect(conditions(page)).to_have_count(3)

    def test_drags_conditions_between_groups_and_folds_these(self, builder, screenshot):
        page = builder
        one, two, three = ({"type": "trait", "trait": "city", "op": "eq", "value": city} for city in ("A", "B", "C"))
        inner = {"type": "any", "of": [two, three]}
        page.evaluate(
            "(it) => document.querySelector('segment-builder').load(it)", {"type": "all", "of": [one, inner]}
        )
        group = page.get_by_role("group", name="Group: at least one of these is true")

        drag(conditions(page).first.locator(".grip"), conditions(page).nth(2), x=60, y=40)
        assert definition(page)["of"] == [{"type": "any", "of": [two, three, one]}]
        page.keyboard.press("Control+z")
        assert definition(page)["of"] == [one, inner]
        drag(group.locator(".grip").first, conditions(page).first, x=60, y=4)
        assert definition(page)["of"] == [inner, one]

        counted(page, 0)  # the answer to what was dragged takes away what was wrong before
        group.get_by_label("Fold this group").click()
        expect(conditions(page)).to_have_count(1)
        expect(group.get_by_role("button", name="2 conditions")).to_be_visible()
        screenshot(page, "builder-folded")
        page.locator("segment-builder").evaluate(
            "it => it.showError({path: '/of/0/of/1/value', message: 'Not this.'})"
        )
        expect(conditions(page)).to_have_count(3)
        expect(page.get_by_text("Not this.")).to_be_visible()

    def test_by_keyboard_alone(self, builder):
        page = builder
        page.get_by_role("button", name="Something they did").focus()

        page.keyboard.press("Enter")
        page.keyboard.type("ord")
        expect(page.get_by_role("option", name="Order Completed")).to_be_visible()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        counted(page, 3)
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        expect(conditions(page).get_by_label("Value")).to_be_focused()
        page.keyboard.type("2")

        counted(page, 0)
