"""Arrays packed to as few bytes as they need, and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.kernel.copy import HEADER, TRAILER, _fields
from ingestion.blocks.pack import pack_floats, pack_rising, pack_whole, unpack_floats, unpack_narrow, unpack_whole

WHOLE = st.integers(-(2**61), 2**61) | st.integers(0, 300) | st.integers(10**12, 10**12 + 10**11)
PRICE = st.integers(-(10**6), 10**6).map(lambda cents: cents / 100)


class TestPack:
    @given(st.lists(WHOLE).map(lambda numbers: np.array(numbers, np.int64)))
    def test_gives_whole_numbers_back(self, numbers):
        assert (unpack_whole(pack_whole(numbers), np.int64) == numbers).all()
        assert (unpack_narrow(pack_whole(numbers)) == numbers).all()
        rising = np.sort(numbers)
        assert (unpack_whole(pack_rising(rising), np.int64) == rising).all()

    @given(st.lists(st.floats()) | st.lists(PRICE) | st.lists(st.integers().map(float)))
    def test_gives_floats_back_to_the_last_bit(self, numbers):
        packed = np.array(numbers, np.float64)
        found = unpack_floats(pack_floats(packed))

        missing = np.isnan(packed)
        assert (np.isnan(found) == missing).all()
        assert (found.view(np.int64) == packed.view(np.int64))[~missing].all()

    def test_takes_a_byte_for_ids_that_lie_close(self):
        assert len(pack_rising(np.arange(5, 10_000, 7))) < 1_500

    @pytest.mark.parametrize(("codes", "dtype"), [([0, 255], "u1"), ([-1, 254], "i2"), ([40_000, 40_001], "i4")])
    def test_gives_codes_back_in_few_bytes(self, codes, dtype):
        found = unpack_narrow(pack_whole(np.array(codes, np.int64)))

        assert found.tolist() == codes
        assert found.dtype == dtype

    def test_takes_two_bytes_for_prices(self):
        assert len(pack_floats(np.arange(1_000) / 100)) < 2_100


class TestReadCopied:
    @pytest.mark.parametrize("size", [1, 2, 3, 7, 19, 20, 1_000])
    def test_finds_the_rows_however_they_are_cut(self, size):
        row = b"\0\2\0\0\0\3abc\xff\xff\xff\xff"
        sent = HEADER + row * 3 + TRAILER

        found = list(_fields([sent[at : at + size] for at in range(0, len(sent), size)]))

        assert [[None if one is None else bytes(one) for one in row] for row in found] == [[b"abc", None]] * 3
