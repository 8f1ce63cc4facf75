"""Changes of consent, as identity tells them, among the changes that segments answer."""

from django.db import transaction

import identity.consents.operations
from segments.changes import ProfileChange, note_changes


def changed_consents() -> list[ProfileChange]:
    """What stands otherwise, brought up to date now: by what was recorded, linked, merged or parted."""
    nothing: frozenset[str] = frozenset()
    return [
        ProfileChange(profile_id, frozenset(), nothing, merged=False, created=False, purposes=purposes)
        for profile_id, purposes in identity.consents.operations.follow().items()
    ]


def follow_consents() -> None:
    """For who is about to ask segments of other people than those who changed; what follows is in the queue."""
    with transaction.atomic():
        note_changes(changed_consents())
