"""What a model says of its levels."""

import math

import pytest

from identity.matching import default_model
from identity.matching.contracts import ColumnType
from identity.matching.weights import field_levels


class TestFieldLevels:
    def test_lays_open_every_part_of_every_field(self):
        types = {
            "first": ColumnType.GIVEN_NAME,
            "last": ColumnType.SURNAME,
            "street": ColumnType.STREET,
            "city": ColumnType.CITY,
            "note": ColumnType.IGNORE,
        }

        found = {field.field: field.levels for field in field_levels(default_model(types))}

        assert list(found) == ["first", "last", "street + city: street", "street + city: city"]
        for levels in found.values():
            assert "missing" not in {one.level for one in levels}
            assert sum(one.m for one in levels) == pytest.approx(1)
            assert sum(one.u for one in levels) == pytest.approx(1)
            assert all(one.weight == pytest.approx(math.log2(one.m / one.u), abs=0.01) for one in levels)
        assert found["last"][0].weight > 0 > found["last"][-1].weight
