"""Personal data hidden by class. R: G9"""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.dictionary.masking import CLEAR, HIDDEN, Masker, Pii, default_class, mask

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["email", "a", "traits", "b"]), inner),
    max_leaves=12,
)


class TestMask:
    @pytest.mark.parametrize(
        ("value", "pii", "expected"),
        [
            ("anna@example.org", Pii.CONTACT, "a•••@e•••.org"),
            ("anna@example.org", Pii.IDENTIFIER, "a•••@e•••.org"),
            ("+491701234567", Pii.CONTACT, "+49•••67"),
            ("Main Street 5", Pii.CONTACT, "M•••"),
            ("Anna", Pii.PERSONAL, "A•••"),
            ("1990-12-31", Pii.PERSONAL, "1•••"),
            ("customer-4711", Pii.IDENTIFIER, "cust•••"),
            ("u-1", Pii.IDENTIFIER, "u•••"),
            (4711, Pii.IDENTIFIER, "4•••"),
            ("diabetes", Pii.SENSITIVE, "•••"),
            (True, Pii.PERSONAL, "•••"),
            (None, Pii.SENSITIVE, None),
            ("", Pii.CONTACT, ""),
            ("anna@example.org", Pii.NONE, "anna@example.org"),
            ({"city": "Berlin", "lines": ["Main Street 5"]}, Pii.CONTACT, {"city": "B•••", "lines": ["M•••"]}),
        ],
    )
    def test_leaves_enough_to_tell_people_apart(self, value: Any, pii: Pii, expected: Any):
        assert mask(value, pii) == expected

    @given(st.text(max_size=20), st.sampled_from([Pii.IDENTIFIER, Pii.PERSONAL, Pii.CONTACT, Pii.SENSITIVE]))
    def test_twice_is_as_once(self, text: str, pii: Pii):
        assert mask(mask(text, pii), pii) == mask(text, pii)


class TestDefaultClass:
    @pytest.mark.parametrize(
        ("path", "kind", "expected"),
        [
            ("email", "trait", Pii.CONTACT),
            ("firstName", "trait", Pii.PERSONAL),
            ("shipping.address1", "property", Pii.CONTACT),
            ("address.city", "trait", Pii.CONTACT),
            ("name", "trait", Pii.PERSONAL),
            ("company.name", "trait", Pii.NONE),
            ("name", "property", Pii.NONE),
            ("products[].name", "property", Pii.NONE),
            ("contacts[].Phone-Number", "property", Pii.CONTACT),
            ("userId", "property", Pii.IDENTIFIER),
            ("iban", "trait", Pii.SENSITIVE),
            ("plan", "trait", Pii.NONE),
        ],
    )
    def test_follows_from_the_name(self, path: str, kind: str, expected: Pii):
        assert default_class(path, kind=kind) is expected


class TestMasker:
    def test_hides_by_name_unless_somebody_said_otherwise(self):
        masker = Masker(classes={("trait", "", "email"): Pii.NONE, ("trait", "", "plan"): Pii.SENSITIVE})

        assert masker.traits({"email": "a@b.co", "plan": "pro", "phone": "+491701234567", "n": 1}) == {
            "email": "a@b.co",
            "plan": "•••",
            "phone": "+49•••67",
            "n": 1,
        }

    def test_a_class_holds_for_what_lies_inside(self):
        masker = Masker(classes={("property", "Paid", "card"): Pii.SENSITIVE})

        assert masker.properties("Paid", {"card": {"brand": "x", "last": [1]}})["card"] == {
            "brand": "•••",
            "last": ["•••"],
        }
        assert masker.properties("Else", {"card": {"brand": "x"}}) == {"card": {"brand": "x"}}

    def test_hides_addresses_wherever_they_stand(self):
        assert Masker().properties("A", {"note": "write to anna@example.org now"}) == {
            "note": "write to a•••@e•••.org now"
        }

    def test_hides_a_whole_message(self):
        sent = {
            "type": "track",
            "event": "Paid",
            "userId": "customer-1",
            "properties": {"name": "Milk", "email": "anna@example.org"},
            "context": {"ip": "10.20.30.40", "traits": {"lastName": "Smith"}, "library": {"name": "lib"}},
        }

        assert json.loads(Masker().text(json.dumps(sent))) == sent | {
            "userId": "cust•••",
            "properties": {"name": "Milk", "email": "a•••@e•••.org"},
            "context": {"ip": "10.2•••", "traits": {"lastName": "S•••"}, "library": {"name": "lib"}},
        }

    def test_hides_what_is_no_message_whole(self):
        assert Masker().text("{anna@example.org") == HIDDEN

    @given(JSON)
    @settings(max_examples=50)
    def test_clear_hides_nothing_and_masked_keeps_the_shape(self, value: Any):
        assert CLEAR.message(value) == value
        masked = Masker().message(value)
        assert type(masked) is type(value)
        assert "@" not in json.dumps(masked) or "@" in json.dumps(value)
