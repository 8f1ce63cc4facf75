"""The ingestion endpoints: check the request as a whole, keep it, answer 200.

Compatible with Segment's HTTP API, so that its SDKs work by changing the host:
https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/
"""

import base64
import binascii
import zlib
from typing import Any

import msgspec
import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from cdp.kernel.tasks import nudge
from ingestion import keys, messages, operations
from ingestion.enrich.addresses import client_address
from ingestion.errors import RequestRefusedError
from ingestion.keys import Sender

log = structlog.get_logger(__name__)

ACCEPTED = b'{"success": true}'
RETRY_AFTER_SECONDS = 5
_READ_STEP = 64 * 1024


@csrf_exempt
def ingest(request: HttpRequest, kind: str) -> HttpResponse:
    """`POST /v1/<kind>`: 200 once the request is durable, else an error with `code` and `message`."""
    if request.method == "OPTIONS":
        return _with_cors(request, HttpResponse(status=204))
    if request.method != "POST":
        refused = JsonResponse({"code": "method_not_allowed", "message": "Send a POST request."}, status=405)
        refused["Allow"] = "POST, OPTIONS"
        return refused
    try:
        return _with_cors(request, _take_in(request, kind))
    except RequestRefusedError as error:
        return _with_cors(request, JsonResponse(error.as_dict(), status=error.status))
    except DatabaseError as error:
        log.warning("inbox_unavailable", error=str(error))
        body = {"code": "unavailable", "message": "The event could not be stored. Please send it again."}
        response = JsonResponse(body, status=503)
        response["Retry-After"] = str(RETRY_AFTER_SECONDS)
        return _with_cors(request, response)


def _take_in(request: HttpRequest, kind: str) -> HttpResponse:
    body = messages.replace_lone_surrogates(_body(request))
    batch, key_in_body = _frame(body, kind)
    sender = _sender(request, key_in_body)
    _check_sizes(body, batch)
    count = 1 if batch is None else len(batch)
    if count:
        operations.accept(
            source_id=sender.source_id,
            kind=kind,
            events=count,
            body=body,
            remote_addr=_remote_address(request),
            now=timezone.now(),
        )
        nudge("cdp.drain", queue="ingest")
    return HttpResponse(ACCEPTED, content_type="application/json")


def _remote_address(request: HttpRequest) -> str:
    return client_address(
        remote=request.META.get("REMOTE_ADDR") or "",
        forwarded=request.headers.get("X-Forwarded-For", ""),
        trusted=settings.TRUSTED_PROXIES,
    )


def _body(request: HttpRequest) -> bytes:
    """The body, unzipped if it says so, never more of it than the limit."""
    limit = settings.INGESTION_MAX_BODY_BYTES
    if int(request.META.get("CONTENT_LENGTH") or 0) > limit:
        raise _too_large(limit)
    raw: bytes = _stream(request).read(limit + 1)
    if len(raw) > limit:
        raise _too_large(limit)
    if request.headers.get("Content-Encoding", "").strip().lower() == "gzip":
        raw = _gunzip(raw, limit=limit)
    return raw


def _stream(request: HttpRequest) -> Any:
    """Of a body without a stated length (sent in chunks) Django reads nothing; the server knows where it ends."""
    if request.headers.get("Transfer-Encoding", "").strip().lower() == "chunked":
        return request.META["wsgi.input"]
    return request


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
        if memoryview(item).nbytes > largest:
            raise _event_too_large(largest, f"/batch/{index}")


def _sender(request: HttpRequest, key_in_body: str | None) -> Sender:
    key = _basic_auth_user(request) or request.headers.get("X-Write-Key") or key_in_body
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


def _basic_auth_user(request: HttpRequest) -> str | None:
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(encoded.strip(), validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        raise RequestRefusedError(
            "The Authorization header is not HTTP Basic.", code="authorization_malformed", status=401
        ) from None


def _too_large(limit: int) -> RequestRefusedError:
    return RequestRefusedError(f"A request may be {limit:,} bytes long.", code="body_too_large", status=413)


def _event_too_large(limit: int, path: str) -> RequestRefusedError:
    return RequestRefusedError(f"A message may be {limit:,} bytes long.", code="event_too_large", path=path)


_CORS_HEADERS = (
    "authorization, content-type, content-encoding, anonymousid, sentat, x-write-key, x-retry-count,"
    " rsa-retry-attempt, rsa-retry-reason, rsa-since-first-attempt, rsa-since-last-attempt, rsa-recovered"
)


def _with_cors(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Browsers may write from any page: a write key authorises nothing but writing."""
    if "Origin" in request.headers:
        response["Access-Control-Allow-Origin"] = "*"
        response["Access-Control-Allow-Methods"] = "POST, OPTIONS"
        response["Access-Control-Allow-Headers"] = _CORS_HEADERS
        response["Access-Control-Expose-Headers"] = "Retry-After"
        response["Access-Control-Max-Age"] = "86400"
    return response
