"""Reads of this room."""

import math
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Count, F, Func, IntegerField, Q

from identity.contracts import Identifier
from identity.kinds.models import SKETCH_BITS, ConflictDay, ConflictGroup, ConflictSample, IdentifierKind, KindRun
from identity.kinds.rules import DEFAULTS, OTHERS, KindSettings
from identity.kinds.words import TROUBLES

COUNTED = 1_000_000  # up to so many identifiers they are counted; beyond, PostgreSQL's statistics say about how many
MANY = 10  # others that one value met: from here on it is worth a warning
VERY_MANY = 100
CHART_DAYS = 30
MAX_KINDS = 300  # of which the list shows those that were seen: senders name as many as they like


@dataclass(frozen=True, slots=True)
class KindCounts:
    """How many identifiers are stored of each kind; `exact` unless there are very many."""

    counts: dict[str, int]
    exact: bool


@dataclass(frozen=True, slots=True)
class ConflictView:
    """A group of conflicts. `people` is about how many others the value met, `more` where they are beyond counting."""

    id: int
    kind: str
    value: str
    reason: str
    limit_of: str
    messages: int
    people: int
    more: bool
    first_at: datetime
    last_at: datetime
    state: str
    decided_by: str
    decided_at: datetime | None
    samples: tuple[ConflictSample, ...] = ()

    @property
    def is_suspicious(self) -> bool:
        return self.reason in TROUBLES and self.people >= MANY

    @property
    def is_grave(self) -> bool:
        return self.people >= VERY_MANY

    @property
    def mergeable(self) -> ConflictSample | None:
        """A message whose two profiles a person may merge after all."""
        if self.reason != "merge_refused" or self.is_suspicious:
            return None
        pairs = (one for one in self.samples if one.profile_id and one.other_id and one.profile_id != one.other_id)
        return next(pairs, None)


def stored_settings() -> list[KindSettings]:
    """What is configured, kind by kind; a built-in kind without a row has its defaults."""
    return [settings_of(row) for row in IdentifierKind.objects.order_by("priority", "name")]


def settings_of(row: IdentifierKind) -> KindSettings:
    return KindSettings(
        name=row.name,
        label=row.label,
        icon=row.icon,
        normaliser=row.normaliser,
        options=row.options,
        priority=row.priority,
        limit_ever=row.limit_ever,
        limit_yearly=row.limit_yearly,
        limit_monthly=row.limit_monthly,
        limit_weekly=row.limit_weekly,
        blocked=tuple(row.blocked),
        patterns=tuple(row.patterns),
        min_length=row.min_length,
        min_distinct=row.min_distinct,
        enabled=row.enabled,
        protected=row.protected,
    )


def all_settings() -> list[KindSettings]:
    """Every kind that has settings, the one that decides first."""
    found = dict(DEFAULTS) | {one.name: one for one in stored_settings()}
    return sorted(found.values(), key=lambda one: (one.priority, one.name))


def settings_named(name: str) -> KindSettings:
    """The settings that hold for a kind; of one that nobody has configured, those of other external ids."""
    known = {one.name: one for one in all_settings()}
    return known.get(name) or replace(known[OTHERS], name=name, label="")


def row_of(settings: KindSettings) -> IdentifierKind:
    """The row of a kind with settings, or a new one for it."""
    found = IdentifierKind.objects.filter(name=settings.name).first()
    values = asdict(settings)
    return found or IdentifierKind(**values | {"blocked": list(settings.blocked), "patterns": list(settings.patterns)})


def other_spellings(identifiers: Collection[Identifier]) -> dict[Identifier, list[str]]:
    """Under which other spellings these were sent: consent may know their people by any of them."""
    asked = sorted(set(identifiers))
    if not asked:
        return {}
    found: dict[Identifier, list[str]] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT s.kind, s.value, s.said FROM unnest(%s::text[], %s::text[]) AS u(kind, value)"
            " JOIN identifier_spelling s ON s.kind = u.kind AND s.value = u.value ORDER BY 1, 2, 3",
            [list(column) for column in zip(*asked, strict=True)],
        )
        for kind, value, said in cursor.fetchall():
            found.setdefault((kind, value), []).append(said)
    return found


def count_stored(kind: str) -> int:
    """How many identifiers of a kind are stored. `*` stands for all that have no settings of their own."""
    with connection.cursor() as cursor:
        if kind == OTHERS:
            cursor.execute(
                "SELECT count(*) FROM identifier WHERE kind <> ALL(%s)", [[one.name for one in all_settings()]]
            )
        else:
            cursor.execute("SELECT count(*) FROM identifier WHERE kind = %s", [kind])
        return int(cursor.fetchone()[0])


def kind_counts() -> KindCounts:
    with connection.cursor() as cursor:
        cursor.execute("SELECT reltuples FROM pg_class WHERE oid = 'identifier'::regclass")
        total = int(cursor.fetchone()[0])
        if total <= COUNTED:
            cursor.execute("SELECT kind, count(*) FROM identifier GROUP BY kind")
            return KindCounts(dict(cursor.fetchall()), exact=True)
        cursor.execute(
            "SELECT unnest(most_common_vals::text::text[]), unnest(most_common_freqs) FROM pg_stats"
            " WHERE schemaname = 'public' AND tablename = 'identifier' AND attname = 'kind'"
        )
        return KindCounts({kind: int(share * total) for kind, share in cursor.fetchall()}, exact=False)


def kinds_seen() -> list[str]:
    """The kinds of which identifiers are stored; one look into the index for each."""
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH RECURSIVE seen AS ("
            " (SELECT kind FROM identifier ORDER BY kind LIMIT 1)"
            " UNION ALL SELECT (SELECT i.kind FROM identifier i WHERE i.kind > s.kind ORDER BY i.kind LIMIT 1)"
            " FROM seen s WHERE s.kind IS NOT NULL"
            ") SELECT kind FROM seen WHERE kind IS NOT NULL LIMIT %s",
            [MAX_KINDS],
        )
        return [kind for (kind,) in cursor.fetchall()]


def running(kind: str) -> KindRun | None:
    """The run to show for a kind: the one under way, else the newest."""
    rows = KindRun.objects.filter(kind=kind)
    return rows.filter(state=KindRun.State.RUNNING).order_by("-id").first() or rows.order_by("-id").first()


def conflicts(
    *,
    kind: str = "",
    reason: str = "",
    state: str = ConflictGroup.State.OPEN,
    text: str = "",
    before: tuple[datetime, int] | None = None,
    limit: int = 50,
) -> list[ConflictView]:
    """Groups of conflicts, the newest first; `text` is the beginning of a value, `before` continues after one."""
    rows = ConflictGroup.objects.all()
    if kind:
        rows = rows.filter(kind=kind)
    if reason:
        rows = rows.filter(reason=reason)
    if state:
        rows = rows.filter(state=state)
    if text:
        rows = rows.filter(value__istartswith=text)
    if before is not None:
        rows = rows.filter(Q(last_at__lt=before[0]) | Q(last_at=before[0], pk__lt=before[1]))
    return _with_samples(rows.order_by("-last_at", "-id")[:limit])


def conflict(group_id: int) -> ConflictView | None:
    return next(iter(_with_samples(ConflictGroup.objects.filter(pk=group_id))), None)


def warnings(*, limit: int = 20) -> list[ConflictView]:
    """Values that so many people share that they can hardly be one person's; those that meet most first."""
    rows = ConflictGroup.objects.filter(state=ConflictGroup.State.OPEN, reason__in=TROUBLES)
    met = Func(F("people"), function="bit_count", output_field=IntegerField())
    found = _with_samples(rows.annotate(met=met).filter(met__gte=MANY - 1).order_by("-met", "-messages")[: limit * 2])
    return [one for one in found if one.is_suspicious][:limit]


def conflict_days(*, today: date) -> dict[str, Any]:
    """A chart of the last days: messages with a conflict by reason, those of refused values left out."""
    days = [today - timedelta(days=back) for back in reversed(range(CHART_DAYS))]
    rows = ConflictDay.objects.filter(day__gte=days[0], reason__in=TROUBLES)
    found: dict[str, dict[date, int]] = {}
    for day, reason, messages in rows.values_list("day", "reason", "messages"):
        counts = found.setdefault(reason, dict.fromkeys(days, 0))
        counts[day] = counts.get(day, 0) + messages
    return {"days": days, "reasons": {reason: [found[reason][day] for day in days] for reason in sorted(found)}}


def conflict_totals() -> dict[tuple[str, str], int]:
    """Open groups per kind and reason."""
    rows = ConflictGroup.objects.filter(state=ConflictGroup.State.OPEN).values_list("kind", "reason")
    return {(kind, reason): number for kind, reason, number in rows.annotate(number=Count("id")).order_by()}


def _with_samples(rows: Any) -> list[ConflictView]:
    views = _views(rows)
    samples: dict[int, list[ConflictSample]] = {}
    for one in ConflictSample.objects.filter(group_id__in=[view.id for view in views]).order_by("-at", "-slot"):
        samples.setdefault(one.group_id, []).append(one)
    return [replace(view, samples=tuple(samples.get(view.id, ()))) for view in views]


def _views(rows: Iterable[ConflictGroup]) -> list[ConflictView]:
    return [_view(row) for row in rows]


def _view(row: ConflictGroup) -> ConflictView:
    people, more = estimate(str(row.people).count("1"))
    return ConflictView(
        id=row.pk,
        kind=row.kind,
        value=row.value,
        reason=row.reason,
        limit_of=row.limit_of,
        messages=row.messages,
        people=people,
        more=more,
        first_at=row.first_at,
        last_at=row.last_at,
        state=row.state,
        decided_by="" if row.decided_by is None else str(row.decided_by),
        decided_at=row.decided_at,
    )


def estimate(bits: int) -> tuple[int, bool]:
    """About how many different values set so many bits of a sketch, and whether it may be any number more.

    Linear counting (Whang, Vander-Zanden and Taylor 1990): typically off by 2% up to 2,000 values, by 6% at 10,000.
    """
    empty = max(SKETCH_BITS - bits, 1)
    found = SKETCH_BITS * math.log(SKETCH_BITS / empty)
    exact = round(found) if found < MANY * 10 else round(found, -1 if found < 1_000 else -2)
    return int(exact), bits >= SKETCH_BITS - 4
