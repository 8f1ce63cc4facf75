"""Parts of the segment pages that are asked for by themselves."""

from django.urls import path

from segments.insight import export_screens, panel, screens

urlpatterns = [
    path("builder/insight/<slug:name>/", panel.part, name="insight"),
    path("overlap/people/", screens.combination, name="combination"),
    path("exports/<slug:key>/progress/", export_screens.progress, name="export_progress"),
    path("<slug:slug>/export/", export_screens.dialog, name="export"),
    path("<slug:slug>/export/check/", export_screens.check, name="export_check"),
    path("<slug:slug>/export/file/", export_screens.take, name="export_file"),
    path("<slug:slug>/columns/", screens.columns, name="columns"),
    path("<slug:slug>/breakdown/", screens.breakdown, name="breakdown"),
    path("<slug:slug>/overlap/", screens.overlap, name="overlap"),
]
