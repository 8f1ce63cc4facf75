"""Every address of the product, room by room."""

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.routers import SimpleRouter

import activation.api
import cdp.console.api
import consent.api
import identity.accounts.api
import identity.api
import identity.candidates.api
import identity.evaluation.api
import identity.kinds.api
import identity.mapping.api
import identity.survivorship.api
import ingestion.api
import ingestion.quality.api
import ingestion.quarantine.api
import segments.api
import segments.computed.api
import segments.lifecycle_api
from cdp.console.dictionary_api import DictionaryView
from cdp.kernel.access import schema  # noqa: F401 - registers itself
from cdp.kernel.screens import requires
from identity.candidates.api import MatchingSettingsView
from ingestion.live.api import LiveView

router = SimpleRouter()
for api in (
    ingestion.api,
    ingestion.quality.api,
    ingestion.quarantine.api,
    identity.api,
    identity.accounts.api,
    identity.mapping.api,
    identity.survivorship.api,
    identity.candidates.api,
    identity.evaluation.api,
    identity.kinds.api,
    segments.api,
    segments.computed.api,
    segments.lifecycle_api,
    activation.api,
    consent.api,
    cdp.console.api,
):
    api.register(router)

api_docs = requires()(SpectacularSwaggerSplitView.as_view(url_name="api-schema", title="API docs"))

urlpatterns = [
    path("", include("cdp.console.urls")),
    path("identity/review/", include("cdp.console.review.urls")),
    path("profiles/", include("cdp.console.merging.screens")),
    path("sources/", include("ingestion.screens")),
    path("alerts/", include("activation.alerting.screens")),
    path("traits/", include("identity.survivorship.screens")),
    path("identifiers/", include("identity.kinds.screens")),
    path("computed-traits/", include("segments.computed.urls")),
    path("segments/", include("segments.urls")),
    path("identity/matching/", include("identity.candidates.screens")),
    path("identity/evaluation/", include("identity.evaluation.screens")),
    path("", include("activation.urls")),
    path("", include("ingestion.urls")),
    path("api/v1/", include("ingestion.plans.api")),
    path("api/v1/", include("cdp.console.merging.api")),
    path("api/v1/", include("ingestion.quality.api")),
    path("api/v1/sources/<slug:slug>/live/", LiveView.as_view(), name="source-live"),
    path("api/v1/matching-settings/", MatchingSettingsView.as_view(), name="matching-settings"),
    path("api/v1/", include(router.urls)),
    path("api/v1/dictionary/", DictionaryView.as_view(), name="api-dictionary"),
    path("api/v1/schema/", SpectacularAPIView.as_view(), name="api-schema"),
    path("api/docs/", api_docs, name="api-docs"),
    path("admin/", admin.site.urls),
]
