"""Columns of a file that are one thing."""

from identity.files.together import find_joined
from identity.matching import ColumnType as T
from identity.matching import guess_types


class TestFindJoined:
    def test_puts_a_birth_date_together(self):
        columns = {
            "fname": ["Ann", "Bo", "Cy"],
            "by": ["1980", "1975.0", None],
            "bm": ["3", "12", "1"],
            "bd": ["07", "31", "2"],
        }

        [joined] = find_joined(columns, guess_types(columns))

        assert (joined.name, joined.type, joined.of) == ("by + bm + bd", T.BIRTH_DATE, ("by", "bm", "bd"))
        assert joined.texts == ["1980-03-07", "1975-12-31", None]

    def test_makes_no_date_of_what_are_no_days(self):
        columns = {"by": ["Ann", "Bo"], "bm": ["3", "12"], "bd": ["7", "31"]}

        assert find_joined(columns, guess_types(columns)) == []

    def test_takes_what_two_sources_call_differently_as_one(self):
        columns = {
            "city": ["Rome", None, "Oslo", None],
            "mailing_city": [None, "Bern", None, "Kyiv"],
            "street_number": ["1", None, "3", None],
            "po_box": [None, "77", None, "88"],
            "phone": ["1", "2", "3", "4"],
            "mobile": ["5", None, "7", "8"],
        }
        types = {
            "city": T.CITY, "mailing_city": T.CITY, "street_number": T.HOUSE_NUMBER, "po_box": T.HOUSE_NUMBER,
            "phone": T.PHONE, "mobile": T.PHONE,
        }  # fmt: skip

        [joined] = find_joined(columns, types)

        assert joined.of == ("city", "mailing_city")
        assert joined.texts == ["Rome", "Bern", "Oslo", "Kyiv"]
