"""From the score of a source to a rule, to a decision about a value; and from a deviation to whoever is told of it."""

from collections.abc import Callable
from typing import Any

from django.utils import timezone
from playwright.sync_api import expect

from ingestion.models import Source
from ingestion.quality import scans, score, watch
from ingestion.quality.fold import fold_samples
from ingestion.quality.models import FlaggedValue, ValueRule
from tests.browser.conftest import NARROW
from tests.factories.ingestion import identify, track


def orders(*totals: float) -> list[dict[str, Any]]:
    return [
        track(
            "Order Completed",
            userId=f"u-{number % 7}",
            properties={
                "total": total,
                "currency": "EUR" if number % 3 else "USD",
                "coupon": "SPRING" if number % 4 else None,
            },
        )
        for number, total in enumerate(totals)
    ]


class TestQuality:
    def test_is_the_open_tab_on_a_narrow_screen_too(self, log_in: Callable[..., Any], shop: tuple[Source, str]):
        page = log_in("engineer", viewport=NARROW)

        page.goto("/sources/shop/quality/")

        expect(page.locator(".source-tabs [aria-current=page]")).to_be_in_viewport(ratio=1)

    def test_from_the_score_to_a_rule_to_a_decision(
        self, log_in: Callable[..., Any], send: Callable[..., None], shop: tuple[Source, str], screenshot: Any
    ):
        send(*orders(*(20 + number % 30 for number in range(60))), *(track("Product Viewed") for _ in range(30)))
        send(identify(traits={"plan": "pro", "city": "Rome"}), {"type": "nonsense"})
        fold_samples()
        score.save_score(source=shop[0], now=timezone.now())
        page = log_in("engineer")

        page.goto("/sources/")
        page.get_by_role("link", name="· Excellent").click()
        expect(page.get_by_role("heading", name="Quality score")).to_be_visible()
        expect(page.get_by_text("of the messages were refused or broke a value rule")).to_be_visible()
        expect(page.get_by_role("row", name="total")).to_contain_text("20 – 49")
        screenshot(page, "quality")

        page.get_by_role("link", name="Rules").click()
        page.get_by_role("link", name="Use the suggestion for total of Order Completed").click()
        expect(page.locator("#id_high")).to_have_value("49")
        screenshot(page, "quality-rules")
        page.get_by_role("button", name="Save the rule").click()
        expect(page.get_by_text("is checked from the next events on")).to_be_visible()

        send(*orders(45, 5_000))
        page.get_by_label("Quality").get_by_role("link", name="Review").click()
        expect(page.get_by_text("above 49")).to_be_visible()
        screenshot(page, "quality-review")
        page.get_by_role("button", name="Always fine").click()
        expect(page.get_by_text("Such values are fine from now on")).to_be_visible()
        assert ValueRule.objects.get().high == 5_000
        assert FlaggedValue.objects.get().state == "fine"

        scans.scan_duplicates(now=timezone.now())
        page.get_by_role("link", name="Integrity").click()
        expect(page.get_by_text("everything adds up")).to_be_visible()
        screenshot(page, "quality-integrity")

    def test_alerts_are_told_and_set(
        self, log_in: Callable[..., Any], send: Callable[..., None], shop: tuple[Source, str], screenshot: Any
    ):
        page = log_in("engineer")
        page.goto("/alerts/")
        page.get_by_role("link", name="Add an e-mail address or a webhook.").click()
        page.locator("#id_name").fill("Data team")
        page.get_by_label("Recipients").fill("data@example.org")
        page.get_by_role("button", name="Add the channel").click()
        expect(page.get_by_text("is told from the next alert on")).to_be_visible()
        screenshot(page, "alert-channels")

        send(*({"type": "nonsense"} for _ in range(30)))
        watch.watch(now=timezone.now())
        page.get_by_role("link", name="History").click()
        page.get_by_role("link", name="Bad messages").click()
        expect(page.get_by_text("30 of 30 (100.0%)")).to_be_visible()
        page.get_by_role("button", name="I have seen it").click()
        expect(page.get_by_text("Seen by")).to_be_visible()
        screenshot(page, "alert")
        page.get_by_role("link", name="Rules", exact=True).click()
        screenshot(page, "alert-rules")

        narrow = log_in("marketer", viewport=NARROW)
        narrow.goto("/sources/shop/quality/")
        expect(narrow.get_by_text("The quality score").or_(narrow.get_by_text("Quality score"))).to_be_visible()
        assert narrow.evaluate("document.documentElement.scrollWidth") <= 390
