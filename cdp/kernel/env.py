"""Typed settings from the environment. A value that does not parse stops the start-up and says why."""

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit


class InvalidSettingError(ValueError):
    """An environment variable holds a value that its setting cannot take."""


def text(name: str, default: str = "") -> str:
    return os.environ.get(name, default)


def integer(name: str, default: int) -> int:
    raw = os.environ.get(name, "").strip()
    if not raw:
        return default
    try:
        return int(raw)
    except ValueError:
        raise InvalidSettingError(f"{name} must be a whole number, not {raw!r}") from None


def boolean(name: str, default: bool) -> bool:
    raw = os.environ.get(name, "").strip().lower()
    if not raw:
        return default
    if raw in {"1", "true", "yes", "on"}:
        return True
    if raw in {"0", "false", "no", "off"}:
        return False
    raise InvalidSettingError(f"{name} must be true or false, not {raw!r}")


def words(name: str, default: Sequence[str] = ()) -> list[str]:
    """A comma-separated list."""
    raw = os.environ.get(name)
    if raw is None:
        return list(default)
    return [word.strip() for word in raw.split(",") if word.strip()]


def networks(name: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """A comma-separated list of addresses and networks, such as `10.0.0.0/8,::1`."""
    try:
        return [ipaddress.ip_network(word, strict=False) for word in words(name)]
    except ValueError as error:
        raise InvalidSettingError(f"{name} must list IP addresses or networks: {error}") from None


@dataclass(frozen=True)
class MailServer:
    """Where mail is handed in; without a host, nowhere."""

    host: str = ""
    port: int = 25
    user: str = ""
    password: str = ""
    starttls: bool = False
    ssl: bool = False


_MAIL_PORTS = {"smtp": 25, "smtp+tls": 587, "smtps": 465}


def mail_server(name: str) -> MailServer:
    """`smtp://host:25`, `smtp+tls://user:password@host` (STARTTLS), or `smtps://user:password@host` (TLS)."""
    raw = os.environ.get(name, "").strip()
    if not raw:
        return MailServer()
    try:
        url = urlsplit(raw)
        host, port = url.hostname or "", url.port
    except ValueError:
        host, port = "", None
    if not host or url.scheme not in _MAIL_PORTS:
        raise InvalidSettingError(f"{name} must be smtp://, smtp+tls:// or smtps:// and a host, not {_hidden(raw)!r}")
    return MailServer(
        host=host,
        port=port or _MAIL_PORTS[url.scheme],
        user=unquote(url.username or ""),
        password=unquote(url.password or ""),
        starttls=url.scheme == "smtp+tls",
        ssl=url.scheme == "smtps",
    )


def _hidden(url: str) -> str:
    """Without the user and password that it may hold."""
    scheme, slashes, rest = url.rpartition("//")
    return f"{scheme}{slashes}{rest.rpartition('@')[2]}"
