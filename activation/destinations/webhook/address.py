"""What a webhook's URL has to look like. Whether it may be reached is decided when it is connected to."""

import ipaddress
import re

import httpx
from django.conf import settings

from activation.egress import is_allow_listed, is_refused
from activation.errors import InvalidDestinationError

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[\w.:-]+")


def check_address(url: str) -> None:
    """Raises InvalidDestinationError. An address literal is judged at once; a name has to be resolved first."""
    parsed = _parse(url)
    if parsed.scheme not in _PORTS or not _HOST.fullmatch(parsed.host):
        raise InvalidDestinationError("Give a full address that begins with https:// or http://.")
    if parsed.port is not None and not 0 < parsed.port < 65_536:
        raise InvalidDestinationError(f"There is no port {parsed.port}.")
    if parsed.userinfo:
        raise InvalidDestinationError("Leave user and password out of the address: they would be shown in lists.")
    if parsed.fragment:
        raise InvalidDestinationError("Leave out what follows #: it is never sent.")
    if _is_refused_literal(parsed.host, parsed.port or _PORTS[parsed.scheme]):
        raise InvalidDestinationError(
            f"{parsed.host} is an address that this deployment does not send to. Whoever runs it can allow it in "
            "CDP_EGRESS_ALLOW."
        )


def _parse(url: str) -> httpx.URL:
    try:
        return httpx.URL(url)
    except httpx.InvalidURL as error:
        raise InvalidDestinationError(f"This is not an address: {error}.") from None


def _is_refused_literal(host: str, port: int) -> bool:
    try:
        address = str(ipaddress.ip_address(host))
    except ValueError:
        return False
    listed = is_allow_listed(host, port, address=address, entries=settings.EGRESS_ALLOWED_HOSTS)
    return is_refused(address) and not listed
