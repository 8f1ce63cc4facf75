"""The policies that the drain goes by, and their changes.

Who writes traits reads the policies while sharing a lock that a change of a policy has alone. So a change waits for
every chunk that still goes by the old ones, and the pass over all profiles that follows it misses none of their rows.
"""

import json
from collections.abc import Mapping

from django.db import connection

from identity.traits import Policy, Rule

_LOCK = 0x5452_4942_0002  # any number that nobody else locks


def read_policies() -> Mapping[str, Policy]:
    """The policies in force, by trait; one way there and back, inside the caller's transaction.

    Ask with the profiles locked that will be written.
    """
    with connection.cursor() as cursor:
        # Two statements: the second must see what was committed while the first waited.
        cursor.execute(
            "SELECT pg_advisory_xact_lock_shared(%s); SELECT trait, rule, sources FROM trait_policy", [_LOCK]
        )
        return {
            trait: Policy(Rule(rule), tuple(json.loads(sources) if isinstance(sources, str) else sources))
            for trait, rule, sources in cursor.fetchall()
        }


def hold_policies() -> None:
    """Let nobody write traits until the transaction ends: it changes a policy, and takes a moment."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
