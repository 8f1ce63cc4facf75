"""What a merge would do to profiles, segments, consent and deliveries, before anybody decides. R: C3"""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone

from cdp.console.merging import effects
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
        following = None if found.refusals else _effects(found)
    except TributaryError as error:
        return render(request, "review/preview.html", {"error": error})
    context = {"preview": found, "traits": _changed(found, masker_for(request.user)), "effects": following}
    return render(request, "review/preview.html", context)


def _effects(found: MergePreview) -> effects.Effects:
    survivor, absorbed = found.survivor.profile.id, found.absorbed.profile.id
    return effects.of_merge(survivor_id=survivor, absorbed_id=absorbed, now=timezone.now())


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
