"""A manual segment in a browser: from a list to members, by hand, and taken back. R: D7"""

from django.utils import timezone
from playwright.sync_api import Page, expect

from cdp import pipeline
from segments import computations
from tests.browser.conftest import NARROW, fits
from tests.factories.ingestion import identify


def compute() -> None:
    for segment_id in computations.waiting(now=timezone.now()):
        pipeline.recompute(segment_id=segment_id, now=timezone.now())
    while pipeline.evaluate(now=timezone.now()).claimed:
        pass


class TestManualSegments:
    def test_a_list_is_uploaded_looked_at_applied_and_taken_back(self, log_in, send, screenshot):
        send(*(identify(userId=n, traits={"name": n, "email": f"{n.lower()}@example.org"}) for n in ("Anna", "Ben")))
        page: Page = log_in("marketer", viewport=NARROW)
        page.goto("/segments/manual/")
        page.get_by_label("Name", exact=True).fill("Guests")
        body = b"Mail;Note\nANNA@example.org;front row\nnobody@example.org;\n"
        page.get_by_label("A list of people").set_input_files(
            {"name": "guests.csv", "mimeType": "text/csv", "buffer": body}
        )
        screenshot(page, "manual-new")
        page.get_by_role("button", name="Create").click()

        expect(page.get_by_role("combobox", name="Mail")).to_have_value("email")
        screenshot(page, "manual-columns")
        page.get_by_role("button", name="Look them up").click()
        expect(page.locator("li", has_text="Unknown").locator(".num")).to_have_text("1")
        expect(page.get_by_role("link", name="Anna")).to_be_visible()
        screenshot(page, "manual-counts")
        assert fits(page)
        page.get_by_role("button", name="Apply to").click()
        expect(page.get_by_text("1 put in, 0 taken out")).to_be_visible()
        compute()

        page.get_by_role("link", name="See the segment").click()
        expect(page.locator("#members")).to_contain_text("Anna")
        page.locator("#given-q").fill("Ben")
        page.get_by_role("button", name="Put Ben in").click()
        expect(page.get_by_text("Ben is put in.")).to_be_visible()
        compute()
        page.reload()
        expect(page.locator("#members")).to_contain_text("Ben")
        screenshot(page, "manual-segment")
        assert fits(page)

        page.get_by_role("link", name="guests.csv").click()
        page.get_by_role("button", name="Take it back").click()
        compute()
        page.goto("/segments/guests/")
        expect(page.locator("#members")).not_to_contain_text("Anna")
