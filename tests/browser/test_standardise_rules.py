"""Making a rule from a suggestion, with its preview, and seeing it act."""

from playwright.sync_api import expect

from tests.browser.conftest import NARROW, fits
from tests.factories.ingestion import identify, track
from tests.integration.conftest import rows


class TestStandardise:
    def test_a_suggestion_becomes_a_rule_that_acts(self, log_in, send, screenshot):
        send(
            *(
                track("Order Completed", properties={"total": total, "sex": sex, "shipping": {"country": country}})
                for total, sex, country in (
                    ("1.234,50 €", "m", "Germany"),
                    ("12,00 €", "w", "FRA"),
                    ("7,5", "Frau", "at"),
                )
            ),
            identify(traits={"email": "Anna@Example.org", "birthday": "31.12.1990", "newsletter": "ja"}),
            identify(traits={"email": "bob@example.org", "birthday": "1.2.1985", "newsletter": "nein"}),
        )
        page = log_in("engineer")
        page.goto("/sources/shop/standardise/")
        screenshot(page, "standardise-suggestions")

        page.get_by_label("Look at a rule for shipping.country").click()
        expect(page.locator("#preview")).to_contain_text("Germany")
        expect(page.locator("#preview")).to_contain_text("DE")
        screenshot(page, "standardise-editor")
        page.wait_for_load_state("networkidle")
        page.get_by_role("button", name="Save").click()
        expect(page.locator("#rules")).to_contain_text("shipping.country")

        send(track("Order Completed", messageId="later", properties={"shipping": {"country": "Austria"}}))
        found = rows("SELECT properties->'shipping'->>'country' FROM event")
        assert ("AT",) in found

    def test_the_kind_brings_its_options_and_a_table_its_values(self, log_in, send, screenshot):
        send(*(track("Signed Up", properties={"sex": sex}) for sex in ("m", "m", "w", "Herr")))
        page = log_in("engineer")
        page.goto("/sources/shop/standardise/new/")

        page.get_by_label("Field", exact=True).fill("sex")
        expect(page.locator("#preview")).to_contain_text("cannot be read")
        page.get_by_label("What to do").select_option("mapping")
        page.get_by_label("m stands for").fill("male")
        page.get_by_label("w stands for").fill("female")
        expect(page.locator("#preview")).to_contain_text("female")
        screenshot(page, "standardise-table")
        page.wait_for_load_state("networkidle")
        page.get_by_role("button", name="Save").click()
        expect(page.locator("#rules")).to_contain_text("2 values")

        page.get_by_label("Delete the rule for sex").click()
        page.get_by_role("button", name="Undo").click()
        expect(page.get_by_label("Delete the rule for sex")).to_be_visible()
        page.get_by_label("Switch the rule for sex off").click()
        expect(page.get_by_label("Switch the rule for sex on")).to_be_visible()

    def test_fits_a_phone(self, log_in, send, screenshot):
        send(
            track("Paid", properties={"total": "1.234,50 €", "products": [{"price": "1,50"}]}),
            identify(traits={"email": "Anna@Example.org"}),
        )
        page = log_in("engineer", viewport=NARROW)

        page.goto("/sources/shop/standardise/")
        assert fits(page)
        screenshot(page, "standardise-narrow")
        page.goto("/sources/shop/standardise/new/?field=total&kind=money")
        expect(page.locator("#preview")).to_contain_text("1234.5")
        assert fits(page)
        screenshot(page, "standardise-editor-narrow")
