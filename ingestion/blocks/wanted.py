"""Which properties deserve a column: those that are asked about."""

from django.db import connection

from ingestion.blocks.paths import keys_of

_WANT = """
INSERT INTO event_column AS c (name_id, path, asked_on)
SELECT n.id, %(path)s, current_date FROM event_name AS n WHERE n.name = %(name)s AND NOT EXISTS (
    SELECT FROM event_column AS k WHERE k.name_id = n.id AND k.path = %(path)s AND k.asked_on >= current_date)
ON CONFLICT (name_id, path) DO UPDATE SET asked_on = excluded.asked_on
"""


def want(name: str, path: str) -> None:
    """Say that a property of the events of a name was asked for, so that it gets a column, or keeps it.

    Writes once a day. A name that no event has borne yet wants nothing.

    Raises:
        ValueError: where the path leads through a list.
    """
    keys_of(path)
    with connection.cursor() as cursor:
        cursor.execute(_WANT, {"name": name, "path": path})
