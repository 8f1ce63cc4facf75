"""Destinations with a real HTTP receiver behind them, and transitions to tell them of."""

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from django.db import connection

from activation.destinations import get_kind
from activation.destinations.webhook.destination import WebhookDestination
from activation.models import Delivery, Destination, Subscription
from activation.operations import create_destination, plan, subscribe
from consent.models import Purpose
from segments.contracts import TransitionSpan
from segments.models import Segment

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)

_numbers = itertools.count(1)


@dataclass
class Received:
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)

    @property
    def webhook_id(self) -> str:
        return self.headers["webhook-id"]


@dataclass
class Reply:
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"ok"
    after: float = 0.0
    """Seconds before it answers."""
    drip: float = 0.0
    """Seconds between the bytes of the body."""


@dataclass
class Receiver:
    """A server on 127.0.0.1. `replies` are used up one by one; then `reply` answers for ever."""

    port: int = 0
    reply: Reply | Callable[[Received], Reply] = field(default_factory=Reply)
    replies: list[Reply] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def answer(self, request: Received) -> Reply:
        self.received.append(request)
        if self.replies:
            return self.replies.pop(0)
        return self.reply(request) if callable(self.reply) else self.reply


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128


@contextmanager
def receiving(receiver: Receiver | None = None) -> Iterator[Receiver]:
    mine = receiver or Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            mine.connections += 1
            super().setup()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = mine.answer(Received(self.path, headers, body, time.monotonic()))
            time.sleep(reply.after)
            try:
                self._send(reply)
            except OSError:
                self.close_connection = True

        def _send(self, reply: Reply) -> None:
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(reply.body)))
            self.end_headers()
            for byte in range(len(reply.body)) if reply.drip else ():
                time.sleep(reply.drip)
                self.wfile.write(reply.body[byte : byte + 1])
                self.wfile.flush()
            if not reply.drip:
                self.wfile.write(reply.body)

        def log_message(self, *_: object) -> None:
            pass

    server = _Server(("127.0.0.1", mine.port), Handler)
    mine.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield mine
    finally:
        server.shutdown()
        server.server_close()
        webhook = get_kind("webhook")
        assert isinstance(webhook, WebhookDestination)
        for client in webhook._clients.values():
            client.rest(idle_for=0)


def make_destination(url: str, **fields: Any) -> Destination:
    number = next(_numbers)
    destination, _ = create_destination(
        slug=f"destination-{number}", name=f"Destination {number}", config={"url": url}
    )
    for name, value in fields.items():
        setattr(destination, name, value)
    destination.save()
    return destination


def make_segment() -> Segment:
    number = next(_numbers)
    return Segment.objects.create(
        slug=f"segment-{number}",
        name=f"Segment {number}",
        definition={},
        state="live",
        created_at=NOW,
        updated_at=NOW,
    )


def make_subscription(
    destination: Destination, segment: Segment | None = None, *, purpose: Purpose | None = None, on_exit: bool = True
) -> Subscription:
    return subscribe(destination=destination, segment=segment or make_segment(), on_exit=on_exit, purpose=purpose)


def make_people(
    count: int, *, at: datetime = NOW, identify: bool = True, traits: dict[str, Any] | None = None
) -> list[int]:
    """Profiles, each with an e-mail of its own: ``<id>@example.com``, known since `at`."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO profile (traits, provenance, created_at, updated_at)"
            " SELECT %s, '{}', %s, %s FROM generate_series(1, %s) RETURNING id",
            [json.dumps(traits or {"name": "Anna"}), at, at, count],
        )
        ids = [id_ for (id_,) in cursor.fetchall()]
        if identify:
            cursor.execute(
                "INSERT INTO profile_identifier (profile_id, kind, value, first_seen_at, source_id)"
                " SELECT id, 'email', id || '@example.com', %s, 1 FROM unnest(%s::bigint[]) AS id",
                [at, ids],
            )
    return ids


def email_of(profile_id: int) -> tuple[str, str]:
    return ("email", f"{profile_id}@example.com")


def make_transitions(
    segment: Segment, profile_ids: list[int], *, kind: str = "entered", at: datetime = NOW
) -> TransitionSpan:
    """The rows that evaluation writes, and the span that it hands on."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(id), 0) FROM transition")
        (after_id,) = cursor.fetchone()
        cursor.execute(
            "INSERT INTO transition (profile_id, segment_id, version, kind, at, cause)"
            " SELECT id, %s, 1, %s, %s, 'change' FROM unnest(%s::bigint[]) AS id",
            [segment.pk, kind, at, profile_ids],
        )
    entered = len(profile_ids) if kind == "entered" else 0
    return TransitionSpan((segment.pk,), after_id, entered, len(profile_ids) - entered)


def owe(subscription: Subscription, count: int = 1, *, now: datetime = NOW) -> list[Delivery]:
    """Planned deliveries to the subscriber, for people of their own."""
    segment = subscription.segment
    last = Delivery.objects.order_by("-id").values_list("id", flat=True).first() or 0
    plan(make_transitions(segment, make_people(count)), now=now)
    return list(Delivery.objects.filter(id__gt=last, subscription=subscription).order_by("id"))
