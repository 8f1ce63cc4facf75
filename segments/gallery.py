"""Ready-made starting points for a new segment, in the event names that e-commerce SDKs send. R: D5, D6"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Template:
    slug: str
    name: str
    icon: str
    text: str
    definition: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def _did(event: str, *, last: str | None = None, times: int = 1, **more: Any) -> dict[str, Any]:
    window = {"window": {"last": last}} if last else {}
    return {"type": "event", "event": event, "measure": "count", "op": "gte", "value": times, **more, **window}


def _did_not(event: str, *, last: str | None = None) -> dict[str, Any]:
    return _did(event, last=last, op="eq", value=0)


def _all(*conditions: dict[str, Any]) -> dict[str, Any]:
    return {"type": "all", "of": list(conditions)}


def _any(*conditions: dict[str, Any]) -> dict[str, Any]:
    return {"type": "any", "of": list(conditions)}


def _where(prop: str, op: str, value: Any) -> dict[str, Any]:
    return {"property": prop, "op": op, "value": value}


def _left(event: dict[str, Any], *, within: str | None = None, last: str) -> dict[str, Any]:
    """Did this in the window, and no order followed; with `within`, not until that time was over."""
    missed = {"event": ORDER, "absent": True} | ({"within": within} if within else {})
    return {"type": "sequence", "steps": [event, missed], "window": {"last": last}}


def _agreed(purpose: str) -> dict[str, Any]:
    return {"type": "consent", "purpose": purpose, "state": "granted"}


ORDER = "Order Completed"
VIEWED, ADDED, SESSION = "Product Viewed", "Product Added", "Session Ended"
PURPOSE = "marketing_email"

GALLERY = (
    Template(
        slug="lapsed-big-spenders",
        name="Lapsed big spenders",
        icon="diamond",
        text="Spent over 500 in the last 30 days and bought nothing in the last 7.",
        definition=_all(
            _did(ORDER, last="30d", measure="sum", of="revenue", op="gt", value=500),
            _did_not(ORDER, last="7d"),
        ),
    ),
    Template(
        slug="new-customers",
        name="New customers",
        icon="sparkles",
        text="Placed their first and only order within the last 30 days.",
        definition=_all(_did(ORDER, op="eq", value=1), _did(ORDER, last="30d")),
    ),
    Template(
        slug="frequent-buyers",
        name="Frequent buyers",
        icon="repeat",
        text="Four orders or more in the last 30 days.",
        definition=_all(_did(ORDER, last="30d", times=4)),
    ),
    Template(
        slug="slipping-away",
        name="Slipping away",
        icon="trending-down",
        text="Bought in the last 90 days, but not in the last 30.",
        definition=_all(_did(ORDER, last="90d"), _did_not(ORDER, last="30d")),
    ),
    Template(
        slug="cart-abandoners",
        name="Cart abandoners",
        icon="shopping-cart-x",
        text="Put something into the cart in the last 24 hours and ordered nothing since yesterday.",
        definition=_all(_did("Product Added", last="24h"), _did_not(ORDER, last="24h")),
    ),
    Template(
        slug="coupon-lovers",
        name="Coupon lovers",
        icon="discount-2",
        text="Redeemed three coupons or more in the last 90 days.",
        definition=_all(_did("Coupon Redeemed", last="90d", times=3)),
    ),
    Template(
        slug="big-baskets",
        name="Big baskets",
        icon="basket",
        text="Spend 75 or more per order on average, over the last 90 days.",
        definition=_all(_did(ORDER, last="90d", measure="avg", of="revenue", op="gte", value=75)),
    ),
    Template(
        slug="just-looking",
        name="Just looking",
        icon="eye",
        text="Viewed five products or more this week and have never ordered.",
        definition=_all(_did("Product Viewed", last="7d", times=5), _did_not(ORDER)),
    ),
    Template(
        slug="viewed-three-in-an-hour",
        name="Three products in an hour",
        icon="eye-plus",
        text="Viewed three product pages within any hour of the last week.",
        definition=_all(_did(VIEWED, last="7d", times=3, span="1h")),
    ),
    Template(
        slug="highly-interested",
        name="Highly interested",
        icon="flame",
        text="Viewed three product pages or more within ten minutes, today or yesterday.",
        definition=_all(_did(VIEWED, last="48h", times=3, span="10m")),
    ),
    Template(
        slug="left-at-checkout",
        name="Left the cart half an hour ago",
        icon="clock-pause",
        text="Put something into the cart and did not order within 30 minutes.",
        definition=_all(_left({"event": ADDED}, within="30m", last="7d")),
    ),
    Template(
        slug="dear-cart-left",
        name="Left a cart with dear items",
        icon="shopping-cart-dollar",
        text="Put something over 100 into the cart and has not ordered since.",
        definition=_all(_left({"event": ADDED, "where": [_where("price", "gt", 100)]}, last="30d")),
    ),
    Template(
        slug="full-cart-left",
        name="Several items, no order in a day",
        icon="shopping-cart-pause",
        text="Put three items or more into the cart and did not order within 24 hours.",
        definition=_all(_did(ADDED, last="7d", times=3, span="24h"), _left({"event": ADDED}, within="24h", last="7d")),
    ),
    Template(
        slug="fresh-cart-left",
        name="A cart over 50, left today",
        icon="shopping-cart-bolt",
        text="Left a cart less than 24 hours ago, with items worth more than 50.",
        definition=_all(
            _left({"event": ADDED}, last="24h"), _did(ADDED, last="24h", measure="sum", of="price", op="gt", value=50)
        ),
    ),
    Template(
        slug="engaged-visitors",
        name="Engaged visitors",
        icon="activity",
        text="Five product pages or more in the last week, and more than 4 minutes a visit.",
        definition=_all(
            _did(VIEWED, last="7d", times=5),
            _did(SESSION, last="7d", measure="avg", of="duration", op="gt", value=240),
        ),
    ),
    Template(
        slug="long-visits-often",
        name="Long visits, often",
        icon="hourglass",
        text="More than five visits in 30 days, of more than 4 minutes on average.",
        definition=_all(
            _did(SESSION, last="30d", op="gt", times=5),
            _did(SESSION, last="30d", measure="avg", of="duration", op="gt", value=240),
        ),
    ),
    Template(
        slug="weekly-visitors",
        name="Five visits in a week",
        icon="calendar-week",
        text="Came five times or more in the last seven days.",
        definition=_all(_did("Session Started", last="7d", times=5)),
    ),
    Template(
        slug="cart-fillers",
        name="Cart fillers",
        icon="stack-2",
        text="Put more than five items into the cart in one visit of the last week.",
        definition=_all(_did(SESSION, last="7d", where=[_where("items_added", "gt", 5)])),
    ),
    Template(
        slug="category-fans",
        name="Fans of a category",
        icon="heart",
        text="Viewed products of the same category three times or more in 30 days.",
        definition=_all(_did(VIEWED, last="30d", times=3, where=[_where("category", "in", ["Category"])])),
    ),
    Template(
        slug="one-time-buyers",
        name="One-time buyers",
        icon="number-1",
        text="Ordered exactly once in the last 180 days.",
        definition=_all(_did(ORDER, last="180d", op="eq", times=1)),
    ),
    Template(
        slug="occasional-buyers",
        name="Occasional buyers",
        icon="number-2",
        text="Ordered two or three times in the last 180 days.",
        definition=_all(_did(ORDER, last="180d", op="between", value=[2, 3])),
    ),
    Template(
        slug="showed-interest",
        name="Showed interest",
        icon="hand-click",
        text="Visited a product page, put something into the cart, or saw a promotion this week.",
        definition=_any(_did(VIEWED, last="7d"), _did(ADDED, last="7d"), _did("Promotion Viewed", last="7d")),
    ),
    Template(
        slug="missing-accessory",
        name="Product without its accessory",
        icon="puzzle",
        text="Bought product X and has never bought its accessory Y.",
        definition=_all(
            _did(ORDER, where=[_where("products[].name", "eq", "Product X")]),
            _did(ORDER, op="eq", times=0, where=[_where("products[].name", "eq", "Accessory Y")]),
        ),
    ),
    Template(
        slug="weekend-evenings",
        name="Weekend evenings",
        icon="moon",
        text="Shops on Saturdays and Sundays after six in the evening.",
        definition=_all(
            _did(
                ORDER,
                last="90d",
                where=[_where("event.weekday", "in", [6, 7]), _where("event.hour", "gte", 18)],
            )
        ),
    ),
    Template(
        slug="may-be-written-to",
        name="Customers who may be written to",
        icon="shield-check",
        text="Ordered in the last 180 days and has agreed to hear from you.",
        definition=_all(_did(ORDER, last="180d"), _agreed(PURPOSE)),
    ),
    Template(
        slug="enterprise-people",
        name="People of enterprise accounts",
        icon="building",
        text="Belongs to an account on the enterprise plan and came by in the last 30 days.",
        definition=_all(
            {"type": "account", "trait": "plan", "op": "eq", "value": "enterprise"},
            _did("Session Started", last="30d"),
        ),
    ),
)


def offered(purposes: Sequence[str]) -> tuple[Template, ...]:
    """The gallery for a deployment with these purposes: where it has none of ours, with the first of its own."""
    if PURPOSE in purposes or not purposes:
        return GALLERY
    return tuple(replace(one, definition=_about(one.definition, purposes[0])) for one in GALLERY)


def _about(node: dict[str, Any], purpose: str) -> dict[str, Any]:
    if node["type"] == "consent":
        return node | {"purpose": purpose}
    of = node.get("of")
    return node | {"of": [_about(part, purpose) for part in of]} if isinstance(of, list) else node
