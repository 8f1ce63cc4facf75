"""Plausible live browsing: who comes, what they look at, what they buy, and how long they think.

Pure: a seed and the instants asked for decide everything but the message ids, which name the run.
"""

import heapq
import itertools
import random
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cdp.demo.people import Person

SHOP_URL = "https://shop.example.com"
DEVICES = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")  # RFC 9562's namespace of URLs

# Of all visits: by somebody who never logs in; the others belong to shoppers of the data.
ANONYMOUS_SHARE = 0.35
# Of shoppers' visits: the weight of logging in among what can be done next, and the share logged in from the start.
LOGS_IN, LOGGED_IN = 1.5, 0.5
LOGS_OUT = 0.5
RETURNING_ANONYMOUS = 0.3
REMEMBERED_VISITORS = 500
COUPON_SHARE = 0.25
MEANT_TO_BUY = 2  # products in the cart
MOST_ACTIONS = 40

THINKS_FOR = (8.0, 0.7)  # median seconds and sigma of a lognormal
THINKS_AT_MOST = 90.0

USER_AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6"
        " Mobile/15E148 Safari/604.1"
    ),
    (
        "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile"
        " Safari/537.36"
    ),
    (
        "Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6"
        " Mobile/15E148 Safari/604.1"
    ),
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:143.0) Gecko/20100101 Firefox/143.0",
)
CAMPAIGNS = (
    None,
    None,
    None,
    {"source": "newsletter", "medium": "email", "name": "weekly-offers"},
    {"source": "google", "medium": "cpc", "name": "groceries"},
    {"source": "partner", "medium": "referral", "name": "recipes"},
)
REFERRERS = (
    "",
    "",
    "https://recipes.example.org/oat-cookies",
    "https://www.google.com/",
    "https://www.google.com/",
    "https://www.instagram.com/",
)


@dataclass(frozen=True)
class Product:
    product_id: str
    name: str
    category: str
    department: str
    brand: str
    price: float

    def properties(self) -> dict[str, Any]:
        return {
            "product_id": self.product_id,
            "name": self.name,
            "category": self.category,
            "department": self.department,
            "brand": self.brand,
            "price": self.price,
        }


@dataclass
class Visit:
    """One browser on the site from its first page to its last."""

    anonymous_id: str
    person: Person | None
    logged_in: bool
    context: dict[str, Any]
    session_id: str
    cart: dict[str, int] = field(default_factory=dict)
    viewed: Product | None = None
    actions: int = 0
    over: bool = False


Action = Callable[[Visit, datetime], list[dict[str, Any]]]


class Browsing:
    """Makes the next event for an instant. Holds the visits under way, some hundred at most at usual rates.

    `shoppers` says how often each comes, relative to the others.
    """

    def __init__(self, *, shoppers: Mapping[Person, int], products: Sequence[Product], seed: int, run: str) -> None:
        self.random = random.Random(seed)  # noqa: S311 - plays, keeps no secret
        self.people = list(shoppers)
        self.weights = list(itertools.accumulate(shoppers.values()))
        self.products = products
        self.by_id = {product.product_id: product for product in products}
        self.run = run
        self.numbers = itertools.count(1)
        self.visits: list[tuple[datetime, int, Visit]] = []
        self.strangers: deque[str] = deque(maxlen=REMEMBERED_VISITORS)

    @property
    def visit_count(self) -> int:
        return len(self.visits)

    def pause(self, *, events: int, rate: float) -> timedelta:
        """How long so many events of a Poisson process of `rate` a second take."""
        return timedelta(seconds=self.random.gammavariate(events, 1 / rate))

    def act(self, at: datetime) -> list[dict[str, Any]]:
        """What one visitor does at that instant: somebody who has thought long enough, else somebody new."""
        if self.visits and self.visits[0][0] <= at:
            _, _, visit = heapq.heappop(self.visits)
        else:
            visit = self._arrive()
        messages = self._next_action(visit, at)
        if not visit.over:
            heapq.heappush(self.visits, (at + self._thinking(), next(self.numbers), visit))
        return messages

    # --- Who comes ------------------------------------------------------------------------------------------
    def _arrive(self) -> Visit:
        draw = self.random
        if draw.random() < ANONYMOUS_SHARE:
            person, anonymous_id, logged_in = None, self._stranger(), False
        else:
            (person,) = draw.choices(self.people, cum_weights=self.weights)
            anonymous_id, logged_in = device_of(person), draw.random() < LOGGED_IN
        return Visit(anonymous_id, person, logged_in, self._context(), session_id=f"{self.run}-{next(self.numbers)}")

    def _stranger(self) -> str:
        """A browser nobody knows, seen before now and then."""
        if self.strangers and self.random.random() < RETURNING_ANONYMOUS:
            return self.random.choice(self.strangers)
        fresh = str(uuid.UUID(int=self.random.getrandbits(128), version=4))
        self.strangers.append(fresh)
        return fresh

    def _context(self) -> dict[str, Any]:
        draw = self.random
        context: dict[str, Any] = {
            "library": {"name": "tributary-simulate", "version": "1"},
            "userAgent": draw.choice(USER_AGENTS),
            "ip": f"203.0.113.{draw.randrange(1, 255)}",
            "locale": "en-US",
        }
        campaign = draw.choice(CAMPAIGNS)
        return context | ({"campaign": campaign} if campaign else {})

    def _thinking(self) -> timedelta:
        median, sigma = THINKS_FOR
        return timedelta(seconds=min(median * self.random.lognormvariate(0, sigma), THINKS_AT_MOST))

    # --- What they do ---------------------------------------------------------------------------------------
    def _next_action(self, visit: Visit, at: datetime) -> list[dict[str, Any]]:
        visit.actions += 1
        if visit.actions == 1:
            return [self._page(visit, at, "Home", "/", referrer=self.random.choice(REFERRERS))]
        if visit.actions >= MOST_ACTIONS:
            return self._leave(visit, at)
        return self._choose(visit)(visit, at)

    def _choose(self, visit: Visit) -> Action:
        """Weights of what can be done next, from where the visitor is."""
        options: list[tuple[Action, float]] = [
            (self._view_category, 3.0),
            (self._view_product, 4.0),
            (self._leave, 0.8),
        ]
        if visit.viewed:
            options.append((self._add, 7.0))
        if visit.cart:
            options += [(self._remove, 0.5), (self._view_cart, 0.7)]
        if visit.person and not visit.logged_in:
            options.append((self._log_in, LOGS_IN))
        if visit.person and visit.logged_in and len(visit.cart) >= MEANT_TO_BUY:
            options.append((self._order, 6.0))
        actions, weights = [action for action, _ in options], [weight for _, weight in options]
        return self.random.choices(actions, weights)[0]

    def _view_category(self, visit: Visit, at: datetime) -> list[dict[str, Any]]:
        category = self.random.choice(self.products).category
        return [self._page(visit, at, "Category", f"/category/{slug(category)}", category=category)]

    def _view_product(self, visit: Visit, at: datetime) -> list[dict[str, Any]]:
        visit.viewed = product = self._popular_product()
        page = self._page(visit, at, "Product", f"/product/{product.product_id}", category=product.category)
        return [page, self._track(visit, at, "Product Viewed", product.properties())]

    def _popular_product(self) -> Product:
        """The products are sorted by what they sold: the first come up more often."""
        return self.products[int(len(self.products) * self.random.random() ** 2)]

    def _add(self, visit: Visit, at: datetime) -> list[dict[str, Any]]:
        product = visit.viewed
        assert product is not None  # noqa: S101 - `_choose` offers this only then
        quantity = self.random.choices((1, 2, 3), (6, 3, 1))[0]
        visit.cart[product.product_id] = visit.cart.get(product.product_id, 0) + quantity
        visit.viewed = None
        return [self._track(visit, at, "Product Added", self._in_cart(visit, product, quantity))]

    def _remove(self, visit: Visit, at: datetime) -> list[dict[str, Any]]:
        product = self.by_id[self.random.choice(list(visit.cart))]
        quantity = visit.cart.pop(product.product_id)
        return [self._track(visit, at, "Product Removed", self._in_cart(visit, product, quantity))]

    def _in_cart(self, visit: Visit, product: Product, quantity: int) -> dict[str, Any]:
        return product.properties() | {"cart_id": f"cart-{visit.session_id}", "quantity": quantity}

    def _view_cart(self, visit: Visit, at: datetime) -> list[dict[str, Any]]:
        value = round(sum(self.by_id[name].price * count for name, count in visit.cart.items()), 2)
        properties = {"cart_id": f"cart-{visit.session_id}", "product_count": len(visit.cart), "value": value}
        return [self._page(visit, at, "Cart", "/cart"), self._track(visit, at, "Cart Viewed", properties)]

    def _log_in(self, visit: Visit, at: datetime) -> list[dict[str, Any]]:
        assert visit.person is not None  # noqa: S101
        visit.logged_in = True
        identify = self._message(visit, at, "identify", traits={"email": visit.person.email})
        return [identify, self._track(visit, at, "Logged In", {"method": "password"})]

    def _order(self, visit: Visit, at: datetime) -> list[dict[str, Any]]:
        order_id = f"web-{visit.session_id}-{visit.actions}"
        coupons = self._coupons(visit, at, order_id)
        lines = [
            self.by_id[name].properties() | {"quantity": count, "total": round(self.by_id[name].price * count, 2)}
            for name, count in visit.cart.items()
        ]
        subtotal = sum(line["total"] for line in lines)
        discount = round(min(0.75 * len(coupons), subtotal / 2), 2)
        order = {
            "order_id": order_id,
            "cart_id": f"cart-{visit.session_id}",
            "store_id": "web",
            "currency": "USD",
            "revenue": round(subtotal - discount, 2),
            "discount": 0.0,
            "coupon_discount": discount,
            "product_count": len(lines),
            "products": lines,
        }
        visit.cart.clear()
        return [self._track(visit, at, "Order Completed", order), *coupons]

    def _coupons(self, visit: Visit, at: datetime, order_id: str) -> list[dict[str, Any]]:
        if self.random.random() >= COUPON_SHARE:
            return []
        return [
            self._track(visit, at, "Coupon Redeemed", {"coupon_id": f"web-{coupon}", "order_id": order_id})
            for coupon in self.random.sample(range(1_000), self.random.randint(1, 4))
        ]

    def _leave(self, visit: Visit, at: datetime) -> list[dict[str, Any]]:
        visit.over = True
        if visit.logged_in and self.random.random() < LOGS_OUT:
            return [self._track(visit, at, "Logged Out", {})]
        return [self._page(visit, at, "Offers", "/offers")]

    # --- How it is said -------------------------------------------------------------------------------------
    def _page(self, visit: Visit, at: datetime, name: str, path: str, **properties: Any) -> dict[str, Any]:
        before = visit.context["page"]["url"] if "page" in visit.context else ""
        url = {"path": path, "url": SHOP_URL + path, "title": f"{name} - Shop", "referrer": before}
        seen = url | properties
        visit.context = visit.context | {"page": url | {"referrer": seen["referrer"]}}
        return self._message(visit, at, "page", name=name, properties=seen)

    def _track(self, visit: Visit, at: datetime, event: str, properties: dict[str, Any]) -> dict[str, Any]:
        return self._message(visit, at, "track", event=event, properties=properties)

    def _message(self, visit: Visit, at: datetime, kind: str, **fields: Any) -> dict[str, Any]:
        known = {"userId": visit.person.user_id} if visit.person and visit.logged_in else {}
        return {
            "type": kind,
            "messageId": f"{self.run}-{next(self.numbers)}",
            "anonymousId": visit.anonymous_id,
            **known,
            "timestamp": at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "context": visit.context | {"sessionId": visit.session_id},
            **fields,
        }


def device_of(person: Person) -> str:
    """Each shopper has one browser, the same in every run: so the next visit is recognised."""
    return str(uuid.uuid5(DEVICES, f"{SHOP_URL}/device/{person.user_id}"))


def slug(text: str) -> str:
    return "-".join("".join(letter if letter.isalnum() else " " for letter in text.lower()).split())
