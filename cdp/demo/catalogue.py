"""What the simulated shop sells: the best sellers of the data set at the prices they went for."""

from typing import Any

import pandas as pd

from cdp.demo import complete_journey
from cdp.demo.browsing import Product

SIZE = 400
NOT_ONLINE = {
    "FUEL",
    "MISCELLANEOUS",
    "COUPON",
    "CNTRL/STORE SUP",
    "PHOTO & VIDEO",
    "POSTAL CENTER",
    "CHARITABLE CONT",
}


def best_sellers() -> list[Product]:
    """Best first."""
    lines = complete_journey.table("transactions", columns=["product_id", "quantity", "sales_value"])
    lines = lines[lines["quantity"] > 0]
    sold = lines.groupby("product_id").sum()
    products = complete_journey.table("products").set_index("product_id").join(sold, how="inner")
    products = products.dropna(subset=["product_type", "product_category"])
    products = products[~products["department"].isin(NOT_ONLINE)]
    best = products.sort_values("sales_value", ascending=False, kind="stable").head(SIZE)
    return [_product(row) for row in best.itertuples()]


def household_numbers(*, first: int | None = None) -> list[int]:
    """The households of the data set, or the first few."""
    numbers = pd.unique(complete_journey.table("transactions", columns=["household_id"])["household_id"])
    return sorted(int(number) for number in numbers)[:first]


def _product(row: Any) -> Product:
    return Product(
        product_id=str(row.Index),
        name=row.product_type,
        category=row.product_category,
        department=row.department,
        brand=row.brand,
        price=round(row.sales_value / row.quantity, 2),
    )
