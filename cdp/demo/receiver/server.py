"""The receiver's HTTP side: the hook, a page that shows what came, and a switch that makes it fail.

Only this machine may ask: it listens on 127.0.0.1 and refuses other Host names, so that no web page elsewhere can
reach it by a name of its own.
"""

import json
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from django.template.loader import render_to_string
from django.utils import timezone

from cdp.demo.receiver.mailbox import Mailbox

HOOK = "/hook"
MAX_BODY = 1024 * 1024
FAIL_SECONDS = 60
HERE = Path(__file__).parent
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class ReceiverServer(ThreadingHTTPServer):
    """`secret` is asked at every request, since the demo may be loaded after the receiver has started."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, *, port: int, secret: Callable[[], str], console_url: str) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.mailbox = Mailbox()
        self.secret = secret
        self.console_url = console_url

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: ReceiverServer
    protocol_version = "HTTP/1.1"
    server_version = "TributaryDemoReceiver/1"
    sys_version = ""
    timeout = 30
    files: ClassVar = {"/receiver.css": "text/css", "/receiver.js": "text/javascript"}

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if not self._is_local():
            self._answer(HTTPStatus.FORBIDDEN, b"", "text/plain")
        elif path == "/":
            self._page("demo/receiver.html")
        elif path == "/messages":
            self._page("demo/messages.html")
        elif path == "/messages.json":
            messages = [message.as_dict() for message in self.server.mailbox.messages()]
            self._answer(HTTPStatus.OK, json.dumps(messages).encode(), "application/json")
        elif path in self.files:
            self._answer(HTTPStatus.OK, (HERE / path[1:]).read_bytes(), self.files[path])
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"There is nothing at this address.\n", "text/plain")

    def do_POST(self) -> None:
        body = self._body()
        if body is None:
            return
        path = urlsplit(self.path).path
        if path == HOOK:
            headers = {name.lower(): value for name, value in self.headers.items()}
            now = timezone.now()
            message = self.server.mailbox.take(headers=headers, body=body, secret=self.server.secret(), now=now)
            self._answer(message.status, message.problem.encode(), "text/plain")
        elif not self._is_local() or not self._is_own_page():
            self._answer(HTTPStatus.FORBIDDEN, b"", "text/plain")
        elif path == "/fail":
            self.server.mailbox.fail_for(seconds=_seconds(body), now=timezone.now())
            self._back_to_page()
        elif path == "/clear":
            self.server.mailbox.clear()
            self._back_to_page()
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"", "text/plain")

    def log_message(self, *_: Any) -> None:
        """The page is the log."""

    # --- Asking ---------------------------------------------------------------------------------------------
    def _is_local(self) -> bool:
        name = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        return name in {"127.0.0.1", "localhost"}

    def _is_own_page(self) -> bool:
        """A browser says where a form was sent from; a script says nothing, and may."""
        origin = self.headers.get("Origin")
        return origin is None or urlsplit(origin).netloc == self.headers.get("Host")

    def _body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > MAX_BODY or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, b"", "text/plain")
            return None
        return self.rfile.read(int(length))

    # --- Answering ------------------------------------------------------------------------------------------
    def _page(self, template: str) -> None:
        now = timezone.now()
        mailbox = self.server.mailbox
        context = {
            "messages": mailbox.messages(),
            "counts": mailbox.counts(),
            "failing_for": mailbox.failing_for(now=now),
            "fail_seconds": FAIL_SECONDS,
            "hook": self.server.url + HOOK,
            "console_url": self.server.console_url,
        }
        self._answer(HTTPStatus.OK, render_to_string(template, context).encode(), "text/html")

    def _back_to_page(self) -> None:
        self._answer(HTTPStatus.SEE_OTHER, b"", "text/plain", location="/")

    def _answer(self, status: int, body: bytes, content_type: str, *, location: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-store")
        if location:
            self.send_header("Location", location)
        if status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Type", f"{content_type}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status != HTTPStatus.NO_CONTENT:
            self.wfile.write(body)


def _seconds(body: bytes) -> int:
    said = parse_qs(body.decode(errors="replace")).get("seconds", [""])[0]
    return int(said) if said.isdigit() else FAIL_SECONDS
