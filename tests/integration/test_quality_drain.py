"""What the drain notes of every chunk, and how samples become profiles."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from ingestion import operations
from ingestion.models import HourlyCount, Source
from ingestion.quality import observe
from ingestion.quality.fold import fold_samples, history_of
from ingestion.quality.models import DaySummary, FlaggedValue, HourShape, Property, Receipt, Sample, ValueRule, Volume
from ingestion.treatment import forget_rules
from tests.factories.ingestion import NOW, identify, track
from tests.integration.conftest import drain_all

HOUR = NOW.replace(minute=0)


@pytest.fixture(autouse=True)
def fresh_process() -> None:
    observe.forget_samples()
    forget_rules()


def volumes() -> dict[str, tuple[int, int]]:
    rows = Volume.objects.values_list("name__name", "events", "flagged")
    return {name: (events, flagged) for name, events, flagged in rows}


def fold_all() -> int:
    return sum(iter(fold_samples, 0))


def orders(*totals: Any, **fields: Any) -> list[dict[str, Any]]:
    return [track("Order Completed", properties={"total": total} | fields) for total in totals]


class TestCounts:
    def test_are_exact_after_duplicates_quarantine_and_two_chunks(self, accept):
        repeated = track("A", messageId="m-1")
        accept(repeated, track("A"), identify(traits={"plan": "pro"}), {"type": "nonsense"})
        drain_all(NOW)
        accept(repeated, track("A"), track("B"))
        drain_all(NOW)

        assert volumes() == {"A": (3, 0), "B": (1, 0), "Identify": (1, 0)}

    def test_of_what_was_acknowledged_balance_with_the_outcomes(self, accept, source: Source):
        accept(track("A", messageId="m-1"), track("A", messageId="m-1"), {"type": "nonsense"})
        accept(track("A"), now=NOW + timedelta(hours=1))
        drain_all(NOW + timedelta(hours=1))

        receipts = {row.hour: (row.requests, row.events) for row in Receipt.objects.all()}
        assert receipts == {HOUR: (1, 3), HOUR + timedelta(hours=1): (1, 1)}
        assert sum(HourlyCount.objects.values_list("events", flat=True)) == 4

    def test_lie_in_the_hour_of_arrival(self, accept):
        accept(track("A", timestamp="2026-03-01T00:00:00Z"))
        drain_all(NOW)

        assert Volume.objects.get().hour == HOUR


class TestSample:
    def test_is_everything_of_a_source_that_sends_little(self, accept):
        accept(*orders(*range(30)))
        drain_all(NOW)

        assert Sample.objects.count() == 30

    def test_is_bounded_and_evenly_spaced_for_one_that_sends_much(self, accept, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(observe, "SAMPLES_PER_MINUTE", 10)
        accept(*orders(*range(45)), *(track("Rare") for _ in range(3)))
        accept(*orders(*range(45)))
        drain_all(NOW, max_events=50)

        assert Sample.objects.filter(name__name="Order Completed").count() <= 10
        assert Sample.objects.filter(name__name="Rare").count() == 3

    def test_starts_anew_with_the_next_minute(self, accept, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(observe, "SAMPLES_PER_MINUTE", 10)
        for minute in range(2):
            accept(*orders(*range(20)), now=NOW + timedelta(minutes=minute))
            drain_all(NOW + timedelta(minutes=minute))

        assert Sample.objects.count() == 20


class TestProfile:
    def test_describes_every_property(self, accept, source: Source):
        accept(*orders(5, 10, 15, currency="EUR"), *orders(None), identify(traits={"city": "Rome"}))
        drain_all(NOW)

        assert fold_all() == 5
        assert not Sample.objects.exists()
        (row,) = DaySummary.objects.filter(name__name="Order Completed")
        found = history_of(source_id=source.pk, name_id=row.name_id, until=NOW.date())
        assert (found.seen, found.properties["total"].nulls, found.properties["currency"].present) == (4, 1, 3)
        assert (found.properties["total"].numbers.mean, found.properties["total"].numbers.high) == (10, 15)
        assert HourShape.objects.get(name__name="Identify").shape == {"city": [1, 0, {"text": 1}]}

    def test_adds_up_over_runs_and_days(self, accept, source: Source):
        for day in range(3):
            accept(*orders(day, day), now=NOW + timedelta(days=day))
            drain_all(NOW + timedelta(days=day))
            fold_all()

        name_id = DaySummary.objects.values_list("name_id", flat=True)[0]
        found = history_of(source_id=source.pk, name_id=name_id, until=(NOW + timedelta(days=2)).date())
        seen = Property.objects.get(path="total")
        assert (DaySummary.objects.count(), found.seen, found.properties["total"].numbers.mean) == (3, 6, 1)
        assert (seen.first_seen_at, seen.last_seen_at) == (NOW, NOW + timedelta(days=2))

    def test_counts_what_came_late(self, accept):
        accept(track("A", timestamp=(NOW - timedelta(hours=2)).isoformat()), track("A"))
        drain_all(NOW)
        fold_all()

        assert HourShape.objects.values_list("seen", "late").get() == (2, 1)

    def test_passes_over_samples_of_a_source_that_is_gone(self, accept, source: Source):
        accept(track("A"))
        drain_all(NOW)
        Sample.objects.update(source_id=source.pk + 1)

        assert fold_all() == 1
        assert not HourShape.objects.exists()


class TestValueRules:
    def rule(self, source: Source, **limits: Any) -> None:
        fields = {"event": "Order Completed", "path": "total", "created_at": NOW, "changed_at": NOW} | limits
        ValueRule.objects.create(source=source, **fields)
        operations.bump_rules(source_id=source.pk)

    def flags(self) -> list[tuple[str, Any, str]]:
        return list(FlaggedValue.objects.order_by("id").values_list("path", "value", "why"))

    def test_flag_what_breaks_them_and_store_it_all_the_same(self, accept, source: Source):
        self.rule(source, low=0, high=100)
        accept(*orders(5, -1, 101, 100, "12"), *orders(None), track("Else", properties={"total": -5}))

        drained = drain_all(NOW)

        assert drained.stored == 7
        assert self.flags() == [
            ("total", -1, "below 0"),
            ("total", 101, "above 100"),
            ("total", "12", "not a number"),
        ]
        assert volumes() == {"Order Completed": (6, 3), "Else": (1, 0)}

    def test_know_allowed_values_lengths_and_fields_of_lists(self, accept, source: Source):
        self.rule(source, path="currency", allowed=["EUR", "USD"])
        self.rule(source, path="note", longest=3)
        self.rule(source, path="products[].price", low=0)
        accept(*orders(1, currency="GBP", note="four", products=[{"price": 1}, {"price": -2}]))

        drain_all(NOW)

        assert sorted(self.flags()) == [
            ("currency", "GBP", "not one of the allowed values"),
            ("note", "four", "longer than 3 characters"),
            ("products[].price", -2, "below 0"),
        ]

    def test_count_a_repeated_message_once(self, accept, source: Source):
        self.rule(source, low=0)
        bad = track("Order Completed", messageId="m-1", properties={"total": -1})
        accept(bad, bad)
        drain_all(NOW)
        accept(bad)
        drain_all(NOW)

        assert (volumes(), FlaggedValue.objects.count()) == ({"Order Completed": (1, 1)}, 1)

    def test_keep_a_bounded_number_for_review_and_count_them_all(self, accept, source: Source):
        self.rule(source, low=0)
        accept(*orders(*[-1] * 50))

        drain_all(NOW)

        assert volumes() == {"Order Completed": (50, 50)}
        assert FlaggedValue.objects.count() == observe.MAX_FLAGS


class TestOutliers:
    def history(self, accept, now: datetime = NOW) -> None:
        accept(*orders(*(number % 10 + 20 for number in range(150))), now=now)
        drain_all(now)
        fold_all()

    def test_are_flagged_against_the_history_and_stored(self, accept):
        self.history(accept)
        later = NOW + timedelta(minutes=5)
        accept(*orders(25, 5_000), now=later)

        assert drain_all(later).stored == 2
        fold_all()

        (flag,) = FlaggedValue.objects.all()
        assert (flag.kind, flag.path, flag.value, flag.event) == ("outlier", "total", 5_000, "Order Completed")
        assert "standard deviations" in flag.why

    def test_are_not_looked_for_where_a_rule_says_what_is_right(self, accept, source: Source):
        self.history(accept)
        TestValueRules().rule(source, low=0, high=10_000)
        accept(*orders(5_000), now=NOW + timedelta(minutes=5))
        drain_all(NOW + timedelta(minutes=5))
        fold_all()

        assert not FlaggedValue.objects.exists()
