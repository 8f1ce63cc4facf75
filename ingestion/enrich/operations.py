"""The step of the drain that tells who a message comes from.

What it finds becomes the key `enriched` of the message's context, and the address there is cut to what the source
keeps. Both are appended to the bytes that came, which are otherwise left alone: of a key that comes twice, jsonb and
every reader here keep the last (as in `messages._context`). Everything is remembered per user agent, per address and
per way of coming, so that most messages cost one typed decoding and three look-ups.
"""

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from ingestion.contracts import Incoming, SourceTerms
from ingestion.enrich import addresses, channels, geo
from ingestion.enrich.agents import read_agent
from ingestion.enrich.contracts import NO_CAME, NO_PLACE, Agent, Came, Origin, Place
from ingestion.enrich.settings import EnrichSettings

_EMPTY = b"{}"
_ABSENT = msgspec.Raw()
_QUOTE = ord('"')

# Names of libraries that run in a browser or an app. What runs on a server has other ones.
CLIENT_LIBRARIES = frozenset(
    {
        "analytics.js",
        "@segment/analytics-next",
        "analytics-android",
        "analytics-flutter",
        "analytics-ios",
        "analytics-kotlin",
        "analytics-react-native",
        "@segment/analytics-react-native",
        "analytics-swift",
        "analytics_flutter",
        "rudderlabs javascript sdk",
        "com.rudderstack.android.sdk.core",
        "rudder-ios-library",
        "rudder-flutter",
        "rudder-react-native",
        "tributary.js",
    }
)


class _Page(msgspec.Struct, gc=False):
    path: str | None = None
    url: str | None = None
    referrer: str | None = None
    search: str | None = None


class _Library(msgspec.Struct, gc=False):
    name: str | None = None


class _Context(msgspec.Struct, gc=False):
    ip: str | None = None
    userAgent: str | None = None  # noqa: N815 - the wire's spelling, here and below
    userAgentData: msgspec.Raw = _ABSENT  # noqa: N815
    campaign: msgspec.Raw = _ABSENT
    page: _Page | None = None
    referrer: msgspec.Raw = _ABSENT
    library: _Library | None = None
    device: msgspec.Raw = _ABSENT
    os: msgspec.Raw = _ABSENT
    screen: msgspec.Raw = _ABSENT


_decode = msgspec.json.Decoder(_Context).decode
_encode = msgspec.json.Encoder().encode
_NO_PAGE = _Page()


def enrich(events: Iterable[Incoming], sources: Mapping[int, SourceTerms]) -> None:
    """Set the `origin` of each message and append what it tells to the context, as its source says."""
    wanted = {id_: terms.settings for id_, terms in sources.items()}
    active = {
        id_: (settings.enrich, _own_hosts(settings.enrich.own_hosts))
        for id_, settings in wanted.items()
        if settings.enrich.enabled or settings.enrich.ip != "keep" or settings.sessions.mode != "never"
    }
    if not active:
        return
    generation = geo.refresh()
    for event in events:
        found = active.get(event.source_id)
        if found is not None:
            _enrich_one(event, *found, generation)


def _enrich_one(event: Incoming, settings: EnrichSettings, own: frozenset[str], generation: int) -> None:
    # 1. What the context says, 2. of the address, 3. of device and program, 4. of the page and the way to it.
    context = event.context
    try:
        told = _decode(context)
    except msgspec.DecodeError:
        told = _read_loosely(context)
    client = told.page is not None or _is_client(told)
    address = told.ip if told.ip or not client else event.remote
    kept, place, place_json = _address(address, settings.ip, generation) if address else _NO_ADDRESS
    if told.userAgentData is told.device is told.os:  # all three are absent, as they mostly are
        agent, agent_json = _agent(told.userAgent)
    else:
        agent, agent_json = _agent(told.userAgent, bytes(told.userAgentData), bytes(told.device), bytes(told.os))
    if told.page is None and told.campaign is told.referrer:
        page, came, came_json = "", NO_CAME, b""
    else:
        page, came, came_json = _visit(told, told.page or _NO_PAGE, own)
    event.origin = Origin(client, page, agent, place, came)
    if settings.enabled and (agent_json or place_json or came_json):
        begin = b',"enriched":{"bot":true' if agent.bot else b',"enriched":{"bot":false'
        added: tuple[bytes, ...] = (kept, begin, agent_json, place_json, came_json, b"}}")
    elif kept:
        added = (kept, b"}")
    else:
        return
    if context[1] != _QUOTE and not context[1:-1].strip():
        event.context = b"{" + b"".join(added)[1:]
    else:
        event.context = b"".join((context[:-1], *added))


def _read_loosely(context: bytes) -> _Context:
    """Field by field, where one is of another type than libraries send: that one is as if it were not there."""
    try:
        fields = msgspec.json.decode(context, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        return _Context()
    told = _Context()
    for field in msgspec.structs.fields(_Context):
        if field.name in fields:
            try:
                value: Any = msgspec.json.decode(fields[field.name], type=field.type)
            except (msgspec.DecodeError, RecursionError):
                continue
            setattr(told, field.name, value)
    return told


def _is_client(told: _Context) -> bool:
    if told.device is not _ABSENT or told.screen is not _ABSENT:
        return True
    return told.library is not None and (told.library.name or "").lower() in CLIENT_LIBRARIES


def _visit(told: _Context, page: _Page, own: frozenset[str]) -> tuple[str, Came, bytes]:
    """The page, and how the visitor came to it."""
    url = page.url or ""
    search = page.search or (url.partition("?")[2] if "?" in url else "")
    referrer = page.referrer or ("" if told.referrer is _ABSENT else _referrer(bytes(told.referrer)))
    came, encoded = _came(
        b"" if told.campaign is _ABSENT else bytes(told.campaign),
        channels.telling(search) if search else "",
        channels.host_of(referrer) if referrer else "",
        channels.host_of(url) if url else "",
        own,
    )
    return page.path or channels.path_of(url), came, encoded


@functools.lru_cache(maxsize=16_384)
def _agent(
    user_agent: str | None, hints: bytes = b"", device: bytes = b"", system: bytes = b""
) -> tuple[Agent, bytes]:
    agent = read_agent(user_agent=user_agent or "", hints=hints, device=device, system=system)
    return agent, _fields(msgspec.structs.replace(agent, bot=False))


_NO_ADDRESS = (b"", NO_PLACE, b"")


@functools.lru_cache(maxsize=65_536)
def _address(text: str, policy: str, generation: int) -> tuple[bytes, Place, bytes]:  # noqa: ARG001 - part of the key
    """What to append for the address itself, and the place it is at."""
    address = addresses.parse(text)
    place = geo.locate(str(address)) if address else NO_PLACE
    kept: str | None = None
    if policy == "keep":
        kept = text if address is None else str(address)
    elif address and policy == "truncate":
        kept = addresses.truncate(address)
    return b',"ip":' + _encode(kept), place, _fields(place)


@functools.lru_cache(maxsize=16_384)
def _came(campaign: bytes, search: str, referrer: str, host: str, own: frozenset[str]) -> tuple[Came, bytes]:
    came = channels.classify(
        campaign=channels.read_campaign(campaign), search=search, referrer=referrer, host=host, own_hosts=own
    )
    return came, _fields(came)


def _referrer(data: bytes) -> str:
    """`context.referrer` is a text, or an object with a `url`."""
    try:
        found = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return ""
    found = found.get("url") if isinstance(found, dict) else found
    return found if isinstance(found, str) else ""


@functools.lru_cache(maxsize=1_024)
def _own_hosts(text: str) -> frozenset[str]:
    return frozenset(host.lower().removeprefix("www.") for host in text.replace(",", " ").split())


def _fields(struct: msgspec.Struct) -> bytes:
    """The fields that say something, each with a comma before it."""
    encoded = _encode(struct)
    return b"" if encoded == _EMPTY else b"," + encoded[1:-1]
