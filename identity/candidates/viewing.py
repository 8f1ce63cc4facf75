"""Evidence as somebody may see it."""

from typing import Any

from ingestion.dictionary.masking import Masker, Pii, mask


def mask_evidence(evidence: dict[str, Any], masker: Masker) -> dict[str, Any]:
    """The same waterfall with the values of both sides hidden from those who may not see them: all are personal."""
    if masker.clear or not evidence:
        return evidence
    hidden = [
        field | {side: mask(field.get(side, ""), Pii.CONTACT) for side in ("one", "other")}
        for field in evidence.get("fields", [])
    ]
    return evidence | {"fields": hidden}
