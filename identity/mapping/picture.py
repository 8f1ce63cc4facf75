"""How a profile was put together: its origins and their identifiers, and why they belong together.

An origin is what was recorded as one person before any merge; identifiers met there in messages. Origins are tied by
merges: identifiers that met in a later message, an alias, a match of what was known of both, or a person's decision.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from identity.mapping.contracts import Edge, IdentifierLine, Node, Picture
from identity.mapping.queries import identifiers_of
from identity.merging.contracts import MergeView
from identity.merging.queries import merges_of, origins_of
from identity.models import Merge
from ingestion.models import Source

DRAWN = 1_000
"""More identifiers than these are counted and not drawn; the table of identifiers has them all."""
MERGES = 500

CAUSES = {
    Merge.Cause.IDENTIFIER: "message",
    Merge.Cause.ALIAS: "alias",
    Merge.Cause.MATCH: "match",
    Merge.Cause.PERSON: "person",
}


def picture_of(*, profile_id: int) -> Picture:
    """Of a (leading) profile; a handful of queries."""
    lines = identifiers_of(profile_id=profile_id)
    sources = dict(Source.objects.values_list("pk", "name"))
    merges = [merge for merge in merges_of(profile_id, limit=MERGES) if merge.is_in_force]
    origins = sorted(origins_of([profile_id])[profile_id], key=lambda origin: (origin != profile_id, origin))
    drawn = lines[:DRAWN]
    nodes = [*_origin_nodes(origins, lines), *(_identifier_node(line, sources) for line in drawn)]
    edges = [*_merge_edges(merges, set(origins)), *(_message_edge(line, sources) for line in drawn)]
    return Picture(profile_id, nodes, edges, left_out=len(lines) - len(drawn))


def _origin_nodes(origins: Sequence[int], lines: Iterable[IdentifierLine]) -> list[Node]:
    held: defaultdict[int, list[IdentifierLine]] = defaultdict(list)
    for line in lines:
        held[line.origin_id].append(line)
    return [
        Node(
            key=f"o{origin}",
            kind="origin",
            label=f"Profile {origin}",
            note=f"{len(held[origin])} identifier{'' if len(held[origin]) == 1 else 's'}",
            at=min((line.first_seen_at for line in held[origin]), default=None),
            profile_id=origin,
        )
        for origin in origins
    ]


def _identifier_node(line: IdentifierLine, sources: Mapping[int, str]) -> Node:
    return Node(
        key=_key(line),
        kind=line.kind,
        label=line.value,
        note=f"{line.kind}, from {_source(line.source_id, sources)}",
        at=line.first_seen_at,
    )


def _message_edge(line: IdentifierLine, sources: Mapping[int, str]) -> Edge:
    return Edge(
        one=f"o{line.origin_id}",
        other=_key(line),
        reason="message",
        label="message",
        note=f"first seen in a message from {_source(line.source_id, sources)}",
        at=line.first_seen_at,
    )


def _merge_edges(merges: Iterable[MergeView], origins: set[int]) -> list[Edge]:
    return [
        Edge(
            one=f"o{merge.one_origin}",
            other=f"o{merge.other_origin}",
            reason=CAUSES[Merge.Cause(merge.cause)],
            label=label_of(merge),
            note=note_of(merge),
            at=merge.at,
            probability=probability_of(merge),
            merge_id=merge.id,
        )
        for merge in reversed(list(merges))
        if merge.one_origin in origins and merge.other_origin in origins
    ]


def label_of(merge: MergeView) -> str:
    probability = probability_of(merge)
    if merge.cause == Merge.Cause.MATCH and probability is not None:
        return f"match {probability:.0%}" if probability < 0.995 else "match > 99%"
    return CAUSES[Merge.Cause(merge.cause)]


def note_of(merge: MergeView) -> str:
    """Why two origins became one, in a sentence."""
    evidence: Mapping[str, Any] = merge.evidence or {}
    match Merge.Cause(merge.cause):
        case Merge.Cause.IDENTIFIER:
            kinds = [pair[0] for pair in evidence.get("identifiers", []) if isinstance(pair, list) and pair]
            return f"{' and '.join(kinds)} met in a message" if kinds else "identifiers met in a message"
        case Merge.Cause.ALIAS:
            return "an alias message said that both are one user"
        case Merge.Cause.MATCH:
            probability = probability_of(merge)
            return "they look alike" + (f", probability {probability:.3f}" if probability is not None else "")
        case _:
            who = merge.actor or "a person"
            reason = evidence.get("reason")
            return f"decided by {who}" + (f": {reason}" if isinstance(reason, str) and reason else "")


def probability_of(merge: MergeView) -> float | None:
    found = (merge.evidence or {}).get("probability")
    return float(found) if isinstance(found, int | float) else None


def _key(line: IdentifierLine) -> str:
    return f"{line.kind}:{line.value}"


def _source(source_id: int, sources: Mapping[int, str]) -> str:
    return sources.get(source_id, "a deleted source")
