"""From a user agent, client hints and what an app says of its device to one `Agent`.

The patterns are those of the ua-parser project (https://github.com/ua-parser/uap-core); what kind of device it is
follows from them by the few rules below. Client hints (https://wicg.github.io/ua-client-hints/) win over the user
agent, which browsers froze in their favour.
"""

import functools
import re
from typing import Any, TypeVar

import msgspec
import ua_parser

from ingestion.enrich.contracts import Agent

LONGEST = 1_000  # characters of a user agent that are looked at

_BOT = re.compile(
    r"bot\b|crawl|spider|slurp|headless|lighthouse|preview|monitor|pingdom|facebookexternalhit", re.IGNORECASE
)
_TV = re.compile(r"smart-?tv|\btv\b|appletv|roku|crkey|bravia|hbbtv|tizen|web0s|webos", re.IGNORECASE)
_CONSOLE = re.compile(r"playstation|xbox|nintendo", re.IGNORECASE)
_WATCH = re.compile(r"watch", re.IGNORECASE)
_TABLET = re.compile(r"ipad|tablet|kindle|silk/|playbook", re.IGNORECASE)

_DESKTOPS = frozenset({"Windows", "macOS", "Linux", "Ubuntu", "Fedora", "Debian", "Chrome OS", "FreeBSD", "OpenBSD"})
_OS_NAMES = {"Mac OS X": "macOS", "Mac OS": "macOS", "ios": "iOS", "android": "Android", "iPadOS": "iOS"}
_PLAIN_MODELS = frozenset({"Other", "Generic Smartphone", "Generic Feature Phone", "Spider", "Mac", "K"})
_NOT_A_BRAND = re.compile(r"not.?a.?brand|^chromium$", re.IGNORECASE)
_BRANDS = {"Google Chrome": "Chrome", "Microsoft Edge": "Edge"}

Told = TypeVar("Told")


class _Brand(msgspec.Struct, gc=False):
    brand: str = ""
    version: str | int = ""


class _Hints(msgspec.Struct, gc=False):
    brands: list[_Brand] = []
    mobile: bool | None = None
    platform: str | None = None
    platformVersion: str | None = None  # noqa: N815 - the wire's spelling
    model: str | None = None


class _Device(msgspec.Struct, gc=False):
    type: str | None = None
    model: str | None = None
    name: str | None = None


class _System(msgspec.Struct, gc=False):
    name: str | None = None
    version: str | None = None


def read_agent(*, user_agent: str, hints: bytes = b"", device: bytes = b"", system: bytes = b"") -> Agent:
    """`hints`, `device` and `system` are the JSON of `context.userAgentData`, `context.device` and `context.os`."""
    found = _parsed(user_agent[:LONGEST]) if user_agent else Agent()
    if hints:
        found = _hinted(found, _read(hints, _Hints))
    if device or system:
        found = _of_app(found, _read(device, _Device), _read(system, _System))
    return found


@functools.lru_cache(maxsize=16_384)
def _parsed(text: str) -> Agent:
    result = ua_parser.parse(text)
    os = _os_name(result.os.family if result.os else "")
    model = result.device.family if result.device else ""
    browser = result.user_agent
    bot = model == "Spider" or bool(_BOT.search(text))
    return Agent(
        device="bot" if bot else _kind(text, os),
        model="" if model in _PLAIN_MODELS else model,
        os=os,
        os_version=_version(result.os.major if result.os else "", result.os.minor if result.os else ""),
        browser=browser.family if browser else "",
        browser_version=(browser.major or "") if browser else "",
        bot=bot,
    )


def _kind(text: str, os: str) -> str:
    """In this order, since a television says Linux and a tablet says Android."""
    for kind, pattern in (("tv", _TV), ("console", _CONSOLE), ("watch", _WATCH), ("tablet", _TABLET)):
        if pattern.search(text):
            return kind
    if os == "Android":
        return "phone" if "Mobile" in text else "tablet"
    if os == "iOS" or "Mobile" in text or "Phone" in text:
        return "phone"
    return "desktop" if os in _DESKTOPS else ""


def _hinted(agent: Agent, hints: _Hints | None) -> Agent:
    if hints is None:
        return agent
    changes: dict[str, Any] = {}
    brand = next((one for one in hints.brands if one.brand and not _NOT_A_BRAND.search(one.brand)), None)
    if brand:
        changes |= {"browser": _BRANDS.get(brand.brand, brand.brand), "browser_version": _version(str(brand.version))}
    if hints.platform:
        os = _os_name(hints.platform)
        changes |= {"os": os, "os_version": agent.os_version if os == agent.os else ""}
    if hints.platformVersion:
        changes["os_version"] = _version(*hints.platformVersion.split(".")[:2])
    if hints.model:
        changes["model"] = hints.model
    if hints.mobile and agent.device not in {"bot", "tablet"}:
        changes["device"] = "phone"
    elif hints.mobile is False and not agent.device and changes.get("os") in _DESKTOPS:
        changes["device"] = "desktop"
    return msgspec.structs.replace(agent, **changes)


def _of_app(agent: Agent, device: _Device | None, system: _System | None) -> Agent:
    """What the libraries for apps say of the device; their user agent is often that of a program for requests."""
    changes: dict[str, Any] = {}
    kind = (device.type or "").lower() if device else ""
    name = _os_name((system.name if system else None) or {"ios": "iOS", "android": "Android"}.get(kind, ""))
    if name:
        changes["os"] = name
    if system and system.version:
        changes["os_version"] = _version(*system.version.split(".")[:2])
    if device and device.model:
        changes["model"] = device.model
    if not agent.device and name in {"iOS", "Android"}:
        told = f"{device.model or ''} {device.name or ''}" if device else ""
        changes["device"] = "tablet" if _TABLET.search(told) else "phone"
    return msgspec.structs.replace(agent, **changes)


def _os_name(text: str) -> str:
    return _OS_NAMES.get(text, text)


def _version(*parts: str | None) -> str:
    return ".".join(part for part in parts if part)


def _read(data: bytes, kind: type[Told]) -> Told | None:
    """None where it is something else than the libraries send."""
    if not data or data == b"null":
        return None
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError:
        return None
