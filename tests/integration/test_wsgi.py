"""What is sent to /v1/ reaches the inbox without Django's handler; everything else goes through it."""

import importlib
import io
import json
import sys
from typing import Any

import psycopg2
import pytest
from django.core.wsgi import get_wsgi_application
from django.db import connection

from ingestion.models import InboxItem
from tests.factories.ingestion import batch_body, track
from tests.integration.conftest import rows


@pytest.fixture(scope="module", autouse=True)
def wsgi(static_root: None) -> Any:
    """Imported late: it loads the middleware, which looks for the folder of static files."""
    return importlib.import_module("cdp.wsgi")


def call(method: str, path: str, body: bytes = b"", **environ: Any) -> tuple[str, dict[str, str], bytes]:
    started: list[Any] = []
    answer = sys.modules["cdp.wsgi"].application(
        {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": "application/json",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "HTTP_HOST": "localhost",
            "wsgi.input": io.BytesIO(body),
            "wsgi.url_scheme": "http",
            **environ,
        },
        lambda status, headers, _=None: started.extend([status, dict(headers)]),
    )
    return started[0], started[1], b"".join(answer)


class TestApplication:
    @pytest.mark.parametrize("path", ["/v1/batch", "/v1/batch/", "/v1/b"])
    def test_takes_events_in(self, key: str, path: str):
        status, headers, body = call("POST", path, batch_body([track("A")]), HTTP_X_WRITE_KEY=key)

        assert (status, json.loads(body), headers["Content-Length"]) == ("200 OK", {"success": True}, str(len(body)))
        assert InboxItem.objects.count() == 1

    def test_says_what_is_wrong(self, database: None):
        status, headers, body = call("POST", "/v1/batch", b"{}")

        assert status == "400 Bad Request"
        assert headers["Content-Type"] == "application/json"
        assert json.loads(body)["code"] == "body_invalid"

    def test_answers_preflights(self, database: None):
        status, headers, _ = call("OPTIONS", "/v1/t", HTTP_ORIGIN="https://shop.example")

        assert (status, headers["Access-Control-Allow-Origin"]) == ("204 No Content", "*")

    def test_goes_on_with_a_new_session_where_the_database_has_ended_the_old_one(self, key: str):
        rows("SELECT 1")
        pid = connection.connection.info.backend_pid
        end_session(pid)

        status, _, _ = call("POST", "/v1/batch", batch_body([track("A")]), HTTP_X_WRITE_KEY=key)

        assert status == "200 OK"

    def test_sends_unsafe_requests_to_https_first(
        self, key: str, settings: Any, wsgi: Any, monkeypatch: pytest.MonkeyPatch
    ):
        settings.SECURE_SSL_REDIRECT = True
        settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
        monkeypatch.setattr(wsgi, "pages", get_wsgi_application())  # middleware reads its settings when it is made
        body = batch_body([track("A")])

        unsafe, _, _ = call("POST", "/v1/batch", body, HTTP_X_WRITE_KEY=key)
        safe, _, _ = call("POST", "/v1/batch", body, HTTP_X_WRITE_KEY=key, HTTP_X_FORWARDED_PROTO="https")

        assert (unsafe, safe) == ("301 Moved Permanently", "200 OK")
        assert InboxItem.objects.count() == 1

    def test_leaves_every_other_address_to_django(self, database: None):
        status, headers, _ = call("GET", "/login/")

        assert status == "200 OK"
        assert "Content-Security-Policy" in headers


def end_session(pid: int) -> None:
    """From a session of its own."""
    at = connection.settings_dict
    other = psycopg2.connect(host=at["HOST"], port=at["PORT"] or None, user=at["USER"], dbname=at["NAME"])
    with other, other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    other.close()
