"""Differences between two values, letter by letter."""

from hypothesis import given
from hypothesis import strategies as st

from identity.review.letters import Piece, mark

TEXTS = st.text("abcä A-1", max_size=12)


class TestMark:
    def test_marks_single_letters(self):
        one, other = mark("Katharine", "Catherine")

        assert one == (Piece("K", False), Piece("ath", True), Piece("a", False), Piece("rine", True))
        assert other == (Piece("C", False), Piece("ath", True), Piece("e", False), Piece("rine", True))

    def test_marks_values_whole_that_have_little_in_common(self):
        assert mark("Lübeck", "Kiel") == ((Piece("Lübeck", False),), (Piece("Kiel", False),))

    def test_leaves_equal_values_quiet(self):
        assert mark("Meyer", "Meyer")[0] == (Piece("Meyer", True),)

    def test_does_not_dwell_on_long_values(self):
        one, other = mark("a" * 10_000, "a" * 9_999)

        assert (len(one), len(other)) == (1, 1)

    @given(TEXTS, TEXTS)
    def test_loses_nothing_of_either_value(self, one: str, other: str):
        left, right = mark(one, other)

        assert "".join(piece.text for piece in left) == one
        assert "".join(piece.text for piece in right) == other
