"""The console's filters: times, numbers and names as people read them."""

from datetime import UTC, datetime, timedelta

import pytest
from django.template import Context, Template
from django.test import RequestFactory

from cdp.kernel.screens import Page, after_param, take_page
from cdp.templatetags import console

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


class TestHumanise:
    @pytest.mark.parametrize(
        ("ago", "said"),
        [
            (timedelta(seconds=1), "just now"),
            (timedelta(seconds=59), "59 s ago"),
            (timedelta(seconds=60), "1 min ago"),
            (timedelta(minutes=59, seconds=59), "59 min ago"),
            (timedelta(hours=1), "1 h ago"),
            (timedelta(hours=23, minutes=59), "23 h ago"),
            (timedelta(days=1), "1 d ago"),
            (timedelta(days=13, hours=23), "13 d ago"),
            (timedelta(days=14), "24 Feb 2026"),
            (-timedelta(minutes=5), "in 5 min"),
            (-timedelta(days=2), "in 2 d"),
        ],
    )
    def test_says_how_far_away_a_moment_is(self, ago: timedelta, said: str):
        assert console.humanise(NOW - ago, NOW) == said


class TestAgo:
    def test_keeps_the_exact_time_in_the_title(self):
        assert 'title="2026-03-10 12:00:00 UTC"' in console.ago(NOW)

    def test_of_nothing_is_never(self):
        assert console.ago(None) == "never"


class TestSpan:
    @pytest.mark.parametrize(
        ("delta", "said"),
        [
            (timedelta(), "0 ms"),
            (timedelta(milliseconds=334), "334 ms"),
            (timedelta(seconds=3), "3 s"),
            (timedelta(minutes=90), "1 h"),
            (timedelta(days=40), "40 d"),
        ],
    )
    def test_is_a_stretch_of_time(self, delta: timedelta, said: str):
        assert console.span(delta) == said


class TestNumber:
    @pytest.mark.parametrize(
        ("value", "long", "short"),
        [
            (0, "0", "0"),
            (9_999, "9,999", "9,999"),
            (12_345, "12,345", "12.3k"),
            (999_999, "999,999", "1M"),
            (1_000_000, "1,000,000", "1M"),
            (2_500_000_000, "2,500,000,000", "2.5B"),
            (-12_345, "-12,345", "-12.3k"),
            (10.5, "10.5", "10.5"),
            (3.0, "3", "3"),
            (None, "–", "–"),
        ],
    )
    def test_is_written_for_people(self, value: float | None, long: str, short: str):
        assert console.number(value) == long
        assert console.short_number(value) == short


class TestInitials:
    @pytest.mark.parametrize(
        ("name", "letters"),
        [
            ("Anna Smith", "AS"),
            ("anna", "A"),
            ("Anna Maria von Smith", "AS"),
            ("", "?"),
            ("– …", "?"),
            ("Öz Ün", "ÖÜ"),
        ],
    )
    def test_are_of_the_first_and_the_last_word(self, name: str, letters: str):
        assert console.initials(name) == letters


class TestValueText:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ("Graz", "Graz"),
            (True, "yes"),
            (1234.5, "1,234.5"),
            (None, "–"),
            (["a", 1], "a, 1"),
            ([], "–"),
            ({"a": "ü"}, '{"a": "ü"}'),
        ],
    )
    def test_reads_bare(self, value: object, text: str):
        assert console.value_text(value) == text


class TestSpark:
    @pytest.mark.parametrize("values", [[], [0], [0, 0, 0], [1, 5, 2], [0.5, 10**9]])
    def test_stays_inside_its_box(self, values: list[float]):
        points = [tuple(map(float, point.split(","))) for point in console.spark(values).split()]

        assert len(points) == len(values)
        assert all(0 <= x <= 100 and 0 <= y <= 24 for x, y in points)


class TestChart:
    def test_shows_the_same_numbers_as_a_table(self):
        data = {"x": ["Mon", "<Tue>"], "series": [{"name": "A", "data": [1, 2_000]}, {"name": "B", "data": [3, None]}]}

        shown = Template('{% load console %}{% chart "c" data=data label="Things" %}').render(Context({"data": data}))

        assert 'data-chart-source="c-data"' in shown
        assert 'id="c-data"' in shown
        assert "&lt;Tue&gt;" in shown
        assert "2,000" in shown
        assert "–" in shown


class TestAddress:
    def test_keeps_the_rest_of_the_query(self):
        context = Context({"request": RequestFactory().get("/?q=a%26b&after=3"), "page": Page([1], "7")})

        shown = Template(
            "{% load console %}{% autoescape off %}{% next_page page %} {% first_page %}{% endautoescape %}"
        )

        assert shown.render(context) == "?q=a%26b&after=7 ?q=a%26b"


class TestTakePage:
    def test_names_the_key_of_the_next_page(self):
        page = take_page([5, 4, 3], key=lambda row: row, size=2)

        assert (page.items, page.next) == ([5, 4], "4")

    @pytest.mark.parametrize("rows", [[], [1], [2, 1]])
    def test_the_last_page_has_no_next(self, rows: list[int]):
        assert take_page(rows, key=lambda row: row, size=2).next == ""


class TestAfterParam:
    @pytest.mark.parametrize(
        ("raw", "key"), [("", None), ("12", 12), ("-1", None), ("1.5", None), ("٣", None), ("9" * 19, None)]
    )
    def test_takes_whole_numbers_only(self, raw: str, key: int | None):
        assert after_param(RequestFactory().get("/", {"after": raw})) == key
