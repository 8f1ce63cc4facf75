"""When to try again, when to hold a destination back, and what Retry-After says."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activation.retry import Breaker, RetrySchedule, parse_retry_after

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
SCHEDULE = RetrySchedule()
BREAKER = Breaker()


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


class TestRetrySchedule:
    def test_grows_to_about_a_day_and_then_gives_up(self):
        waits = [SCHEDULE.next_delay(tries=tries, chance=0.5) for tries in range(1, 11)]

        assert waits == sorted(waits)
        assert timedelta(hours=20) < sum(waits, timedelta()) < timedelta(hours=28)
        assert SCHEDULE.next_delay(tries=11, chance=0.5) is None

    @given(st.integers(1, 10), st.floats(0, 1, exclude_max=True))
    def test_jitters_by_a_fifth_either_way(self, tries, chance):
        middle = SCHEDULE.next_delay(tries=tries, chance=0.5)

        assert middle * 0.79 < SCHEDULE.next_delay(tries=tries, chance=chance) < middle * 1.21

    def test_waits_as_long_as_the_receiver_asks(self):
        assert SCHEDULE.next_delay(tries=1, chance=0.5, retry_after=seconds(90)) == seconds(90)
        assert SCHEDULE.next_delay(tries=1, chance=0.5, retry_after=seconds(1)) == seconds(5)

    def test_waits_no_longer_than_a_day_whatever_the_receiver_asks(self):
        assert SCHEDULE.next_delay(tries=1, chance=0.5, retry_after=timedelta(days=400)) == timedelta(days=1)


class TestBreaker:
    def hold(self, failures=1, failing_for=0.0, slow_down=False, retry_after=None):
        return BREAKER.hold(
            failures=failures,
            failing_for=seconds(failing_for),
            slow_down=slow_down,
            retry_after=None if retry_after is None else seconds(retry_after),
        )

    def test_lets_a_few_failures_pass(self):
        assert self.hold(failures=4) is None

    def test_holds_after_the_fifth_in_a_row(self):
        assert self.hold(failures=5) == seconds(5)

    def test_asks_less_often_the_longer_it_has_been_failing(self):
        assert self.hold(failures=9, failing_for=60) == seconds(30)
        assert self.hold(failures=9, failing_for=100_000) == timedelta(minutes=10)

    def test_holds_at_once_when_the_receiver_is_overloaded(self):
        assert self.hold(slow_down=True) == seconds(5)

    @pytest.mark.parametrize("asked", [1, 120, 3_600])
    def test_takes_an_overloaded_receiver_at_its_word(self, asked):
        assert self.hold(slow_down=True, retry_after=asked) == seconds(asked)

    def test_sends_one_at_a_time_to_see_whether_it_is_back(self):
        assert BREAKER.places(failures=4, concurrency=16) == 16
        assert BREAKER.places(failures=5, concurrency=16) == 1


class TestParseRetryAfter:
    @pytest.mark.parametrize(
        ("header", "wait"),
        [
            ("120", seconds(120)),
            (" 0 ", seconds(0)),
            (format_datetime(NOW + timedelta(hours=1), usegmt=True), timedelta(hours=1)),
            (format_datetime(NOW - timedelta(hours=1), usegmt=True), None),
            ("", None),
            ("soon", None),
            ("-5", None),
            ("1e9", None),
            ("99999999999999999999", None),
            ("Tue, 99 Mar 2026 12:00:00 GMT", None),
            ("٣", None),
        ],
    )
    def test_reads_seconds_and_dates_and_nothing_else(self, header, wait):
        assert parse_retry_after(header, now=NOW) == wait

    @given(st.text())
    def test_takes_any_text(self, header):
        parse_retry_after(header, now=NOW)
