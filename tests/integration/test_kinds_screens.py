"""Screens and endpoints of Identity → Identifiers. R: C1"""

import re
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from identity.kinds import run as runs
from identity.kinds.models import ConflictGroup, IdentifierKind, KindRun
from tests.factories.access import make_user
from tests.factories.ingestion import NOW, identify, track
from tests.integration.conftest import drain_all, rows


@pytest.fixture
def engineer(client: Client, database: None) -> Client:
    client.force_login(make_user("engineer"))
    return client


FORM = {
    "label": "E-mail address",
    "icon": "mail",
    "normaliser": "email",
    "limit_ever": "5",
    "min_length": "1",
    "min_distinct": "1",
    "enabled": "on",
}


def finish_runs() -> None:
    for run in KindRun.objects.filter(state="running"):
        while runs.continue_run(run_id=run.pk, clock=timezone.now):
            pass


@pytest.fixture
def kiosk(accept) -> ConflictGroup:
    """Thirty people at one tablet."""
    accept(*(track("Seen", userId=f"u-{n}", anonymousId="tablet-7") for n in range(30)))
    drain_all(NOW)
    return ConflictGroup.objects.get()


class TestKinds:
    def test_stand_in_their_order_with_those_nobody_configured(self, engineer, accept):
        held = {"id": "C-1", "type": "card", "collection": "users"}
        accept(track("Seen", userId="u-1", context={"externalIds": [held]}))
        drain_all(NOW)

        page = engineer.get("/identifiers/").content.decode()

        places = [page.index(f"/identifiers/kinds/{name}/") for name in ("user_id", "email", "phone", "anonymous_id")]
        assert places == sorted(places)
        assert "Seen, not configured" in page
        assert "/identifiers/kinds/card/" in page

    def test_are_put_in_another_order(self, engineer):
        engineer.post("/identifiers/order/", {"move": "anonymous_id", "by": "up"})

        names = list(IdentifierKind.objects.order_by("priority").values_list("name", flat=True))
        assert names == ["user_id", "email", "phone", "anonymous_id", "*"]

    def test_are_saved_and_carried_out(self, engineer, accept):
        accept(identify(userId="u-1", traits={"email": "a.nn@gmail.com"}))
        drain_all(NOW)

        answer = engineer.post("/identifiers/kinds/email/", FORM | {"gmail_dots": "on", "action": "save"})
        finish_runs()

        assert answer.status_code == 302
        assert rows("SELECT value FROM identifier WHERE kind = 'email'") == [("ann@gmail.com",)]
        assert "What the change did" in engineer.get("/identifiers/kinds/email/").content.decode()

    def test_are_tried_on_what_is_stored_without_being_saved(self, engineer, accept):
        accept(identify(userId="u-1", traits={"email": "a.nn@gmail.com"}))
        drain_all(NOW)

        engineer.post("/identifiers/kinds/email/", FORM | {"gmail_dots": "on", "action": "try"})
        finish_runs()

        assert rows("SELECT value FROM identifier WHERE kind = 'email'") == [("a.nn@gmail.com",)]
        assert "What saving would do" in engineer.get("/identifiers/kinds/email/").content.decode()

    @pytest.mark.parametrize(
        ("field", "value", "words"),
        [
            ("patterns", "kiosk-*\n**", "would block every value"),
            ("blocked", "x" * 300, "printable characters"),
            ("limit_ever", "0", "greater than or equal to 1"),
            ("normaliser", "uuid", "Select a valid choice"),
        ],
        ids=["pattern", "value", "limit", "normaliser"],
    )
    def test_say_which_field_is_wrong(self, engineer, field: str, value: str, words: str):
        answer = engineer.post("/identifiers/kinds/email/", FORM | {field: value, "action": "save"})

        assert answer.status_code == 422
        assert words in answer.content.decode()

    @pytest.mark.parametrize(
        ("sent", "words"),
        [("Ann@Example.ORG", "ann@example.org"), ("guest", "Refused"), ("ann", "Refused"), ("", "normal form stands")],
    )
    def test_tell_what_becomes_of_a_value(self, engineer, sent: str, words: str):
        answer = engineer.post("/identifiers/kinds/email/try/", FORM | {"tried": sent})

        assert words in answer.content.decode()

    def test_are_not_changed_by_those_who_only_read(self, database, client):
        client.force_login(make_user("marketer"))

        assert client.get("/identifiers/kinds/email/").status_code == 200
        assert client.post("/identifiers/kinds/email/", FORM | {"action": "save"}).status_code == 403

    def test_of_an_impossible_name_are_not_found(self, engineer):
        assert engineer.get("/identifiers/kinds/No Such!/").status_code == 404


class TestWarnings:
    def test_block_a_shared_value_at_one_click(self, kiosk, engineer):
        page = engineer.get("/identifiers/warnings/").content.decode()
        assert re.search(r"is shared by\s+about\s+2[789] people", page)

        engineer.post(f"/identifiers/conflicts/{kiosk.pk}/block/")
        finish_runs()

        assert rows("SELECT count(*) FROM identifier WHERE value = 'tablet-7'") == [(0,)]
        assert rows("SELECT count(*) FROM event") == [(30,)]
        assert "tablet-7" not in engineer.get("/identifiers/warnings/").content.decode()

    def test_hide_values_from_those_who_may_not_see_them(self, kiosk, client):
        client.force_login(make_user("analyst"))

        page = client.get("/identifiers/conflicts/").content.decode()

        assert "tablet-7" not in page
        assert "tabl•••" in page


class TestConflicts:
    def test_are_found_by_value_kind_and_reason(self, kiosk, engineer):
        for query, shown in (("q=tab", True), ("q=xyz", False), ("kind=email", False), ("reason=merge_refused", True)):
            page = engineer.get(f"/identifiers/conflicts/?{query}").content.decode()
            assert (f"group-{kiosk.pk}" in page) == shown, query

    def test_are_dismissed_and_opened_again(self, kiosk, engineer):
        engineer.post(f"/identifiers/conflicts/{kiosk.pk}/dismiss/")
        assert f"group-{kiosk.pk}" not in engineer.get("/identifiers/conflicts/").content.decode()

        engineer.post(f"/identifiers/conflicts/{kiosk.pk}/reopen/")
        assert f"group-{kiosk.pk}" in engineer.get("/identifiers/conflicts/").content.decode()

    def test_go_on_being_counted_when_dismissed(self, kiosk, engineer, accept):
        engineer.post(f"/identifiers/conflicts/{kiosk.pk}/dismiss/")
        accept(track("Seen", userId="u-99", anonymousId="tablet-7"))
        drain_all(NOW)

        kiosk.refresh_from_db()
        assert (kiosk.messages, kiosk.state) == (30, "dismissed")

    def test_are_merged_after_all(self, engineer, accept):
        accept(track("Seen", userId="u-1", anonymousId="a-1"), track("Seen", userId="u-2", anonymousId="a-1"))
        drain_all(NOW)
        (group,) = ConflictGroup.objects.all()
        sample = group.samples.get()

        engineer.post(
            f"/identifiers/conflicts/{group.pk}/merge/", {"one": sample.profile_id, "other": sample.other_id}
        )

        group.refresh_from_db()
        assert group.state == "merged"
        assert rows("SELECT count(DISTINCT profile_id) FROM identifier") == [(1,)]


class TestApi:
    def call(self, client: Client, method: str, path: str, body: Any = None) -> Any:
        return getattr(client, method)(f"/api/v1/{path}", body, content_type="application/json")

    def test_creates_changes_and_deletes_kinds(self, engineer):
        made = self.call(engineer, "post", "identifier-kinds/", {"name": "Card", "normaliser": "alphanumeric"})
        changed = self.call(engineer, "patch", "identifier-kinds/card/", {"limit_ever": 2, "protected": True})
        found = engineer.get("/api/v1/identifier-kinds/card/").json()

        assert made.status_code == 201
        assert changed.json()["kind"]["limit_ever"] == found["limit_ever"] == 2
        assert found["normaliser"] == "alphanumeric"
        assert self.call(engineer, "delete", "identifier-kinds/card/").status_code == 204
        assert [one["name"] for one in engineer.get("/api/v1/identifier-kinds/").json()["results"]] == [
            "user_id", "email", "phone", "*", "anonymous_id",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("body", "code", "path"),
        [
            ({"normaliser": "uuid"}, "normaliser_fixed", "/normaliser"),
            ({"normaliser": "soundex"}, "invalid_choice", "/normaliser"),
            ({"options": {"region": "DE"}}, "option_unknown", "/options/region"),
            ({"patterns": ["*"]}, "pattern_too_wide", "/patterns/0"),
            ({"limit_weekly": 5_000}, "limit_invalid", "/limit_weekly"),
            ({"min_distinct": 99}, "distinct_invalid", "/min_distinct"),
        ],
    )
    def test_says_what_is_wrong_and_where(self, engineer, body: dict[str, Any], code: str, path: str):
        answer = self.call(engineer, "patch", "identifier-kinds/email/", body)

        assert answer.status_code == 400
        assert (answer.json()["code"], answer.json()["path"]) == (code, path)

    def test_tries_a_value_under_given_settings(self, engineer):
        body = {"value": "B.o.b@gmail.com", "options": {"gmail_dots": True}}

        answer = self.call(engineer, "post", "identifier-kinds/email/try/", body)

        assert answer.json() == {"spelt": "bob@gmail.com", "reason": "", "profile_id": None}

    def test_starts_a_dry_run_and_tells_how_far_it_is(self, engineer, accept):
        accept(identify(userId="u-1", traits={"email": "a.nn@gmail.com"}))
        drain_all(NOW)

        begun = self.call(engineer, "post", "identifier-kinds/email/dry-runs/", {"options": {"gmail_dots": True}})
        finish_runs()

        assert begun.status_code == 202
        found = engineer.get(f"/api/v1/identifier-kinds/email/dry-runs/{begun.json()['id']}/").json()
        assert (found["state"], found["respelt"], found["samples"]["respelt"][0]["spelt"]) == (
            "done", 1, "ann@gmail.com",
        )  # fmt: skip

    def test_puts_kinds_in_order(self, engineer):
        self.call(engineer, "put", "identifier-kinds/order/", {"names": ["phone", "email"]})
        wrong = self.call(engineer, "put", "identifier-kinds/order/", {"names": ["phone", "nothing"]})

        names = [one["name"] for one in engineer.get("/api/v1/identifier-kinds/").json()["results"]]
        assert names[:2] == ["phone", "email"]
        assert (wrong.json()["code"], wrong.json()["path"]) == ("kind_unknown", "/1")

    def test_lists_and_decides_conflicts(self, kiosk, engineer):
        (found,) = engineer.get("/api/v1/identity-conflicts/?reason=merge_refused").json()["results"]
        blocked = self.call(engineer, "post", f"identity-conflicts/{found['id']}/block/")

        assert (found["value"], found["messages"], found["suspicious"]) == ("tablet-7", 29, True)
        assert found["people"] == pytest.approx(29, abs=2)
        assert len(found["samples"]) == 3
        assert blocked.json()["state"] == "blocked"

    def test_pages_through_conflicts(self, engineer, accept):
        for number in range(3):
            accept(*(track("Seen", userId=f"u-{number}-{n}", anonymousId=f"a-{number}") for n in range(2)))
        drain_all(NOW)

        first = engineer.get("/api/v1/identity-conflicts/?page_size=2").json()
        second = engineer.get(first["next"]).json()

        assert (len(first["results"]), len(second["results"]), second["next"]) == (2, 1, None)

    def test_refuses_a_merge_of_profiles_that_are_not_of_the_conflict(self, kiosk, engineer):
        answer = self.call(engineer, "post", f"identity-conflicts/{kiosk.pk}/merge/", {"one": 1, "other": 2})

        assert (answer.status_code, answer.json()["code"]) == (400, "not_of_conflict")

    def test_asks_for_the_scope(self, database, client):
        client.force_login(make_user("marketer"))

        assert self.call(client, "patch", "identifier-kinds/email/", {"limit_ever": 3}).status_code == 403
