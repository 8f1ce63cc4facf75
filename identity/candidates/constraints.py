"""What people said about pairs of profiles, and what their identifiers forbid."""

from collections.abc import Collection, Iterable, Mapping

from django.db import connection

from identity.candidates.contracts import Person
from identity.kinds import kind_of
from identity.merging.constraints import never_among

LIMIT_REACHED = "limit_reached"


def never_pairs(ids: Collection[int]) -> set[tuple[int, int]]:
    """Pairs of these profiles, the smaller id first, of which somebody said that they are never one."""
    return {(min(pair), max(pair)) for pair in never_among(ids)} if ids else set()


def all_never_pairs() -> list[tuple[int, int, int, int]]:
    """Of all profiles: the two origins of which somebody said that they are never one, and where each leads."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.one_origin, c.other_origin, coalesce(a.canonical_id, c.one_origin),"
            " coalesce(b.canonical_id, c.other_origin)"
            " FROM identity_constraint c LEFT JOIN profile_alias a ON a.profile_id = c.one_origin"
            " LEFT JOIN profile_alias b ON b.profile_id = c.other_origin WHERE c.kind = 'never' ORDER BY 1, 2"
        )
        found: list[tuple[int, int, int, int]] = cursor.fetchall()
        return found


def protected(one: Person, other: Person) -> str:
    """Why these two are never merged by themselves: together they have too many identifiers of a kind; else empty."""
    for kind in one.identifiers.keys() & other.identifiers.keys():
        if len({*one.identifiers[kind], *other.identifiers[kind]}) > kind_of(kind).limit:
            return LIMIT_REACHED
    return ""


def refusals(pairs: Iterable[tuple[int, int]], people: Mapping[int, Person]) -> dict[tuple[int, int], str]:
    """The refusal per pair, for those that have one."""
    nobody = Person({}, {})
    found = {pair: protected(people.get(pair[0], nobody), people.get(pair[1], nobody)) for pair in pairs}
    return {pair: why for pair, why in found.items() if why}
