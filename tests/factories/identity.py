"""Sightings, as the drain hands them to identity."""

import itertools
from typing import Any

from identity.contracts import Identifier, Sighting

_numbers = itertools.count(1)

USER_1, USER_2 = ("user_id", "u-1"), ("user_id", "u-2")
MAIL_1, MAIL_2 = ("email", "1@example.org"), ("email", "2@example.org")
BROWSER_1, BROWSER_2 = ("anonymous_id", "a-1"), ("anonymous_id", "a-2")


def sighting(*identifiers: Identifier, **fields: Any) -> Sighting:
    number = next(_numbers)
    return Sighting(
        **({"identifiers": identifiers, "source_id": 1, "message_id": f"m-{number}", "at": number} | fields)
    )
