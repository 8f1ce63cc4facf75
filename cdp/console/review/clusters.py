"""Profiles that may have been put together wrongly, the weakest bridge first. R: C3"""

from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from cdp.console.review.frame import tabs_of
from cdp.console.review.queue import chart_of
from cdp.kernel.access.roles import Scope
from cdp.kernel.errors import TributaryError
from cdp.kernel.screens import requires
from identity.candidates.queries import SuspiciousCluster, suspicious_clusters
from identity.contracts import ProfileView
from identity.merging import operations as merging
from identity.merging import queries as merges
from identity.merging.contracts import UndoPreview
from identity.models import Merge
from identity.queries import canonical_id, get_profile, get_profiles
from identity.review import clusters as found
from identity.review.queries import waterfall_of
from identity.viewing import mask_profile
from ingestion.dictionary.masking import Masker
from ingestion.dictionary.viewing import masker_for

SHOWN = 50
MOST_IN_GRAPH = 200


@dataclass(frozen=True, slots=True)
class Line:
    cluster: SuspiciousCluster | found.LargeCluster
    profile: ProfileView


@dataclass(frozen=True, slots=True)
class UndoSide:
    """One of the two that a profile would fall into."""

    what: str
    profile: ProfileView
    events: int


@requires(Scope.PROFILES_READ)
def clusters(request: HttpRequest) -> HttpResponse:
    """Weak bridges first; then the largest."""
    masker = masker_for(request.user)
    context = {
        "tabs": tabs_of(request),
        "weak": _lines(suspicious_clusters(limit=SHOWN), masker),
        "large": _lines(found.largest(), masker),
    }
    return render(request, "review/clusters.html", context)


@requires(Scope.PROFILES_READ)
def cluster(request: HttpRequest, profile_id: int) -> HttpResponse:
    """What holds a profile together: its merges as a graph and as a list, the weakest first."""
    leads = canonical_id(profile_id)
    view = get_profile(profile_id=leads)
    if view is None:
        raise Http404("There is no profile with this id.")
    origins = merges.origins_of([leads])[leads]
    bridges = found.bridges_of(origins)
    context = {
        "tabs": tabs_of(request),
        "profile": mask_profile(view, masker_for(request.user)),
        "size": len(origins),
        "bridges": bridges,
        "graph": _graph(origins, bridges) if len(origins) <= MOST_IN_GRAPH else None,
    }
    return render(request, "review/cluster.html", context)


@requires(Scope.PROFILES_READ)
def merge(request: HttpRequest, merge_id: int) -> HttpResponse:
    """Why two were merged, and what taking it back would do."""
    row = get_object_or_404(Merge.objects.select_related("actor", "undone_by"), pk=merge_id)
    masker = masker_for(request.user)
    waterfall = waterfall_of(row.evidence.get("explanation") or {}, masker)
    preview, refused = None, None
    if row.undone_at is None:
        try:
            preview = merging.preview_undo(merge_id=merge_id)
        except TributaryError as error:
            refused = error
    context = {
        "tabs": tabs_of(request),
        "merge": row,
        "waterfall": waterfall,
        "chart": chart_of(waterfall),
        "probability": row.evidence.get("probability"),
        "preview": preview,
        "undo_sides": _undo_sides(preview, masker) if preview else [],
        "refused": refused,
    }
    return render(request, "review/merge.html", context)


def _undo_sides(preview: UndoPreview, masker: Masker) -> list[UndoSide]:
    return [
        UndoSide("keeps", mask_profile(preview.kept.profile, masker), preview.kept.events),
        UndoSide("gets back", mask_profile(preview.restored.profile, masker), preview.restored.events),
    ]


def _lines(rows: Any, masker: Masker) -> list[Line]:
    people = get_profiles(ids={row.profile_id for row in rows})
    return [Line(row, mask_profile(people[row.profile_id], masker)) for row in rows if row.profile_id in people]


def _graph(origins: frozenset[int], bridges: list[found.Bridge]) -> dict[str, Any]:
    """As the chart reads it: the profiles that were, and the merges between them."""
    return {
        "nodes": [{"id": str(origin), "name": f"Profile {origin}"} for origin in sorted(origins)],
        "edges": [
            {
                "source": str(bridge.one),
                "target": str(bridge.other),
                "probability": bridge.probability,
                "cause": bridge.cause,
                "weakest": index == 0 and bridge.probability is not None,
            }
            for index, bridge in enumerate(bridges)
        ],
    }
