"""Merges that matching made by itself, and would not make now that it knows everybody.

What comes one by one is merged by what is there: two become one of which one would have gone to a third who had not
come yet. So a full pass links everybody as if matching had merged nobody, and takes back each of its merges whose two
sides that does not bring together. What identifiers or a person have merged stays as it is.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import structlog

from cdp.kernel.prepared import Prepared, array
from identity.candidates.population import Population
from identity.candidates.runs import Progress
from identity.matching.table import Ints
from identity.merging import graph
from identity.merging import operations as merging
from identity.merging.errors import MergeRefusedError

REASON = "A pass over everybody would not have merged them."

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Ties:
    """Of a population: rows that are one whatever matching finds, and the merges of its own."""

    same: list[tuple[int, int]] = field(default_factory=list)
    merges: list[tuple[int, int, int]] = field(default_factory=list)
    """A merge's id, and a row of either side of it."""

    def across(self, clusters: Ints) -> list[int]:
        """The merges whose sides are in different clusters, the newest first."""
        return sorted((id_ for id_, one, other in self.merges if clusters[one] != clusters[other]), reverse=True)


def find_ties(population: Population, *, automatic: bool) -> Ties:
    """Unless matching merges by itself, what it once merged stays as it is too."""
    merged = _merges() if automatic else {}
    held = _held(merged) if merged else {}
    found = Ties()
    for place, rows in population.rows_of_several().items():
        id_ = population.ids[place]
        row_of = {population.origins[row]: row for row in rows}
        if not (id_ in merged and _tie_sides(found, row_of, merges=merged[id_], held=held.get(id_, ()))):
            found.same += pairwise(rows)
    return found


def _tie_sides(
    found: Ties, row_of: Mapping[int, int], *, merges: Collection[tuple[int, int, int]], held: Collection[graph.Edge]
) -> bool:
    """Tie the rows of a profile, by origin, on each side of these merges, and no further.

    False where it is not known what to part. Merges are a forest, so these tie one side less than there are; if fewer,
    one that says nothing stands between two that do.
    """
    sides = {origin: _side(origin, held) for origin in row_of}
    first: dict[int, int] = {}
    for origin, side in sides.items():
        first.setdefault(side, row_of[origin])
    ends = [(merge, _side(one, held), _side(other, held)) for merge, one, other in merges]
    tied = [
        (merge, first[one], first[other])
        for merge, one, other in ends
        if one != other and {one, other} <= first.keys()
    ]
    if not tied or len(tied) < len(first) - 1:
        return False
    found.merges += tied
    found.same += [(first[side], row_of[origin]) for origin, side in sides.items() if first[side] != row_of[origin]]
    return True


def take_back(merges: Collection[int], population: Population, progress: Progress) -> int:
    """Undo these merges, each in a transaction of its own, and part the population likewise; returns how many.

    One that somebody else has undone meanwhile, or that a person has said is right, is left alone.
    """
    progress.begin("Taking merges back", total=len(merges))
    taken = 0
    for id_ in merges:
        try:
            parting = merging.undo_merge(
                merge_id=id_, now=progress.clock(), never_again=False, overruling=False, reason=REASON
            )
        except MergeRefusedError as refused:
            log.info("merge not taken back", merge=id_, why=refused.code)
        else:
            population.part(parting.profile_id, parting.origins, parting.restored_id)
            taken += 1
        progress.advance()
    return taken


def _side(origin: int, held: Collection[graph.Edge]) -> int:
    """The smallest of the origins that are tied to this one without matching."""
    return min(graph.component(origin, held))


def _merges() -> dict[int, list[tuple[int, int, int]]]:
    """By profile, the merges in force that matching made: id and both origins."""
    found = defaultdict(list)
    for profile, *merge in _OWN.rows():
        found[profile].append(tuple(merge))
    return found


def _held(profiles: Iterable[int]) -> dict[int, list[graph.Edge]]:
    """By profile, what else ties its origins: other merges in force, and words that two are one for certain."""
    found = defaultdict(list)
    ids = array(sorted(profiles))
    for profile, one, other in _HELD.rows(ids):
        found[profile].append((one, other))
    return found


_OWN = Prepared(
    "match_own_merges",
    [],
    "SELECT coalesce(a.canonical_id, m.one_origin), m.id, m.one_origin, m.other_origin"
    " FROM merge m LEFT JOIN profile_alias a ON a.profile_id = m.one_origin"
    " WHERE m.undone_at IS NULL AND m.cause = 'match' ORDER BY m.id",
)
_HELD = Prepared(
    "match_held_ties",
    ["bigint[]"],
    """
WITH origin AS MATERIALIZED (
  SELECT id, id AS leads FROM unnest($1) AS u(id)
  UNION ALL SELECT profile_id, canonical_id FROM profile_alias WHERE canonical_id = ANY($1)
)
SELECT o.leads, m.one_origin, m.other_origin FROM origin o JOIN merge m ON m.one_origin = o.id
WHERE m.undone_at IS NULL AND m.cause <> 'match'
UNION ALL
SELECT o.leads, c.one_origin, c.other_origin FROM origin o JOIN identity_constraint c ON c.one_origin = o.id
WHERE c.kind = 'must'
""",
)
