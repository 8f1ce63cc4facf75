"""Sessions in the browser: on a profile's timeline, on the tab of a source, in its settings. R: A2, A6"""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from cdp import pipeline
from identity import queries as identities
from tests.browser.conftest import NARROW, WIDE, fits
from tests.factories.ingestion import track
from tests.integration.test_session_screens import IPHONE

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
)
REFERRERS = ("", "https://www.google.com/", "https://www.facebook.com/", "https://blog.example.org/")


def story() -> list[dict[str, Any]]:
    """Thirty visits of ten people, within the fourteen days the tab counts at any hour; the last is under way."""
    now = timezone.now()
    told = []
    for visit in range(30):
        began = now - timedelta(hours=10 * visit, minutes=3)
        for step in range(1 + visit % 5):
            page = {"path": f"/p/{step}", "url": f"https://shop.example/p/{step}", "referrer": REFERRERS[visit % 4]}
            told.append(
                track(
                    ("Product Viewed", "Product Added")[step % 2],
                    userId=...,
                    anonymousId=f"a-{visit % 10}",
                    timestamp=(began + timedelta(seconds=35 * step)).isoformat(),
                    properties={"name": "Oat milk", "price": 2.5},
                    context={"page": page, "userAgent": (IPHONE, CHROME, CHROME)[visit % 3]},
                )
            )
    return told


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["1280", "390"])
def test_sessions_are_seen_on_profile_tab_and_settings(send, log_in, screenshot, viewport):
    send(*story())
    while pipeline.end_sessions(now=timezone.now()):
        pass
    visitor = identities.lookup(kind="anonymous_id", value="a-4")
    page = log_in("engineer", "marketer", viewport=viewport)
    size = viewport["width"]

    page.goto(f"/profiles/{visitor}/")
    heading = page.locator(".story-session").last
    expect(heading).to_contain_text("Session")
    heading.locator("summary").click()
    expect(heading.locator(".props")).to_contain_text("landing_page")
    screenshot(page, f"session-timeline-{size}")
    assert fits(page)

    page.goto("/sources/shop/sessions/")
    expect(page.locator(".stat").first).to_contain_text("30")
    expect(page.locator("[data-chart] canvas, [data-chart] svg").first).to_be_visible()
    screenshot(page, f"session-tab-{size}")
    assert fits(page)

    page.goto("/sources/shop/settings/")
    page.get_by_label("Minutes without an event that end a session").fill("20")
    screenshot(page, f"session-settings-{size}")
    assert fits(page)
    page.locator("form:has([name='sessions-mode'])").get_by_role("button", name="Save").click()
    expect(page.get_by_text("Sessions: saved.")).to_be_visible()
