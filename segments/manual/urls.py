"""Part of the addresses of `segments`."""

from django.urls import path

from segments.manual import screens

urlpatterns = [
    path("manual/", screens.new, name="manual-new"),
    path("<slug:slug>/upload/", screens.upload, name="upload"),
    path("<slug:slug>/uploads/<int:upload_id>/", screens.upload_page, name="upload-page"),
    path("<slug:slug>/uploads/<int:upload_id>/status/", screens.upload_status, name="upload-status"),
    path("<slug:slug>/uploads/<int:upload_id>/unknown.csv", screens.unknown, name="upload-unknown"),
    path("<slug:slug>/given/", screens.change, name="given"),
    path("<slug:slug>/given/find/", screens.find, name="given-find"),
    path("<slug:slug>/freeze/", screens.freeze, name="freeze"),
]
