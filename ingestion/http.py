"""The ingestion endpoints: check the request as a whole, keep it, answer 200.

Compatible with Segment's HTTP API, so that its SDKs work by changing the host:
https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/

`answer` works on a WSGI environment alone, so that a server can ask it without Django's middleware in between;
`ingest` is the same as a view.
"""

import base64
import binascii
import contextlib
import functools
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

import msgspec
import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from cdp.kernel.tasks import nudge
from ingestion import keys, messages, operations, rates
from ingestion.enrich.addresses import client_address
from ingestion.errors import RequestRefusedError
from ingestion.keys import Sender
from ingestion.trace import refusals

log = structlog.get_logger(__name__)

TYPES = ("track", "identify", "page", "screen", "group", "alias")
ROUTES = {
    **{kind: kind for kind in TYPES},
    **{kind[0]: kind for kind in TYPES},  # as analytics.js spells them
    "batch": "batch",
    "b": "batch",
    "import": "batch",
}
METRICS = "m"  # what analytics.js has to say of itself: taken, and not kept
RETRY_AFTER_SECONDS = 5

Environ = Mapping[str, Any]
"""A WSGI environment, of which the headers, the method and the body are read."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


_JSON = ("Content-Type", "application/json")
_CORS = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Methods", "POST, OPTIONS"),
    (
        "Access-Control-Allow-Headers",
        (
            "authorization, content-type, content-encoding, anonymousid, sentat, x-write-key, x-retry-count,"
            " rsa-retry-attempt, rsa-retry-reason, rsa-since-first-attempt, rsa-since-last-attempt, rsa-recovered"
        ),
    ),
    ("Access-Control-Expose-Headers", "Retry-After"),
    ("Access-Control-Max-Age", "86400"),
)
_ACCEPTED = Answer(200, b'{"success": true}', (_JSON,))
_ACCEPTED_IN_BROWSER = Answer(200, b'{"success": true}', (_JSON, *_CORS))


@csrf_exempt
def ingest(request: HttpRequest, name: str) -> HttpResponse:
    """`answer` as a view."""
    answered = answer(request.META, name)
    return HttpResponse(answered.body, status=answered.status, headers=dict(answered.headers))


def answer(environ: Environ, name: str) -> Answer:
    """`POST /v1/<name>`: 200 once the request is durable, else an error with `code` and `message`."""
    method = environ.get("REQUEST_METHOD", "GET")
    if name != METRICS and name not in ROUTES:
        return _error(environ, 404, code="not_found", message=f"There is no address /v1/{name[:40]}.")
    if method == "OPTIONS":
        return Answer(204, b"", _CORS)
    if method != "POST":
        allow = (("Allow", "POST, OPTIONS"),)
        return _error(environ, 405, code="method_not_allowed", message="Send a POST request.", headers=allow)
    try:
        if name == METRICS:
            _body(environ)
        else:
            _take_in(environ, ROUTES[name])
    except RequestRefusedError as error:
        _count_refusal(environ, error)
        return _error(environ, error.status, headers=_when_again(error.retry_after), **error.as_dict())
    except DatabaseError as error:
        log.warning("inbox_unavailable", error=str(error))
        refusals.note(source_id=refusals.UNKNOWN, status=503, code="unavailable", now=timezone.now())
        again = _when_again(RETRY_AFTER_SECONDS)
        message = "The event could not be stored. Please send it again."
        return _error(environ, 503, code="unavailable", message=message, headers=again)
    return _ACCEPTED_IN_BROWSER if "HTTP_ORIGIN" in environ else _ACCEPTED


def _take_in(environ: Environ, kind: str) -> None:
    body = messages.replace_lone_surrogates(_body(environ))
    batch, key_in_body = _frame(body, kind)
    count = 1 if batch is None else len(batch)
    try:
        sender = _sender(environ, key_in_body)
        _check_sizes(body, batch)
        if count:
            _check_rate(sender, count)
    except RequestRefusedError as error:
        error.key = key_in_body
        raise
    if not count:
        return
    operations.accept(
        source_id=sender.source_id,
        kind=kind,
        events=count,
        body=body,
        remote_addr=_remote_address(environ),
        now=timezone.now(),
    )
    nudge("cdp.drain")


def _remote_address(environ: Environ) -> str:
    return client_address(
        remote=environ.get("REMOTE_ADDR") or "",
        forwarded=environ.get("HTTP_X_FORWARDED_FOR", ""),
        trusted=settings.TRUSTED_PROXIES,
    )


# --- The body -----------------------------------------------------------------------------------------------


def _body(environ: Environ) -> bytes:
    """The body, unzipped and out of its form, never more of it than the limit."""
    raw = _read(environ, limit=settings.INGESTION_MAX_BODY_BYTES)
    encoding = environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if encoding in {"gzip", "x-gzip"}:
        raw = _gunzip(raw, limit=settings.INGESTION_MAX_BODY_BYTES)
    elif encoding not in {"", "identity"}:
        raise RequestRefusedError(
            f"Content-Encoding {encoding[:40]!r} is not understood: send gzip, or nothing of the kind.",
            code="encoding_unknown",
        )
    if raw[:1] != b"{" and environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        return _out_of_form(raw)
    return raw


def _read(environ: Environ, *, limit: int) -> bytes:
    """Of a body without a stated length (sent in chunks) the server knows where it ends."""
    stream = environ["wsgi.input"]
    if environ.get("HTTP_TRANSFER_ENCODING", "").strip().lower() == "chunked":
        raw: bytes = stream.read(limit + 1)
    else:
        stated = environ.get("CONTENT_LENGTH") or "0"
        length = int(stated) if stated.isascii() and stated.isdigit() else 0
        if length > limit:
            raise _too_large(limit)
        raw = stream.read(length) if length else b""
    if len(raw) > limit:
        raise _too_large(limit)
    return raw


def _gunzip(data: bytes, *, limit: int) -> bytes:
    try:
        inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        body = inflater.decompress(data, limit + 1)
    except zlib.error:
        raise RequestRefusedError("The body is not gzip, as Content-Encoding says.", code="gzip_invalid") from None
    if len(body) > limit:
        raise _too_large(limit)
    if not inflater.eof:
        raise RequestRefusedError("The gzip body ends too early.", code="gzip_invalid")
    return body


def _out_of_form(raw: bytes) -> bytes:
    """The JSON of a body that a browser has form-encoded: as the field `data`, or as the whole body."""
    text = raw.strip()
    if text[:3].lower() == b"%7b":
        return unquote_plus(text.decode("latin-1")).encode()
    for name, value in parse_qsl(text.decode("latin-1"), max_num_fields=20):
        if name == "data":
            return value.encode()
    return raw


def _frame(body: bytes, kind: str) -> tuple[list[msgspec.Raw] | None, str | None]:
    """Check that the body is JSON of the right outline; the messages inside are looked at by the drain."""
    try:
        body.decode()
        if kind == "batch":
            return messages.split_batch(body)
        return None, messages.write_key_of(body)
    except UnicodeDecodeError as error:
        raise RequestRefusedError(f"The body is not UTF-8 (byte {error.start}).", code="utf8_invalid") from None
    except msgspec.ValidationError as error:
        bad = messages.wrong_type(error)
        raise RequestRefusedError(bad.message, code="body_invalid", path=bad.path) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise RequestRefusedError(f"The body is not JSON: {error}", code="json_invalid") from None


def _check_sizes(body: bytes, batch: list[msgspec.Raw] | None) -> None:
    largest = settings.INGESTION_MAX_EVENT_BYTES
    if batch is None:
        if len(body) > largest:
            raise _event_too_large(largest, "")
        return
    if len(batch) > settings.INGESTION_MAX_BATCH_EVENTS:
        raise RequestRefusedError(
            f"A batch may hold {settings.INGESTION_MAX_BATCH_EVENTS:,} messages; this one holds {len(batch):,}.",
            code="batch_too_long",
            path="/batch",
        )
    for index, item in enumerate(batch):
        if len(item) > largest:
            raise _event_too_large(largest, f"/batch/{index}")


# --- The sender ---------------------------------------------------------------------------------------------


def _sender(environ: Environ, key_in_body: str | None) -> Sender:
    key = _basic_auth_user(environ) or environ.get("HTTP_X_WRITE_KEY") or key_in_body
    if not key:
        raise RequestRefusedError(
            "Send the write key: as the user of HTTP Basic authentication, or as writeKey in the body.",
            code="write_key_missing",
            status=401,
        )
    sender = keys.sender_of(key)
    if sender is None:
        raise RequestRefusedError("This write key is unknown or was revoked.", code="write_key_unknown", status=401)
    if sender.paused:
        raise RequestRefusedError("This source is paused.", code="source_paused", status=403)
    return sender


def _count_refusal(environ: Environ, error: RequestRefusedError) -> None:
    """Under the source whose key came with the request, a revoked one too, so that it can be told why nothing came."""
    source_id = refusals.UNKNOWN
    with contextlib.suppress(RequestRefusedError, DatabaseError):
        key = _basic_auth_user(environ) or environ.get("HTTP_X_WRITE_KEY") or error.key
        source_id = (keys.source_of(key) if key else None) or refusals.UNKNOWN
    refusals.note(source_id=source_id, status=error.status, code=error.code, now=timezone.now())


def _basic_auth_user(environ: Environ) -> str | None:
    header = environ.get("HTTP_AUTHORIZATION")
    return _user_of(header) if header else None


@functools.lru_cache(maxsize=1_024)
def _user_of(header: str) -> str | None:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(encoded.strip(), validate=True).decode().partition(":")[0]
    except (binascii.Error, ValueError):
        raise RequestRefusedError(
            "The Authorization header is not HTTP Basic.", code="authorization_malformed", status=401
        ) from None


def _check_rate(sender: Sender, count: int) -> None:
    if not sender.rate.per_second:
        return
    wait = rates.spend(source_id=sender.source_id, rate=sender.rate, count=count)
    if wait:
        raise RequestRefusedError(
            f"This source may send {sender.rate.per_second:,} messages a second. Send these again in {wait} s.",
            code="rate_limited",
            status=429,
            retry_after=wait,
        )


# --- Answers ------------------------------------------------------------------------------------------------


def _too_large(limit: int) -> RequestRefusedError:
    return RequestRefusedError(f"A request may be {limit:,} bytes long.", code="body_too_large", status=413)


def _event_too_large(limit: int, path: str) -> RequestRefusedError:
    return RequestRefusedError(f"A message may be {limit:,} bytes long.", code="event_too_large", path=path)


def _when_again(seconds: int | None) -> tuple[tuple[str, str], ...]:
    return () if seconds is None else (("Retry-After", str(seconds)),)


def _error(environ: Environ, status: int, *, headers: tuple[tuple[str, str], ...] = (), **error: str) -> Answer:
    """Browsers may write from any page, and read why they may not: a write key authorises nothing but writing."""
    cors = _CORS if "HTTP_ORIGIN" in environ else ()
    return Answer(status, json.dumps(error).encode(), (_JSON, *cors, *headers))
