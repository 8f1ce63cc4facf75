"""Every address of the product, room by room."""

from importlib import import_module

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from cdp.kernel.screens import requires

api_docs = requires()(SpectacularSwaggerSplitView.as_view(url_name="api-schema", title="API docs"))

urlpatterns = [
    path("", include("cdp.console.urls")),
    path("sources/", include("ingestion.screens")),
    path("v1/", include("ingestion.urls")),
    path("api/v1/schema/", SpectacularAPIView.as_view(), name="api-schema"),
    path("api/docs/", api_docs, name="api-docs"),
    path("admin/", admin.site.urls),
]
for prefix, module in (("segments/", "segments.urls"), ("", "activation.urls")):
    try:
        import_module(module)
    except ImportError:
        continue
    urlpatterns.append(path(prefix, include(module)))
