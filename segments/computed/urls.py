from django.urls import path

from segments.computed import screens

app_name = "computed"
urlpatterns = [
    path("", screens.traits, name="list"),
    path("new/", screens.new, name="new"),
    path("preview/", screens.preview, name="preview"),
    path("<slug:name>/", screens.trait, name="detail"),
    path("<slug:name>/edit/", screens.edit, name="edit"),
    path("<slug:name>/status/", screens.status, name="status"),
    path("<slug:name>/act/", screens.act, name="act"),
]
