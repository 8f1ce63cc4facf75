"""What can be told of a message's sender, for the drain and the rooms behind it. Empty texts: not known."""

import msgspec


class Agent(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The device and program of a message. `device` is phone, tablet, desktop, tv, watch, console or bot."""

    device: str = ""
    model: str = ""
    os: str = ""
    os_version: str = ""
    browser: str = ""
    browser_version: str = ""
    bot: bool = False


class Place(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Where an address is: the country as ISO 3166-1 alpha-2, region and city by their English names."""

    country: str = ""
    region: str = ""
    city: str = ""


class Came(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """How somebody came to the page of a message: one of `ingestion.enrich.channels.CHANNELS`, and from where."""

    channel: str = ""
    source: str = ""
    medium: str = ""
    campaign: str = ""
    term: str = ""
    content: str = ""


class Origin(msgspec.Struct, frozen=True, gc=False):
    """Everything that the context of one message tells; `client` says that a browser or an app sent it."""

    client: bool
    page: str
    agent: Agent
    place: Place
    came: Came


NO_AGENT = Agent()
NO_PLACE = Place()
NO_CAME = Came()
NO_ORIGIN = Origin(client=False, page="", agent=NO_AGENT, place=NO_PLACE, came=NO_CAME)
