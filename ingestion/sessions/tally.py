"""What is counted of a session. Adding events and joining tallies come to the same in any order.

So nothing here may depend on which event came first, only on which happened first: where one of several is kept, it is
that with the smallest (or greatest) time, and of several at one instant that whose text is smallest (or greatest).
Money is counted in ten-thousandths, since sums of binary fractions depend on their order.
"""

from typing import Any

import msgspec

from ingestion.contracts import Incoming
from ingestion.enrich.channels import DIRECT, INTERNAL

PRODUCT_VIEWED, PRODUCT_ADDED, ORDER_COMPLETED = "Product Viewed", "Product Added", "Order Completed"
TELLING = frozenset({"identify", "group", "alias"})
"""Types of messages that tell who somebody is, and nothing that they did."""

UNITS = 10_000
LARGEST = 1e9  # an order beyond it, or a quantity beyond a thousandth of it, is a mistake and left out

Told = tuple[int, tuple[str, ...]]
"""A time, and what an event of that time told."""


class Tally(msgspec.Struct, array_like=True, gc=False):
    """`acts` are the events but for those that tell who somebody is; `landing` and `exit` the first and last page."""

    events: int = 0
    acts: int = 0
    pages: int = 0
    viewed: int = 0
    added: int = 0
    items: int = 0
    orders: int = 0
    revenue: int = 0
    landing: Told | None = None
    exit: Told | None = None
    came: Told | None = None
    strayed: bool = False
    agent: Told | None = None
    place: Told | None = None

    def add(self, event: Incoming) -> None:
        self.events += 1
        kind = event.type
        if kind not in TELLING:
            self.acts += 1
        if kind in {"page", "screen"}:
            self.pages += 1
        elif kind == "track":
            self._add_commerce(event)
        self._add_origin(event)

    def join(self, other: "Tally") -> None:
        for name in ("events", "acts", "pages", "viewed", "added", "items", "orders", "revenue"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.strayed |= other.strayed
        self.landing = _first(self.landing, other.landing)
        self.exit = _last(self.exit, other.exit)
        self.came = _first(self.came, other.came)
        self.agent = _first(self.agent, other.agent)
        self.place = _first(self.place, other.place)

    def _add_commerce(self, event: Incoming) -> None:
        name = event.name
        if name == PRODUCT_VIEWED:
            self.viewed += 1
        elif name == PRODUCT_ADDED:
            self.added += 1
            self.items += _quantity(event.properties)
        elif name == ORDER_COMPLETED:
            self.orders += 1
            revenue, total = event.numbers[:2]
            amount = total if revenue is None else revenue
            if amount is not None and abs(amount) <= LARGEST:
                self.revenue += round(amount * UNITS)

    def _add_origin(self, event: Incoming) -> None:
        """The usual event comes after all others and says what they said; then only its page is news."""
        origin, ts = event.origin, event.ts
        page = origin.page or (_screen(event.properties) if event.type == "screen" else "")
        if page:
            if self.exit is None or ts > self.exit[0]:
                self.exit = (ts, (page,))
            else:
                self.exit = _last(self.exit, (ts, (page,)))
            if self.landing is None or ts <= self.landing[0]:
                self.landing = _first(self.landing, (ts, (page,)))
        came, agent, place = origin.came, origin.agent, origin.place
        if came.channel == INTERNAL:
            self.strayed = True
        elif came.channel and (self.came is None or ts <= self.came[0]):
            self.came = _first(self.came, (ts, (came.channel, came.source, came.medium, came.campaign)))
        if (agent.device or agent.os or agent.browser) and (self.agent is None or ts <= self.agent[0]):
            self.agent = _first(self.agent, (ts, (agent.device, agent.model, agent.os, agent.browser)))
        if place.country and (self.place is None or ts <= self.place[0]):
            self.place = _first(self.place, (ts, (place.country, place.region, place.city)))

    def describe(self) -> dict[str, str]:
        """Where it began and ended, how the visitor came, with what and from where; what is not known is left out."""
        came = self.came[1] if self.came else (DIRECT if self.strayed else "", "", "", "")
        agent = self.agent[1] if self.agent else ("",) * 4
        place = self.place[1] if self.place else ("",) * 3
        told = {
            "landing_page": self.landing[1][0] if self.landing else "",
            "exit_page": self.exit[1][0] if self.exit else "",
            **dict(zip(("channel", "source", "medium", "campaign"), came, strict=True)),
            **dict(zip(("device", "model", "os", "browser"), agent, strict=True)),
            **dict(zip(("country", "region", "city"), place, strict=True)),
        }
        return {name: value for name, value in told.items() if value}

    def counts(self) -> dict[str, int | float | bool]:
        return {
            "pages": self.pages,
            "events": self.events,
            "bounced": self.acts <= 1,
            "products_viewed": self.viewed,
            "products_added": self.added,
            "items_added": self.items,
            "orders": self.orders,
            "revenue": self.revenue / UNITS,
        }


def _first(one: Told | None, other: Told | None) -> Told | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def _last(one: Told | None, other: Told | None) -> Told | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)


class _Quantity(msgspec.Struct, gc=False):
    quantity: Any = None


class _Screen(msgspec.Struct, gc=False):
    name: Any = None


_decode_quantity = msgspec.json.Decoder(_Quantity).decode
_decode_screen = msgspec.json.Decoder(_Screen).decode


def _quantity(properties: bytes) -> int:
    """How many were added: one, unless the event says otherwise."""
    try:
        found = _decode_quantity(properties).quantity
    except (msgspec.DecodeError, RecursionError):
        return 1
    if isinstance(found, int | float) and not isinstance(found, bool) and 0 < found <= LARGEST / 1_000:
        return round(found)
    return 1


def _screen(properties: bytes) -> str:
    try:
        found = _decode_screen(properties).name
    except (msgspec.DecodeError, RecursionError):
        return ""
    return found if isinstance(found, str) else ""
