"""What is looked up for the codes of a column is what is known of each value, however wide the codes are."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segments.columnar.values import Coded

TRUTHS = st.lists(st.booleans(), max_size=12)


def looked_up(truths: list[bool], codes: list[int], *, missing: bool) -> list[bool]:
    return [missing if code < 0 else truths[code] for code in codes]


class TestCoded:
    @given(TRUTHS, TRUTHS, st.booleans(), st.data())
    @pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32])
    def test_tells_truths_also_of_values_that_come_later(
        self, dtype: Any, truths: list[bool], later: list[bool], missing: bool, data: st.DataObject
    ) -> None:
        coded = Coded(lambda values: np.array(values, bool), missing)

        for known in (truths, truths + later):
            codes = data.draw(st.lists(st.integers(-1, len(known) - 1)))
            found = coded.of(np.array(codes, dtype), known)
            assert found.tolist() == looked_up(known, codes, missing=missing)

    @pytest.mark.parametrize("missing", [False, True])
    @pytest.mark.parametrize("passing", [0, 1, 128, 255, 256])
    def test_takes_no_code_for_that_of_a_missing_value(self, passing: int, missing: bool) -> None:
        truths = [place < passing for place in range(256)]
        coded = Coded(lambda values: np.array(values, bool), missing)

        assert coded.of(np.arange(256, dtype=np.uint8), truths).tolist() == truths

    def test_tells_numbers(self) -> None:
        coded = Coded(lambda values: np.array(values, float), -1.0)

        assert coded.of(np.array([2, -1, 0], np.int16), [0.5, 1.5, 2.5]).tolist() == [2.5, -1.0, 0.5]
