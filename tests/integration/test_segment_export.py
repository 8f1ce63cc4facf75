"""Members with the columns that somebody chose, taken out as a file, and who moved. R: D7, D8, G4"""

import csv
import io
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from cdp.kernel.access.models import AuditEntry
from consent.contracts import State
from identity.models import Identifier, ProfileIdentifier
from segments.insight import export
from segments.models import Segment, SegmentVersion, Transition
from tests.factories import segments as make
from tests.factories.access import make_user
from tests.factories.consent import PurposeFactory, choose
from tests.integration.test_segment_api import client
from tests.integration.test_segment_insight import NOW, URL, segment_of

pytestmark = pytest.mark.django_db


def person(name: str, **traits: Any) -> int:
    """With an e-mail address made from the name."""
    email = f"{name.lower()}@example.org"
    id_ = make.make_profile({"name": name, **traits})
    Identifier.objects.create(kind="email", value=email, profile_id=id_)
    ProfileIdentifier.objects.create(
        kind="email", value=email, profile_id=id_, first_seen_at=make.LONG_AGO, source_id=1
    )
    return id_


@pytest.fixture
def people() -> dict[str, int]:
    """Anna agreed, Ben refused, Cleo was never asked."""
    ids = {
        "Anna": person("Anna", country="DE", spent=12.5, tags=["a", "b"]),
        "Ben": person("Ben", country="=1+1", spent=3),
        "Cleo": person("Cleo"),
    }
    segment_of("some", ids.values())
    purpose = PurposeFactory(slug="marketing", name="Marketing")
    choose(purpose, State.GRANTED, ("email", "anna@example.org"))
    choose(purpose, State.DENIED, ("email", "ben@example.org"))
    return ids


def read(response: Any) -> list[list[str]]:
    assert response.status_code == 200, response.content
    return list(csv.reader(io.StringIO(b"".join(response.streaming_content).decode())))


def exported(**query: str) -> Any:
    return client("segments:read", "profiles:read", "pii:read").get(f"{URL}some/export/", query)


class TestExport:
    def test_leaves_out_who_does_not_allow_the_purpose_and_tells_the_audit_trail(self, people: dict[str, int]) -> None:
        lines = read(exported(purpose="marketing", columns="identifiers.email,traits.tags[],entered_at"))

        assert lines == [
            ["profile", "identifiers.email", "traits.tags[]", "entered_at"],
            [str(people["Anna"]), "anna@example.org", "a; b", NOW.isoformat()],
        ]
        done, began = AuditEntry.objects.order_by("-id")[:2]
        assert (began.action, began.details["purpose"], began.details["members"]) == (export.ACTION, "marketing", 3)
        assert done.action == export.DONE
        assert done.details == {"segment": "some", "written": 1, "left_out": 2}

    def test_for_analysis_needs_a_reason_and_takes_everybody(self, people: dict[str, int]) -> None:
        lines = read(exported(purpose="none", reason="Spending by country", columns="traits.country,traits.spent"))

        assert sorted(lines[1:]) == sorted(
            [
                [str(people["Anna"]), "DE", "12.5"],
                [str(people["Ben"]), "'=1+1", "3"],  # no formula for a spreadsheet
                [str(people["Cleo"]), "", ""],
            ]
        )
        assert AuditEntry.objects.get(action=export.ACTION).details["reason"] == "Spending by country"

    @pytest.mark.parametrize(
        ("query", "code", "path"),
        [
            ({}, "purpose_missing", "/purpose"),
            ({"purpose": "none"}, "reason_missing", "/reason"),
            ({"purpose": "zzz"}, "unknown_purpose", "/purpose"),
            ({"purpose": "none", "reason": "a good one", "columns": "shoe"}, "unknown_column", "/columns"),
            ({"purpose": "none", "reason": "a good one", "columns": "traits.a..b"}, "unknown_column", "/columns"),
        ],
    )
    def test_refuses(self, people: dict[str, int], query: dict[str, str], code: str, path: str) -> None:
        answer = exported(**query)

        assert answer.status_code == 400
        assert (answer.json()["code"], answer.json()["path"]) == (code, path)
        assert not AuditEntry.objects.exists()

    @pytest.mark.parametrize("scopes", [("segments:read",), ("segments:read", "profiles:read")])
    def test_needs_the_scopes_for_people_in_clear(self, people: dict[str, int], scopes: tuple[str, ...]) -> None:
        answer = client(*scopes).get(f"{URL}some/export/", {"purpose": "marketing"})

        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")

    def test_given_up_half_way_says_so(self, people: dict[str, int]) -> None:
        asked = export.terms(purpose="none", reason="a good one", columns=[])
        segment = Segment.objects.get(slug="some")
        answer = export.download(segment=segment, asked=asked, user=make_user("marketer"), now=NOW, key="k")

        parts = iter(answer.streaming_content)
        next(parts)
        assert export.progress_of("k") == export.Progress(3, 0, 0)
        answer._iterator.close()  # as a server does when the client is gone

        assert AuditEntry.objects.order_by("-id")[0].action == export.GIVEN_UP
        found = export.progress_of("k")
        assert found is not None
        assert found.ended == "given_up"


class TestOnThePage:
    @pytest.fixture
    def marketer(self) -> Client:
        made = Client()
        made.force_login(make_user("marketer"))
        return made

    def test_somebody_chooses_columns_and_keeps_them(self, marketer: Client, people: dict[str, int]) -> None:
        segment_of("others", [people["Anna"]])
        choices = marketer.get("/segments/some/columns/").content.decode()
        assert 'value="traits.country"' in choices

        marketer.post("/segments/some/columns/", {"column": ["traits.country", "identifiers.email"]})

        elsewhere = marketer.get("/segments/others/members/").content.decode()
        assert '<th scope="col">country</th>' in elsewhere
        assert "anna@example.org" in elsewhere

    def test_members_are_sorted_by_a_column(self, marketer: Client, people: dict[str, int]) -> None:
        marketer.post("/segments/some/columns/", {"column": ["traits.spent"]})

        def order(sort: str) -> list[str]:
            page = marketer.get("/segments/some/members/", {"sort": sort}).context["page"]
            return [row.person.name for row in page]

        assert order("traits.spent") == ["Ben", "Anna", "Cleo"]
        assert order("-traits.spent") == ["Anna", "Ben", "Cleo"]
        assert order("oldest") == list(reversed(order("")))

    def test_an_export_shows_whom_it_leaves_out_and_how_far_it_is(
        self, marketer: Client, people: dict[str, int]
    ) -> None:
        form = marketer.get("/segments/some/export/")
        key = form.context["key"]
        check = marketer.get("/segments/some/export/check/?purpose=marketing").content.decode()
        reason = marketer.get("/segments/some/export/check/?purpose=none").content.decode()
        before = marketer.get(f"/segments/exports/{key}/progress/").content.decode()

        lines = read(
            marketer.post(
                "/segments/some/export/file/", {"purpose": "marketing", "column": ["traits.country"], "key": key}
            )
        )

        assert "<strong>2</strong> would be left out" in check
        assert 'name="reason"' in reason
        assert "Starting" in before
        assert len(lines) == 2
        assert (
            "1 person in the file, 2 left out" in marketer.get(f"/segments/exports/{key}/progress/").content.decode()
        )

    def test_an_export_without_a_purpose_is_refused(self, marketer: Client, people: dict[str, int]) -> None:
        page = marketer.post("/segments/some/export/file/", {"column": ["traits.country"]}, follow=True)

        assert "Nothing was exported" in page.content.decode()

    def test_an_analyst_sees_masked_columns_and_no_export(self, people: dict[str, int]) -> None:
        analyst = Client()
        analyst.force_login(make_user("analyst"))
        analyst.post("/segments/some/columns/", {"column": ["identifiers.email"]})

        page = analyst.get("/segments/some/").content.decode()

        assert "anna@example.org" not in page
        assert "a•••@e•••.org" in page
        assert "/segments/some/export/" not in page
        assert analyst.get("/segments/some/export/").status_code == 403
        assert analyst.post("/segments/some/export/file/", {"purpose": "marketing"}).status_code == 403

    def test_the_feed_shows_what_is_asked_for(self, marketer: Client, people: dict[str, int]) -> None:
        segment = Segment.objects.get(slug="some")
        Transition.objects.bulk_create(
            Transition(
                profile_id=people[name], id=place, segment=segment, version=1, kind=kind, at=NOW, cause="change"
            )
            for place, (name, kind) in enumerate((("Anna", "entered"), ("Ben", "left")), 1)
        )

        def feed(**query: str) -> str:
            return marketer.get("/segments/some/feed/", query).content.decode()

        assert "Anna" in feed(move="entered")
        assert "Ben" not in feed(move="entered")
        assert "Ben" in feed(who="ben@example.org")
        assert "Nobody like this" in feed(move="left", who="anna@example.org")
        assert f"/segments/some/why/?profile={people['Ben']}" in feed()

    def test_versions_are_marked_on_the_days_they_were_published(
        self, marketer: Client, people: dict[str, int]
    ) -> None:
        segment = Segment.objects.get(slug="some")
        SegmentVersion.objects.filter(segment=segment).update(published_at=datetime(2020, 1, 1, tzinfo=UTC))
        today = datetime.now(UTC)
        SegmentVersion.objects.create(segment=segment, number=2, definition={}, created_at=today, published_at=today)

        chart = marketer.get("/segments/some/?days=7").context["size_chart"]

        assert len(chart["x"]) == 7
        assert [mark["label"] for mark in chart["marks"]] == ["Version 2"]
        assert chart["marks"][0]["x"] in chart["x"]
