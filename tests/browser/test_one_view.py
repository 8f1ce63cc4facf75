"""One view of a customer: what each source says, every value there was, how it came together; the export. R: C4, C5"""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from cdp import pipeline
from cdp.demo.drain import drain_all
from cdp.kernel.access.models import AuditEntry
from identity import queries as identities
from identity.candidates.models import Candidate, MatchRecord
from identity.duplicates.operations import report_duplicates
from identity.models import ProfileIdentifier
from identity.survivorship import disputes
from identity.survivorship.models import PolicyRun
from ingestion import operations
from ingestion.models import Source
from tests.browser.conftest import NARROW, SCHEMES, WIDE, fits
from tests.factories.ingestion import batch_body, identify


def say(source: Source, *messages: dict[str, Any]) -> None:
    operations.accept(
        source_id=source.pk,
        kind="batch",
        events=len(messages),
        body=batch_body(list(messages)),
        remote_addr="127.0.0.1",
        now=timezone.now(),
    )
    drain_all(clock=timezone.now)


@pytest.fixture
def anna(shop: tuple[Source, str]) -> int:
    """Somebody whom two sources know, under two user ids and on many browsers; returns the profile's id."""
    web = shop[0]
    crm, _ = operations.create_source(slug="crm", name="CRM", now=timezone.now())
    early, later = "2026-02-01T10:00:00Z", "2026-02-20T10:00:00Z"
    traits = {"firstName": "Anna", "lastName": "Smith", "email": "anna@example.org", "city": "Rome", "plan": "free"}
    say(
        web,
        identify(userId="u-1", timestamp=early, traits=traits | {"address": {"city": "Rome", "postcode": "00184"}}),
    )
    say(crm, identify(userId="u-1", timestamp=later, traits={"city": "Oslo"}))
    say(web, *(identify(userId="u-1", anonymousId=f"browser-{n}", timestamp=early, traits={}) for n in range(2)))
    say(
        web,
        identify(userId=None, anonymousId="phone-app-7", timestamp="2026-02-10T10:00:00Z", traits={"plan": "trial"}),
    )
    say(web, identify(userId="u-1", anonymousId="phone-app-7", timestamp=later, traits={"plan": "pro"}))
    found = identities.lookup(kind="user_id", value="u-1")
    assert found is not None
    return found


Shots = Callable[[Page, str], Any]


class TestProfile:
    def test_is_read_at_a_glance_and_in_depth(self, log_in: Any, anna: int, screenshot: Shots):
        page = log_in("marketer")
        page.goto(f"/profiles/{anna}/")
        expect(page.get_by_role("heading", name="Anna Smith")).to_be_visible()
        expect(page.get_by_role("link", name="sources disagree")).to_be_visible()
        screenshot(page, "view-overview")

        page.get_by_role("link", name=re.compile("^Traits")).last.click()
        expect(page.get_by_text("Sources disagree about city.")).to_be_visible()
        page.get_by_role("button", name="History of plan").click()
        expect(page.get_by_role("heading", name="Every value of plan")).to_be_visible()
        expect(page.locator(".past-value")).to_have_text(["pro", "trial", "free"])
        screenshot(page, "view-traits")

        page.get_by_role("link", name=re.compile("^Identifiers")).last.click()
        expect(page.get_by_role("row", name=re.compile("phone-app-7"))).to_be_visible()
        screenshot(page, "view-identifiers")

        page.get_by_role("link", name="How it came together").click()
        expect(page.locator("[data-graph][data-drawn]")).to_be_visible()
        expect(page.get_by_role("heading", name="2 profiles that turned out to be one person")).to_be_visible()
        expect(page.get_by_role("row", name=re.compile("met in a message"))).to_be_visible()
        page.wait_for_timeout(1_500)  # the picture comes to rest
        screenshot(page, "view-graph")

    @pytest.mark.parametrize("scheme", SCHEMES)
    def test_fits_a_telephone(self, log_in: Any, anna: int, screenshot: Shots, scheme: str):
        page = log_in("marketer", viewport=NARROW, color_scheme=scheme)
        for part in ("", "traits/", "identifiers/", "graph/"):
            page.goto(f"/profiles/{anna}/{part}")
            if part == "graph/":
                expect(page.locator("[data-graph][data-drawn]")).to_be_visible()
                page.wait_for_timeout(800)
            screenshot(page, f"view-{part.strip('/') or 'overview'}-390-{scheme}")
            assert fits(page)

    def test_stays_usable_with_hundreds_of_identifiers(self, log_in: Any, anna: int, screenshot: Shots):
        web = Source.objects.get(slug="shop")
        ProfileIdentifier.objects.bulk_create(
            ProfileIdentifier(
                profile_id=anna, kind=kind, value=f"{kind}-{n}", first_seen_at=timezone.now(), source_id=web.pk
            )
            for kind, count in (("anonymous_id", 400), ("device_id", 30))
            for n in range(count)
        )
        page = log_in("marketer", color_scheme="dark")
        page.goto(f"/profiles/{anna}/graph/")
        expect(page.locator("[data-graph][data-drawn]")).to_be_visible()
        page.wait_for_timeout(1_500)
        screenshot(page, "view-graph-many")

        page.goto(f"/profiles/{anna}/")
        page.get_by_role("link", name="400 more of anonymous_id").click()
        page.get_by_role("link", name=re.compile("^device_id")).click()
        expect(page.locator("tbody tr")).to_have_count(30)

    def test_hides_personal_data_in_every_part(self, log_in: Any, anna: int):
        page = log_in("analyst")
        for part in ("", "traits/", "identifiers/", "graph/"):
            page.goto(f"/profiles/{anna}/{part}")
            assert "anna@example.org" not in page.content()


class TestPolicy:
    @pytest.mark.parametrize(("viewport", "scheme"), [(WIDE, "light"), (NARROW, "dark")], ids=["wide", "narrow"])
    def test_is_tried_and_changed(
        self, log_in: Any, anna: int, screenshot: Shots, viewport: dict[str, int], scheme: str
    ):
        disputes.start_scan(now=timezone.now())
        while disputes.take_step(now=timezone.now()):
            pass
        name = f"{viewport['width']}-{scheme}"
        page = log_in("engineer", viewport=viewport, color_scheme=scheme)
        page.goto("/traits/")
        screenshot(page, f"traits-{name}")
        page.get_by_role("link", name="Disagreements").click()
        expect(page.get_by_text("1 of 1 people")).to_be_visible()
        screenshot(page, f"traits-disputes-{name}")
        page.get_by_role("link", name="The newest counts: change").click()

        page.get_by_role("button", name="Move Shop up").click()
        page.get_by_role("button", name="Preview the change").click()
        expect(page.locator("#run-progress")).to_be_visible()
        finish(PolicyRun.objects.get())
        expect(page.get_by_text("1 of 1 person would have another value.")).to_be_visible()
        screenshot(page, f"traits-preview-{name}")
        page.get_by_role("button", name="Change to this rule").click()
        expect(page.get_by_text("city now goes by: by source.")).to_be_visible()
        finish(PolicyRun.objects.get(kind="apply"))
        expect(page.get_by_text("1 of 1 person has another value.")).to_be_visible()

        page.goto(f"/profiles/{anna}/traits/")
        row = page.get_by_role("row", name=re.compile("^city"))
        expect(row.locator(".trait-value")).to_have_text("Rome")
        expect(row.get_by_role("link", name="By source")).to_be_visible()
        assert fits(page)

    def test_is_only_read_by_a_marketer(self, log_in: Any, anna: int):
        page = log_in("marketer")
        page.goto("/traits/policy/?trait=city")

        expect(page.get_by_text("Engineers and privacy officers may change this.")).to_be_visible()
        expect(page.get_by_role("button", name="Preview the change")).to_have_count(0)


def finish(run: PolicyRun) -> None:
    while pipeline.decide_traits(run_id=run.pk, now=timezone.now()):
        pass


class TestExport:
    def test_is_chosen_downloaded_and_noted(self, log_in: Any, anna: int, screenshot: Shots):
        page = log_in("marketer")
        page.goto("/profiles/")
        page.get_by_role("button", name="Export identifiers").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        screenshot(page, "view-export")
        page.get_by_label("email").check()
        with page.expect_download() as download:
            page.get_by_role("button", name="Download").click()

        text = download.value.path().read_text()
        assert text.splitlines()[0] == "kind,value,source,profile_id,first_seen_at,last_seen_at"
        assert [line.split(",")[:4] for line in text.splitlines()[1:]] == [
            ["email", "anna@example.org", "shop", str(anna)]
        ]
        assert AuditEntry.objects.get().details == {"format": "csv", "kinds": ["email"]}


class TestDuplicates:
    @pytest.mark.parametrize(("viewport", "scheme"), [(WIDE, "dark"), (NARROW, "light")], ids=["wide", "narrow"])
    def test_are_counted_and_shown(
        self, log_in: Any, anna: int, screenshot: Shots, viewport: dict[str, int], scheme: str
    ):
        told = {"given_name": ["Anna"], "surname": ["Smith"], "city": ["Rome"]}
        for number in (anna, anna + 1_000):
            MatchRecord.objects.create(profile_id=number, origin_id=number + 5_000, record=json.dumps(told))
        evidence = {"fields": [{"field": "surname", "level": "the same", "weight": 6.0}]}
        for number, probability in enumerate((0.55, 0.85, 0.97, 0.97, 0.995)):
            Candidate.objects.create(
                one_id=anna, other_id=anna + number + 1, score=3, probability=probability, evidence=evidence,
                found_at=timezone.now(), updated_at=timezone.now(),
            )  # fmt: skip
        report_duplicates(now=timezone.now())
        page = log_in("engineer", viewport=viewport, color_scheme=scheme)

        page.goto("/profiles/")
        page.get_by_role("link", name="Duplicates").click()

        expect(page.get_by_role("heading", name="What those that wait have in common")).to_be_visible()
        expect(page.locator("[data-chart][data-drawn]")).to_be_visible()
        screenshot(page, f"duplicates-{viewport['width']}-{scheme}")
        assert fits(page)
