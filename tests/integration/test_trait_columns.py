"""Traits of everybody as columns: whatever happens, they are what the rows of profiles say. R: D3"""

from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from identity.columns.queries import read_profiles, read_trait, read_traits

pytestmark = pytest.mark.django_db


def add_profile(traits: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO profile (traits, provenance, created_at, updated_at) VALUES (%s, '{}', %s, %s) RETURNING id",
            [traits, timezone.now(), timezone.now()],
        )
        id_: int = cursor.fetchone()[0]
    return id_


def held(path: str) -> dict[int, Any]:
    """By profile, what the column holds."""
    column = read_trait(path)
    assert column.profiles.tolist() == read_profiles().tolist()
    return {
        id_: column.values[code]
        for id_, code in zip(column.profiles.tolist(), column.codes.tolist(), strict=True)
        if code >= 0
    }


class TestReadTrait:
    def test_gives_every_kind_of_value(self) -> None:
        kinds = ['"a, b"', "1", "1.50", "true", "null", '["x", {"y": 2}]', '"line\\nbreak"']
        ids = [add_profile(f'{{"seen": {value}}}') for value in kinds]
        add_profile("{}")

        found = held("seen")

        assert [found[id_] for id_ in ids] == ["a, b", 1, 1.5, True, None, ["x", {"y": 2}], "line\nbreak"]
        assert len(found) == len(ids)

    def test_follows_a_dotted_path(self) -> None:
        inside = add_profile('{"address": {"city": "Bonn"}}')
        add_profile('{"address": "Bonn", "city": "Bonn"}')

        assert held("address.city") == {inside: "Bonn"}

    def test_keeps_numbers_that_no_float_holds(self) -> None:
        one = add_profile('{"seen": 0.12345678901234567890}')

        assert held("seen") == {one: Decimal("0.12345678901234567890")}

    def test_refuses_a_path_through_a_list(self) -> None:
        with pytest.raises(ValueError, match="no path"):
            read_trait("products[].name")

    def test_reads_several_at_once(self) -> None:
        one = add_profile('{"plan": "pro", "age": 31}')

        columns = read_traits(["plan", "age"])

        assert {path: column.values[column.codes[0]] for path, column in columns.items()} == {"plan": "pro", "age": 31}
        assert columns["plan"].profiles.tolist() == [one]
