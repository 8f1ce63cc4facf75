"""Ready-made starting points for a new segment, in the event names that e-commerce SDKs send. R: D5, D6"""

from dataclasses import asdict, dataclass
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


ORDER = "Order Completed"

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
)
