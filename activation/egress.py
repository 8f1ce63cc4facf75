"""Requests that leave this deployment, and the addresses that they may not reach.

Whoever configures a destination chooses where this server sends requests to, so a name is resolved here, each
address is judged, and the connection goes to exactly the address that was judged: a name that answers differently
the second time (DNS rebinding) gains nothing. TLS still verifies the name. Redirects are not followed, and proxy
settings of the environment are not read.
"""

import functools
import ipaddress
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any

import httpcore
import httpx
from django.conf import settings

from activation.errors import DestinationError, EgressRefusedError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], list[str]]

MAX_RESPONSE_BYTES = 16 * 1024
KEEPALIVE_SECONDS = 4.0  # below the 5 seconds at which common servers close an idle connection

# Beyond what `ipaddress` calls not global: addresses that look public and are not for customers' data.
_REFUSED = [
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT; 100.100.100.200 is Alibaba's metadata service
        "168.63.129.16/32",  # Azure's host agent
        "192.0.0.0/24",  # IETF; 192.0.0.192 is Oracle's metadata service
        "192.88.99.0/24",  # 6to4 relays
        "198.18.0.0/15",
        "240.0.0.0/4",
        "::/96",  # IPv4-compatible
        "64:ff9b:1::/48",  # local-use NAT64
        "100::/64",
        "2001::/32",  # Teredo
        "2001:db8::/32",
        "5f00::/16",
        "fec0::/10",
    )
]
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_6TO4 = ipaddress.IPv6Network("2002::/16")


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str


def is_refused(text: str) -> bool:
    """Whether this address is inside the house, or is a spelling of one that is."""
    address = ipaddress.ip_address(text.partition("%")[0])
    inner = _embedded(address)
    if inner is not None:
        return is_refused(str(inner))
    if not address.is_global or address.is_multicast or address.is_reserved:
        return True
    return any(address in network for network in _REFUSED if network.version == address.version)


def _embedded(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one leads to: mapped, NAT64 (RFC 6052), 6to4 (RFC 3056)."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour if address in _6TO4 else None


def is_allow_listed(host: str, port: int, *, address: str = "", entries: Iterable[str]) -> bool:
    """Whether an entry (`host`, `host:port` or a network such as `10.1.0.0/16`) names this host or address."""
    return any(_matches(entry.strip().lower(), host.lower().rstrip("."), port, address) for entry in entries)


def _matches(entry: str, host: str, port: int, address: str) -> bool:
    if "/" in entry:
        try:
            return bool(address) and ipaddress.ip_address(address) in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    named, wanted = _split(entry)
    return named == host.strip("[]") and wanted in {None, port}


def _split(entry: str) -> tuple[str, int | None]:
    bracketed = re.fullmatch(r"\[(.+)\](?::(\d+))?", entry)
    if bracketed:
        return bracketed[1], int(bracketed[2]) if bracketed[2] else None
    host, colon, port = entry.rpartition(":")
    if colon and port.isdigit() and ":" not in host:
        return host, int(port)
    return entry, None


def resolve(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def permitted_addresses(host: str, port: int, *, resolver: Resolver = resolve) -> list[str]:
    """The addresses of this host that may be connected to. Raises EgressRefusedError when none may."""
    entries = settings.EGRESS_ALLOWED_HOSTS
    try:
        found = resolver(host, port)
    except (OSError, UnicodeError) as error:
        raise DestinationError(f"The name {host} could not be resolved: {error}") from error
    allowed = [
        address
        for address in found
        if is_allow_listed(host, port, address=address, entries=entries) or not is_refused(address)
    ]
    if not allowed:
        raise EgressRefusedError(
            f"{host} leads to {', '.join(found) or 'no address'}, which this deployment does not send to. "
            f"Whoever runs it can allow {host}:{port} in CDP_EGRESS_ALLOW."
        )
    return allowed


class _Deadline(threading.local):
    """When the request of this thread has to be over, as time.monotonic() counts; sockets ask here."""

    at: float = float("inf")

    def left(self, timeout: float | None, error: type[Exception]) -> float:
        rest = min(self.at - time.monotonic(), float("inf") if timeout is None else timeout)
        if rest <= 0:
            raise error("The answer took too long.")
        return rest


_deadline = _Deadline()


class _BoundedStream(httpcore.NetworkStream):
    """A socket whose every wait ends at the deadline: a receiver that drips bytes gains no time."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _deadline.left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _deadline.left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _deadline.left(timeout, httpcore.ConnectTimeout)
        return _BoundedStream(self._inner.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class GuardedBackend(httpcore.NetworkBackend):
    """Resolves, judges, and connects to the very address that was judged."""

    def __init__(self, resolver: Resolver = resolve) -> None:
        self._resolver = resolver
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        failure: Exception | None = None
        for address in permitted_addresses(host, port, resolver=self._resolver):
            left = _deadline.left(timeout, httpcore.ConnectTimeout)
            try:
                stream = self._sockets.connect_tcp(address, port, left, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _BoundedStream(stream)
        raise failure or httpcore.ConnectError(f"{host} has no address")

    def connect_unix_socket(self, path: str, *_: Any, **__: Any) -> httpcore.NetworkStream:
        raise EgressRefusedError(f"{path} is not an address on the network.")


class Client:
    """Posts to other people's servers over kept connections. Threads may share one.

    Each request has its connection to itself. A pool that threads share would not do: httpcore asks an idle connection
    whether it has something to read (the server closed it) and closes it then; if another thread takes it up in
    between, that something is the answer it is waiting for.
    """

    def __init__(
        self, *, connections: int, resolver: Resolver = resolve, ssl_context: SSLContext | None = None
    ) -> None:
        self._resolver = resolver
        self._ssl_context = ssl_context
        self._room = threading.BoundedSemaphore(connections)
        self._lock = threading.Lock()
        self._free: list[tuple[float, httpcore.ConnectionPool]] = []  # and since when, the oldest first

    def post(self, url: str, *, headers: dict[str, str], body: bytes, timeout: float) -> Answer:
        """The answer, whatever its status; DestinationError when there was none within `timeout` seconds."""
        _deadline.at = time.monotonic() + timeout
        if not self._room.acquire(timeout=timeout):
            raise DestinationError(f"No connection was free within {timeout:g} seconds.")
        single = self._take()
        try:
            return self._exchange(single, _target(url), headers, body, timeout)
        except httpcore.TimeoutException as error:
            raise DestinationError(f"No answer within {timeout:g} seconds.") from error
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            raise DestinationError(str(error) or type(error).__name__) from error
        finally:
            _deadline.at = float("inf")
            self._give_back(single)
            self._room.release()

    @staticmethod
    def _exchange(
        single: httpcore.ConnectionPool, target: httpcore.URL, headers: dict[str, str], body: bytes, timeout: float
    ) -> Answer:
        limits = dict.fromkeys(("connect", "read", "write", "pool"), timeout)
        with single.stream(
            "POST", target, headers=list(headers.items()), content=body, extensions={"timeout": limits}
        ) as response:
            text = _read(response)
            return Answer(
                status=response.status,
                headers={name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers},
                text=text,
            )

    def rest(self, *, idle_for: float = KEEPALIVE_SECONDS) -> None:
        """Close the kept connections that were not used for so many seconds: by themselves they stay open."""
        latest = time.monotonic() - idle_for
        with self._lock:
            idle = [single for since, single in self._free if since <= latest]
            self._free = [kept for kept in self._free if kept[0] > latest]
        for single in idle:
            single.close()

    def _take(self) -> httpcore.ConnectionPool:
        """The connection used last, which is the likeliest to be open still, or a new one."""
        with self._lock:
            if self._free:
                return self._free.pop()[1]
        return httpcore.ConnectionPool(
            ssl_context=self._ssl_context or _trusted(),
            max_connections=1,
            keepalive_expiry=KEEPALIVE_SECONDS,
            network_backend=GuardedBackend(self._resolver),
        )

    def _give_back(self, single: httpcore.ConnectionPool) -> None:
        with self._lock:
            self._free.append((time.monotonic(), single))


@functools.cache
def _trusted() -> SSLContext:
    """The usual authorities, read once: it takes longer than a request does."""
    return httpx.create_ssl_context()


def _target(url: str) -> httpcore.URL:
    parsed = httpx.URL(url)
    return httpcore.URL(scheme=parsed.raw_scheme, host=parsed.raw_host, port=parsed.port, target=parsed.raw_path)


def _read(response: httpcore.Response) -> str:
    """The start of the body; a longer rest is left unread and its connection closed."""
    kept = bytearray()
    for chunk in response.iter_stream():
        kept += chunk
        if len(kept) >= MAX_RESPONSE_BYTES:
            break
    return bytes(kept[:MAX_RESPONSE_BYTES]).decode("utf-8", "replace")
