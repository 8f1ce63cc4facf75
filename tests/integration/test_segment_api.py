"""`/api/v1/segments/`, through HTTP. R: D1, D7"""

from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
import pytest
from rest_framework.test import APIClient

from cdp.kernel.access.models import ApiToken
from identity.models import Identifier, ProfileIdentifier
from segments import operations
from segments.models import Segment
from tests.factories import segments as make

ORDER = "Order Completed"
SPENT = {
    "type": "event",
    "event": ORDER,
    "measure": "sum",
    "of": "revenue",
    "op": "gt",
    "value": 500,
    "window": {"last": "30d"},
}
GERMAN = {"type": "trait", "trait": "country", "op": "eq", "value": "DE"}
URL = "/api/v1/segments/"

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module", autouse=True)
def _months(django_db_setup: None, django_db_blocker: Any) -> None:
    today = datetime.now(UTC).date()
    with django_db_blocker.unblock():
        make.ensure_months(today - timedelta(days=40), today + timedelta(days=1))


def client(*scopes: str) -> APIClient:
    _, token = ApiToken.issue(name=f"test {scopes}", scopes=list(scopes))
    made = APIClient()
    made.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return made


@pytest.fixture
def writer() -> APIClient:
    return client("segments:read", "segments:write", "pii:read")


@pytest.fixture
def anna() -> int:
    profile = make.make_profile({"name": "Anna", "country": "DE"})
    Identifier.objects.create(kind="email", value="anna@example.com", profile_id=profile)
    ProfileIdentifier.objects.create(
        kind="email", value="anna@example.com", profile_id=profile, first_seen_at=make.LONG_AGO, source_id=1
    )
    return profile


def computed(slug: str) -> Segment:
    segment = Segment.objects.get(slug=slug)
    operations.recompute(segment_id=segment.pk, now=datetime.now(UTC))
    return segment


class TestCreate:
    def test_answers_201_with_the_segment_and_computes_it_later(self, writer: APIClient) -> None:
        answer = writer.post(URL, {"name": "Big spenders", "slug": "big", "definition": SPENT})

        assert answer.status_code == 201, answer.data
        body = answer.json()
        assert body["slug"] == "big"
        assert body["definition"] == SPENT
        assert body["sentence"] == "Sum of revenue of Order Completed is more than 500 in the last 30 days"
        assert (body["state"], body["version"], body["member_count"]) == ("computing", 1, 0)
        assert body["computed_at"] is None

    def test_tells_where_a_definition_is_wrong(self, writer: APIClient) -> None:
        wrong = {"type": "all", "of": [GERMAN, GERMAN | {"op": "equals"}]}

        answer = writer.post(URL, {"name": "X", "definition": wrong})

        assert answer.status_code == 400
        assert answer.json()["code"] == "unknown_operator"
        assert answer.json()["path"] == "/of/1/op"
        assert not Segment.objects.exists()

    @pytest.mark.parametrize(
        ("body", "path"),
        [
            ({"definition": GERMAN}, "/name"),
            ({"name": "X"}, "/definition"),
            ({"name": "X", "definition": None}, "/definition"),
            ({"name": "X", "slug": "No Slug", "definition": GERMAN}, "/slug"),
            ({"name": ["X"], "definition": GERMAN}, "/name"),
        ],
    )
    def test_names_the_field_that_is_missing_or_wrong(self, writer: APIClient, body: Any, path: str) -> None:
        answer = writer.post(URL, body)

        assert answer.status_code == 400
        assert answer.json()["path"] == path

    def test_a_taken_slug_is_a_conflict(self, writer: APIClient) -> None:
        writer.post(URL, {"name": "X", "slug": "x", "definition": GERMAN})

        answer = writer.post(URL, {"name": "X", "slug": "x", "definition": GERMAN})

        assert (answer.status_code, answer.json()["code"]) == (409, "slug_taken")

    @pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"[" * 100_000, b'{"definition": NaN}', b"\xff"])
    def test_a_body_that_is_no_object_is_refused(self, writer: APIClient, body: bytes) -> None:
        for address in (URL, URL + "preview/", URL + "validate/"):
            answer = writer.generic("POST", address, body, content_type="application/json")

            assert answer.status_code == 400
            assert answer.json()["code"]

    def test_needs_the_scope_to_write(self) -> None:
        assert client("segments:read").post(URL, {"name": "X", "definition": GERMAN}).status_code == 403
        assert APIClient().post(URL, {"name": "X", "definition": GERMAN}).status_code == 401
        assert client("profiles:read").get(URL).status_code == 403


class TestReadAndChange:
    def test_lists_pages_and_filters(self, writer: APIClient) -> None:
        for number in range(3):
            writer.post(URL, {"name": f"S {number}", "definition": GERMAN})
        computed("s-1")

        first = writer.get(URL, {"page_size": 2}).json()
        rest = writer.get(first["next"]).json()

        assert [each["slug"] for each in (*first["results"], *rest["results"])] == ["s-2", "s-1", "s-0"]
        assert rest["next"] is None
        assert [each["slug"] for each in writer.get(URL, {"state": "live"}).json()["results"]] == ["s-1"]

    def test_a_new_definition_is_a_new_version(self, writer: APIClient) -> None:
        writer.post(URL, {"name": "X", "slug": "x", "definition": GERMAN})
        computed("x")

        answer = writer.patch(f"{URL}x/", {"definition": SPENT})

        assert answer.status_code == 200
        assert (answer.json()["version"], answer.json()["state"]) == (2, "computing")
        assert writer.get(f"{URL}x/").json()["definition"] == SPENT

    def test_a_new_name_is_no_new_version(self, writer: APIClient) -> None:
        writer.post(URL, {"name": "X", "slug": "x", "definition": GERMAN})
        computed("x")

        body = writer.patch(f"{URL}x/", {"name": "Y", "slug": "ignored"}).json()

        assert (body["name"], body["slug"], body["version"], body["state"]) == ("Y", "x", 1, "live")
        assert writer.put(f"{URL}x/", {"name": "Z", "definition": GERMAN}).json()["name"] == "Z"
        assert writer.put(f"{URL}x/", {"name": "Z"}).status_code == 400

    def test_is_gone_once_deleted(self, writer: APIClient) -> None:
        writer.post(URL, {"name": "X", "slug": "x", "definition": GERMAN})

        assert writer.delete(f"{URL}x/").status_code == 204
        for address in ("", "members/", "transitions/", "trend/"):
            assert writer.get(f"{URL}x/{address}").status_code == 404
        assert writer.patch(f"{URL}x/", {"name": "Y"}).status_code == 404

    def test_a_failed_one_can_be_computed_again(self, writer: APIClient) -> None:
        writer.post(URL, {"name": "X", "slug": "x", "definition": GERMAN})
        Segment.objects.update(state="failed", error="disk full")

        body = writer.post(f"{URL}x/recompute/").json()

        assert (body["state"], body["error"]) == ("computing", "")


class TestPreview:
    def test_counts_and_shows_people(self, anna: int) -> None:
        make.make_profile({"country": "FR"})

        answer = client("segments:read", "pii:read").post(URL + "preview/", {"definition": GERMAN})

        assert answer.status_code == 200, answer.data
        body = answer.json()
        assert body["count"] == 1
        assert body["sentence"] == "Country is “DE”"
        assert isinstance(body["took_ms"], int)
        (sample,) = body["sample"]
        assert sample["id"] == anna
        assert sample["traits"] == {"name": "Anna", "country": "DE"}
        assert sample["identifiers"] == {"email": ["anna@example.com"]}
        assert set(sample) == {"id", "traits", "identifiers", "created_at"}

    def test_looks_back(self, writer: APIClient, anna: int) -> None:
        now = datetime.now(UTC)
        make.make_event(anna, ORDER, now - timedelta(days=20), {"revenue": 600})
        body = {"definition": SPENT | {"window": {"last": "5d"}}}

        assert writer.post(URL + "preview/", body).json()["count"] == 0
        past = (now - timedelta(days=18)).isoformat()
        assert writer.post(URL + "preview/", body | {"as_of": past}).json()["count"] == 1

    @pytest.mark.parametrize("as_of", ["yesterday", "0001-01-01T00:00:00Z", "9999-12-31T00:00:00Z", 5])
    def test_refuses_an_instant_out_of_reach(self, writer: APIClient, as_of: Any) -> None:
        answer = writer.post(URL + "preview/", {"definition": SPENT, "as_of": as_of})

        assert (answer.status_code, answer.json()["path"]) == (400, "/as_of")

    def test_breaks_the_count_down_when_asked(self, writer: APIClient, anna: int) -> None:
        body = {"definition": {"type": "all", "of": [GERMAN, SPENT]}, "breakdown": True}

        answer = writer.post(URL + "preview/", body).json()

        assert answer["total"] == 1
        assert [(part["alone"], part["cumulative"]) for part in answer["breakdown"]] == [(1, 1), (0, 0)]

    def test_a_wrong_definition_has_a_path(self, writer: APIClient) -> None:
        answer = writer.post(URL + "preview/", {"definition": SPENT | {"window": {"last": "soon"}}})

        assert (answer.status_code, answer.json()["path"]) == (400, "/window/last")


class TestValidate:
    def test_says_what_a_definition_means(self) -> None:
        answer = client("segments:read").post(URL + "validate/", {"definition": GERMAN})

        assert (answer.status_code, answer.json()) == (200, {"valid": True, "sentence": "Country is “DE”"})

    def test_says_what_is_wrong_with_it(self, writer: APIClient) -> None:
        answer = writer.post(URL + "validate/", {"definition": {"type": "not", "of": GERMAN | {"value": None}}})

        body = answer.json()
        assert (answer.status_code, body["valid"]) == (200, False)
        assert (body["error"]["code"], body["error"]["path"]) == ("wrong_value_type", "/of/value")

    def test_publishes_the_schema(self, writer: APIClient) -> None:
        schema = writer.get(URL + "schema/").json()

        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.validate({"type": "all", "of": [GERMAN, SPENT]}, schema)


class TestMembers:
    def test_lists_who_is_in_with_identifiers(self, writer: APIClient, anna: int) -> None:
        writer.post(URL, {"name": "X", "slug": "x", "definition": GERMAN})
        computed("x")

        (member,) = writer.get(f"{URL}x/members/").json()["results"]

        assert set(member) == {"profile", "identifiers", "entered_at"}
        assert (member["profile"], member["identifiers"]) == (anna, {"email": ["anna@example.com"]})
        assert datetime.fromisoformat(member["entered_at"]).tzinfo is not None

    def test_pages_through_thousands_that_entered_at_one_instant(self, writer: APIClient) -> None:
        people = make.make_profiles({"country": "DE"} for _ in range(2_500))
        writer.post(URL, {"name": "X", "slug": "x", "definition": GERMAN})
        computed("x")

        seen, url = [], f"{URL}x/members/?page_size=1000"
        while url:
            page = writer.get(url).json()
            seen += [member["profile"] for member in page["results"]]
            url = page["next"]

        assert seen == people

    def test_transitions_and_trend_tell_the_same(self, writer: APIClient, anna: int) -> None:
        writer.post(URL, {"name": "X", "slug": "x", "definition": GERMAN})
        computed("x")

        (move,) = writer.get(f"{URL}x/transitions/").json()["results"]
        days = writer.get(f"{URL}x/trend/", {"days": 7}).json()["results"]

        assert (move["profile"], move["kind"], move["cause"], move["version"]) == (anna, "entered", "definition", 1)
        assert len(days) == 7
        assert (days[-1]["entered"], days[-1]["left"], days[-1]["size"]) == (1, 0, 1)

    @pytest.mark.parametrize("address", ["members/?cursor=x", "transitions/?cursor=2026-01-01_5", "trend/?days=0"])
    def test_refuses_what_no_page_gave(self, writer: APIClient, address: str) -> None:
        writer.post(URL, {"name": "X", "slug": "x", "definition": GERMAN})

        assert writer.get(f"{URL}x/{address}").status_code == 400
