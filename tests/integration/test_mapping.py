"""Which identifier leads to which profile: pages, files, pictures, and who took them out. R: C4, C5"""

import csv
import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest
from django.test import Client
from rest_framework.test import APIClient

from cdp.kernel.access.models import ApiToken, AuditEntry
from identity import queries as identities
from identity.mapping import export
from identity.mapping.contracts import MappingFilter
from identity.mapping.picture import picture_of
from identity.models import Merge
from ingestion.models import Source
from tests.factories.access import make_user
from tests.factories.ingestion import NOW, identify
from tests.integration.conftest import drain_all, rows

Api = Callable[..., APIClient]


@pytest.fixture
def api(database: None) -> Api:
    def client(*scopes: str) -> APIClient:
        _, token = ApiToken.issue(name=f"{len(scopes)} scopes", scopes=list(scopes))
        made = APIClient()
        made.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
        return made

    return client


@pytest.fixture
def merged(accept: Any, source: Source) -> int:
    """One person who was two: `u-1` with an e-mail, and the browser `a-1`; returns the profile's id."""
    accept(
        identify(userId="u-1", traits={"email": "anna@example.org", "plan": "pro"}, timestamp="2026-02-01T10:00:00Z")
    )
    accept(identify(userId=None, anonymousId="a-1", traits={"plan": "free"}, timestamp="2026-02-02T10:00:00Z"))
    drain_all(NOW)
    accept(identify(userId="u-1", anonymousId="a-1", timestamp="2026-02-03T10:00:00Z"))
    drain_all(NOW)
    profile_id = identities.lookup(kind="anonymous_id", value="a-1")
    assert profile_id is not None
    return profile_id


def read_csv(response: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(response.getvalue().decode())))


class TestExport:
    def test_leads_every_identifier_and_every_absorbed_id_to_the_profile(self, api: Api, merged: int):
        found = read_csv(api("profiles:read", "pii:read").get("/api/v1/identifiers/export/"))

        [(absorbed,)] = rows("SELECT profile_id FROM profile_alias")
        assert {(line["kind"], line["value"], line["source"], line["profile_id"]) for line in found} == {
            ("user_id", "u-1", "shop", str(merged)),
            ("email", "anna@example.org", "shop", str(merged)),
            ("anonymous_id", "a-1", "shop", str(merged)),
            ("profile_id", str(absorbed), "", str(merged)),
        }

    def test_is_the_same_as_parquet(self, api: Api, merged: int):
        client = api("profiles:read", "pii:read")

        table = pq.read_table(io.BytesIO(client.get("/api/v1/identifiers/export/?format=parquet").getvalue()))

        lines = [tuple(str(row[name]) for name in ("kind", "value", "profile_id")) for row in table.to_pylist()]
        as_text = [
            (line["kind"], line["value"], line["profile_id"])
            for line in read_csv(client.get("/api/v1/identifiers/export/"))
        ]
        assert sorted(lines) == sorted(as_text)
        assert str(table.schema.field("first_seen_at").type) == "timestamp[us, tz=UTC]"

    def test_is_noted_with_who_and_on_what_terms(self, api: Api, merged: int):
        api("profiles:read", "pii:read").get("/api/v1/identifiers/export/?kind=email&source=shop").getvalue()

        entry = AuditEntry.objects.get()
        assert (entry.actor, entry.action) == ("token 2 scopes", "identifiers.export")
        assert entry.details["format"] == "csv"
        assert entry.details["kinds"] == ["email"]

    @pytest.mark.parametrize(
        ("terms", "values"),
        [
            ("kind=email", {"anna@example.org"}),
            ("kind=email,user_id", {"anna@example.org", "u-1"}),
            ("changed_since=2030-01-01T00:00:00Z", set()),
            ("source=shop&kind=anonymous_id", {"a-1"}),
        ],
        ids=["kind", "kinds", "since", "source"],
    )
    def test_can_be_narrowed(self, api: Api, merged: int, terms: str, values: set[str]):
        found = read_csv(api("profiles:read", "pii:read").get(f"/api/v1/identifiers/export/?{terms}"))

        assert {line["value"] for line in found} == values

    def test_since_has_all_identifiers_of_a_profile_that_others_were_merged_into(self, merged: int):
        rows("UPDATE profile_identifier SET first_seen_at = '2020-01-01' RETURNING 1")

        since = MappingFilter(changed_since=NOW - timedelta(minutes=1))

        assert len([line for batch in export.read_lines(since) for line in batch]) == 4

    def test_makes_no_formula_of_a_value(self, api: Api, merged: int):
        rows("UPDATE profile_identifier SET value = '=1+1' WHERE kind = 'anonymous_id' RETURNING 1")

        [line] = read_csv(api("profiles:read", "pii:read").get("/api/v1/identifiers/export/?kind=anonymous_id"))

        assert line["value"] == "'=1+1"

    @pytest.mark.parametrize("path", ["export/", ""])
    def test_needs_the_scope_for_personal_data(self, api: Api, path: str):
        refused = api("profiles:read").get(f"/api/v1/identifiers/{path}")

        assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")

    @pytest.mark.parametrize(
        ("terms", "path"),
        [("format=xls", "/format"), ("source=nope", "/source"), ("changed_since=soon", "/changed_since")],
    )
    def test_refuses_terms_that_make_no_sense(self, api: Api, terms: str, path: str):
        refused = api("profiles:read", "pii:read").get(f"/api/v1/identifiers/export/?{terms}")

        assert (refused.status_code, refused.json()["path"]) == (400, path)


class TestPages:
    def test_follow_one_another(self, api: Api, merged: int):
        client = api("profiles:read", "pii:read")
        seen: list[str] = []

        address = "/api/v1/identifiers/?page_size=2"
        while address:
            answer = client.get(address).json()
            seen += [line["value"] for line in answer["results"]]
            address = answer["next"]

        assert sorted(seen) == ["a-1", "anna@example.org", "u-1"]


class TestPicture:
    def test_has_origins_identifiers_and_what_ties_them(self, merged: int):
        [(absorbed,)] = rows("SELECT profile_id FROM profile_alias")
        if not Merge.objects.exists():
            Merge.objects.create(
                at=NOW, survivor_id=merged, absorbed_id=absorbed, one_origin=merged, other_origin=absorbed,
                cause="identifier", evidence={"identifiers": [["user_id", "u-1"], ["anonymous_id", "a-1"]]},
            )  # fmt: skip

        picture = picture_of(profile_id=merged)

        assert {node.label for node in picture.nodes} == {
            f"Profile {merged}", f"Profile {absorbed}", "u-1", "anna@example.org", "a-1",
        }  # fmt: skip
        [tie] = [edge for edge in picture.edges if edge.merge_id]
        assert (tie.reason, {tie.one, tie.other}) == ("message", {f"o{merged}", f"o{absorbed}"})


class TestSearch:
    @pytest.fixture(autouse=True)
    def slow_names(self, monkeypatch: pytest.MonkeyPatch) -> None:
        slow = "SELECT 1 FROM pg_sleep(5) WHERE %(name)s <> ''"
        monkeypatch.setattr(identities, "_BY_NAME", slow)
        monkeypatch.setattr(identities, "SEARCH_MS", 100)

    def test_tells_whom_an_identifier_tells_where_names_take_too_long(self, merged: int):
        found = identities.find_people(text="u")

        assert ([view.id for view in found.profiles], found.complete) == ([merged], False)

    def test_says_so_in_the_browser_and_over_the_api(self, api: Api, merged: int, client: Client):
        client.force_login(make_user("marketer"))

        shown = client.get("/profiles/?q=anna").content.decode()
        refused = api("profiles:read").get("/api/v1/profiles/?search=nobody")

        assert "Looking through all names took too long" in shown
        assert (refused.status_code, refused.json()["code"]) == (503, "search_too_slow")


class TestOneView:
    def test_tells_traits_history_identifiers_and_graph_over_the_api(self, api: Api, merged: int):
        client = api("profiles:read", "pii:read")
        at = f"/api/v1/profiles/{merged}"

        traits = {one["trait"]: one for one in client.get(f"{at}/traits/").json()["results"]}
        history = client.get(f"{at}/traits/plan/history/").json()["results"]
        identifiers = client.get(f"{at}/identifiers/").json()["results"]
        graph = client.get(f"{at}/graph/").json()

        assert traits["plan"] | {"said": 0} == {
            "trait": "plan", "value": "free", "source": "shop", "at": "2026-02-02T10:00:00Z",
            "since": "2026-02-02T10:00:00Z", "policy": "newest", "disputed": False, "said": 0,
        }  # fmt: skip
        assert [(one["value"], one["until"]) for one in history] == [("free", None), ("pro", "2026-02-02T10:00:00Z")]
        assert [one["kind"] for one in identifiers] == ["user_id", "email", "anonymous_id"]
        assert len(graph["nodes"]) == 5

    def test_hides_personal_data_from_those_who_may_not_see_it(self, api: Api, merged: int):
        client = api("profiles:read")
        at = f"/api/v1/profiles/{merged}"

        shown = [client.get(f"{at}/{part}/").content for part in ("traits", "identifiers", "graph")]

        assert not any(b"anna@example.org" in content for content in shown)

    def test_sets_and_tries_policies_over_the_api(self, api: Api, merged: int):
        client = api("profiles:read", "identity:write")

        tried = client.post("/api/v1/trait-policies/preview/", {"trait": "plan", "rule": "oldest"})
        made = client.post("/api/v1/trait-policies/", {"trait": "plan", "rule": "priority", "sources": ["shop"]})
        refused = client.post("/api/v1/trait-policies/", {"trait": "plan", "rule": "priority", "sources": ["x"]})

        assert (tried.status_code, tried.json()["kind"]) == (202, "preview")
        assert client.get(f"/api/v1/trait-policies/runs/{made.json()['id']}/").json()["sources"] == ["shop"]
        [kept] = client.get("/api/v1/trait-policies/").json()["results"]
        assert (kept["trait"], kept["rule"], kept["sources"]) == ("plan", "priority", ["shop"])
        assert (refused.status_code, refused.json()["path"]) == (400, "/sources/0")
        assert api("profiles:read").post("/api/v1/trait-policies/", {}).status_code == 403
