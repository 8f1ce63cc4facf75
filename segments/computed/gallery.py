"""Ready computed traits, named after the events that commerce sends."""

from dataclasses import dataclass
from typing import Any

ORDER = "Order Completed"
VIEWED = "Product Viewed"


@dataclass(frozen=True)
class Ready:
    name: str
    label: str
    why: str
    icon: str
    definition: dict[str, Any]


GALLERY = (
    Ready("total_spend", "Total spend", "Everything somebody has ever spent.", "cash",
          {"kind": "measure", "event": ORDER, "measure": "sum", "of": "revenue"}),
    Ready("orders", "Number of orders", "How often somebody has bought.", "shopping-cart",
          {"kind": "measure", "event": ORDER, "measure": "count"}),
    Ready("average_order", "Average order", "What an order of theirs comes to.", "receipt",
          {"kind": "measure", "event": ORDER, "measure": "avg", "of": "revenue"}),
    Ready("first_order", "First order", "When they became a customer.", "calendar-plus",
          {"kind": "measure", "event": ORDER, "measure": "first_at"}),
    Ready("last_order", "Last order", "A date: ask whether it is within the last 30 days.", "calendar-time",
          {"kind": "measure", "event": ORDER, "measure": "last_at"}),
    Ready("favourite_category", "Favourite category", "The category they looked at most in 90 days.", "heart",
          {"kind": "measure", "event": VIEWED, "measure": "most_frequent", "of": "category",
           "window": {"last": "90d"}}),
    Ready("favourite_bought", "Favourite category bought", "The category most often among what they bought.", "basket",
          {"kind": "measure", "event": ORDER, "measure": "most_frequent", "of": "products[].category"}),
    Ready("first_touch", "First touch", "The first campaign source they are known to have come by.", "flag",
          {"kind": "measure", "event": ["Page Viewed", VIEWED], "measure": "first", "of": "context.campaign.source"}),
    Ready("last_touch", "Last touch", "The newest campaign source they came by.", "flag-2",
          {"kind": "measure", "event": ["Page Viewed", VIEWED], "measure": "last", "of": "context.campaign.source"}),
    Ready("rfm", "RFM scores", "Recency, frequency and spend, each 1 to 5 among all customers.", "chart-grid-dots",
          {"kind": "rfm", "event": ORDER, "of": "revenue", "window": {"last": "365d"}}),
    Ready("lifecycle", "Lifecycle stage", "New, active, dormant or churned. Time alone moves people on.", "plant-2",
          {"kind": "lifecycle", "event": ORDER, "new": "30d", "active": "90d", "dormant": "365d"}),
    Ready("value_tier", "Value tier", "Gold, silver or bronze, by total spend.", "medal",
          {"kind": "tiers", "trait": "total_spend", "otherwise": "Bronze",
           "tiers": [{"from": 1000, "label": "Gold"}, {"from": 300, "label": "Silver"}]}),
)  # fmt: skip


def find(name: str) -> Ready | None:
    return next((one for one in GALLERY if one.name == name), None)
