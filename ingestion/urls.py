"""`/v1/…`: the Segment-compatible addresses."""

from django.urls import path

from ingestion.http import ingest

app_name = "ingestion"
urlpatterns = [
    path(kind, ingest, {"kind": kind}, name=kind) for kind in ("batch", "track", "identify", "page", "screen")
]
