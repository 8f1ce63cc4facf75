"""What `manage.py check` has to say about enrichment."""

from typing import Any

from django.core.checks import CheckMessage, Warning, register  # noqa: A004 - Django's name

from ingestion.enrich import geo


@register()
def check_geoip_file(**_kwargs: Any) -> list[CheckMessage]:
    trouble = geo.problem()
    return [Warning(trouble, id="ingestion.W001")] if trouble else []
