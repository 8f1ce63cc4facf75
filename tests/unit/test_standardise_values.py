"""Standardisers: tables of what becomes of what, and that twice is as once."""

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingestion.standardise.values import KINDS, BadOptionsError, Unreadable, make_standardiser

NOTHING = object()
"""Stands for: cannot be standardised."""

CASES: list[tuple[str, dict[str, Any], list[tuple[Any, Any]]]] = [
    (
        "email",
        {},
        [
            (" Anna@EXAMPLE.org ", "anna@example.org"),
            ("mailto:a@b.co", "a@b.co"),
            ("Anna <Anna@example.org>", "anna@example.org"),
            ("ü@müller.de", "ü@müller.de"),
            ("anna@localhost", NOTHING),
            ("anna", NOTHING),
            (12, NOTHING),
            ("a" * 300 + "@example.org", NOTHING),
        ],
    ),
    (
        "phone",
        {"region": "DE"},
        [
            ("0170 1234567", "+491701234567"),
            ("+49 (0)170-1234567", "+491701234567"),
            ("0049 170 1234567", "+491701234567"),
            ("tel:+1-202-555-0143", "+12025550143"),
            (1701234567, "+491701234567"),
            ("12", NOTHING),
            (True, NOTHING),
        ],
    ),
    ("phone", {}, [("+44 20 7946 0958", "+442079460958"), ("0170 1234567", NOTHING)]),
    (
        "date",
        {},
        [
            ("31.12.2024", "2024-12-31"),
            ("12/31/2024", "2024-12-31"),
            ("05/05/2024", "2024-05-05"),
            ("01/02/2024", NOTHING),
            ("01/02/24", NOTHING),
            ("2024/3/5 9:30", "2024-03-05T09:30:00"),
            ("20240201", "2024-02-01"),
            ("2024-02-01T10:00:00Z", "2024-02-01T10:00:00+00:00"),
            ("2024-02-01 10:00:00.123+01", "2024-02-01T10:00:00.123000+01:00"),
            ("Mar 5, 2024 2:30 pm", "2024-03-05T14:30:00"),
            ("5 March 2024", "2024-03-05"),
            ("1. März 2024", "2024-03-01"),
            ("5 de marzo de 2024", "2024-03-05"),
            ("Tue, 05 Mar 2024 10:00:00 GMT", "2024-03-05T10:00:00+00:00"),
            ("March 2024", NOTHING),
            ("5 May 2024 10:00 XYZ", NOTHING),
            ("31.02.2024", NOTHING),
            (20240201, NOTHING),
        ],
    ),
    ("date", {"order": "day_first"}, [("01/02/2024", "2024-02-01"), ("02/13/2024", NOTHING)]),
    ("date", {"order": "month_first"}, [("01/02/2024", "2024-01-02"), ("13/02/2024", NOTHING)]),
    ("date", {"formats": ["%d%m%y"]}, [("311224", "2024-12-31")]),
    (
        "date",
        {"output": "datetime", "timezone": "Europe/Berlin"},
        [("31.12.2024", "2024-12-31T00:00:00+01:00"), ("2024-07-01T10:00:00Z", "2024-07-01T10:00:00+00:00")],
    ),
    ("date", {"output": "date"}, [("2024-02-01T23:59:00+01:00", "2024-02-01")]),
    ("date", {"epoch": "s"}, [(1700000000, "2023-11-14T22:13:20+00:00"), ("1700000000", "2023-11-14T22:13:20+00:00")]),
    ("date", {"epoch": "ms"}, [(1700000000000, "2023-11-14T22:13:20+00:00"), (10**17, NOTHING)]),
    (
        "country",
        {},
        [
            ("Germany", "DE"),
            ("deu", "DE"),
            ("276", "DE"),
            (276, "DE"),
            ("Allemagne", "DE"),
            ("the Netherlands", "NL"),
            ("U.S.A.", "US"),
            ("UK", "GB"),
            ("Österreich", "AT"),
            ("日本", "JP"),
            ("Россия", "RU"),
            ("Wakanda", NOTHING),
        ],
    ),
    (
        "language",
        {},
        [
            ("de_DE.UTF-8", "de-DE"),
            ("EN-us", "en-US"),
            ("zh_hans_cn", "zh-Hans-CN"),
            ("German", "de"),
            ("Deutsch", "de"),
            ("ger", "de"),
            ("français", "fr"),
            ("日本語", "ja"),
            ("English (United Kingdom)", "en-GB"),
            ("xx", NOTHING),
            ("de-XX", NOTHING),
        ],
    ),
    ("language", {"keep_region": False}, [("de-AT", "de")]),
    (
        "number",
        {},
        [
            ("1.234,50 €", 1234.5),
            ("1,234.50", 1234.5),
            ("1'234.50", 1234.5),
            ("1 234,5", 1234.5),
            ("1.234.567", 1234567),
            ("0.123", 0.123),
            (".5", 0.5),
            ("12,00", 12),
            ("(5)", -5),
            ("−5", -5),
            ("1e3", 1000),
            ("١٢٣", 123),
            ("1.234", NOTHING),
            ("1,234", NOTHING),
            ("12345678901234567890", NOTHING),
            ("1e400", NOTHING),
            ("5 kg", NOTHING),
            ("", NOTHING),
            (True, NOTHING),
            (12.5, 12.5),
        ],
    ),
    ("number", {"decimal": ","}, [("1.234", 1234), ("12,50", 12.5), ("1,234.5", NOTHING)]),
    ("number", {"decimal": ".", "decimals": 1}, [("1,234.55", 1234.6), (0.25, 0.3)]),
    ("money", {"currency": "EUR"}, [("5 €", 5), ("EUR 12.345,678", 12345.68), ("7", 7), ("$ 5", NOTHING)]),
    ("money", {"currency": "SEK"}, [("5 kr", 5)]),
    ("quantity", {"unit": "lb"}, [("12 kg", 26.455), ("5 lbs", 5), (5, 5), ("12 m", NOTHING), ("12 foo", NOTHING)]),
    ("quantity", {"unit": "cm"}, [("5 ft 11 in", 180.34), ("5'11\"", 180.34), ("1,80 m", 180), ("70 Zoll", 177.8)]),
    ("quantity", {"unit": "°F"}, [("20 °C", 68), ("68F", 68), ("293.15 K", 68)]),
    ("quantity", {"unit": "m2"}, [("20 m²", 20), ("200 sq ft", 18.581)]),
    ("boolean", {}, [("Ja", True), ("off", False), (0, False), (1.0, True), ("oui", True), ("maybe", NOTHING)]),
    ("boolean", {"yes": ["hai"], "no": ["iie"]}, [("HAI", True), ("yes", NOTHING)]),
    ("text", {}, [("  a \n b ", "a b"), (12, "12"), (True, NOTHING), ("x" * 1000, "x" * 1000)]),
    ("text", {"case": "title"}, [("anna MARIA-luise o'neill", "Anna Maria-Luise O'neill")]),
    ("text", {"case": "upper"}, [("straße", "STRASSE")]),
    (
        "mapping",
        {"table": {"m": "male", "Herr": "male", "1": "male", "?": None}},
        [("M", "male"), ("herr", "male"), (1, "male"), ("Male", "male"), ("x", "x"), ("?", None)],
    ),
    ("mapping", {"table": {"m": "male"}, "unknown": "null"}, [("male", "male"), ("x", None)]),
    ("mapping", {"table": {"m": "male"}, "unknown": "flag", "case_sensitive": True}, [("M", NOTHING)]),
]


@pytest.mark.parametrize(
    ("kind", "options", "value", "expected"),
    [(kind, options, value, expected) for kind, options, table in CASES for value, expected in table],
)
def test_value(kind: str, options: dict[str, Any], value: Any, expected: Any):
    found = make_standardiser(kind, options)(value)

    if expected is NOTHING:
        assert isinstance(found, Unreadable)
    else:
        assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("kind", "options", "code", "path"),
    [
        ("phone", {"region": "XX"}, "region_unknown", "/region"),
        ("date", {"timezone": "Mars/Base"}, "timezone_unknown", "/timezone"),
        ("date", {"formats": ["%d.%m"]}, "format_invalid", "/formats/0"),
        ("date", {"order": "sideways"}, "option_invalid", "/order"),
        ("money", {"currency": "XQQ"}, "currency_unknown", "/currency"),
        ("number", {"decimals": 99}, "decimals_out_of_range", "/decimals"),
        ("quantity", {"unit": "parsec"}, "unit_unknown", "/unit"),
        ("boolean", {"yes": ["x"], "no": ["X"]}, "word_twice", "/no"),
        ("mapping", {"table": {"a": "b", "b": "c"}}, "line_leads_on", "/table/a"),
        ("mapping", {"table": {"a": "b", "A": "c"}}, "line_twice", "/table/A"),
        ("email", {"nonsense": 1}, "option_invalid", ""),
    ],
)
def test_options_that_make_no_sense(kind: str, options: dict[str, Any], code: str, path: str):
    with pytest.raises(BadOptionsError) as caught:
        make_standardiser(kind, options)

    assert (caught.value.code, caught.value.path) == (code, path)


SAMPLES = st.sampled_from([value for _, _, table in CASES for value, _ in table])
DIGITS = st.text(alphabet="0123456789.,'/-+:() €$kgcmTZ", max_size=16)
VALUES = st.one_of(
    st.text(max_size=30),
    DIGITS,
    SAMPLES,
    st.integers(),
    st.floats(allow_nan=False),
    st.booleans(),
    st.dates().map(str),
)
ALL = [make_standardiser(kind, options) for kind, options, _ in CASES]
WITHOUT_OPTIONS = [make_standardiser(name, {}) for name, kind in KINDS.items() if name != "quantity"]


class TestEveryStandardiser:
    @given(value=VALUES)
    @example(value=67_768_036_191_676_796)
    @settings(max_examples=150, deadline=None)
    def test_does_twice_what_it_does_once(self, value: Any):
        for standardise in ALL:
            once = standardise(value)

            if not isinstance(once, Unreadable) and once is not None:
                assert (standardise(once), type(standardise(once))) == (once, type(once))

    def test_can_do_without_options(self):
        assert all(standardise("x") is not NOTHING for standardise in WITHOUT_OPTIONS)
