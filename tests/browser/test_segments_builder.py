"""The builder in a browser: everything by clicking and by keyboard, and nothing lost on the way."""

import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Locator, Page, Route, expect

from cdp import pipeline
from consent.models import Purpose
from consent.operations import record_consent
from segments import computations
from segments.models import Segment
from segments.operations import create_segment
from tests.browser.conftest import NARROW, SCHEMES, WIDE, fits
from tests.factories.ingestion import identify, message, track

DAY = timedelta(days=1)
LAPSED = {
    "type": "all",
    "of": [
        {
            "type": "event",
            "event": "Order Completed",
            "measure": "sum",
            "op": "gt",
            "value": 500,
            "window": {"last": "30d"},
            "of": "revenue",
        },
        {
            "type": "event",
            "event": "Order Completed",
            "measure": "count",
            "op": "eq",
            "value": 0,
            "window": {"last": "7d"},
        },
    ],
}


@pytest.fixture
def shoppers(send) -> None:
    """Anna spent 600 ten days ago, Ben 700 yesterday, Cleo 20 ten days ago."""
    now = timezone.now()
    orders = (("Anna", 600, 10, "tea"), ("Ben", 700, 1, "tea"), ("Cleo", 20, 10, "milk"))
    for name, revenue, days, category in orders:
        user = name.lower()
        send(
            identify(userId=user, traits={"name": name, "email": f"{user}@example.org", "age": 30 + days}),
            track(
                "Order Completed",
                userId=user,
                timestamp=(now - days * DAY).isoformat(),
                properties={"revenue": revenue, "category": category},
            ),
        )


@pytest.fixture
def builder(log_in, shoppers) -> Page:
    page = log_in("marketer")
    page.goto("/segments/new/")
    return page


def conditions(page: Page) -> Locator:
    return page.locator(".condition")


def choose(page: Page, box: Locator, text: str, wanted: str) -> None:
    """Type into a combobox and click the suggestion."""
    box.click()
    box.press_sequentially(text)
    page.get_by_role("option", name=wanted).first.click()


def add_event(page: Page) -> Locator:
    place = conditions(page).count()
    page.get_by_role("button", name="Something they did").last.click()
    return conditions(page).nth(place)


def counted(page: Page, count: int) -> None:
    expect(page.locator('#preview[data-state="counted"]')).to_be_visible()
    expect(page.locator("[data-part=count]")).to_have_text(str(count))


def definition(page: Page) -> Any:
    return page.evaluate("document.querySelector('segment-builder').definition")


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


class TestUndo:
    def test_goes_back_and_forth_step_by_step(self, builder):
        page = builder
        page.locator("[data-template=frequent-buyers]").click()
        counted(page, 0)
        before = definition(page)
        value = conditions(page).get_by_label("Value")

        value.fill("1")
        counted(page, 3)
        value.press("Control+z")
        counted(page, 0)
        assert definition(page) == before
        page.keyboard.press("Control+Shift+z")
        counted(page, 3)
        page.get_by_label("Undo (Ctrl+Z)").click()
        page.get_by_label("Undo (Ctrl+Z)").click()

        expect(conditions(page)).to_have_count(0)
        expect(page.get_by_label("Undo (Ctrl+Z)")).to_be_disabled()
        expect(page.locator("#gallery")).to_be_visible()

    def test_leaves_the_name_alone(self, builder):
        page = builder
        add_event(page)
        page.get_by_label("Name", exact=True).fill("Mine")

        page.get_by_label("Name", exact=True).press("Control+z")

        expect(conditions(page)).to_have_count(1)


ODD: list[Any] = [
    {"type": "event", "event": "Order Completed"},
    {"type": "not", "of": {"type": "not", "of": {"type": "trait", "trait": "age", "op": "gt", "value": 1.5}}},
    {"type": "all", "of": [{"type": "any", "of": [{"type": "trait", "trait": "a.b", "op": "in", "value": [1, "1"]}]}]},
    {"type": "not", "of": {"type": "all", "of": [{"type": "segment", "segment": "x", "more": [None, {}]}]}},
    {
        "type": "event",
        "event": ["A", "B"],
        "measure": "last",
        "of": "products[].x",
        "op": "between",
        "value": [1, 2],
        "window": {"calendar": "this_week", "tz": "Europe/Vienna"},
        "where": [{"property": "p", "op": "anniversary_within", "value": "0d"}],
    },
    {"type": "event", "event": "A", "span": "1h", "window": {"after": "2026-01-01", "before": "2026-02-01T00:00:00Z"}},
]


class TestJsonView:
    @pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
    def test_loses_nothing_either_way(self, builder, odd):
        page = builder
        page.get_by_role("button", name="JSON").click()
        page.get_by_label("Definition as JSON").fill(json.dumps(odd))

        page.get_by_role("button", name="Builder", exact=True).click()
        expect(conditions(page).first).to_be_visible()
        page.get_by_role("button", name="JSON").click()

        assert json.loads(page.get_by_label("Definition as JSON").input_value()) == odd

    def test_shows_what_was_clicked_and_takes_what_is_typed(self, builder):
        page = builder
        page.locator("[data-template=lapsed-big-spenders]").click()
        page.get_by_role("button", name="JSON").click()
        area = page.get_by_label("Definition as JSON")
        assert [one["value"] for one in json.loads(area.input_value())["of"]] == [500, 0]

        area.fill(area.input_value().replace("500", "650"))
        counted(page, 0)
        page.get_by_role("button", name="Builder", exact=True).click()

        expect(conditions(page).first.get_by_label("Value")).to_have_value("650")

    def test_waits_for_json_that_can_be_read(self, builder):
        page = builder
        page.get_by_role("button", name="JSON").click()
        area = page.get_by_label("Definition as JSON")
        area.fill('{"type": "all", ')

        page.get_by_role("button", name="Builder", exact=True).click()

        expect(area).to_be_visible()
        expect(page.get_by_text("This is not JSON yet")).to_be_visible()

    def test_changes_only_what_is_clicked_of_a_condition_it_half_knows(self, builder):
        page = builder
        half = {"type": "event", "event": "Order Completed", "note": "by hand", "measure": "sum", "of": "revenue"}
        half |= {"op": "gt", "value": 1}
        page.get_by_role("button", name="JSON").click()
        page.get_by_label("Definition as JSON").fill(json.dumps(half))
        page.get_by_role("button", name="Builder", exact=True).click()

        conditions(page).get_by_label("Value").fill("2")

        assert definition(page) == half | {"value": 2}


class TestErrors:
    def test_stand_at_the_node_and_its_field(self, builder):
        page = builder
        bad = json.dumps(LAPSED).replace('"7d"', '"-7x"')
        page.get_by_role("button", name="JSON").click()
        page.get_by_label("Definition as JSON").fill(bad)
        expect(page.get_by_role("alert").filter(has_text="At /of/1/window/last")).to_be_visible()

        page.get_by_role("button", name="Builder", exact=True).click()

        first, second = conditions(page).first, conditions(page).last
        expect(second.get_by_role("alert")).to_contain_text("is no duration")
        expect(second.locator('[data-field="window/last"]')).to_have_class(re.compile("is-invalid"))
        expect(first.get_by_role("alert")).to_be_hidden()
        page.get_by_label("Name", exact=True).fill("Bad")
        page.get_by_role("button", name="Publish").first.click()
        assert not Segment.objects.exists()

        second.locator('[data-field="window/last"]').fill("7d")
        expect(second.get_by_role("alert")).to_be_hidden()
        counted(page, 1)

    def test_of_unfinished_conditions_show_when_saving(self, builder):
        page = builder
        condition = add_event(page)
        page.keyboard.press("Escape")
        expect(page.locator("[data-part=hint]")).to_contain_text("Fill in the conditions")
        expect(condition.get_by_role("alert")).to_be_hidden()

        page.get_by_role("button", name="Publish").first.click()

        expect(condition.get_by_role("alert")).to_contain_text("Fill in what is marked")
        expect(condition.get_by_role("combobox", name="Event")).to_be_focused()

    def test_of_a_missing_name_show_beside_it(self, builder):
        page = builder
        page.locator("[data-template=frequent-buyers]").click()
        page.get_by_label("Name", exact=True).fill(" ")

        page.get_by_role("button", name="Publish").first.click()

        expect(page.get_by_text("Give the segment a name.")).to_be_visible()
        expect(page.get_by_label("Name", exact=True)).to_be_focused()


class TestTypingAndClicking:
    """What redraws must not take: a click half done, a caret, a list that has just opened."""

    def test_a_click_right_after_typing_is_heard(self, builder):
        page = builder
        condition = add_event(page)
        condition.get_by_role("combobox", name="Event").press_sequentially("Order Completed")

        condition.get_by_label("Duplicate this condition").click()

        expect(conditions(page)).to_have_count(2)
        assert [one["event"] for one in definition(page)["of"]] == ["Order Completed"] * 2

    def test_suggestions_that_were_refused_are_asked_for_again(self, log_in, shoppers, complaints):
        page = log_in("marketer")
        refused: list[Route] = []
        complaints.expect("status of 503")

        def refuse_once(route: Route) -> None:
            if refused:
                route.continue_()
            else:
                refused.append(route)
                route.fulfill(status=503)

        page.route("**/builder/suggest/**", refuse_once)
        page.goto("/segments/new/")

        box = add_event(page).get_by_role("combobox", name="Event")
        choose(page, box, "order", "Order Completed")

        expect(box).to_have_value("Order Completed")
        assert refused

    def test_fields_of_one_condition_do_not_forget_each_other(self, builder):
        page = builder
        condition = add_event(page)
        condition.get_by_role("combobox", name="Event").press_sequentially("Order Completed")
        condition.get_by_label("Value").fill("3")
        condition.get_by_label("How long").fill("9")
        condition.get_by_label("Unit").select_option("weeks")

        [made] = definition(page)["of"]
        assert (made["event"], made["value"], made["window"]) == ("Order Completed", 3, {"last": "9w"})

    def test_enter_in_a_field_does_not_save(self, builder):
        page = builder
        page.locator("[data-template=frequent-buyers]").click()
        conditions(page).get_by_label("Value").fill("1")
        counted(page, 3)

        conditions(page).get_by_label("Value").press("Enter")
        page.wait_for_timeout(300)

        expect(page).to_have_url(re.compile("/segments/new/$"))
        assert not Segment.objects.exists()

    def test_an_answer_from_the_server_does_not_move_the_caret(self, builder):
        page = builder
        condition = add_event(page)
        event = condition.get_by_role("combobox", name="Event")
        event.press_sequentially("Order Comple", delay=60)
        page.wait_for_timeout(500)
        event.press_sequentially("ted", delay=60)

        assert definition(page)["of"][0]["event"] == "Order Completed"
        expect(event).to_be_focused()


class TestGuard:
    def heard(self, page: Page) -> list[str]:
        heard: list[str] = []

        def answer(dialog: Any) -> None:
            heard.append(dialog.type)
            dialog.accept()

        page.on("dialog", answer)
        return heard

    def test_asks_before_leaving_with_changes(self, builder):
        page = builder
        heard = self.heard(page)
        add_event(page)

        page.get_by_role("link", name="Cancel").click()

        page.wait_for_url("**/segments/")
        assert heard == ["beforeunload"]

    def test_lets_go_without_any(self, log_in, shoppers):
        create_segment(name="Buyers", definition=LAPSED, now=timezone.now())
        page = log_in("marketer")
        heard = self.heard(page)
        page.goto("/segments/buyers/edit/")
        counted(page, 1)
        conditions(page).first.get_by_label("Value").fill("501")
        page.keyboard.press("Control+z")

        page.get_by_role("link", name="Cancel").click()

        page.wait_for_url("**/segments/buyers/")
        assert heard == []


class TestLook:
    @pytest.mark.parametrize("scheme", SCHEMES)
    @pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
    def test_fits_the_window(self, log_in, shoppers, viewport, scheme, screenshot: Callable[[Page, str], Any]):
        page = log_in("marketer", viewport=viewport, color_scheme=scheme)
        page.goto("/segments/new/?template=lapsed-big-spenders")
        counted(page, 1)
        page.get_by_role("button", name="Group", exact=True).click()
        page.keyboard.press("Escape")

        assert fits(page)
        screenshot(page, f"builder-{viewport['width']}-{scheme}")
