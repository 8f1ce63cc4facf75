"""What every screen's frame needs: who is looking, and what they may open."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest


def shell(request: HttpRequest) -> dict[str, Any]:
    return {"organisation": settings.ORGANISATION}
