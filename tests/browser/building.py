"""What tests of the segment builder click, type and read there."""

from typing import Any

from playwright.sync_api import Locator, Page, expect

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
