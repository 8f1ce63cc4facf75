"""The columnar copy of the event log: what it reads is what the log holds, always."""

import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from cdp.kernel.copy import timestamp_micros
from ingestion.blocks.models import PropertyColumn
from ingestion.blocks.wanted import want
from tests.factories.blocks import read_rows
from tests.factories.segments import ensure_months, make_event_name, make_events, make_profile

NOW = datetime(2026, 3, 15, 12, 30, tzinfo=UTC)
BOUGHT = "Order Completed"
ALWAYS = {"since": None, "until": None}


@pytest.fixture(autouse=True)
def _partitions(db):
    ensure_months((NOW - timedelta(days=120)).date(), NOW.date())
    make_event_name(BOUGHT, value_property="revenue")


def ago(hours):
    return NOW - timedelta(hours=hours)


def make(*rows):
    """Orders: `(profile, hours ago, properties)`."""
    make_events([(profile, BOUGHT, ago(hours), given, None, {}) for profile, hours, given in rows])


def told(*, properties=(), **stretch):
    """The events that a reading found, as plain Python: profile, time, value, then a tuple for each property."""
    found = []
    for rows in read_rows(name=BOUGHT, times=True, values=True, properties=properties, **stretch):
        columns = [
            [None if code < 0 else (rows.columns[path].values[code],) for code in rows.columns[path].codes.tolist()]
            for path in properties
        ]
        values = [None if math.isnan(value) else value for value in rows.values.tolist()]
        found += zip(rows.profiles.tolist(), rows.times.tolist(), values, *columns, strict=True)
    return found


class TestReadRows:
    def test_reads_ids_times_and_values_of_a_stretch(self):
        one, other = make_profile(), make_profile()
        make((one, 1, {"revenue": 5}), (one, 30, {"revenue": 7.5}), (other, 2_000, {}), (other, 48, {"revenue": 1}))

        found = told(since=ago(48), until=ago(1))

        late, early = (timestamp_micros(ago(hours)) for hours in (30, 48))
        assert sorted(found) == sorted([(one, late, 7.5), (other, early, 1.0)])
        assert Counter(profile for profile, *_ in told(**ALWAYS)) == {one: 2, other: 2}

    def test_reads_properties_as_json_values(self):
        one = make_profile()
        sent = ["a", 1, 1.5, None, True, ["x", {"y": 1}], "a", 'ä\n"', 10**4_100]
        make(*((one, place * 20, {"p": {"q": value}}) for place, value in enumerate(sent)), (one, 300, {"p": 3}))

        found = [
            value for *_, value in sorted(told(**ALWAYS, properties=["p.q"]), reverse=True, key=lambda row: row[1])
        ]

        wanted = [Decimal("1.5") if value == 1.5 else value for value in sent]
        assert [type(value[0]) for value in found[:-2]] == [type(value) for value in wanted[:-1]]
        assert found == [*((value,) for value in wanted), None]

    def test_reads_nothing_of_a_name_that_it_does_not_know(self):
        assert list(read_rows(name="Never Seen", **ALWAYS)) == []

    def test_refuses_a_path_through_a_list(self):
        with pytest.raises(ValueError, match="products"):
            list(read_rows(name=BOUGHT, **ALWAYS, properties=["products[].sku"]))


class TestWant:
    def test_notes_a_property_once(self):
        want(BOUGHT, "category")
        want(BOUGHT, "category")
        want("Never Seen", "category")

        (column,) = PropertyColumn.objects.all()
        assert (column.name.name, column.path) == (BOUGHT, "category")
