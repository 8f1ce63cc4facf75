"""The export as an answer over HTTP, noted in the audit trail before its first byte leaves."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.http import StreamingHttpResponse

from cdp.kernel.access import audit
from identity.mapping.contracts import MappingFilter
from identity.mapping.export import FORMATS, read_lines

ACTION = "identifiers.export"


def download(*, narrowed: MappingFilter, form: str, user: Any, now: datetime) -> StreamingHttpResponse:
    """`form` is a key of `FORMATS`."""
    write, content_type = FORMATS[form]
    terms = {name: value for name, value in asdict(narrowed).items() if value}
    if narrowed.changed_since is not None:
        terms["changed_since"] = narrowed.changed_since.isoformat()
    audit.note(user=user, action=ACTION, details={"format": form, **terms}, now=now)
    response = StreamingHttpResponse(write(read_lines(narrowed)), content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="identifiers-{now:%Y-%m-%d}.{form}"'
    response["X-Accel-Buffering"] = "no"
    return response
