"""How somebody came: UTM parameters, click ids and the referrer, made into one of a few channels.

The first rule that says something wins: 1. the medium of a campaign, 2. a click id of an advertising network,
3. the source of a campaign, 4. the referrer. The lists are ours, short, and told in docs/reference/enrichment.md.
"""

import functools
import re
from collections.abc import Collection
from urllib.parse import parse_qs

import msgspec

from ingestion.enrich.contracts import Came

DIRECT, INTERNAL, OTHER = "direct", "internal", "other"
CHANNELS = (
    DIRECT,
    "organic search",
    "paid search",
    "social",
    "paid social",
    "email",
    "referral",
    "affiliate",
    "display",
    "video",
    "sms",
    "push",
    INTERNAL,
    OTHER,
)

# Parts of host names: google matches www.google.com and google.co.uk, and so on.
_ENGINES = """
    google bing duckduckgo yahoo ecosia yandex baidu qwant startpage naver seznam sogou ask aol kagi presearch
    swisscows mojeek googlequicksearchbox
"""
_NETWORKS = """
    facebook instagram twitter x linkedin pinterest reddit tiktok youtube snapchat threads tumblr quora vk weibo
    whatsapp telegram discord bluesky bsky mastodon xing
"""
SEARCH_ENGINES = frozenset(_ENGINES.split())
SOCIAL = frozenset(_NETWORKS.split())
_SHORT_HOSTS = {"t.co": "twitter", "lnkd.in": "linkedin", "fb.com": "facebook", "fb.me": "facebook"}
_SHORT_HOSTS |= {"t.me": "telegram", "youtu.be": "youtube", "pin.it": "pinterest", "redd.it": "reddit"}
_WEBMAIL = re.compile(
    r"^(mail|email|webmail|outlook|deref-mail)\.|^mail-|\bcom\.google\.android\.gm$|\boutlook\.(live|office)"
)

_PAID = re.compile(r"^(cpc|ppc|sem|cpv|cpa|cpp|retargeting|remarketing|paid.*)$")
_MEDIUMS = (
    (re.compile(r"^(display|banner|cpm|interstitial|expandable|programmatic)$"), "display"),
    (re.compile(r"^affiliates?$"), "affiliate"),
    (re.compile(r"^(e[-_ ]?mail|newsletter|crm)$"), "email"),
    (re.compile(r"^(sms|text|mms)$"), "sms"),
    (re.compile(r"^(push|.*push|notification|mobile[-_ ]notification)$"), "push"),
    (re.compile(r"^(social|social[-_ ]?(network|media)|sm|organic[-_ ]?social)$"), "social"),
    (re.compile(r"^(video|.*video.*)$"), "video"),
    (re.compile(r"^(organic|organic[-_ ]?search|seo)$"), "organic search"),
    (re.compile(r"^(referral|link|partner)$"), "referral"),
)
# parameter -> channel, source, medium
_CLICK_IDS = {
    "gclid": ("paid search", "google", "cpc"),
    "gbraid": ("paid search", "google", "cpc"),
    "wbraid": ("paid search", "google", "cpc"),
    "msclkid": ("paid search", "bing", "cpc"),
    "yclid": ("paid search", "yandex", "cpc"),
    "dclid": ("display", "google", "display"),
    "fbclid": ("paid social", "facebook", "paid social"),
    "ttclid": ("paid social", "tiktok", "paid social"),
    "twclid": ("paid social", "twitter", "paid social"),
    "li_fat_id": ("paid social", "linkedin", "paid social"),
}
_TELLING = ("utm_", "clid", "clkid", "braid", "li_fat_id")
_LONGEST = 200


class Campaign(msgspec.Struct, gc=False):
    """Segment's `context.campaign`."""

    source: str | None = None
    medium: str | None = None
    name: str | None = None
    term: str | None = None
    content: str | None = None


def telling(search: str) -> str:
    """The query string, where a campaign or a click id may be in it; else nothing."""
    return search if any(part in search for part in _TELLING) else ""


def host_of(url: str) -> str:
    """`https://www.Example.org:8000/path` -> `example.org`."""
    parts = url.split("/", 3)
    return _host(parts[2]) if len(parts) > 2 and not parts[1] else ""


@functools.lru_cache(maxsize=16_384)
def _host(authority: str) -> str:
    for end in "?#":
        authority = authority.partition(end)[0]
    return authority.rpartition("@")[2].partition(":")[0].lower().removeprefix("www.")


def path_of(url: str) -> str:
    """`https://example.org/shoes?size=42` -> `/shoes`."""
    _, _, rest = url.partition("://")
    for end in "?#":
        rest = rest.partition(end)[0]
    host, slash, path = rest.partition("/")
    return slash + path or ("/" if host else "")


def classify(
    *, campaign: Campaign | None, search: str, referrer: str, host: str, own_hosts: Collection[str] = ()
) -> Came:
    """`referrer` and `host` (of the page itself) are host names as `host_of` gives them, `search` a query string."""
    utm = campaign if campaign and (campaign.source or campaign.medium or campaign.name) else None
    query = parse_qs(search.lstrip("?"), max_num_fields=100) if search else {}
    utm = utm or _utm(query)
    channel = _of_medium(utm) if utm else ""
    if utm and channel:
        return _came(channel, utm)
    click = next((_CLICK_IDS[name] for name in _CLICK_IDS if name in query), None)
    if click:
        return _came(click[0], utm or Campaign(), source=click[1], medium=click[2])
    if utm:
        return _came(_of_source(utm) or OTHER, utm)
    return _of_referrer(referrer, {host, *own_hosts} - {""})


def _utm(query: dict[str, list[str]]) -> Campaign | None:
    def of(name: str) -> str | None:
        return query.get(f"utm_{name}", [None])[0]

    found = Campaign(of("source"), of("medium"), of("campaign"), of("term"), of("content"))
    return found if found.source or found.medium or found.name else None


def _of_medium(utm: Campaign) -> str:
    medium = (utm.medium or "").strip().lower()
    if not medium:
        return ""
    if _PAID.match(medium):
        source = _name_in(utm.source or "", SOCIAL)
        return "paid social" if source or "social" in medium else "paid search"
    return next((channel for pattern, channel in _MEDIUMS if pattern.match(medium)), "")


def _of_source(utm: Campaign) -> str:
    source = (utm.source or "").strip().lower()
    for pattern, channel in _MEDIUMS:
        if pattern.match(source):
            return channel
    if _name_in(source, SOCIAL):
        return "social"
    return "organic search" if _name_in(source, SEARCH_ENGINES) else ""


def _of_referrer(referrer: str, own: Collection[str]) -> Came:
    if not referrer:
        return Came(DIRECT)
    if any(referrer == host or referrer.endswith(f".{host}") or host.endswith(f".{referrer}") for host in own):
        return Came(INTERNAL)
    if _WEBMAIL.search(referrer):
        return Came("email", referrer, "email")
    if engine := _name_in(referrer, SEARCH_ENGINES):
        return Came("organic search", engine, "organic")
    if network := _SHORT_HOSTS.get(referrer) or _name_in(referrer, SOCIAL):
        return Came("social", network, "social")
    return Came("referral", referrer, "referral")


def _name_in(text: str, names: Collection[str]) -> str:
    """The first label of a host (or a bare name) that is in `names`; the last one is its top-level domain."""
    labels = text.lower().split(".")
    return next((label for label in (labels[:-1] if len(labels) > 1 else labels) if label in names), "")


def _came(channel: str, utm: Campaign, *, source: str = "", medium: str = "") -> Came:
    return Came(
        channel=channel,
        source=(utm.source or source)[:_LONGEST],
        medium=(utm.medium or medium)[:_LONGEST],
        campaign=(utm.name or "")[:_LONGEST],
        term=(utm.term or "")[:_LONGEST],
        content=(utm.content or "")[:_LONGEST],
    )


def read_campaign(data: bytes) -> Campaign | None:
    if not data or data == b"null":
        return None
    try:
        return msgspec.json.decode(data, type=Campaign)
    except msgspec.DecodeError:
        return None
