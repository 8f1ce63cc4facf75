"""Merges and previews as somebody may see them."""

from dataclasses import replace
from typing import Any

from identity.candidates.viewing import mask_evidence
from identity.merging.contracts import MergePreview, MergeView, Side, TraitDifference, UndoPreview
from identity.viewing import mask_profile
from ingestion.dictionary.masking import Masker


def mask_merge(merge: MergeView, masker: Masker) -> MergeView:
    """Identifiers and values in its evidence are hidden as the masker has it; the reasons that people gave are not."""
    if masker.clear:
        return merge
    evidence = dict(merge.evidence)
    if isinstance(met := evidence.get("identifiers"), list):
        evidence["identifiers"] = [[kind, masker.identifiers({kind: [value]})[kind][0]] for kind, value in met]
    if isinstance(weighed := evidence.get("explanation"), dict):
        evidence["explanation"] = mask_evidence(weighed, masker)
    return replace(merge, evidence=evidence)


def mask_merge_preview(preview: MergePreview, masker: Masker) -> MergePreview:
    if masker.clear:
        return preview
    return replace(
        preview,
        survivor=_mask_side(preview.survivor, masker),
        absorbed=_mask_side(preview.absorbed, masker),
        traits=tuple(_mask_difference(one, masker) for one in preview.traits),
    )


def mask_undo_preview(preview: UndoPreview, masker: Masker) -> UndoPreview:
    if masker.clear:
        return preview
    return replace(
        preview,
        merge=mask_merge(preview.merge, masker),
        kept=_mask_side(preview.kept, masker),
        restored=_mask_side(preview.restored, masker),
    )


def _mask_side(side: Side, masker: Masker) -> Side:
    return replace(side, profile=mask_profile(side.profile, masker))


def _mask_difference(one: TraitDifference, masker: Masker) -> TraitDifference:
    def hidden(value: Any) -> Any:
        return None if value is None else masker.traits({one.name: value})[one.name]

    return replace(one, one=hidden(one.one), other=hidden(one.other), merged=hidden(one.merged))
