"""Computed traits in a browser: from the gallery over the editor's preview to the page, and on the profile."""

from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from segments.computed import passes
from segments.computed.models import ComputedTrait
from segments.computed.operations import create_computed
from tests.browser.conftest import NARROW, fits
from tests.factories.ingestion import identify, track


@pytest.fixture
def shoppers(send) -> None:
    now = timezone.now()
    people = ("Anna", "Ben", "Cleo", "Dora", "Emil")
    send(
        *(identify(userId=name, traits={"name": name}) for name in people),
        *(
            track(
                "Order Completed",
                userId=name,
                timestamp=(now - timedelta(days=5 * place, hours=1)).isoformat(),
                properties={"revenue": 40 * (place + 1), "products": [{"category": "tea"}]},
            )
            for place, name in enumerate(people)
        ),
    )


def compute() -> None:
    for trait in ComputedTrait.objects.filter(state="computing"):
        while passes.take_step(trait_id=trait.pk, now=timezone.now()):
            pass


class TestComputedTraits:
    def test_one_is_taken_from_the_gallery_tried_saved_and_seen_on_a_profile(self, log_in, shoppers, screenshot):
        page: Page = log_in("marketer")
        page.goto("/computed-traits/")
        expect(page.get_by_role("link", name="RFM scores")).to_be_visible()
        screenshot(page, "computed-empty")

        page.get_by_role("link", name="Total spend", exact=False).first.click()
        preview = page.locator("#computed-preview")
        expect(preview).to_contain_text("5 of 5 asked")
        expect(page.locator("#id_tiers")).to_be_hidden()
        page.get_by_label("Over").select_option("7d")
        expect(preview).to_contain_text("2 of 5 asked")
        screenshot(page, "computed-editor")
        page.get_by_role("button", name="Save and compute").click()

        expect(page.get_by_role("heading", name="Total spend", level=1)).to_be_visible()
        compute()
        page.reload()
        expect(page.locator("#holders-title + *, .computed-people").first).to_be_visible()
        expect(page.get_by_text("2 people have it")).to_be_visible()
        page.get_by_role("link", name="Anna").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("Anna")
        page.goto(f"{page.url}traits/")
        row = page.locator("tbody", has=page.get_by_text("total_spend"))
        expect(row).to_contain_text("computed")
        screenshot(page, "computed-profile")

    def test_scores_tell_what_they_take_and_fit_a_small_screen(self, log_in, shoppers, screenshot):
        now = timezone.now()
        create_computed(name="rfm", definition={"kind": "rfm", "event": "Order Completed", "of": "revenue"}, now=now)
        compute()
        page: Page = log_in("marketer", viewport=NARROW)

        for place, address in enumerate(("/computed-traits/", "/computed-traits/rfm/", "/computed-traits/rfm/edit/")):
            page.goto(address)
            expect(page.get_by_role("heading", level=1)).to_be_visible()
            page.wait_for_load_state("networkidle")
            screenshot(page, f"computed-narrow-{place}")
            assert fits(page), address
        page.goto("/computed-traits/rfm/")
        expect(page.get_by_role("rowheader", name="Recency: since the newest")).to_be_visible()
        wide: Page = log_in("marketer", color_scheme="dark")
        wide.goto("/computed-traits/rfm/")
        wide.wait_for_load_state("networkidle")
        screenshot(wide, "computed-rfm-dark")
