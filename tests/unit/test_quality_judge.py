"""Outliers and robust deviations against the slow way; the score and the rules of one value."""

import random
from typing import Any

import pytest

from ingestion.quality import judge
from ingestion.quality.judge import Score, find_oddity, grade_of, robust_z
from ingestion.quality.rules import Limits
from ingestion.quality.score import Facts, parts_of
from ingestion.quality.suggest import round_up
from ingestion.quality.summary import QUANTILE_ERROR, summarise
from tests.oracles import quality as oracle

NOTHING_WRONG: dict[str, Any] = {
    "expected": 100,
    "filled": 100,
    "stored": 100,
    "quarantined": 0,
    "flagged": 0,
    "duplicates": 0,
    "near_scanned": 100,
    "near_found": 0,
    "seen": 100,
    "late": 0,
    "overdue": False,
    "values": 100,
    "values_of_main_type": 100,
    "compared": 0,
    "conflicting": 0,
}


class TestFindOddity:
    @pytest.mark.parametrize("shape", ["gauss", "lognormvariate", "uniform"])
    def test_agrees_with_the_raw_numbers_up_to_the_error_of_quartiles(self, shape: str):
        draw = random.Random(3)
        arguments = {"gauss": (100, 10), "lognormvariate": (3, 0.7), "uniform": (5, 50)}[shape]
        history = [getattr(draw, shape)(*arguments) for _ in range(2_000)]
        numbers = summarise(history).numbers
        spread = max(history) - min(history)

        for step in range(200):
            value = min(history) - spread + step * spread * 3 / 200
            by_z, by_iqr = oracle.is_outlier(value, history, max_z=4, fence=3)
            near = {oracle.is_outlier(value + shift, history, max_z=4, fence=3)[1] for shift in _margin(history)}
            assert (find_oddity(value, numbers, max_z=4, fence=3, needs="z") is not None) == by_z
            if len(near) == 1:  # not within the error of a fence
                assert (find_oddity(value, numbers, max_z=4, fence=3, needs="iqr") is not None) == by_iqr
                assert (find_oddity(value, numbers, max_z=4, fence=3) is not None) == (by_z and by_iqr)

    def test_calls_nothing_odd_before_it_has_seen_enough(self):
        assert find_oddity(10**6, summarise([1.0] * 99).numbers, max_z=4, fence=3) is None
        assert find_oddity(10**6, summarise([1.0] * 100).numbers, max_z=4, fence=3) is not None

    def test_calls_the_usual_value_of_a_constant_property_usual(self):
        assert find_oddity(0.1, summarise([0.1] * 500).numbers, max_z=4, fence=3) is None


def _margin(history: list[float]) -> tuple[float, ...]:
    """How far quartiles that are a little off move a fence of three interquartile ranges."""
    room = 9 * QUANTILE_ERROR * max(map(abs, history))
    return (-room, 0.0, room)


class TestRobustZ:
    def test_is_not_moved_by_one_freak_day(self):
        earlier = [1_000, 1_010, 990, 1_005, 995, 50_000]

        assert abs(robust_z(1_002, earlier)) < 1
        assert robust_z(5_000, earlier) > 30

    def test_forgives_what_chance_does_to_small_counts(self):
        assert abs(robust_z(13, [9, 9, 9, 9, 9])) < 2


class TestScore:
    def test_of_data_without_fault_is_100(self):
        assert Score(parts_of(Facts(**NOTHING_WRONG))).total == 100

    @pytest.mark.parametrize(
        ("part", "fault"),
        [
            ("completeness", {"filled": 80}),
            ("validity", {"flagged": 20}),
            ("timeliness", {"late": 20}),
            ("uniqueness", {"duplicates": 25}),
            ("uniqueness", {"near_found": 20}),
            ("consistency", {"values_of_main_type": 80}),
            ("consistency", {"compared": 10, "conflicting": 2}),
        ],
    )
    def test_loses_in_the_part_that_is_at_fault_and_no_other(self, part: str, fault: dict[str, Any]):
        parts = parts_of(Facts(**NOTHING_WRONG | fault))

        assert {name: share for name, share in parts.items() if share < 100} == {part: pytest.approx(80)}

    def test_halves_timeliness_while_a_promise_is_broken(self):
        assert parts_of(Facts(**NOTHING_WRONG | {"overdue": True}))["timeliness"] == 50

    def test_is_never_rounded_up_to_perfection(self):
        assert judge.round_down(99.99) == 99
        assert [grade_of(score)[0] for score in (100, 95, 94, 84, 69, 0)] == ["A", "A", "B", "C", "D", "E"]

    def test_leaves_out_what_nothing_is_known_of(self):
        assert parts_of(Facts(**dict.fromkeys(NOTHING_WRONG, 0))) == {}


class TestLimits:
    @pytest.mark.parametrize(
        ("limits", "fine", "wrong"),
        [
            (Limits(low=0, high=10), [0, 10, 5.5], [-0.1, 11, "5", True, [1]]),
            (Limits(low=0), [10**400], [-1]),
            (Limits(allowed=("a", 1, True)), ["a", 1, 1.0, True], ["b", "1", False, None]),
            (Limits(shortest=2, longest=3), ["ab", "abc", 5], ["a", "abcd"]),
        ],
    )
    def test_say_what_is_wrong(self, limits: Limits, fine: list[Any], wrong: list[Any]):
        assert [limits.problem(value) for value in fine] == [""] * len(fine)
        assert all(limits.problem(value) for value in wrong)


class TestRoundUp:
    @pytest.mark.parametrize(("value", "rounded"), [(237, 240), (240, 240), (0.0123, 0.013), (99.5, 100), (0, 0)])
    def test_keeps_two_digits(self, value: float, rounded: float):
        assert round_up(value) == pytest.approx(rounded)
