"""Tests of values that were dictionary-coded: each value once, whoever has it.

Equality and numbers are compared here, exactly. Text and dates are asked of PostgreSQL, by the SQL of
`segments.predicates`: letters have the case that it gives them, and days begin where it has them begin.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segments.ast import NEGATIVE, Op, Test
from segments.columnar.bounds import exact
from segments.columnar.errors import DeclinedError
from segments.columnar.measures import canonical
from segments.columnar.people import Flags
from segments.engine import fetch
from segments.plan import Clock
from segments.predicates import COMPARISONS, value_holds
from segments.sql import Sql, sql

MOST_ASKED = 100_000
"""Values that PostgreSQL is asked about; beyond that, asking the rows themselves is no slower."""

Judge = Callable[[Sequence[Any]], Flags]


def judge_of(test: Test, clock: Clock) -> Judge:
    """For each value, whether it passes; a negative test is passed by what fails its counterpart."""
    if test.op in NEGATIVE:
        counterpart = judge_of(Test(NEGATIVE[test.op], test.value), clock)
        return lambda values: ~counterpart(values)
    plain = _plain(test)
    if plain:
        return lambda values: np.fromiter((plain(value) for value in values), bool, len(values))
    return lambda values: _ask(test, values, clock)


def _plain(test: Test) -> Callable[[Any], bool] | None:
    match test.op:
        case Op.EQ | Op.IN | Op.IS_TRUE | Op.IS_FALSE:
            among = frozenset(canonical(wanted) for wanted in _wanted(test))
            return lambda value: canonical(value) in among
        case Op.EXISTS:
            return lambda value: value is not None
        case Op.GT | Op.GTE | Op.LT | Op.LTE | Op.BETWEEN:
            return lambda value: _is_number(value) and _compared(exact(value), test)
        case _:
            return None


def _wanted(test: Test) -> Sequence[Any]:
    if test.op in {Op.IS_TRUE, Op.IS_FALSE}:
        return (test.op is Op.IS_TRUE,)
    return test.value if isinstance(test.value, tuple) else (test.value,)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _compared(number: Decimal, test: Test) -> bool:
    if isinstance(test.value, tuple):
        low, high = test.value
        return exact(low) <= number <= exact(high)
    wanted = exact(test.value)
    return {">": number > wanted, ">=": number >= wanted, "<": number < wanted, "<=": number <= wanted}[
        COMPARISONS[test.op]
    ]


def _ask(test: Test, values: Sequence[Any], clock: Clock) -> Flags:
    if len(values) > MOST_ASKED:
        raise DeclinedError
    passed = np.zeros(len(values), bool)
    if len(values):
        texts = [dumps(value) for value in values]
        query = (
            "SELECT coalesce(array_agg(v.place) FILTER (WHERE {holds}), '{{}}')"
            " FROM unnest({texts}::jsonb[]) WITH ORDINALITY AS v(value, place)"
        )
        ((places,),) = fetch(sql(query, holds=value_holds(test, Sql("v.value"), clock), texts=texts))
        passed[np.array(places, np.int64) - 1] = True
    return passed


def dumps(value: Any) -> str:
    """JSON, numbers digit by digit."""
    match value:
        case Decimal():
            return str(value)
        case list():
            return f"[{', '.join(dumps(item) for item in value)}]"
        case dict():
            return f"{{{', '.join(f'{json.dumps(key)}: {dumps(item)}' for key, item in value.items())}}}"
        case _:
            return json.dumps(value)


FEW = 4
"""Values that codes are compared with one after the other: narrow codes by the dozen, in place of looking each up."""

Codes = NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class Few:
    """The codes of those few values of which `answer` is true; of all others it is not."""

    codes: Sequence[int]
    answer: bool

    def of(self, codes: Codes) -> Flags:
        found = np.zeros(len(codes), bool)
        for code in self.codes:
            found |= codes == code
        return found if self.answer else ~found


class Coded:
    """What is known of each value of a column, with that of no value behind it, where code -1 finds it."""

    def __init__(self, derive: Callable[[Sequence[Any]], NDArray[Any]], missing: Any) -> None:
        self.derive, self.missing = derive, missing
        self.known: NDArray[Any] | None = None
        self.few: Few | None = None

    def of(self, codes: Codes, values: Sequence[Any]) -> NDArray[Any]:
        """For each code; values that were added since the last time are looked at now."""
        done = 0 if self.known is None else len(self.known) - 1
        if self.known is None or done < len(values):
            more = self.derive(values[done:])
            before = more[:0] if self.known is None else self.known[:-1]
            self.known = np.concatenate([before, more, np.array([self.missing], more.dtype)])
            self.few = _few_of(self.known)
        return self.few.of(codes) if self.few else self.known.take(codes)


def _few_of(known: NDArray[Any]) -> Few | None:
    """Where few pass or few fail; None for what is no truth."""
    if known.dtype != np.bool_:
        return None
    missing = len(known) - 1
    for answer in (True, False):
        places = np.flatnonzero(known == answer).tolist()
        if len(places) <= FEW:
            return Few([-1 if place == missing else place for place in places], answer)
    return None
