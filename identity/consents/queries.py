"""Reads of this room."""

from datetime import datetime

from django.db import connection

from consent.policy import Standing


def count_standing(*, state: Standing, now: datetime) -> dict[int, int]:
    """By purpose, how many profiles stand so at `now`; of `unknown` those only whose choice has run out."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT purpose_id, count(*) FROM profile_consent"
            " WHERE CASE WHEN until <= %s THEN becomes ELSE state END = %s GROUP BY purpose_id",
            [now, state.value],
        )
        return dict(cursor.fetchall())
