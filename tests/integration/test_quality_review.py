"""What people do with quality: read it, decide about values, check loads, over screens and the API."""

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from ingestion.models import Source
from ingestion.quality import observe, operations, queries, scans, score
from ingestion.quality.errors import QualityError
from ingestion.quality.fold import fold_samples
from ingestion.quality.models import (
    Alert,
    DuplicateScan,
    FlaggedValue,
    QualityScore,
    ValueRule,
)
from ingestion.treatment import forget_rules
from tests.factories.access import make_user
from tests.factories.ingestion import NOW, track
from tests.integration.conftest import drain_all

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


@pytest.fixture(autouse=True)
def fresh_process() -> None:
    observe.forget_samples()
    forget_rules()


def as_(role: str) -> Client:
    client = Client()
    client.force_login(make_user(role))
    return client


def flag(source: Source, value: Any, *, path: str = "total", kind: str = "rule") -> FlaggedValue:
    return FlaggedValue.objects.create(
        source=source,
        kind=kind,
        event="Order",
        path=path,
        value=value,
        why="above 100",
        profile_id=1,
        event_id="00000000-0000-0000-0000-000000000001",
        happened_at=NOW,
        received_at=NOW,
    )


class TestSetRule:
    @pytest.mark.parametrize(
        ("limits", "path"),
        [
            ({}, "/low"),
            ({"low": 5, "high": 1}, "/high"),
            ({"low": float("inf")}, "/high"),
            ({"shortest": 5, "longest": 1}, "/longest"),
            ({"allowed": ["a", None]}, "/allowed/1"),
            ({"low": 1, "event": ""}, "/event"),
        ],
    )
    def test_refuses_what_makes_no_sense(self, source: Source, limits: dict[str, Any], path: str):
        with pytest.raises(QualityError) as caught:
            operations.set_rule(source=source, now=NOW, **({"event": "Order", "path": "total"} | limits))

        assert caught.value.path == path

    def test_replaces_the_rule_of_a_property(self, source: Source):
        for high in (5, 9):
            operations.set_rule(source=source, event="Order", path="total", high=high, now=NOW)

        assert ValueRule.objects.get().high == 9


class TestAlwaysFine:
    def test_widens_the_rule_and_settles_what_it_now_allows(self, source: Source):
        operations.set_rule(source=source, event="Order", path="total", low=0, high=100, now=NOW)
        one, smaller, larger = flag(source, 500), flag(source, 300), flag(source, 501)

        operations.accept_for_good(flag=one, actor="eve", now=NOW)

        assert (ValueRule.objects.get().low, ValueRule.objects.get().high) == (0, 500)
        states = {found.pk: found.state for found in FlaggedValue.objects.all()}
        assert [states[each.pk] for each in (one, smaller, larger)] == ["fine", "fine", "open"]

    def test_makes_a_rule_of_the_range_seen_where_there_was_none(self, source: Source, accept: Any):
        accept(*(track("Order", properties={"total": total}) for total in (10, 20)))
        drain_all(NOW)
        fold_samples()

        rule = operations.accept_for_good(flag=flag(source, 500, kind="outlier"), actor="eve", now=NOW)

        assert rule is not None
        assert (rule.low, rule.high) == (10, 500)

    def test_adds_to_a_list_and_stretches_a_length(self, source: Source):
        operations.set_rule(source=source, event="Order", path="total", allowed=["a"], longest=1, now=NOW)

        operations.accept_for_good(flag=flag(source, "bcd"), actor="eve", now=NOW)

        rule = ValueRule.objects.get()
        assert (rule.allowed, rule.longest) == (["a", "bcd"], 3)


class TestQueue:
    def test_is_bounded_per_source(self, source: Source, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(operations, "MAX_OPEN_FLAGS", 3)
        kept = [flag(source, number) for number in range(5)][2:]
        operations.decide_flag(flag=flag(source, 9), fine=False, actor="eve", now=NOW)

        operations.forget_old(now=NOW)

        open_ones = FlaggedValue.objects.filter(state="open").order_by("id")
        assert [found.pk for found in open_ones] == [each.pk for each in kept]
        assert FlaggedValue.objects.filter(state="wrong").count() == 1


class TestNearDuplicates:
    def test_are_found_with_examples(self, source: Source, accept: Any):
        cart = {"cart": "c-1", "total": 5}
        accept(
            track("Order", properties=cart, timestamp=(NOW - 5 * SECOND).isoformat()),
            track("Order", properties=cart, timestamp=(NOW - 3 * SECOND).isoformat()),
            track("Order", properties=cart, timestamp=(NOW - 40 * SECOND).isoformat()),
            track("Order", properties=cart | {"total": 6}, timestamp=(NOW - 3 * SECOND).isoformat()),
            track("Order", properties=cart, userId="u-2", timestamp=(NOW - 3 * SECOND).isoformat()),
            track("Refund", properties=cart, timestamp=(NOW - 3 * SECOND).isoformat()),
        )
        drain_all(NOW)

        assert scans.scan_duplicates(now=NOW) == 1

        found = DuplicateScan.objects.get()
        assert (found.scanned, found.found, found.examples[0]["seconds"]) == (6, 1, 2.0)
        assert scans.scan_duplicates(now=NOW + 5 * MINUTE) == 0


class TestLoads:
    def checksum(self, *message_ids: str) -> str:
        total = 0
        for text in message_ids:
            total ^= int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
        return f"{total:016x}"

    def test_are_compared_with_what_is_stored(self, source: Source, accept: Any):
        client = as_("admin")
        address = "/api/v1/sources/shop/loads/"
        stated = {"id": "l-1", "count": 3, "checksum": self.checksum("a", "b", "c")}
        assert client.post(address, stated, content_type="application/json").json()["state"] == "incomplete"
        accept(track("A", messageId="a"), track("A", messageId="b"), context={"load": {"id": "l-1"}})
        accept(track("A", messageId="b"), context={"load": {"id": "l-1"}})
        assert client.get(f"{address}l-1/").json()["state"] == "waiting"
        drain_all(NOW)

        half = client.get(f"{address}l-1/").json()
        assert (half["stored"], half["missing"], half["checksum_matches"], half["state"]) == (
            2,
            1,
            False,
            "incomplete",
        )

        accept(track("A", messageId="c"), track("A", messageId="x"), context={"load": {"id": "l-1"}})
        drain_all(NOW)
        more = client.get(f"{address}l-1/").json()
        assert (more["stored"], more["checksum_matches"], more["state"]) == (4, False, "incomplete")

        again = stated | {"count": 4, "checksum": self.checksum("a", "b", "c", "x"), "message_ids": ["a", "z"]}
        whole = client.post(address, again, content_type="application/json").json()
        assert (whole["state"], whole["checksum_matches"], whole["unknown_message_ids"]) == ("complete", True, ["z"])

    def test_say_what_is_wrong_with_a_statement(self, source: Source):
        sent = {"id": "l-1", "count": 1, "checksum": "nonsense"}

        answer = as_("admin").post("/api/v1/sources/shop/loads/", sent, content_type="application/json")

        assert (answer.status_code, answer.json()["path"]) == (400, "/checksum")


class TestScreensAndApi:
    @pytest.fixture
    def busy(self, source: Source, accept: Any) -> Source:
        now = timezone.now()
        accept(*(track("Order", properties={"total": n, "currency": "EUR"}) for n in range(30)), now=now)
        accept({"type": "nonsense"}, now=now)
        drain_all(now)
        fold_samples()
        score.save_score(source=source, now=now)
        flag(source, 500)
        return source

    @pytest.mark.parametrize("page", ["", "review/", "rules/", "integrity/"])
    def test_every_page_opens_for_a_marketer(self, busy: Source, page: str):
        assert as_("marketer").get(f"/sources/shop/quality/{page}").status_code == 200

    @pytest.mark.parametrize("page", ["", "review/", "rules/", "integrity/"])
    def test_every_page_opens_before_there_is_data(self, source: Source, page: str):
        assert as_("marketer").get(f"/sources/shop/quality/{page}").status_code == 200

    def test_only_those_who_may_write_decide(self, busy: Source):
        address = f"/sources/shop/quality/review/{FlaggedValue.objects.get().pk}/"

        assert as_("marketer").post(address, {"word": "wrong"}).status_code == 403
        assert as_("engineer").post(address, {"word": "wrong"}).status_code == 302
        assert FlaggedValue.objects.get().state == "wrong"

    def test_the_api_tells_score_and_profile(self, busy: Source):
        found = as_("admin").get("/api/v1/sources/shop/quality/").json()

        (event,) = found["events"]
        total = next(one for one in event["properties"] if one["path"] == "total")
        assert found["score"] == QualityScore.objects.get().score
        assert (event["events"], event["seen"], total["low"], total["high"], total["null_rate"]) == (30, 30, 0, 29, 0)
        assert [part["key"] for part in found["parts"]] == list(score.LABELS)

    def test_the_api_sets_rules_decides_and_lists_alerts(self, busy: Source):
        client = as_("admin")
        rules, flags = "/api/v1/sources/shop/quality/rules/", "/api/v1/sources/shop/quality/flags/"
        json = {"content_type": "application/json"}

        made = client.post(rules, {"event": "Order", "path": "total", "high": 10}, **json)
        bad = client.post(rules, {"event": "Order", "path": "total"}, **json)
        first = client.get(f"{flags}?state=open").json()["results"][0]
        decided = client.post(f"{flags}{first['id']}/decide/", {"word": "always"}, **json)
        Alert.objects.create(source=busy, kind="errors", message="Bad.", opened_at=NOW, last_seen_at=NOW)
        alert = client.get("/api/v1/alerts/?state=open").json()["results"][0]
        seen = client.post(f"/api/v1/alerts/{alert['id']}/acknowledge/")

        assert (made.status_code, bad.status_code, bad.json()["code"]) == (201, 400, "rule_empty")
        assert (decided.json()["state"], ValueRule.objects.get().high) == ("fine", 500)
        assert (alert["source"], seen.json()["state"]) == ("shop", "acknowledged")
        assert client.delete(f"{rules}{made.json()['id']}/").status_code == 204

    def test_the_settings_take_a_promise_and_refuse_a_day_that_ends_before_it_begins(self, source: Source):
        client = as_("engineer")
        sent = {"part": "quality", "quality-expected_minutes": "30", "quality-outliers": "z", "quality-alerts": "on"}

        taken = client.post("/sources/shop/settings/", sent)
        refused = client.post("/sources/shop/settings/", sent | {"quality-open_from": "9", "quality-open_until": "8"})

        source.refresh_from_db()
        wanted = queries.quality_settings(source)
        assert (taken.status_code, refused.status_code) == (302, 422)
        assert (wanted.expected_minutes, wanted.outliers, wanted.alerts, wanted.open_until) == (30, "z", True, 24)
