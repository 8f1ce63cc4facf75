"""The tabs over every screen of reviewing."""

from django.http import HttpRequest
from django.urls import reverse

_TABS = (
    ("queue", "Queue"),
    ("bulk", "Bulk"),
    ("thresholds", "Thresholds"),
    ("blind", "Blind labelling"),
    ("decisions", "Decisions"),
    ("clusters", "Suspicious"),
)
_OF = {"next": "queue", "pair": "queue", "cluster": "clusters", "merge": "clusters"}

Tabs = list[tuple[str, str, bool]]


def tabs_of(request: HttpRequest) -> Tabs:
    """Address, label, and whether one is there."""
    match = request.resolver_match
    here = (match.url_name or "") if match else ""
    return [(reverse(f"review:{name}"), label, name == _OF.get(here, here.split("-")[0])) for name, label in _TABS]
