"""Who took what out of the house."""

from datetime import datetime
from typing import Any

from cdp.kernel.access.models import AuditEntry


def note(*, user: Any, action: str, details: dict[str, Any], now: datetime) -> AuditEntry:
    """Write down what a person or a token is about to do; they are named by what they are called now."""
    return AuditEntry.objects.create(at=now, actor=str(user)[:200], action=action, details=details)
