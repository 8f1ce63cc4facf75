"""The step of the drain that tells who a message comes from.

What it finds becomes the key `enriched` of the message's context, and the address there is cut to what the source
keeps. Both are appended to the bytes that came, which are otherwise left alone: of a key that comes twice, jsonb and
every reader here keep the last (as in `messages.lay_over`). Everything is remembered per context, and what is new
there per user agent, per address and per way of coming, so that most messages cost one look-up.
"""

import functools
from collections.abc import Iterable, Mapping

import msgspec

from ingestion.contracts import Incoming, SourceTerms
from ingestion.enrich import addresses, channels, geo
from ingestion.enrich.agents import read_agent
from ingestion.enrich.contracts import NO_CAME, NO_PLACE, Agent, Came, Origin, Place
from ingestion.enrich.settings import EnrichSettings
from ingestion.said import ABSENT, Page, Said

_EMPTY = b"{}"
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


REMEMBERED = 32_768
_encode = msgspec.json.Encoder().encode
_NO_PAGE = Page()


Told = dict[tuple[bytes, str], tuple[Origin, bytes]]
"""By context and address of the request: where such messages come from, and their context with that appended."""


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
    remembered = {id_: _told(*found, generation) for id_, found in active.items()}
    for event in events:
        told = remembered.get(event.source_id)
        if told is None:
            continue
        key = (event.context, event.row.remote_addr)
        found = told.get(key)
        if found is None:
            found = told[key] = _enriched(event, *active[event.source_id], generation)
        event.origin, event.context = found


@functools.lru_cache(maxsize=8)
def _memory(settings: EnrichSettings, own: frozenset[str], generation: int) -> Told:  # noqa: ARG001 - part of the key
    return {}


def _told(settings: EnrichSettings, own: frozenset[str], generation: int) -> Told:
    """What these settings made of contexts lately. Forgetting all of it when it is full costs less than order does."""
    told = _memory(settings, own, generation)
    if len(told) > REMEMBERED:
        told.clear()
    return told


def _enriched(event: Incoming, settings: EnrichSettings, own: frozenset[str], generation: int) -> tuple[Origin, bytes]:
    # 1. Who sent it: the address, device and program. 2. The page, and the way to it. 3. What is written of both.
    context, told = event.context, event.said
    client = told.page is not None or _is_client(told)
    address = told.ip if told.ip or not client else event.remote
    if told.userAgentData is told.device is told.os:  # all three are absent, as they mostly are
        sender = _sender(client, address, settings.ip, generation, told.userAgent)
    else:
        hints = (bytes(told.userAgentData), bytes(told.device), bytes(told.os))
        sender = _sender(client, address, settings.ip, generation, told.userAgent, *hints)
    origin = sender.origin
    if told.page is None and told.campaign is told.referrer:
        added = sender.enriched if settings.enabled else sender.plain
    else:
        page, came, came_json = _visit(told, told.page or _NO_PAGE, own)
        origin = Origin(client, page, sender.origin.agent, sender.origin.place, came)
        added = sender.plain
        if settings.enabled and (came_json or sender.told):
            added = b"".join((sender.kept, sender.begin, came_json, b"}}"))
    if not added:
        return origin, context
    if context[1] != _QUOTE and not context[1:-1].strip():
        return origin, b"{" + added[1:]
    return origin, context[:-1] + added


class _Sender(msgspec.Struct, frozen=True, gc=False):
    """What an address and a user agent tell, and how it is written at the end of a context."""

    origin: Origin
    kept: bytes
    """The address as it is kept, with a comma before it."""
    begin: bytes
    """The object of what is told, up to the way to the page."""
    told: bool
    enriched: bytes
    plain: bytes


@functools.lru_cache(maxsize=8_192)
def _sender(  # noqa: PLR0917 - what is remembered is found fastest by place
    client: bool,
    address: str | None,
    policy: str,
    generation: int,
    user_agent: str | None,
    hints: bytes = b"",
    device: bytes = b"",
    system: bytes = b"",
) -> _Sender:
    kept, place, place_json = _address(address, policy, generation) if address else _NO_ADDRESS
    agent, agent_json = _agent(user_agent, hints, device, system)
    begin = b"".join((b',"enriched":{"bot":', b"true" if agent.bot else b"false", agent_json, place_json))
    plain = kept + b"}" if kept else b""
    told = bool(agent_json or place_json)
    return _Sender(
        origin=Origin(client, "", agent, place, NO_CAME),
        kept=kept,
        begin=begin,
        told=told,
        enriched=b"".join((kept, begin, b"}}")) if told else plain,
        plain=plain,
    )


def _is_client(told: Said) -> bool:
    if told.device is not ABSENT or told.screen is not ABSENT:
        return True
    return told.library is not None and (told.library.name or "").lower() in CLIENT_LIBRARIES


def _visit(told: Said, page: Page, own: frozenset[str]) -> tuple[str, Came, bytes]:
    """The page, and how the visitor came to it."""
    url = page.url or ""
    search = page.search or (url.partition("?")[2] if "?" in url else "")
    referrer = page.referrer or ("" if told.referrer is ABSENT else _referrer(bytes(told.referrer)))
    came, encoded = _came(
        b"" if told.campaign is ABSENT else bytes(told.campaign),
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


@functools.lru_cache(maxsize=16_384)
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
