"""What arrays gather is what counting by hand gives, in any order and however the events are cut into batches."""

import math
import operator
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segments.ast import Op, Test
from segments.columnar.bounds import Cut, bounds_of, exact
from segments.columnar.errors import DeclinedError
from segments.columnar.measures import (
    Batch,
    Days,
    Distinct,
    ExactSum,
    Extreme,
    FirstOrLast,
    FloatSum,
    Gathering,
    Verdict,
    counted,
)
from segments.columnar.people import People

PEOPLE = 4
NUMBERS = (Decimal("0.1"), Decimal("19.99"), Decimal("0.30"), Decimal(-3), 7, 250, Decimal("1e30"), Decimal("1e-9"))
WORTHLESS = ("5", None, True, {}, Decimal("1e101"))
COMPARED: dict[Op, Callable[[Any, Any], bool]] = {
    Op.EQ: operator.eq, Op.NEQ: operator.ne, Op.GT: operator.gt, Op.GTE: operator.ge, Op.LT: operator.lt,
    Op.LTE: operator.le,
}  # fmt: skip

numbers = st.one_of(st.sampled_from([0, 1, 2, 0.3, 20.09, 250.5, -3]), st.integers(-5, 300))
tests = st.one_of(
    st.builds(Test, st.sampled_from(list(COMPARED)), numbers),
    st.builds(lambda one, other: Test(Op.BETWEEN, (min(one, other), max(one, other))), numbers, numbers),
)
events = st.lists(st.tuples(st.integers(0, PEOPLE - 1), st.sampled_from((*NUMBERS, *WORTHLESS))), max_size=30)


def passes(number: Any, test: Test) -> bool:
    if isinstance(test.value, tuple):
        return Fraction(exact(test.value[0])) <= number <= Fraction(exact(test.value[1]))
    return COMPARED[test.op](number, Fraction(exact(test.value)))


def gather(gathering: Gathering, happened: Sequence[tuple[int, Any]], cut: int = 3, **more: Any) -> Verdict:
    """In batches; values are coded, as columns have them."""
    values = list({id(value): value for _, value in happened}.values())
    operands = gathering.derive(values)
    for start in range(0, len(happened), cut):
        some = happened[start : start + cut]
        places = np.array([place for place, _ in some], np.int64)
        codes = [next(at for at, known in enumerate(values) if known is value) for _, value in some]
        gathering.add(Batch(places, operand=operands[codes], **{key: at[start:][:cut] for key, at in more.items()}))
    return gathering.verdict()


def of(place: int, happened: Sequence[tuple[int, Any]]) -> list[Fraction]:
    """The numbers of one person."""
    return [
        Fraction(value)
        for where, value in happened
        if where == place
        and isinstance(value, int | Decimal)
        and not isinstance(value, bool)
        and abs(value) <= Decimal("1e100")
    ]


class TestCuts:
    @given(number=st.one_of(numbers, st.floats(-1e90, 1e90, allow_nan=False)), beyond=st.booleans())
    def test_begin_at_the_least_float_that_rounds_to_the_bound(self, number: float, beyond: bool) -> None:
        cut = Cut(exact(number), beyond)

        first = cut.first_rounded()

        assert cut.reached_by(Decimal(f"{first:.15g}"))
        assert not cut.reached_by(Decimal(f"{math.nextafter(first, -math.inf):.15g}"))

    @given(number=numbers, beyond=st.booleans())
    def test_begin_at_the_least_whole_number(self, number: float, beyond: bool) -> None:
        cut = Cut(exact(number), beyond)

        assert cut.reached_by(Decimal(cut.first_whole()))
        assert not cut.reached_by(Decimal(cut.first_whole() - 1))


class TestMeasures:
    @given(happened=events, test=tests)
    def test_count(self, happened: list[tuple[int, Any]], test: Test) -> None:
        gathering = counted(PEOPLE, bounds_of(test))
        for place, _ in happened:
            gathering.add(Batch(np.array([place])))

        holds = gathering.verdict().holds

        for place in range(PEOPLE):
            assert holds[place] == passes(sum(where == place for where, _ in happened), test)

    @given(happened=events, test=tests, average=st.booleans())
    def test_add_up_numbers_exactly_or_say_that_they_do_not_know(
        self, happened: list[tuple[int, Any]], test: Test, average: bool
    ) -> None:
        verdict = gather(ExactSum(PEOPLE, bounds_of(test), average=average), happened)

        for place in range(PEOPLE):
            found = of(place, happened)
            number = sum(found, Fraction(0)) / (len(found) or 1) if average else sum(found, Fraction(0))
            known = verdict.doubtful is None or not verdict.doubtful[place]
            assert not known or verdict.holds[place] == (passes(number, test) and bool(found or not average))

    def test_know_sums_of_usual_prices(self) -> None:
        happened = [(0, Decimal("19.99")), (0, Decimal("0.01")), (0, 180), (1, Decimal("199.99"))]

        verdict = gather(ExactSum(2, bounds_of(Test(Op.GTE, 200))), happened)

        assert verdict.holds.tolist() == [True, False]
        assert verdict.doubtful is not None
        assert not verdict.doubtful.any()

    @given(
        found=st.lists(st.sampled_from([0.1, 0.2, 19.99, 1e16, -1e16, 3.0, 66.66]), max_size=12),
        test=tests,
        average=st.booleans(),
        seed=st.integers(0, 99),
    )
    def test_add_up_floats_as_any_order_would_or_say_that_they_do_not_know(
        self, found: list[float], test: Test, average: bool, seed: int
    ) -> None:
        gathering = FloatSum(1, bounds_of(test), average=average)
        gathering.add(Batch(np.zeros(len(found), np.int64), operand=np.array(found)))
        verdict = gathering.verdict()
        Random(seed).shuffle(found)

        total = 0.0
        for number in found:
            total += number
        number = total / len(found) if average and found else total

        expected = passes(Fraction(Decimal(f"{number:.15g}")), test) and bool(found or not average)
        assert verdict.doubtful is not None
        assert verdict.doubtful[0] or verdict.holds[0] == expected

    @given(happened=events, test=tests, largest=st.booleans())
    def test_find_the_largest_and_the_least(self, happened: list[tuple[int, Any]], test: Test, largest: bool) -> None:
        holds = gather(Extreme(PEOPLE, bounds_of(test), largest=largest, rounded=False), happened).holds

        for place in range(PEOPLE):
            found = of(place, happened)
            assert holds[place] == (bool(found) and passes((max if largest else min)(found), test))

    @given(happened=st.lists(st.tuples(st.integers(0, 3), st.sampled_from([1, Decimal("1.0"), True, "1", None, [1]]))))
    def test_tell_values_apart_as_json_does(self, happened: list[tuple[int, Any]]) -> None:
        told = {1: "n", "1": "t", None: None}
        holds = gather(Distinct(PEOPLE, bounds_of(Test(Op.GTE, 2))), happened).holds

        for place in range(PEOPLE):
            kinds = {
                "b" if value is True else "l" if isinstance(value, list) else told[value]
                for where, value in happened
                if where == place
            }
            assert holds[place] == (len(kinds - {None}) >= 2)

    @given(happened=st.lists(st.tuples(st.integers(0, 3), st.integers(-20, 20))), needed=st.integers(0, 4))
    def test_count_days(self, happened: list[tuple[int, int]], needed: int) -> None:
        gathering = Days(PEOPLE, bounds_of(Test(Op.GTE, needed)))
        for start in range(0, len(happened), 3):
            places, days = zip(*happened[start : start + 3], strict=True)
            gathering.add(Batch(np.array(places), days=np.array(days)))

        holds = gathering.verdict().holds

        for place in range(PEOPLE):
            assert holds[place] == (len({day for where, day in happened if where == place}) >= needed)

    def test_leave_days_of_centuries_to_sql(self) -> None:
        gathering = Days(PEOPLE, bounds_of(Test(Op.GTE, 2)))

        with pytest.raises(DeclinedError):
            gathering.add(Batch(np.zeros(2_000, np.int64), days=np.arange(2_000)))

    @given(
        happened=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["red", "blue", None]), st.integers(0, 5))),
        last=st.booleans(),
    )
    def test_look_at_the_first_or_last_value_unless_two_came_at_once(
        self, happened: list[tuple[int, Any, int]], last: bool
    ) -> None:
        judge = lambda values: np.array([value == "red" for value in values], bool)  # noqa: E731
        times = np.array([at for _, _, at in happened], np.int64)
        verdict = gather(
            FirstOrLast(PEOPLE, judge, last=last), [(place, value) for place, value, _ in happened], times=times
        )

        for place in range(PEOPLE):
            told = [(at, value) for where, value, at in happened if where == place and value]
            edge = (max if last else min)((at for at, _ in told), default=None)
            values = {value for at, value in told if at == edge}
            assert verdict.doubtful is not None
            assert verdict.doubtful[place] == (len(values) > 1)
            assert verdict.doubtful[place] or verdict.holds[place] == (values == {"red"})


class TestPeople:
    @pytest.mark.parametrize("ids", [[], [3, 4, 9], [5, 1 << 40, 1 << 41]])
    def test_find_everybody_and_nobody_else(self, ids: list[int]) -> None:
        people = People(np.array(ids, np.int64))
        asked = np.array([9, 3, 5, 1 << 40, 77, 1 << 50], np.int64)
        gathered = np.zeros(people.size, bool)

        places, known = people.locate(asked)
        gathered[places if known is None else places[known]] = True

        assert people.ids[people.everybody(gathered)].tolist() == sorted(set(ids) & set(asked.tolist()))
