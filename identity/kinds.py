"""Identifier kinds: in which order they decide, and how many of each a profile may have. R: C1"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    priority: int
    """The lower number decides where identifiers of one event lead to different profiles."""
    limit: int
    """How many different values a profile may have."""


USER_ID = Kind("user_id", 10, 1)
EMAIL = Kind("email", 20, 5)
ANONYMOUS_ID = Kind("anonymous_id", 30, 5)

KINDS = {kind.name: kind for kind in (USER_ID, EMAIL, ANONYMOUS_ID)}
