"""Identifier kinds: in which order they decide, and how many of each a profile may have. R: C1"""

import functools
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
PHONE = Kind("phone", 22, 5)
ANONYMOUS_ID = Kind("anonymous_id", 30, 5)

KINDS = {kind.name: kind for kind in (USER_ID, EMAIL, PHONE, ANONYMOUS_ID)}

PREVIOUS = "previous_id"
"""Not a kind of its own: in a message's identifiers, the id that its user had before, by an alias message."""

STATED_LIMIT = 25
"""How many of any kind a profile may have where alias messages say outright that user ids are one person."""


def kind_of(name: str) -> Kind:
    """The kind of this name; of one that nobody has configured, such as an external id's type, the default."""
    return KINDS.get(name) or _external(name)


@functools.lru_cache(maxsize=1_024)
def _external(name: str) -> Kind:
    return Kind(name, 25, 5)
