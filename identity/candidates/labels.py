"""What people said, as the matcher learns from it."""

from identity.candidates.models import Label
from identity.matching.contracts import LabelledPair


def labelled_pairs() -> list[LabelledPair]:
    """Every label that stands, as the two records looked when it was given."""
    rows = Label.objects.filter(withdrawn_at=None).order_by("id")
    return [
        LabelledPair(row.one, row.other, row.same, row.weight, row.sampled)
        for row in rows.only("one", "other", "same", "weight", "sampled")
    ]
