"""What a demo deployment has: purposes, sources, people, segments, one webhook."""

from dataclasses import dataclass
from typing import Any

from cdp.kernel.access.roles import Role
from ingestion.sessions.settings import SessionSettings
from ingestion.settings import DEFAULTS, SourceSettings


@dataclass(frozen=True)
class DemoPurpose:
    slug: str
    name: str
    kind: str
    requires_opt_in: bool
    description: str


@dataclass(frozen=True)
class DemoSource:
    slug: str
    name: str
    description: str
    purpose: str | None = None
    settings: SourceSettings = DEFAULTS


@dataclass(frozen=True)
class DemoUser:
    username: str
    first_name: str
    last_name: str
    role: Role
    does: str


@dataclass(frozen=True)
class DemoSegment:
    """`purpose` is asked before the webhook hears that somebody entered or left; without one it hears nothing."""

    slug: str
    name: str
    description: str
    definition: dict[str, Any]
    purpose: str | None = None
    folder: str = ""
    tags: tuple[str, ...] = ()


PURPOSES = (
    DemoPurpose(
        "analytics", "Analytics", "collection", requires_opt_in=False,
        description="Measure how the website is used. Those who object are not recorded there.",
    ),
    DemoPurpose(
        "marketing_email", "Marketing by e-mail", "activation", requires_opt_in=True,
        description="Send offers and news by e-mail.",
    ),
    DemoPurpose(
        "personalised_ads", "Personalised advertising", "activation", requires_opt_in=True,
        description="Show advertising elsewhere that fits what somebody bought.",
    ),
)  # fmt: skip

SHOP, CRM, WEBSITE, SIGNUPS = "shop", "crm", "website", "signups"
SOURCES = (
    DemoSource(SHOP, "Shop", "Orders and redeemed coupons of the tills: a year of Complete Journey."),
    DemoSource(
        CRM, "CRM", "Who the households are, and which campaigns they were in. Names and addresses are synthetic."
    ),
    DemoSource(
        SIGNUPS,
        "Loyalty sign-ups",
        "Cards filled in at the till, with the slips that people make: for matching to find. Synthetic.",
    ),
    DemoSource(
        WEBSITE,
        "Website",
        "Browsing, carts, logins and orders, made up as you watch.",
        purpose="analytics",
        settings=SourceSettings(sessions=SessionSettings(timeout_minutes=3)),  # to see some end: nobody thinks longer
    ),
)

_PRODUCT = {
    "product_id": {"type": "string"},
    "name": {"type": "string"},
    "category": {"type": "string"},
    "department": {"type": "string"},
    "brand": {"type": "string"},
    "price": {"type": "number", "minimum": 0},
    "quantity": {"type": "integer", "minimum": 1},
    "cart_id": {"type": "string"},
    "session_id": {"type": "string"},
}


def _product_event(description: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": _PRODUCT, "required": ["product_id", "price"]}
    return {"description": description, "schema": schema | {"additionalProperties": False}}


# The website's tracking plan: what its events are, and that a forgotten field is taken out and a wrong one counted.
WEBSITE_PLAN: dict[str, Any] = {
    "actions": {"unknown_event": "allow", "unknown_property": "strip", "wrong_type": "flag"},
    "events": {
        "Product Viewed": _product_event("Somebody looks at a product's page."),
        "Product Added": _product_event("A product is put into the cart."),
        "Product Removed": _product_event("A product is taken out of the cart again."),
    },
    "traits": {"schema": {"properties": {"email": {"type": ["string", "null"], "format": "email"}}}},
}

USERS = (
    DemoUser("admin", "Ada", "Admin", Role.ADMIN, "may do everything, and the Django admin"),
    DemoUser("maya", "Maya", "Marks", Role.MARKETER, "builds segments and sends them somewhere"),
    DemoUser("arne", "Arne", "Lysing", Role.ANALYST, "reads profiles, events and segments"),
    DemoUser("erin", "Erin", "Gears", Role.ENGINEER, "connects sources and destinations"),
    DemoUser("piet", "Piet", "Vacy", Role.PRIVACY_OFFICER, "audits consent"),
)


def orders(measure: str, op: str, value: float, *, last: str, of: str | None = None) -> dict[str, Any]:
    """A condition over completed orders in a moving window."""
    condition = {"type": "event", "event": "Order Completed", "measure": measure, "op": op, "value": value}
    return condition | ({"of": of} if of else {}) | {"window": {"last": last}}


def visited(what: str, op: str, value: float, *, last: str) -> dict[str, Any]:
    """A condition that a single visit in a moving window has to meet."""
    where = [{"property": what, "op": op, "value": value}]
    return {"type": "event", "event": "Session Ended", "where": where, "window": {"last": last}}


def every(*conditions: dict[str, Any]) -> dict[str, Any]:
    return {"type": "all", "of": list(conditions)}


# Of the gallery of computed traits.
COMPUTED = ("total_spend", "favourite_bought", "rfm", "lifecycle")

SEGMENTS = (
    DemoSegment(
        "lapsed-big-spenders",
        "Lapsed big spenders",
        "Spent over 500 in the last 30 days and bought nothing in the last 7: worth a call.",
        every(orders("sum", "gt", 500, of="revenue", last="30d"), orders("count", "eq", 0, last="7d")),
        purpose="marketing_email",
        folder="Win back",
        tags=("call",),
    ),
    DemoSegment(
        "weekly-regulars",
        "Weekly regulars",
        "Bought on eight or more different days of the last 30.",
        orders("days", "gte", 8, last="30d"),
        purpose="marketing_email",
        folder="Loyalty",
        tags=("mail",),
    ),
    DemoSegment(
        "coupon-lovers",
        "Coupon lovers",
        "Redeemed three coupons or more in the last 90 days.",
        {
            "type": "event",
            "event": "Coupon Redeemed",
            "measure": "count",
            "op": "gte",
            "value": 3,
            "window": {"last": "90d"},
        },
        purpose="marketing_email",
        folder="Loyalty",
        tags=("mail", "coupons"),
    ),
    DemoSegment(
        "families-with-kids",
        "Families with kids",
        "The CRM knows of children in the household.",
        {"type": "trait", "trait": "has_kids", "op": "is_true"},
    ),
    DemoSegment(
        "high-value",
        "High value",
        "Spent 5,000 or more in the last year: the best customers.",
        orders("sum", "gte", 5000, of="revenue", last="365d"),
        purpose="personalised_ads",
        folder="Loyalty",
        tags=("ads",),
    ),
    DemoSegment(
        "keen-visitors",
        "Keen visitors",
        "Stayed on the website for over four minutes, or put more than five items into the cart, in one visit.",
        {
            "type": "any",
            "of": [
                visited("duration", "gt", 240, last="7d"),
                visited("items_added", "gt", 5, last="7d"),
            ],
        },
        folder="Website",
        tags=("live",),
    ),
    DemoSegment(
        "drifting-away",
        "Drifting away",
        "Bought twelve times or more in the last year, but not in the last 30 days.",
        every(orders("count", "gte", 12, last="365d"), orders("count", "eq", 0, last="30d")),
        purpose="marketing_email",
        folder="Win back",
        tags=("mail",),
    ),
)

WEBHOOK_SLUG = "demo-receiver"
WEBHOOK_NAME = "Demo receiver"
