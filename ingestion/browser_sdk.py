"""analytics.js from our own host: the bundle of `@segment/analytics-next`, and the settings that it asks for.

The bundle is served as the package has it, but for the hosts of Segment's that are written into it as fallbacks: ours
take their place, so that a page which loads analytics.js here talks to nobody else.
"""

import functools
import gzip
import re
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse

from ingestion import keys

PACKAGE = settings.BASE_DIR / "node_modules/@segment/analytics-next/dist/umd"

_KEY = re.compile(r"[A-Za-z0-9_-]{1,100}")
_BUNDLE = re.compile(r"[\w-]+(?:\.bundle)?\.[0-9a-f]+\.js")
_FEW_MINUTES = "public, max-age=300"
_FOR_EVER = "public, max-age=31536000, immutable"
_POLYFILL = b"https://cdnjs.cloudflare.com/ajax/libs/babel-polyfill/7.7.0/polyfill.min.js"
_NOTHING = b"data:text/javascript,"


def analytics_js(request: HttpRequest, key: str) -> HttpResponse:
    """`GET /analytics.js/v1/<KEY>/analytics.min.js`: the library, which finds its key in its own address."""
    if not _KEY.fullmatch(key):
        return _error(404, "write_key_unknown", "This is no write key.")
    path = PACKAGE / "standalone.js"
    if not path.exists():
        return _error(503, "sdk_missing", "The package @segment/analytics-next is not installed: run make.")
    return _script(request, *_standalone(path, settings.PUBLIC_URL), cache=_FEW_MINUTES)


def bundle(request: HttpRequest, name: str) -> HttpResponse:
    """`GET /analytics-next/bundles/<name>`: a part that the library loads only where it is needed."""
    path = PACKAGE / name
    if not _BUNDLE.fullmatch(name) or not path.is_file():
        return _error(404, "not_found", "The library has no such part.")
    return _script(request, *_part(path), cache=_FOR_EVER)


def project_settings(_request: HttpRequest, key: str) -> HttpResponse:
    """`GET /v1/projects/<KEY>/settings`: where the library sends to, and that it needs nothing else."""
    try:
        known = keys.sender_of(key) is not None
    except DatabaseError:
        known = bool(_KEY.fullmatch(key))  # the library may start, and keeps what it cannot send
    if not known:
        return _error(404, "write_key_unknown", "This write key is unknown or was revoked.")
    host = urlsplit(settings.PUBLIC_URL)
    response = JsonResponse(
        {
            "integrations": {
                "Segment.io": {
                    "apiKey": key,
                    "apiHost": f"{host.netloc}{host.path.rstrip('/')}/v1",
                    "protocol": host.scheme,
                    "retryQueue": True,
                    "unbundledIntegrations": [],
                    "addBundledMetadata": False,
                }
            },
            "plan": {"track": {"__default": {"enabled": True, "integrations": {}}}},
            "enabledMiddleware": {},
            "legacyVideoPluginsEnabled": False,
            "remotePlugins": [],
            "metrics": {"sampleRate": 0, "host": f"{host.netloc}/v1"},
        }
    )
    response["Cache-Control"] = _FEW_MINUTES
    response["Access-Control-Allow-Origin"] = "*"
    return response


@functools.lru_cache(maxsize=4)
def _standalone(path: Path, public_url: str) -> tuple[bytes, bytes]:
    """The library for this host, as it is and zipped."""
    host = urlsplit(public_url)
    ours = public_url.rstrip("/").encode()
    code = path.read_bytes()
    code = code.replace(b"https://cdn.segment.com", ours)
    code = code.replace(b"api.segment.io/v1", f"{host.netloc}{host.path.rstrip('/')}/v1".encode())
    code = code.replace(_POLYFILL, _NOTHING)
    code = re.sub(rb"\n?//# sourceMappingURL=\S+\s*$", b"\n", code)
    return code, gzip.compress(code, mtime=0)


@functools.lru_cache(maxsize=64)
def _part(path: Path) -> tuple[bytes, bytes]:
    code = re.sub(rb"\n?//# sourceMappingURL=\S+\s*$", b"\n", path.read_bytes())
    return code, gzip.compress(code, mtime=0)


def _script(request: HttpRequest, plain: bytes, zipped: bytes, *, cache: str) -> HttpResponse:
    takes_gzip = "gzip" in request.headers.get("Accept-Encoding", "")
    response = HttpResponse(zipped if takes_gzip else plain, content_type="text/javascript; charset=utf-8")
    if takes_gzip:
        response["Content-Encoding"] = "gzip"
    response["Vary"] = "Accept-Encoding"
    response["Cache-Control"] = cache
    response["Access-Control-Allow-Origin"] = "*"
    response["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


def _error(status: int, code: str, message: str) -> HttpResponse:
    response = JsonResponse({"code": code, "message": message}, status=status)
    response["Access-Control-Allow-Origin"] = "*"
    return response
