"""Network addresses: whose a request is behind proxies, and how much of one is kept."""

import ipaddress
from collections.abc import Collection

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

KEPT_BITS = {4: 24, 6: 48}


def parse(text: str) -> Address | None:
    """An address, one of IPv4 also where it is spelled in IPv6; None for anything else."""
    try:
        found = ipaddress.ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(found, "ipv4_mapped", None)
    return mapped or found


def truncate(address: Address) -> str:
    """Its /24 (IPv4) or /48 (IPv6), which is a neighbourhood and nobody's own."""
    rest = address.max_prefixlen - KEPT_BITS[address.version]
    return str(type(address)(int(address) >> rest << rest))


def client_address(*, remote: str, forwarded: str, trusted: Collection[Network]) -> str:
    """Who sent a request: `remote`, or where that is a trusted proxy, whom it says it forwards for.

    `forwarded` is `X-Forwarded-For`, to which each proxy appends whom it got the request from: so it is read from the
    end, and the first that is no trusted proxy is the sender. What stands before it anybody may have made up.
    """
    if not trusted or not forwarded or not _is_trusted(remote, trusted):
        return remote
    for part in reversed(forwarded.split(",")):
        address = parse(part)
        if address is None:
            return remote
        if not _is_trusted(str(address), trusted):
            return str(address)
        remote = str(address)
    return remote


def _is_trusted(text: str, trusted: Collection[Network]) -> bool:
    address = parse(text)
    return address is not None and any(
        address.version == network.version and address in network for network in trusted
    )
