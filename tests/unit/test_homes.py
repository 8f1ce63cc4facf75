"""Where people led, as far as a process remembers it."""

from collections.abc import Iterator

import pytest

from identity import homes
from ingestion.contracts import Person


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    homes.forget_all()
    yield
    homes.forget_all()


def people(*names: str) -> list[Person]:
    return [Person((("user_id", name),)) for name in names]


def test_who_is_remembered_is_not_looked_up():
    anna, ben = people("anna", "ben")
    homes.remember(anna, home=7, origin=0)

    assert homes.recall([ben, anna, ben]) == ([0, 7, 0], [0, 2])
    assert homes.origins_of([anna, ben]) == {}


def test_an_origin_is_remembered_with_it():
    anna, ben = people("anna", "ben")
    homes.remember(anna, home=7, origin=3)
    homes.remember(ben, home=8, origin=0)

    assert homes.origins_of([anna, ben]) == {anna.identifiers: 3}


def test_what_led_to_a_profile_that_is_gone_is_forgotten():
    anna, ben = people("anna", "ben")
    homes.remember(anna, home=7, origin=3)
    homes.remember(ben, home=8, origin=0)

    homes.forget([anna, ben], {7})

    assert homes.recall([anna, ben]) == ([0, 8], [0])
    assert homes.origins_of([anna, ben]) == {}


def test_all_of_it_can_be_forgotten_and_learnt_again():
    (anna,) = people("anna")
    homes.remember(anna, home=7, origin=3)

    homes.forget_all()

    assert homes.recall([anna]) == ([0], [0])
    assert homes.origins_of([anna]) == {}
    homes.remember(anna, home=9, origin=0)
    assert homes.recall([anna]) == ([9], [])
