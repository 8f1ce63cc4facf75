"""Uncertain pairs, answered by keyboard and by thumb; thresholds; blind labelling."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.utils import timezone
from playwright.sync_api import Page, expect

from identity.candidates import jobs
from identity.candidates.models import Candidate, MatchingSettings
from identity.review import blind
from identity.review.models import Draw
from ingestion.models import Source
from tests.browser.conftest import NARROW, fits
from tests.factories.access import make_user
from tests.factories.candidates import make_pair, make_scored
from tests.factories.segments import ensure_months, make_event


def states() -> list[str]:
    return list(Candidate.objects.order_by("-value").values_list("state", flat=True))


class TestPairs:
    def test_are_answered_by_keyboard(
        self, log_in: Callable[..., Page], shop: tuple[Source, str], screenshot: Callable[..., Any]
    ):
        pairs = [make_pair(number, value=9 - number) for number in range(4)]
        page = log_in("engineer")
        page.goto("/identity/review/")
        expect(page.locator("[data-line]")).to_have_count(4)
        screenshot(page, "queue")

        page.get_by_role("link", name="Review one at a time").click()
        expect(page.locator(f'[data-pair="{pairs[0].pk}"]')).to_be_visible()
        expect(page.locator(".waterfall[data-drawn]")).to_be_visible()
        expect(page.locator("tr.compare-differs").first).to_contain_text("email")
        page.keyboard.press("m")
        expect(page.locator("#merge-preview")).to_contain_text("stays")
        screenshot(page, "pair")
        page.keyboard.press("a")
        expect(page.locator(f'[data-pair="{pairs[1].pk}"]')).to_be_visible()
        page.keyboard.press("r")
        expect(page.locator(f'[data-pair="{pairs[2].pk}"]')).to_be_visible()
        expect(page.locator(".notice").last).to_contain_text("Different people")
        assert states() == ["accepted", "rejected", "waiting", "waiting"]

        page.keyboard.press("u")
        expect(page.locator(f'[data-pair="{pairs[1].pk}"]')).to_be_visible()
        page.keyboard.press("u")
        expect(page.locator(f'[data-pair="{pairs[0].pk}"]')).to_be_visible()
        assert states() == ["waiting"] * 4
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_contain_text("never ask again")

    def test_fit_a_telephone(self, log_in: Callable[..., Page], shop: tuple[Source, str], screenshot: Any):
        pair = make_pair()
        now = timezone.now()
        ensure_months((now - timedelta(days=1)).date(), now.date())
        for number in range(3):
            make_event(pair.one_id, "Product Viewed", now - timedelta(hours=number), {"name": "Oat milk"})
        page = log_in("engineer", viewport=NARROW, color_scheme="dark")
        for name in ("", f"{pair.pk}/", "bulk/?least=60", "thresholds/", "blind/", "decisions/", "clusters/"):
            page.goto(f"/identity/review/{name}")
            screenshot(page, f"{name.split('/')[0] or 'queue'}-narrow")
            assert fits(page), name


class TestThresholds:
    def test_say_what_they_change_before_they_are_saved(
        self, log_in: Callable[..., Page], shop: tuple[Source, str], screenshot: Callable[..., Any]
    ):
        user = make_user("engineer")
        make_scored(60)
        blind.draw(actor=user, now=timezone.now(), a_stratum=12, seed=1)
        for draw in Draw.objects.order_by("pk"):
            answer = "same" if draw.pk % 100 < draw.probability * 100 else "different"
            blind.judge(draw_id=draw.pk, answer=answer, actor=user, now=timezone.now())
        page = log_in(user=user)
        page.goto("/identity/review/thresholds/")
        expect(page.locator(".threshold-chart[data-drawn]")).to_be_visible()
        page.get_by_label("Merge from").fill("95")
        page.get_by_label("Merge from").blur()
        expect(page.locator("#effect")).to_contain_text("95% and above")
        page.wait_for_timeout(600)
        screenshot(page, "thresholds")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("Saved.")).to_be_visible()
        assert MatchingSettings.objects.get().accept_above == 0.95


class TestBlindLabelling:
    def test_hides_the_score_and_takes_keys(
        self, log_in: Callable[..., Page], shop: tuple[Source, str], screenshot: Callable[..., Any]
    ):
        make_scored(20)
        page = log_in("engineer")
        page.goto("/identity/review/blind/")
        page.get_by_role("button", name="Draw a sample").click()
        expect(page.locator("main [data-pair]")).to_be_visible()
        expect(page.get_by_text("likely one person")).to_have_count(0)
        screenshot(page, "blind")
        first = page.locator("main [data-pair]").get_attribute("data-pair")
        page.keyboard.press("a")
        expect(page.locator(f'main [data-pair="{first}"]')).to_have_count(0)
        page.keyboard.press("u")
        expect(page.locator("main [data-pair]")).to_be_visible()


class TestBulk:
    def test_shows_what_it_would_do_and_how_far_it_is(
        self, log_in: Callable[..., Page], shop: tuple[Source, str], screenshot: Callable[..., Any]
    ):
        for number in range(2):
            make_pair(number, probability=0.99)
        page = log_in("engineer")
        page.goto("/identity/review/bulk/?least=90")
        expect(page.get_by_text("2 pairs of 4 profiles would be merged")).to_be_visible()
        page.get_by_role("button", name="Accept 2 pairs").click()
        page.get_by_role("button", name="Merge them").click()
        expect(page.get_by_text("Waiting for a worker")).to_be_visible()
        while jobs.work(clock=timezone.now):
            pass

        expect(page.get_by_text("2 merged by it")).to_be_visible()
        screenshot(page, "batch")
        page.get_by_role("button", name="Take the whole batch back").click()
        page.get_by_role("button", name="Take it back").click()
        while jobs.work(clock=timezone.now):
            pass
        expect(page.get_by_text("2 taken back")).to_be_visible()
        assert states() == ["waiting", "waiting"]
