"""Reads of this room. Ids of absorbed profiles are followed to the profile that absorbed them."""

import json
from collections.abc import Collection, Iterable
from typing import Any

from django.db import connection

from identity.contracts import ProfileView, Suggestion
from identity.kinds import kind_of
from identity.kinds.rules import fresh
from identity.models import Identifier, Profile, ProfileAlias, ProfileIdentifier

SAMPLE_PROFILES = 5_000


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
    """Profiles that a person may mean by `text`: by identifier (whole or its beginning), by id, or by name.

    Newest first; `before_id` continues after the last one shown. An empty text lists everybody.
    """
    wanted = text.strip()
    statement, values = _search_sql(wanted) if wanted else ("SELECT p.id FROM profile p WHERE true", {})
    paged = f"{statement} AND (%(before)s::bigint IS NULL OR p.id < %(before)s) ORDER BY p.id DESC LIMIT %(limit)s"
    with connection.cursor() as cursor:
        cursor.execute(paged, {**values, "before": before_id, "limit": limit})
        ids = [id_ for (id_,) in cursor.fetchall()]
    found = get_profiles(ids=ids)
    return [found[id_] for id_ in ids if id_ in found]


def count_profiles() -> int:
    return Profile.objects.count()


def identifiers_of(*, ids: Collection[int]) -> dict[int, dict[str, list[str]]]:
    """Per profile, its identifiers by kind, the oldest of each kind first."""
    found: dict[int, dict[str, list[str]]] = {id_: {} for id_ in ids}
    rows = ProfileIdentifier.objects.filter(profile_id__in=list(ids)).order_by("profile_id", "first_seen_at", "value")
    for profile_id, kind, value in rows.values_list("profile_id", "kind", "value"):
        found[profile_id].setdefault(kind, []).append(value)
    return {id_: _by_priority(kinds) for id_, kinds in found.items()}


def trait_names(*, limit: int = 200) -> list[Suggestion]:
    """Traits that profiles have, nested ones as dotted paths, from a sample of recent profiles."""
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH sample AS (SELECT traits FROM profile ORDER BY id DESC LIMIT %(sample)s),"
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


def trait_values(*, trait: str, text: str = "", limit: int = 20) -> list[Suggestion]:
    """The most frequent values of a trait in a sample of recent profiles, those holding `text` if given."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT value, jsonb_typeof(value), count(*) FROM"
            " (SELECT traits #> %(path)s AS value FROM"
            "   (SELECT traits FROM profile ORDER BY id DESC LIMIT %(sample)s) AS sample) AS found"
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


def _search_sql(text: str) -> tuple[str, dict[str, Any]]:
    """Identifiers and ids by index; names by a scan, which a person's search over the browser can afford."""
    rules = fresh()
    spellings = {spelt for kind in rules.settings if (spelt := rules.spell(kind, text))} | {text}
    values = {
        "spellings": sorted(spellings),
        "begin": text,
        "end": text + "\U0010ffff",
        "name": f"%{_escape(text.lower())}%",
        "id": int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None,
    }
    statement = (
        "SELECT p.id FROM profile p WHERE (p.id = %(id)s"
        f" OR {_NAMES} LIKE %(name)s"
        " OR p.id IN (SELECT i.profile_id FROM identifier i WHERE i.value = ANY(%(spellings)s)"
        '   OR (i.value COLLATE "C" >= %(begin)s AND i.value COLLATE "C" < %(end)s)'
        '   OR (i.value COLLATE "C" >= lower(%(begin)s) AND i.value COLLATE "C" < lower(%(end)s)))'
        " OR p.id = (SELECT a.canonical_id FROM profile_alias a WHERE a.profile_id = %(id)s))"
    )
    return statement, values


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
