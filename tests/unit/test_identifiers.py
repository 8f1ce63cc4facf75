"""One spelling for every identifier, and none for values that mean nobody."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.kernel.identifiers import BLOCKED, MAX_LENGTH, normalise

KINDS = ["user_id", "anonymous_id", "email", "phone"]


class TestNormalise:
    @pytest.mark.parametrize(
        "value", [*sorted(BLOCKED), " NULL ", "Anonymous", "0", "00000000-0000-0000-0000-000000000000", "--"]
    )
    @pytest.mark.parametrize("kind", KINDS)
    def test_values_that_mean_nobody_are_none(self, kind: str, value: str):
        assert normalise(kind, value) is None

    @pytest.mark.parametrize("value", ["a\0b", "a\nb", "\x7f", "\ud800", "x" * (MAX_LENGTH + 1)])
    @pytest.mark.parametrize("kind", KINDS)
    def test_values_that_cannot_be_kept_are_none(self, kind: str, value: str):
        assert normalise(kind, value) is None

    def test_a_user_id_is_trimmed_and_keeps_its_case(self):
        assert normalise("user_id", " AbC-1 ") == "AbC-1"

    def test_composed_and_decomposed_letters_are_one(self):
        assert normalise("user_id", "e\u0301") == normalise("user_id", "\u00e9") == "\u00e9"

    @pytest.mark.parametrize("value", ["Ann@Example.ORG", " ann@example.org ", "ANN@EXAMPLE.ORG"])
    def test_an_email_is_lower_case(self, value: str):
        assert normalise("email", value) == "ann@example.org"

    @pytest.mark.parametrize(
        "value", ["ann", "ann@", "@example.org", "ann@example", "a nn@example.org", "a@b@c.org", "a@.org", "a@b."]
    )
    def test_an_email_that_is_none_is_none(self, value: str):
        assert normalise("email", value) is None

    def test_an_email_that_grows_beyond_the_limit_is_none(self):
        assert normalise("email", "\u0130" * 120 + "@" + "x" * 128 + ".org") is None

    @given(st.sampled_from(KINDS), st.text(max_size=300))
    def test_a_normalised_value_is_its_own_normal_form(self, kind: str, value: str):
        once = normalise(kind, value)

        assert once is None or normalise(kind, once) == once

    @given(st.sampled_from(KINDS), st.text(max_size=40))
    def test_what_comes_out_can_be_stored(self, kind: str, value: str):
        found = normalise(kind, value)

        if found is not None:
            assert 0 < len(found) <= MAX_LENGTH
            assert not any(unicodedata.category(letter) in {"Cc", "Cs"} and ord(letter) < 0x80 for letter in found)
            found.encode()
