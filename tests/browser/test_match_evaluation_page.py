"""The evaluation room as an engineer uses it: start, follow, look, open a mistake, upload what is known."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.utils import timezone
from playwright.sync_api import Page, expect

from identity.candidates import jobs
from identity.evaluation import operations
from ingestion.models import Source
from tests.browser.conftest import NARROW, fits
from tests.factories.evaluation import make_label, make_people

PAGE = "/identity/evaluation/"


def work() -> None:
    while jobs.work(clock=timezone.now, others=operations.JOBS):
        pass


def make_evaluated() -> None:
    people = make_people(60, twice=20)
    for number in range(18):
        make_label(people[number], people[60 + number], same=True, blind=number % 2 == 0)
        make_label(people[number], people[number + 24], same=False)
    make_label(people[4], people[21], same=True)
    make_label(people[19], people[79], same=False)
    operations.evaluate_profiles(model=None, actor=None, now=timezone.now())
    work()


class TestEvaluation:
    def test_is_started_followed_and_read(
        self, log_in: Callable[..., Page], shop: tuple[Source, str], screenshot: Callable[..., Any], tmp_path: Path
    ):
        page = log_in("engineer")
        page.goto(PAGE)
        expect(page.get_by_text("Nothing was evaluated yet")).to_be_visible()
        screenshot(page, "evaluation-empty")
        make_evaluated()

        page.get_by_role("button", name="Evaluate…").click()
        page.get_by_role("button", name="Evaluate", exact=True).click()
        expect(page.get_by_text("Waiting for a worker")).to_be_visible()
        screenshot(page, "evaluation-waiting")
        work()

        expect(page.get_by_text("Waiting for a worker")).to_have_count(0, timeout=10_000)
        expect(page.locator("[data-chart][data-drawn]")).to_have_count(4)
        missed = page.get_by_role("region", name="Left apart")
        missed.locator("summary").first.click()
        expect(missed.get_by_text("likely one person")).to_be_visible()
        screenshot(page, "evaluation")

        known = tmp_path / "known.csv"
        known.write_text("user_id,truth\np-0,a\np-0-again,a\np-1,b\nnobody,c\n")
        page.get_by_role("button", name="Labelled file…").click()
        page.get_by_label("CSV file").set_input_files(known)
        page.get_by_role("button", name="Upload and evaluate").click()
        expect(page.get_by_text("Evaluating known.csv…")).to_be_visible()
        work()
        page.goto(PAGE)
        page.get_by_role("link", name="known.csv").click()
        expect(page.get_by_role("heading", name="People whose ids lead to several profiles")).to_be_visible()
        screenshot(page, "evaluation-file")

    def test_fits_a_telephone_in_the_dark(
        self, log_in: Callable[..., Page], shop: tuple[Source, str], screenshot: Callable[..., Any]
    ):
        make_evaluated()
        page = log_in("analyst", viewport=NARROW, color_scheme="dark")

        page.goto(PAGE)

        expect(page.locator("[data-chart][data-drawn]")).to_have_count(4)
        screenshot(page, "evaluation-narrow")
        assert fits(page)
