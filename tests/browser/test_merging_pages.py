"""Merge two profiles by hand after a look at what follows, and take it back."""

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

import segments.operations
from cdp import pipeline
from identity import queries
from tests.browser.conftest import NARROW, WIDE, NewPage, fits
from tests.factories.ingestion import identify, track

BOUGHT_TWICE: dict[str, Any] = {
    "type": "event", "event": "Order Completed", "measure": "count", "op": "gte", "value": 2,
}  # fmt: skip


@pytest.fixture
def two(send: Callable[..., None]) -> tuple[int, int]:
    send(
        identify(userId="u-1", traits={"name": "Ann Lee", "city": "Rome", "email": "ann@example.org"}),
        track("Order Completed", userId="u-1", properties={"total": 20}),
    )
    send(
        identify(userId=..., anonymousId="b-1", traits={"name": "Anne Lee", "city": "Oslo", "plan": "pro"}),
        track("Order Completed", userId=..., anonymousId="b-1", properties={"total": 30}),
    )
    now = timezone.now()
    made = segments.operations.create_segment(slug="twice", name="Bought twice", definition=BOUGHT_TWICE, now=now)
    segments.operations.recompute(segment_id=made.pk, now=now)
    found = queries.lookup(kind="user_id", value="u-1"), queries.lookup(kind="anonymous_id", value="b-1")
    assert found[0] is not None
    assert found[1] is not None
    return found[0], found[1]


class TestMerging:
    @pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
    def test_by_hand_with_a_look_at_what_follows_and_back(
        self,
        log_in: NewPage,
        two: tuple[int, int],
        screenshot: Callable[[Page, str], None],
        viewport: dict[str, int],
    ):
        width = viewport["width"]
        page = log_in("engineer", viewport=viewport)
        page.goto(f"/profiles/{two[0]}/merges/")
        expect(page.get_by_text("Nothing was merged")).to_be_visible()
        page.get_by_role("link", name="Merge with another").click()
        page.get_by_label("Name, identifier or profile number").fill("anne")
        page.keyboard.press("Enter")
        page.get_by_role("link", name="Compare with Anne Lee").click()

        expect(page.get_by_role("row", name="Bought twice")).to_contain_text("enters")
        expect(page.get_by_role("row", name="city")).to_contain_text("differs")
        assert fits(page)
        screenshot(page, f"merge-{width}")

        page.get_by_label("Why").fill("She told us on the phone.")
        page.get_by_role("button", name="Merge them", exact=True).click()
        expect(page.get_by_text("She told us on the phone.")).to_be_visible()
        pipeline.evaluate(now=timezone.now())
        assert fits(page)
        screenshot(page, f"merges-{width}")

        page.get_by_role("link", name="Take back").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Take back this merge?")
        expect(page.get_by_role("row", name="Bought twice")).to_contain_text("leaves")
        assert fits(page)
        screenshot(page, f"undo-{width}")

        page.get_by_role("button", name="Take it back").click()
        expect(page.get_by_text("Never one person")).to_be_visible()
        screenshot(page, f"undone-{width}")
        assert queries.canonical_id(two[1]) == two[1]

        page.get_by_role("link", name="Split").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Split this profile")
        screenshot(page, f"split-{width}")
        assert fits(page)
