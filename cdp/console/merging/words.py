"""A merge in words."""

from collections.abc import Mapping
from dataclasses import dataclass

from identity.merging.contracts import MergeView

_ICONS = {"identifier": "link", "alias": "arrows-join-2", "match": "wand", "person": "user-check"}
_MOVED = (
    ("identifiers", "identifier"),
    ("events", "event"),
    ("accounts", "account membership"),
    ("sessions", "visit"),
)


@dataclass(frozen=True, slots=True)
class ToldMerge:
    """`why` says what brought them together; `met` are the identifiers that did."""

    merge: MergeView
    icon: str
    why: str
    met: tuple[tuple[str, str], ...]
    moved: str


def told_merge(merge: MergeView, sources: Mapping[int, str]) -> ToldMerge:
    met = merge.evidence.get("identifiers")
    pairs = tuple((str(kind), str(value)) for kind, value in met) if isinstance(met, list) else ()
    return ToldMerge(merge, _ICONS.get(merge.cause, "arrows-join"), _why(merge, sources), pairs, _moved(merge.moved))


def _why(merge: MergeView, sources: Mapping[int, str]) -> str:
    match merge.cause:
        case "identifier" | "alias":
            source = sources.get(merge.evidence.get("source_id", 0), "a source that is gone")
            said = "An alias message of" if merge.cause == "alias" else "They met in a message of"
            return f"{said} {source}"
        case "match":
            probability = merge.evidence.get("probability")
            sure = f" ({probability:.1%} sure)" if isinstance(probability, float) else ""
            return f"They look alike{sure}"
        case _:
            reason = merge.evidence.get("reason")
            who = merge.actor or "Somebody"
            return f"{who} decided: “{reason}”" if reason else f"{who} decided"


def _moved(moved: Mapping[str, int]) -> str:
    parts = [f"{moved[key]:,} {word}{'' if moved[key] == 1 else 's'}" for key, word in _MOVED if moved.get(key)]
    return ", ".join(parts) or "nothing"
