"""Realistic messages, the same on every machine: a shop's visitors, known and new, in batches of 100."""

import json
import random
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

BATCH = 100
LIVE_SECONDS = 5.0
LATE = 0.05  # of the messages, as from apps that were offline
CATEGORIES = ("Shoes", "Coats", "Bags", "Hats", "Belts", "Socks", "Scarves", "Gloves")
BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36"


def visitor_id(person: int) -> uuid.UUID:
    return uuid.UUID(int=person * 7_919, version=4)


class Traffic:
    """`people` come back again and again; every tenth message is of somebody who has not been seen before.

    They are the first of all persons, or drawn from the first `among` ones. Messages are of the last seconds, but a
    share of `late` ones, which are of the last day.
    """

    def __init__(self, *, people: int, among: int = 0, seed: int = 1, late: float = LATE) -> None:
        self._random = random.Random(seed)
        self._late = late
        self._people = self._random.sample(range(among), people) if among else range(people)
        self._new = among or people
        self._known = {visitor_id(person).int for person in self._people}

    def batches(self, count: int, *, now: datetime) -> Iterator[bytes]:
        for _ in range(count):
            yield json.dumps(
                {
                    "batch": [self.message(now) for _ in range(BATCH)],
                    "context": {"library": {"name": "analytics-python", "version": "2.3"}},
                    "sentAt": now.isoformat(),
                }
            ).encode()

    def message(self, now: datetime) -> dict[str, Any]:
        draw = self._random
        person = draw.choice(self._people)
        if draw.random() < 0.1:
            self._new += 1
            person = self._new
        return {
            "messageId": str(uuid.UUID(int=draw.getrandbits(128), version=4)),
            "timestamp": (now - timedelta(seconds=draw.uniform(0, self._age()))).isoformat(),
            **self._who(person),
            **self._what(person),
        }

    def is_new(self, message: dict[str, Any]) -> bool:
        """Whether its sender had not been seen before."""
        return uuid.UUID(message["anonymousId"]).int not in self._known

    def _age(self) -> float:
        """The most seconds that a message can be old."""
        return 86_400 if self._random.random() < self._late else LIVE_SECONDS

    def _who(self, person: int) -> dict[str, Any]:
        """Two in three are logged in."""
        visitor = {"anonymousId": str(visitor_id(person))}
        return visitor if person % 3 == 0 else visitor | {"userId": f"customer-{person}"}

    def _what(self, person: int) -> dict[str, Any]:
        draw = self._random
        kind = draw.random()
        product = {
            "product_id": f"SKU-{draw.randrange(5_000):05}",
            "category": draw.choice(CATEGORIES),
            "brand": f"Brand {draw.randrange(80)}",
            "price": round(draw.uniform(5, 200), 2),
            "currency": "EUR",
            "position": draw.randrange(40),
            "list": "search results",
            "variant": f"{draw.choice(('black', 'blue', 'red'))} / {draw.choice('SML')}",
        }
        page = {"ip": f"198.51.{draw.randrange(99)}.{draw.randrange(250)}", "userAgent": BROWSER}
        if kind < 0.05:
            traits = {
                "city": draw.choice(("Oslo", "Rome", "Lyon")),
                "plan": draw.choice(("free", "pro")),
                "visits": person,
            }
            if person % 3:
                traits["email"] = f"customer-{person}@example.org"
            return {"type": "identify", "traits": traits, "context": page}
        if kind < 0.45:
            place = f"https://shop.example/{product['category']}/{product['product_id']}"
            properties = {
                "url": place,
                "path": place[20:],
                "title": f"{product['brand']} {product['category']}",
                **product,
            }
            return {"type": "page", "properties": properties, "context": page}
        if kind < 0.85:
            return {"type": "track", "event": "Product Viewed", "properties": product, "context": page}
        if kind < 0.95:
            return {
                "type": "track",
                "event": "Product Added",
                "properties": product | {"quantity": 1},
                "context": page,
            }
        order = {"order_id": f"o-{draw.getrandbits(40)}", "revenue": product["price"], "products": [product]}
        return {"type": "track", "event": "Order Completed", "properties": order, "context": page}
