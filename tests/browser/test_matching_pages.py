"""Matching in the browser: how it is doing, what it compares, and a version of its model."""

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from identity.candidates import jobs, operations, versions, warnings
from identity.candidates.models import MatchModel
from tests.browser.conftest import NARROW, WIDE, fits
from tests.factories.ingestion import NOW
from tests.integration.test_matching_runs import people, work
from tests.integration.test_matching_turns import match


@pytest.fixture
def matched(send, monkeypatch) -> MatchModel:
    """People, some of them twice; a draft of a model; a value that too many share."""
    for module in (versions, jobs):
        monkeypatch.setattr(module, "ESTIMATE_FROM", 60)
    send(*people(60))
    match()
    versions.estimate(actor=None, now=NOW)
    work()
    warnings.note(warnings.SHARED_VALUE, {("phone", "+442079460000"): 412}, now=NOW)
    return MatchModel.objects.get()


def test_a_draft_is_previewed_and_switched_on(log_in, matched, screenshot):
    page = log_in("engineer")
    page.goto(reverse("matching:status"))
    expect(page.get_by_text("in 412 profiles")).to_be_visible()
    screenshot(page, "matching")
    page.set_viewport_size(NARROW)
    screenshot(page, "matching-narrow")
    assert fits(page)
    page.set_viewport_size(WIDE)

    page.get_by_role("link", name=f"Version {matched.pk}").click()
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("Begins in a moment")).to_be_visible()
    work()
    expect(page.get_by_text("Merges gained")).to_be_visible()
    screenshot(page, "matching-model")

    page.get_by_role("button", name="Switch on…").click()
    page.get_by_role("dialog").get_by_role("button", name="Switch on").click()
    expect(page.get_by_role("heading", name=f"Version {matched.pk} Live")).to_be_visible()


def test_what_is_compared_is_confirmed(log_in, matched, screenshot):
    page = log_in("engineer")
    page.goto(reverse("matching:settings"))
    screenshot(page, "matching-settings")
    page.set_viewport_size(NARROW)
    screenshot(page, "matching-settings-narrow")
    assert fits(page)

    page.get_by_label("surname is compared as").select_option("ignore")
    page.get_by_role("button", name="Confirm").click()

    expect(page.get_by_label("surname is compared as")).to_have_value("ignore")
    assert operations.load_settings().fields
