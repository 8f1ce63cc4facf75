"""People who are in the base more than once, as far as is known."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from cdp.kernel.access.roles import Scope
from cdp.kernel.screens import requires
from cdp.kernel.tasks import nudge
from identity import queries as identities
from identity.duplicates.queries import newest_report, pairs_by_probability
from identity.viewing import mask_profiles
from ingestion.dictionary.viewing import masker_for


@requires(Scope.PROFILES_READ, write=Scope.IDENTITY_WRITE)
def duplicates(request: HttpRequest) -> HttpResponse:
    """The report; a POST counts anew."""
    if request.method == "POST":
        nudge("cdp.report_duplicates")
        messages.success(request, "Counting has begun. Look again in a moment.")
        return redirect("console:duplicates")
    report = newest_report()
    likely = pairs_by_probability()
    masker = masker_for(request.user)
    ids = {id_ for group in report.examples for id_ in group} if report else set()
    views = identities.get_profiles(ids=ids)
    groups = (
        [mask_profiles([views[id_] for id_ in group if id_ in views], masker) for group in report.examples]
        if report
        else []
    )
    context = {
        "tab": "duplicates",
        "report": report,
        "groups": [group for group in groups if len(group) > 1],
        "waiting": sum(one.waiting for one in likely),
        "merged": sum(one.merged for one in likely),
        "chart": {
            "x": [one.label for one in likely],
            "series": [
                {"name": "Waiting for a person", "data": [one.waiting for one in likely], "colour": "yellow"},
                {"name": "Merged", "data": [one.merged for one in likely], "colour": "green"},
                {"name": "Not the same person", "data": [one.rejected for one in likely], "colour": "grey"},
            ],
        },
        "pairs": sum(one.waiting + one.merged + one.rejected for one in likely),
    }
    return render(request, "console/duplicates.html", context)
