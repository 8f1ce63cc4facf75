"""Send to a running server over HTTP as any client would: gzip, kept-alive connections, patience when asked for it.

R: H2. A request that was not answered is sent again: message ids make that safe.
"""

import gzip
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self, TypeVar

import httpx
import msgspec

from cdp.demo.errors import RefusedError, ServerUnreachableError

T = TypeVar("T")

BUSY = frozenset({429, 502, 503, 504})
GZIP_LEVEL = 1
LONGEST_PAUSE = 30.0


class Sender:
    """Posts bodies to one server. Threads may share it.

    `patience` is for how many seconds a server that is busy or away is asked again; `stop` ends every pause
    at once, and what was not yet sent raises.
    """

    def __init__(self, url: str, *, patience: float = 60.0, stop: threading.Event | None = None) -> None:
        self.url = url.rstrip("/")
        self.patience = patience
        self.stop = stop or threading.Event()
        self.backoffs = 0
        self._client = httpx.Client(timeout=30, limits=httpx.Limits(max_connections=16), trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def batch(self, body: bytes, *, write_key: str) -> None:
        """One `POST /v1/batch`; returns once the server has answered 200."""
        self._post(
            "/v1/batch",
            gzip.compress(body, GZIP_LEVEL, mtime=0),
            headers={"content-type": "application/json", "content-encoding": "gzip"},
            auth=(write_key, ""),
        )

    def api(self, path: str, payload: Any, *, token: str) -> Any:
        """One `POST /api/v1/…` with a bearer token; the decoded answer."""
        headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
        return self._post(path, msgspec.json.encode(payload), headers=headers).json()

    def check(self) -> None:
        """Raise unless a server answers at the address at all."""
        try:
            self._client.get(self.url + "/", timeout=10)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _post(self, path: str, body: bytes, *, headers: dict[str, str], auth: Any = None) -> httpx.Response:
        gives_up_at = time.monotonic() + self.patience
        for attempt in range(1_000_000):
            try:
                answer = self._client.post(self.url + path, content=body, headers=headers, auth=auth)
            except httpx.TransportError as error:
                if time.monotonic() >= gives_up_at or self.stop.is_set():
                    raise self._unreachable(error) from error
                self._pause(_growing(attempt))
                continue
            if answer.is_success:
                return answer
            if answer.status_code not in BUSY or time.monotonic() >= gives_up_at or self.stop.is_set():
                raise RefusedError(f"{self.url}{path} answered {answer.status_code}: {answer.text[:300]}")
            self._pause(_retry_after(answer) or _growing(attempt))
        raise AssertionError

    def _pause(self, seconds: float) -> None:
        self.backoffs += 1
        self.stop.wait(min(seconds, LONGEST_PAUSE))

    def _unreachable(self, error: Exception) -> ServerUnreachableError:
        return ServerUnreachableError(
            f"No server answers at {self.url} ({error or type(error).__name__}). Start it with `make up`, or name it "
            f"with --url or CDP_PORT."
        )


def send_all(items: Iterable[T], send: Callable[[T], None], *, threads: int) -> Iterator[T]:
    """Send several at a time while the next are being made; yields each item, in order, once it was sent."""
    with ThreadPoolExecutor(threads) as pool:
        under_way: deque[tuple[T, Future[None]]] = deque()
        try:
            for item in items:
                under_way.append((item, pool.submit(send, item)))
                if len(under_way) > 2 * threads:
                    yield _finished(under_way)
            while under_way:
                yield _finished(under_way)
        finally:
            pool.shutdown(cancel_futures=True)


def _finished(under_way: deque[tuple[T, Future[None]]]) -> T:
    item, future = under_way.popleft()
    future.result()
    return item


def _growing(attempt: int) -> float:
    return float(min(0.25 * 2**attempt, LONGEST_PAUSE))


def _retry_after(answer: httpx.Response) -> float | None:
    """Its seconds; the form with a date is read as "not said"."""
    raw = answer.headers.get("retry-after", "")
    return float(raw) if raw.strip().isdigit() else None
