"""Say which profiles have changed. Whoever writes a profile or its traits does so, in the same transaction."""

import struct
from collections.abc import Collection

from django.db import connection


def note_profiles(ids: Collection[int]) -> None:
    """Profiles that were created or deleted, or have another value in a trait.

    Always, whether a column is wanted or not: who looked first could miss one that is made at the same time.
    """
    if ids:
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO trait_note (profiles) VALUES (%s)", [struct.pack(f"<{len(ids)}q", *ids)])
