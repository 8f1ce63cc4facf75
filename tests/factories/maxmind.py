"""Writes small databases in MaxMind's format (https://maxmind.github.io/MaxMind-DB/), IPv4 only."""

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

EMPTY = -1


class Number(NamedTuple):
    """An unsigned integer of one of the format's kinds: 5, 6 and 9 have 16, 32 and 64 bits."""

    kind: int
    value: int


def write_database(path: Path, records: Mapping[str, Any]) -> None:
    """`records` by network, such as ``{"203.0.113.0/24": {"country": {"iso_code": "NO"}}}``."""
    nodes: list[list[Any]] = [[EMPTY, EMPTY]]
    for network, record in records.items():
        _insert(nodes, ipaddress.IPv4Network(network), record)
    data, places = bytearray(), {}
    for node in nodes:
        for side in node:
            if isinstance(side, dict) and id(side) not in places:
                places[id(side)] = len(data)
                data += _encoded(side)
    count = len(nodes)
    tree = bytearray()
    for node in nodes:
        for side in node:
            value = count if side == EMPTY else count + 16 + places[id(side)] if isinstance(side, dict) else side
            tree += value.to_bytes(4, "big")
    metadata = {
        "node_count": Number(6, count),
        "record_size": Number(5, 32),
        "ip_version": Number(5, 4),
        "database_type": "Test",
        "languages": ["en"],
        "binary_format_major_version": Number(5, 2),
        "binary_format_minor_version": Number(5, 0),
        "build_epoch": Number(9, 1_700_000_000),
        "description": {"en": "Test"},
    }
    path.write_bytes(bytes(tree) + bytes(16) + bytes(data) + b"\xab\xcd\xefMaxMind.com" + _encoded(metadata))


def _insert(nodes: list[list[Any]], network: ipaddress.IPv4Network, record: Any) -> None:
    bits = f"{int(network.network_address):032b}"[: network.prefixlen]
    place = 0
    for depth, bit in enumerate(bits):
        if depth == len(bits) - 1:
            nodes[place][int(bit)] = record
            return
        if nodes[place][int(bit)] == EMPTY:
            nodes.append([EMPTY, EMPTY])
            nodes[place][int(bit)] = len(nodes) - 1
        place = nodes[place][int(bit)]


def _encoded(value: Any) -> bytes:
    if isinstance(value, dict):
        return _control(7, len(value)) + b"".join(_encoded(key) + _encoded(item) for key, item in value.items())
    if isinstance(value, list):
        return _control(11, len(value)) + b"".join(map(_encoded, value))
    if isinstance(value, str):
        return _control(2, len(value.encode())) + value.encode()
    number = value if isinstance(value, Number) else Number(6, value)
    data = number.value.to_bytes((number.value.bit_length() + 7) // 8, "big")
    return _control(number.kind, len(data)) + data


def _control(kind: int, size: int) -> bytes:
    return bytes([size, kind - 7]) if kind > 7 else bytes([kind << 5 | size])
