"""The WSGI application that granian or gunicorn serves.

What is sent to `/v1/` goes straight to `ingestion.http.answer`: Django's handler and middleware cost more than taking
an event in, and concern sessions, forms and pages, of which a sender with a write key has none.
"""

import os
import select
from collections.abc import Iterable
from http.client import responses
from typing import TYPE_CHECKING, Any

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cdp.settings")

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

pages = get_wsgi_application()

from django.conf import settings  # noqa: E402 - importable once Django is set up
from django.db import connection  # noqa: E402

from ingestion.http import answer  # noqa: E402

PREFIX = "/v1/"
DIRECT = frozenset({"POST", "OPTIONS"})


def application(environ: dict[str, Any], start_response: "StartResponse") -> Iterable[bytes]:
    path = environ.get("PATH_INFO", "")
    name = path[len(PREFIX) :].removesuffix("/")
    direct = path.startswith(PREFIX) and "/" not in name and environ["REQUEST_METHOD"] in DIRECT
    if not direct or _must_redirect(environ):
        return pages(environ, start_response)
    _drop_lost_session()
    answered = answer(environ, name)
    if answered.status >= 500:
        connection.close()  # the next request begins with a new session
    headers = [*answered.headers, ("Content-Length", str(len(answered.body)))]
    start_response(f"{answered.status} {responses[answered.status]}", headers)
    return [answered.body]


def _must_redirect(environ: dict[str, Any]) -> bool:
    """Whether `SecurityMiddleware` has to send this request to HTTPS first."""
    if not settings.SECURE_SSL_REDIRECT:
        return False
    name, value = settings.SECURE_PROXY_SSL_HEADER or ("", "")
    return environ.get(name) != value and environ.get("wsgi.url_scheme") != "https"


def _drop_lost_session() -> None:
    """Notice, without asking it, that PostgreSQL has ended this thread's session: its socket has something to say."""
    session = connection.connection
    if session is None:
        return
    poll = select.poll()
    if not session.closed:
        poll.register(session, select.POLLIN)
    if session.closed or poll.poll(0):
        connection.close()
