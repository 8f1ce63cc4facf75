"""The events that conditions read, each stretch read once however many conditions look at it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from segments.asking.arrays import Flags, Ids, Instants, Numbers, listed
from segments.asking.table import Rows
from segments.ast import Where
from segments.plan import Clock
from segments.sql import Sql, conjunction, sql
from segments.streams import Dictionary, Selected

ALWAYS = "-infinity"


@dataclass(frozen=True)
class Source:
    """Events of these names that pass `where`; with nothing to pass it is one name, and an index has the answer."""

    names: tuple[str, ...]
    where: tuple[Where, ...] = ()


class TooMuchError(Exception):
    """So many events, or over so long a time, are not worked out together."""


@dataclass(frozen=True)
class Events:
    """Events in no order: whose they are (the place of the profile), when they happened, and the value of each."""

    place: Ids
    at: Instants
    value: Numbers

    def only(self, which: Flags) -> "Events":
        return Events(self.place[which], self.at[which], self.value[which])


@dataclass
class _Wanted:
    """For whom a source is read, and from when on."""

    people: Flags
    since: datetime | None


@dataclass
class Reading:
    """The sources that are to be read, and afterwards what was read."""

    dictionary: Dictionary
    clock: Clock
    profiles: Ids
    limit: int
    wanted: dict[Source, _Wanted] = field(default_factory=dict)
    found: dict[Source, Events] = field(default_factory=dict)

    def want(self, names: Iterable[str], where: tuple[Where, ...], *, people: Flags, since: datetime | None) -> None:
        for source in self._sources(names, where):
            known = self.wanted.get(source)
            if known is None:
                self.wanted[source] = _Wanted(people.copy(), since)
            else:
                known.people |= people
                known.since = min(known.since, since) if known.since and since else None

    def _sources(self, names: Iterable[str], where: tuple[Where, ...]) -> Iterator[Source]:
        """With nothing to pass, a source for each name, so that conditions that share one of them share its events."""
        known = tuple(dict.fromkeys(name for name in names if name in self.dictionary))
        if where and known:
            yield Source(known, where)
        else:
            yield from (Source((name,)) for name in known)

    def parts(self) -> Iterator[Sql]:
        plain = [(number, source) for number, source in enumerate(self.wanted) if not source.where]
        if any(self.wanted[source].people.any() for _, source in plain):
            yield self._plain(plain)
        for number, source in enumerate(self.wanted):
            if source.where:
                yield self._tested(number, source)

    def _plain(self, sources: Sequence[tuple[int, Source]]) -> Sql:
        """One lookup for a person, of all names that are asked about: into each month it descends once.

        LATERAL with OFFSET 0 stays a lookup per person, whatever is estimated.
        """
        names = [self.dictionary[source.names[0]].id for _, source in sources]
        wanted = [self.wanted[source] for _, source in sources]
        sets: list[str] = []
        starts: list[str] = []
        people: list[Ids] = []
        for alike in _of_one_length(wanted, self.clock.now):
            asked = np.array([wanted[place].people for place in alike])
            since = min((start for place in alike if (start := wanted[place].since)), default=ALWAYS)
            for some, which in _sets(asked):
                sets.append(listed(names[alike[place]] for place in np.flatnonzero(which).tolist()))
                starts.append(str(since))
                people.append(self.profiles[some])
        return sql(
            "(SELECT ({numbers}::bigint[])[array_position({names}::int[], e.name_id)] AS what, i.id AS profile,"
            " e.ts AS at, e.value AS number FROM unnest({asked}::int[], {people}::bigint[]) AS i(asked, id)"
            " CROSS JOIN LATERAL (SELECT e.name_id, e.ts, coalesce(e.value, 'NaN') AS value FROM event AS e"
            " WHERE e.profile_id = i.id AND e.name_id = ANY (({sets}::text[])[i.asked]::int[])"
            " AND e.ts >= ({starts}::timestamptz[])[i.asked]{within} OFFSET 0) AS e LIMIT {limit})",
            numbers=[number for number, _ in sources],
            names=names,
            asked=listed(np.repeat(np.arange(1, len(sets) + 1), [len(each) for each in people])),
            people=listed(np.concatenate(people)),
            sets=sets,
            starts=starts,
            within=self._within(wanted),
            limit=self.limit,
        )

    @staticmethod
    def _within(wanted: Iterable[_Wanted]) -> Sql:
        """The months before the widest window are left out when the statement is planned."""
        starts = [each.since for each in wanted]
        known = [start for start in starts if start is not None]
        return sql(" AND e.ts >= {since}", since=min(known)) if len(known) == len(starts) else Sql("")

    def _tested(self, number: int, source: Source) -> Sql:
        selected = Selected(source.names, source.where, self.dictionary, self.clock)
        wanted = self.wanted[source]
        since = [sql("e.ts >= {since}", since=wanted.since)] if wanted.since else []
        return sql(
            "(SELECT {number}::bigint, i.id, e.ts, e.value FROM unnest({people}::bigint[]) AS i(id)"
            " CROSS JOIN LATERAL (SELECT e.ts, coalesce(e.value, 'NaN') AS value FROM event AS e"
            " WHERE {passes} OFFSET 0) AS e LIMIT {limit})",
            number=number,
            people=listed(self.profiles[wanted.people]),
            passes=conjunction((Sql("e.profile_id = i.id"), selected.named, *selected.lasting, *since)),
            limit=self.limit,
        )

    def take(self, rows: Rows) -> None:
        """Sort out what was read; where that may not be all, `TooMuchError`."""
        counts = np.bincount(rows.what, minlength=len(self.wanted)).tolist()
        plain = sum(count for count, source in zip(counts, self.wanted, strict=True) if not source.where)
        if max(plain, *counts, 0) >= self.limit:
            raise TooMuchError
        places = np.searchsorted(self.profiles, rows.profile)
        order = np.argsort(rows.what, kind="stable")
        for source, which in zip(self.wanted, np.split(order, np.cumsum(counts)[:-1]), strict=False):
            self.found[source] = Events(places[which], rows.at[which], rows.number[which])

    def events(self, names: Iterable[str], where: tuple[Where, ...]) -> Events:
        found = [self.found[source] for source in self._sources(names, where)]
        if len(found) == 1:
            return found[0]
        if not found:
            return Events(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64))
        return Events(
            np.concatenate([each.place for each in found]),
            np.concatenate([each.at for each in found]),
            np.concatenate([each.value for each in found]),
        )


def _of_one_length(wanted: Sequence[_Wanted], now: datetime) -> Iterator[list[int]]:
    """The places of those that go about equally far back: no stretch is read that is over twice as long as asked."""
    ages = [now - each.since if each.since else timedelta.max for each in wanted]
    some: list[int] = []
    for place in sorted(range(len(ages)), key=ages.__getitem__, reverse=True):
        if some and ages[place] < ages[some[0]] / 2:
            yield some
            some = []
        some.append(place)
    if some:
        yield some


def _sets(asked: Flags) -> Iterator[tuple[Ids, Flags]]:
    """The places of the people of whom the same sources are asked, and which; `asked` has a row per source."""
    packed = np.ascontiguousarray(np.packbits(asked, axis=0).T)
    _, first, which = np.unique(packed.view(f"V{packed.shape[1]}").ravel(), return_index=True, return_inverse=True)
    order = np.argsort(which, kind="stable")
    for place, some in zip(first.tolist(), np.split(order, np.cumsum(np.bincount(which))[:-1]), strict=True):
        if asked[:, place].any():
            yield some, asked[:, place]
