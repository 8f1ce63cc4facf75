"""Parts of the segment pages that are asked for by themselves."""

from django.urls import path

from segments.insight import panel, screens

urlpatterns = [
    path("builder/insight/<slug:name>/", panel.part, name="insight"),
    path("overlap/people/", screens.combination, name="combination"),
    path("<slug:slug>/breakdown/", screens.breakdown, name="breakdown"),
    path("<slug:slug>/overlap/", screens.overlap, name="overlap"),
]
