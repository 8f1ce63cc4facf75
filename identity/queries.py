"""Reads of this room. Ids of absorbed profiles are followed to the profile that absorbed them."""

import functools
import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal

from django.db import OperationalError, connection, transaction
from psycopg2 import errors

from identity.contracts import FoundPeople, ProfileView, Suggestion
from identity.kinds import kind_of
from identity.kinds.rules import fresh
from identity.models import Identifier, Profile, ProfileAlias, ProfileIdentifier

Holder = Literal["profile", "account"]
"""Tables whose rows have traits."""

SAMPLE_PROFILES = 5_000
SEARCH_MS = 2_000
BEGINNINGS = 2_000
"""Of a beginning that more identifiers of a kind share, only so many are looked at."""


def canonical_id(profile_id: int) -> int:
    """The id that leads for this one now: itself, unless it was absorbed."""
    alias = ProfileAlias.objects.filter(profile_id=profile_id).values_list("canonical_id", flat=True).first()
    return profile_id if alias is None else alias


def get_profile(*, profile_id: int) -> ProfileView | None:
    leading = canonical_id(profile_id)
    return get_profiles(ids=[leading]).get(leading)


def get_profiles(*, ids: Collection[int]) -> dict[int, ProfileView]:
    """The profiles with these (leading) ids; those that do not exist are missing."""
    return {view.id: view for view in _views(Profile.objects.filter(pk__in=list(ids)))}


def lookup(*, kind: str, value: str) -> int | None:
    """The profile that an identifier leads to, in whatever spelling it is given."""
    spelt = fresh().spell(kind, value)
    if spelt is None:
        return None
    return Identifier.objects.filter(kind=kind, value=spelt).values_list("profile_id", flat=True).first()


def search(*, text: str, limit: int = 25, before_id: int | None = None) -> list[ProfileView]:
    """Profiles that a person may mean by `text`, as `find_people` has them; what was found in time."""
    return find_people(text=text, limit=limit, before_id=before_id).profiles


def find_people(*, text: str, limit: int = 25, before_id: int | None = None) -> FoundPeople:
    """Profiles that a person may mean by `text`: by identifier (whole or its beginning), by id, or by name.

    Newest first; `before_id` continues after the last one shown. An empty text lists everybody. Names are looked for
    by a scan that ends after `SEARCH_MS`: then only those are found whom an identifier tells.
    """
    wanted = text.strip()
    page = {"before": before_id, "limit": limit}
    if not wanted:
        return FoundPeople(_in_order(_ids(_EVERYBODY, page)))
    values = _search_values(wanted) | page
    statements = [_by_identifier(), _BY_NAME] if _may_be_a_name(wanted) else [_by_identifier()]
    found = [_ids_in_time(statement, values) for statement in statements]
    ids = {id_ for ids in found for id_ in ids or ()}
    return FoundPeople(_in_order(sorted(ids, reverse=True)[:limit]), complete=None not in found)


def _in_order(ids: Sequence[int]) -> list[ProfileView]:
    found = get_profiles(ids=ids)
    return [found[id_] for id_ in ids if id_ in found]


def _ids(statement: str, values: dict[str, Any]) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return [id_ for (id_,) in cursor.fetchall()]


def _ids_in_time(statement: str, values: dict[str, Any]) -> list[int] | None:
    """None where it would have taken too long."""
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(SEARCH_MS)])
            found = _ids(statement, values)
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('statement_timeout', '0', true)")
            return found
    except OperationalError as error:
        if not isinstance(error.__cause__, errors.QueryCanceled):
            raise
        return None


def _may_be_a_name(text: str) -> bool:
    """One word with a digit or an @ in it is an identifier."""
    return " " in text or not any(character.isdigit() or character == "@" for character in text)


def count_profiles() -> int:
    return Profile.objects.count()


def identifiers_of(*, ids: Collection[int]) -> dict[int, dict[str, list[str]]]:
    """Per profile, its identifiers by kind, the oldest of each kind first."""
    found: dict[int, dict[str, list[str]]] = {id_: {} for id_ in ids}
    rows = ProfileIdentifier.objects.filter(profile_id__in=list(ids)).order_by("profile_id", "first_seen_at", "value")
    for profile_id, kind, value in rows.values_list("profile_id", "kind", "value"):
        found[profile_id].setdefault(kind, []).append(value)
    return {id_: _by_priority(kinds) for id_, kinds in found.items()}


def trait_names(*, limit: int = 200, of: Holder = "profile") -> list[Suggestion]:
    """Traits that profiles (or accounts) have, nested ones as dotted paths, from a sample of recent ones."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH sample AS (SELECT traits FROM {of} ORDER BY id DESC LIMIT %(sample)s),"
            " top AS (SELECT key, value FROM sample, jsonb_each(traits))"
            " SELECT path, mode() WITHIN GROUP (ORDER BY type), count(*) FROM ("
            "   SELECT key AS path, jsonb_typeof(value) AS type FROM top WHERE jsonb_typeof(value) <> 'object'"
            "   UNION ALL"
            "   SELECT key || '.' || inner_key, jsonb_typeof(inner_value) FROM top,"
            "     jsonb_each(CASE WHEN jsonb_typeof(value) = 'object' THEN value ELSE '{}' END)"
            "     AS pair(inner_key, inner_value)"
            " ) AS paths GROUP BY path ORDER BY 3 DESC, 1 LIMIT %(limit)s",
            {"sample": SAMPLE_PROFILES, "limit": limit},
        )
        return [Suggestion(path, kind, count) for path, kind, count in cursor.fetchall()]


def trait_values(*, trait: str, text: str = "", limit: int = 20, of: Holder = "profile") -> list[Suggestion]:
    """The most frequent values of a trait in a sample of recent profiles (accounts), those holding `text` if given."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT value, jsonb_typeof(value), count(*) FROM"
            " (SELECT traits #> %(path)s AS value FROM"
            f"   (SELECT traits FROM {of} ORDER BY id DESC LIMIT %(sample)s) AS sample) AS found"
            " WHERE jsonb_typeof(value) NOT IN ('object', 'array', 'null')"
            " AND position(lower(%(text)s) IN lower(value #>> '{}')) > 0"
            " GROUP BY 1, 2 ORDER BY 3 DESC, 1 LIMIT %(limit)s",
            {"path": trait.split("."), "text": text, "sample": SAMPLE_PROFILES, "limit": limit},
        )
        return [Suggestion(json.loads(value), kind, count) for value, kind, count in cursor.fetchall()]


def _views(profiles: Iterable[Profile]) -> list[ProfileView]:
    rows = list(profiles)
    identifiers = identifiers_of(ids=[row.pk for row in rows])
    return [
        ProfileView(row.pk, row.traits, row.provenance, identifiers[row.pk], row.created_at, row.updated_at)
        for row in rows
    ]


def _by_priority(kinds: dict[str, list[str]]) -> dict[str, list[str]]:
    return {kind: kinds[kind] for kind in sorted(kinds, key=lambda kind: kind_of(kind).priority)}


_NAMES = "lower(concat_ws(' ', p.traits->>'name', p.traits->>'firstName', p.traits->>'lastName'))"


_PAGE = " AND (%(before)s::bigint IS NULL OR p.id < %(before)s) ORDER BY p.id DESC LIMIT %(limit)s"
_EVERYBODY = f"SELECT p.id FROM profile p WHERE true{_PAGE}"
_BY_NAME = f"SELECT p.id FROM profile p WHERE {_NAMES} LIKE %(name)s{_PAGE}"
# A kind after the other: the key of identifiers begins with it. %(…)s are bound, {…} says in which order texts stand.
_BY_IDENTIFIER = (
    "SELECT p.id FROM (SELECT DISTINCT id FROM ("
    " SELECT i.profile_id AS id FROM identifier i WHERE i.kind = ANY(%(kinds)s) AND i.value = ANY(%(spellings)s)"
    " UNION ALL SELECT l.profile_id FROM unnest(%(kinds)s::text[]) AS k(kind),"
    "   unnest(%(begins)s::text[], %(ends)s::text[]) AS b(begin, until),"
    "   LATERAL (SELECT i.profile_id FROM identifier i WHERE i.kind = k.kind"
    f"     AND i.value{{order}} >= b.begin AND i.value{{order}} < b.until LIMIT {BEGINNINGS}) AS l"
    " UNION ALL SELECT p.id FROM profile p WHERE p.id = %(id)s"
    " UNION ALL SELECT a.canonical_id FROM profile_alias a WHERE a.profile_id = %(id)s"
    f") AS met) AS p WHERE true{_PAGE}"
)


def known_kinds() -> list[str]:
    """The kinds of identifiers that there are, the deciding ones first; one step of an index for each."""
    found: list[str] = []
    with connection.cursor() as cursor:
        while True:
            last = found[-1] if found else ""
            cursor.execute("SELECT kind FROM identifier WHERE kind > %s ORDER BY kind LIMIT 1", [last])
            row = cursor.fetchone()
            if row is None:
                return sorted(found, key=lambda kind: (kind_of(kind).priority, kind))
            found.append(row[0])


@functools.cache
def _by_identifier() -> str:
    """Where the database sorts texts by their codes, as the embedded one does, the key's index finds beginnings."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 'a' < 'B'")
        by_code = not cursor.fetchone()[0]
    return _BY_IDENTIFIER.replace("{order}", "" if by_code else ' COLLATE "C"')


def _search_values(text: str) -> dict[str, Any]:
    rules = fresh()
    spellings = {spelt for kind in rules.settings if (spelt := rules.spell(kind, text))} | {text}
    begins = sorted({text, text.lower()})
    return {
        "spellings": sorted(spellings),
        "kinds": known_kinds(),
        "begins": begins,
        "ends": [begin + "\U0010ffff" for begin in begins],
        "name": f"%{_escape(text.lower())}%",
        "id": int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None,
    }


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
