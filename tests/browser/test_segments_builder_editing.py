"""Editing in the builder: nothing is lost on the way, and what is wrong is said where it is."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, Route, expect

from segments.models import Segment
from segments.operations import create_segment
from tests.browser.building import LAPSED, add_event, choose, conditions, counted, definition
from tests.browser.conftest import NARROW, SCHEMES, WIDE, fits


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
