"""Whether two profiles may merge: what people have said of them, and the limits of their identifiers."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from cdp.kernel.copy import timestamp_micros
from identity.cluster import Clusters
from identity.contracts import Identifier
from identity.kinds import STATED_LIMIT, kind_of
from identity.merging.constraints import never_among
from identity.merging.contracts import BrokenLimit
from identity.models import ProfileIdentifier


@dataclass(frozen=True, slots=True)
class Judgement:
    """`refusals` are reasons against, by code; none, where nothing is against it."""

    refusals: Mapping[str, str]
    broken_limits: tuple[BrokenLimit, ...]


def judge(one: int, other: int, *, stated: bool) -> Judgement:
    """`stated` is a person's word, which counts as that of an alias message: more identifiers are allowed."""
    rows = ProfileIdentifier.objects.filter(profile_id__in=[one, other])
    held: dict[int, set[Identifier]] = {one: set(), other: set()}
    times: dict[Identifier, int] = {}
    for profile_id, kind, value, first_seen in rows.values_list("profile_id", "kind", "value", "first_seen_at"):
        held[profile_id].add((kind, value))
        times[kind, value] = timestamp_micros(first_seen)
    refusals = {}
    if never_among([one, other]):
        refusals["never_linked"] = "A person has said that these are never one. Lift that first."
    if not Clusters(homes={}, holdings=held, times=times).fits(one, other, stated=stated):
        allowed = f"even a person may join {STATED_LIMIT} of a kind at most" if stated else "a limit would be broken"
        refusals["limit_reached"] = f"Together they have too many identifiers: {allowed}."
    return Judgement(refusals, _broken(held[one], held[other]))


def _broken(mine: set[Identifier], theirs: set[Identifier]) -> tuple[BrokenLimit, ...]:
    counts = Counter(kind for kind, _ in mine | theirs)
    both = {kind for kind, _ in mine} & {kind for kind, _ in theirs}
    return tuple(
        BrokenLimit(kind, counts[kind], kind_of(kind).limit)
        for kind in sorted(both)
        if counts[kind] > kind_of(kind).limit
    )
