"""From a bad message in the live view to the same message, mended and stored, by clicks."""

import re
from collections.abc import Callable
from typing import Any

from django.utils import timezone
from playwright.sync_api import Page, expect

from cdp import pipeline
from segments.operations import create_segment
from tests.browser.conftest import NARROW, fits
from tests.factories.ingestion import message, track
from tests.integration.conftest import rows

# What sticks out of the window.
WIDEST = """[...document.querySelectorAll("body *")]
  .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
  .map((one) => one.tagName + "." + one.className).slice(0, 8).join(" ")"""


def replay_all() -> None:
    while pipeline.replay(now=timezone.now()):
        pass


class TestGoodMessage:
    def test_tells_which_segments_its_person_entered(
        self, log_in: Callable[..., Page], send: Callable[..., None], screenshot: Callable[..., Any]
    ):
        buyers = {"type": "event", "event": "Bought", "measure": "count", "op": "gte", "value": 1}
        segment = create_segment(name="Buyers", definition=buyers, now=timezone.now())
        pipeline.recompute(segment_id=segment.pk, now=timezone.now())
        send(track("Bought", userId="anna"))
        pipeline.evaluate(now=timezone.now())
        page = log_in("engineer")
        page.goto("/sources/shop/live/")

        page.locator("#live-rows summary").first.click()

        expect(page.locator(".live-detail dd", has_text="Entered Buyers")).to_be_visible()
        screenshot(page, "live-followed")


class TestBadMessage:
    def test_is_seen_live_mended_and_stored(
        self, log_in: Callable[..., Page], send: Callable[..., None], screenshot: Callable[..., Any], complaints: Any
    ):
        page = log_in("engineer")
        page.goto("/sources/shop/live/")
        expect(page.get_by_text("Nothing to see yet")).to_be_visible()
        bad = [message(event=..., eventName="Seen", messageId=f"bad-{n}", userId=f"u-{n}") for n in range(3)]
        send(track("Bought", userId="anna", properties={"revenue": 5}), *bad)

        rows_shown = page.locator("#live-rows .live-row")
        expect(rows_shown).to_have_count(4)
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        expect(page.locator("details[open] pre")).to_be_visible()
        screenshot(page, "live")
        page.keyboard.press(" ")
        page.locator("#live-text").fill("bad-1")
        expect(rows_shown).to_have_count(1)

        page.get_by_role("link", name="Quarantine", exact=True).click()
        screenshot(page, "quarantine")
        page.get_by_role("link", name="track").click()
        step = page.locator(".fix-step").first
        step.get_by_label("What to do").select_option("rename")
        step.get_by_label("Path of the field").fill("/eventName")
        step.get_by_label("New name").fill("event")
        page.get_by_role("button", name="Try it on real messages").click()
        expect(page.locator("#preview")).to_contain_text("3 of 3")
        screenshot(page, "reason")
        page.get_by_role("button", name="Replay 3 with it").click()
        expect(page.locator("#replay")).to_contain_text("0 of 3")
        replay_all()
        expect(page.locator("#replay")).to_contain_text("3 stored")
        screenshot(page, "replay")

        assert rows("SELECT count(*) FROM event") == [(4,)]
        page.goto("/sources/why/?q=bad-1")
        expect(page.get_by_text("Stored as event")).to_be_visible()
        screenshot(page, "why")

    def test_fits_a_telephone(self, log_in: Callable[..., Page], send: Callable[..., None], screenshot: Any):
        page = log_in("engineer", viewport=NARROW)
        send(track("Bought", userId="anna"), message(event=..., messageId="bad"))

        for name, address in (("live", "live/"), ("quarantine", "quarantine/"), ("search", "quarantine/?text=bad")):
            page.goto(f"/sources/shop/{address}")
            screenshot(page, f"{name}-narrow")
            assert fits(page), page.evaluate(WIDEST)
        page.goto("/sources/shop/quarantine/")
        page.get_by_role("link", name="track").click()
        expect(page.get_by_role("heading", level=2, name="Messages per hour")).to_be_visible()
        assert fits(page)
        screenshot(page, "reason-narrow")
        page.locator(".held summary").first.click()
        page.get_by_role("link", name="Look closer").click()
        expect(page).to_have_title(re.compile(r"^Message \d+"))
        assert fits(page)
        screenshot(page, "message-narrow")
