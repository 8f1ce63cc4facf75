"""Definitions that are mistakes or attacks: each gets a clear answer, and none a slow query. R: D1"""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from rest_framework.response import Response
from rest_framework.test import APIClient

from cdp.kernel.access.models import ApiToken
from cdp.kernel.access.roles import Role
from segments import queries
from segments.engine import fetch
from segments.errors import QueryTooSlowError
from segments.models import Segment
from segments.sql import Sql
from tests.factories import segments as make
from tests.factories.access import make_user

pytestmark = pytest.mark.django_db

ORDER = "Order Completed"
GERMAN = {"type": "trait", "trait": "country", "op": "eq", "value": "DE"}
NOW = datetime(2026, 3, 12, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module", autouse=True)
def _months(django_db_setup: None, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        make.ensure_months((NOW - timedelta(days=40)).date(), NOW.date())


@pytest.fixture
def api() -> APIClient:
    _, token = ApiToken.issue(name="t", scopes=["segments:read", "segments:write"])
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


def post(api: APIClient, address: str, body: str) -> Response:
    started = time.process_time()
    answer = api.post(f"/api/v1/segments/{address}", body, content_type="application/json")
    assert time.process_time() - started < 3
    return answer


def trait(op: str, value: str) -> str:
    """JSON as it is sent: Python would not write what some of these hold."""
    return f'{{"type": "trait", "trait": "t", "op": "{op}", "value": {value}}}'


def nested(depth: int) -> str:
    return '{"type": "not", "of": ' * depth + json.dumps(GERMAN) + "}" * depth


REFUSED = {
    "nested 200 deep": (nested(200), "too_deep", "/of" * 12),
    "a million values": (trait("in", f"[{'1,' * 999_999}1]"), "too_many_values", "/value"),
    "a number beyond a float": (trait("gt", "1e400"), "not_finite", "/value"),
    "a number of 4,000 digits": (trait("gt", "9" * 4_000), "number_too_large", "/value"),
    "a duration beyond time": (trait("within_last", '"999999999w"'), "invalid_duration", "/value"),
    "a duration of any length": (trait("within_last", f'"{"9" * 900}d"'), "invalid_duration", "/value"),
    "a NUL in a value": (trait("eq", r'"a\u0000b"'), "invalid_character", "/value"),
    "a NUL in a key": (r'{"type": "trait", "a\u0000": 1}', "unknown_key", "/a?"),
    "half a surrogate pair": (trait("contains", r'"\ud800"'), "invalid_character", "/value"),
    "a text of a million letters": (trait("contains", f'"{"a" * 1_000_000}"'), "too_long", "/value"),
    "an unknown time zone": (
        '{"type": "event", "event": "A", "window": {"calendar": "today", "tz": "Mars/Olympus_Mons"}}',
        "unknown_time_zone",
        "/window/tz",
    ),
    "an unknown purpose": ('{"type": "consent", "purpose": "x", "state": "granted"}', "unknown_purpose", "/purpose"),
    "an unknown segment": ('{"type": "segment", "segment": "x"}', "unknown_segment", "/segment"),
}


class TestDefinitions:
    @pytest.mark.parametrize(("definition", "code", "path"), REFUSED.values(), ids=REFUSED)
    def test_are_refused_with_code_and_path(self, api: APIClient, definition: str, code: str, path: str) -> None:
        validated = post(api, "validate/", f'{{"definition": {definition}}}').json()
        saved = post(api, "", f'{{"name": "A", "definition": {definition}}}')
        previewed = post(api, "preview/", f'{{"definition": {definition}}}')

        assert (validated["valid"], validated["error"]["code"], validated["error"]["path"]) == (False, code, path)
        assert (saved.status_code, saved.json()["code"]) == (previewed.status_code, previewed.json()["code"])
        assert (saved.status_code, saved.json()["code"]) == (400, code)
        assert len(validated["error"]["message"]) < 300
        assert not Segment.objects.exists()

    def test_that_lead_back_to_themselves_name_the_way(self, api: APIClient) -> None:
        def named(slug: str) -> str:
            return f'{{"type": "segment", "segment": "{slug}"}}'

        post(api, "", json.dumps({"name": "A", "slug": "a", "definition": GERMAN}))
        post(api, "", f'{{"name": "B", "slug": "b", "definition": {named("a")}}}')
        url = "/api/v1/segments/a/"

        answer = api.patch(url, f'{{"definition": {named("b")}}}', content_type="application/json")

        assert (answer.status_code, answer.json()["code"], answer.json()["path"]) == (400, "segment_cycle", "/segment")
        assert "a → b → a" in answer.json()["message"]


class TestBodies:
    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            (b"[" * 100_000, 400, "too_deep"),
            (b'{"definition": ' + b"9" * 100_000 + b"}", 400, "parse_error"),
            (b'{"definition": NaN}', 400, "parse_error"),
            (b'{"definition": "\xff\xfe"}', 400, "parse_error"),
            (b'{"definition": "' + b"a" * (2 * 1024 * 1024) + b'"}', 413, "too_large"),
            (b"", 400, "required"),
        ],
        ids=["nested", "digits", "NaN", "not UTF-8", "2 MB", "empty"],
    )
    def test_that_are_no_definitions_are_refused(self, api: APIClient, body: bytes, status: int, code: str) -> None:
        answer = api.post("/api/v1/segments/preview/", body, content_type="application/json")

        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.json()

    def test_of_the_builder_get_an_answer_that_it_can_show(self, client: Client) -> None:
        client.force_login(make_user(Role.MARKETER))
        body = json.dumps({"definition": GERMAN | {"op": "in", "value": [0] * 1_000_000}})

        answer = client.post("/segments/builder/preview/", body, content_type="application/json")

        assert answer.json()["problem"]["code"] == "too_large"


class TestValues:
    """What looks dangerous and is none: it is taken as it is written."""

    def members(self, definition: dict[str, Any]) -> set[int]:
        return set(queries.preview(definition=definition, as_of=NOW, sample=100).sample_ids)

    @pytest.mark.parametrize(
        "text", ["(a+)+$", ".*", "%", "_", "\\", "a{1,1000}{1,1000}", "'; DROP TABLE profile; --"]
    )
    def test_are_no_patterns(self, text: str) -> None:
        literal = make.make_profile({"t": f"x {text} y"})
        make.make_profile({"t": "a" * 5_000})

        found = self.members({"type": "trait", "trait": "t", "op": "contains", "value": text})

        assert found == {literal}

    def test_that_change_their_type_half_way_count_as_far_as_they_are_numbers(self) -> None:
        profile = make.make_profile()
        make.make_event_name(ORDER, value_property="revenue")
        revenues = (100, "100", 50.5, None, True, {"amount": 7}, [3], "free")
        make.make_events(
            (profile, ORDER, NOW - timedelta(hours=number), {"revenue": revenue}, number, {})
            for number, revenue in enumerate(revenues, 1)
        )

        def total(value: float) -> set[int]:
            return self.members({"type": "event", "event": ORDER, "measure": "sum", "of": "revenue", "op": "eq",
                                 "value": value})  # fmt: skip

        assert (total(150.5), total(250.5)) == ({profile}, set())
        where = [{"property": "revenue", "op": "eq", "value": "100"}]
        assert self.members({"type": "event", "event": ORDER, "where": where}) == {profile}


class TestSlowQueries:
    def test_are_given_up_with_what_to_change(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(queries, "_count", lambda *_: fetch(Sql("SELECT pg_sleep(5)")))
        monkeypatch.setattr(queries, "PREVIEW_SECONDS", 0.05)

        with pytest.raises(QueryTooSlowError, match="Shorten its windows, or name rarer events") as given_up:
            queries.preview(definition=GERMAN, as_of=NOW)

        assert (given_up.value.code, given_up.value.http_status) == ("definition_too_slow", 422)


class TestDrafts:
    """Unfinished is no error; what cannot be stored is."""

    @pytest.mark.parametrize(
        ("definition", "place"),
        [
            (trait("eq", r'"a\u0000b"'), "/value"),
            (r'{"type": "all", "of": [{"a\u0000": 1}]}', "/of/0"),
            (trait("eq", r'"\ud800"'), "/value"),
        ],
    )
    def test_that_cannot_be_stored_are_refused(self, api: APIClient, definition: str, place: str) -> None:
        answer = post(api, "", f'{{"name": "A", "as_draft": true, "definition": {definition}}}')

        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_character")
        assert answer.json()["message"].endswith(f"It stands at {place}.")
