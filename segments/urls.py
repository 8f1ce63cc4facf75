"""Screens of this room: the list, the builder, and the page of one segment."""

from django.urls import include, path

from segments import builder, lifecycle_screens, listing, screens

app_name = "segments"
urlpatterns = [
    path("", listing.segments, name="list"),
    path("bulk/", listing.bulk, name="bulk"),
    path("undo/<str:token>/", listing.undo_last, name="undo"),
    path("new/", builder.new, name="new"),
    path("builder/preview/", builder.preview, name="preview"),
    path("builder/funnel/", builder.funnel, name="funnel"),
    path("builder/suggest/", builder.suggest, name="suggest"),
    path("", include("segments.insight.urls")),
    path("", include("segments.manual.urls")),
    path("<slug:slug>/", screens.segment, name="detail"),
    path("<slug:slug>/", screens.segment, name="segment"),
    path("<slug:slug>/edit/", builder.edit, name="edit"),
    path("<slug:slug>/recompute/", screens.recompute, name="recompute"),
    path("<slug:slug>/cancel/", lifecycle_screens.cancel, name="cancel"),
    path("<slug:slug>/compare/", lifecycle_screens.compare, name="compare"),
    path("<slug:slug>/place/", listing.place, name="place"),
    path("<slug:slug>/<str:what>/now/", lifecycle_screens.act, name="act"),
    path("<slug:slug>/delete/", screens.delete, name="delete"),
    path("<slug:slug>/status/", screens.status, name="status"),
    path("<slug:slug>/why/", screens.why, name="why"),
    path("<slug:slug>/members/", screens.members, name="members"),
    path("<slug:slug>/feed/", screens.feed, name="feed"),
]
