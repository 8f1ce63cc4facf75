"""What the simulated shop sells: the best sellers of the data set at the prices they went for."""

from typing import Any

from cdp.demo import complete_journey
from cdp.demo.browsing import Product
from cdp.demo.people import Person, person

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


def shoppers(*, households: int | None = None) -> dict[Person, int]:
    """The people of the households, or of the first few, and how many baskets each took home in the year."""
    baskets = complete_journey.table("transactions", columns=["household_id", "basket_id"]).drop_duplicates()
    counts = baskets["household_id"].value_counts().sort_index().head(households or len(baskets))
    return {person(int(household)): int(count) for household, count in counts.items()}


def _product(row: Any) -> Product:
    return Product(
        product_id=str(row.Index),
        name=row.product_type,
        category=row.product_category,
        department=row.department,
        brand=row.brand,
        price=round(row.sales_value / row.quantity, 2),
    )
