"""The data dictionary: describing in place, searching, and what it hides."""

from playwright.sync_api import expect

from ingestion.quality.fold import fold_samples
from ingestion.quality.observe import forget_samples
from tests.browser.conftest import NARROW, fits
from tests.factories.ingestion import identify, track


class TestDictionary:
    def test_an_entry_is_described_in_place_and_found_again(self, log_in, send, screenshot):
        forget_samples()
        send(
            identify(traits={"email": "anna@example.org", "firstName": "Anna", "plan": "pro"}),
            track("Order Completed", properties={"total": 12.5, "coupon": "A", "products": [{"sku": "a"}]}),
            track("Order Completed", properties={"total": "12"}),
        )
        fold_samples()
        page = log_in("engineer")
        page.goto("/dictionary/")
        screenshot(page, "dictionary")

        page.get_by_label("Edit total of Order Completed").click()
        expect(page.get_by_label("What it means")).to_be_focused()
        screenshot(page, "dictionary-edit")
        page.get_by_label("What it means").fill("What the customer paid, with tax")
        page.get_by_label("Who looks after it").fill("Shop team")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("What the customer paid, with tax")).to_be_visible()

        page.get_by_label("Find by name, description or owner").fill("shop team")
        expect(page.locator("#dictionary tbody tr")).to_have_count(1)

        narrow = log_in("analyst", viewport=NARROW)
        narrow.goto("/dictionary/")
        assert fits(narrow)
        screenshot(narrow, "dictionary-narrow")
        expect(narrow.get_by_role("button", name="Edit", exact=False)).to_have_count(0)
        narrow.goto("/profiles/")
        expect(narrow.locator("main")).not_to_contain_text("anna@example.org")
