"""What a merge would do, before anybody decides. R: C3"""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from cdp.kernel.access.roles import Scope
from cdp.kernel.errors import TributaryError
from cdp.kernel.screens import requires
from identity.candidates.models import Candidate
from identity.merging import operations as merging
from identity.merging.contracts import MergePreview, TraitDifference
from ingestion.dictionary.masking import Masker
from ingestion.dictionary.viewing import masker_for


@requires(Scope.PROFILES_READ)
def preview(request: HttpRequest, candidate_id: int) -> HttpResponse:
    pair = get_object_or_404(Candidate, pk=candidate_id)
    try:
        found = merging.preview_merge(one=pair.one_id, other=pair.other_id)
    except TributaryError as error:
        return render(request, "review/preview.html", {"error": error})
    context = {"preview": found, "traits": _changed(found, masker_for(request.user))}
    return render(request, "review/preview.html", context)


def _changed(found: MergePreview, masker: Masker) -> list[TraitDifference]:
    """Traits of the surviving profile that would be other than they are."""
    return [
        TraitDifference(
            trait.name,
            *(masker.value("trait", "", trait.name, value) for value in (trait.one, trait.other, trait.merged)),
        )
        for trait in found.traits
        if trait.merged != trait.one
    ]
