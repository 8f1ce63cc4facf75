"""The Segment-compatible addresses: `/v1/…` for messages, and what analytics.js loads."""

from django.urls import path, re_path

from ingestion.browser_sdk import analytics_js, bundle, project_settings
from ingestion.http import ingest

app_name = "ingestion"
urlpatterns = [
    path("v1/projects/<str:key>/settings", project_settings, name="project-settings"),
    path("analytics.js/v1/<str:key>/analytics.min.js", analytics_js, name="analytics-js"),
    path("analytics-next/bundles/<str:name>", bundle, name="analytics-js-bundle"),
    re_path(r"^v1/(?P<name>[^/]*)/?$", ingest, name="ingest"),
    re_path(r"^v1/(?P<name>.+)$", ingest),
]
