"""Simulated visitors: plausible, reproducible, bounded."""

from collections import Counter, defaultdict
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from cdp.demo.browsing import Browsing, Product, device_of, slug
from cdp.demo.people import person

NOW = datetime(2026, 5, 17, tzinfo=UTC)
PEOPLE = [person(household) for household in range(1, 101)]
PRODUCTS = [Product(str(n), f"PRODUCT {n}", f"CATEGORY {n % 7}", "GROCERY", "National", 1.25 + n) for n in range(50)]


def browsing(*, seed=1, run="run") -> Browsing:
    return Browsing(shoppers=dict.fromkeys(PEOPLE, 1), products=PRODUCTS, seed=seed, run=run)


def play(visitors: Browsing, *, events: int, rate: float = 5.0):
    """Messages, and how many seconds they took."""
    messages, at = [], NOW
    while len(messages) < events:
        acted = visitors.act(at)
        messages += acted
        at += visitors.pause(events=len(acted), rate=rate)
    return messages, (at - NOW).total_seconds()


@pytest.fixture(scope="module")
def messages():
    return play(browsing(), events=20_000)[0]


@pytest.fixture(scope="module")
def visits(messages):
    found = defaultdict(list)
    for message in messages:
        found[message["context"]["sessionId"]].append(message)
    return found


class TestBrowsing:
    def test_repeats_itself_with_the_same_seed(self):
        assert play(browsing(seed=7), events=500) == play(browsing(seed=7), events=500)
        assert play(browsing(seed=7), events=500) != play(browsing(seed=8), events=500)

    def test_never_repeats_a_message_id_in_another_run(self):
        ids = {message["messageId"] for message in play(browsing(run="a"), events=500)[0]}

        assert ids.isdisjoint(message["messageId"] for message in play(browsing(run="b"), events=500)[0])

    @pytest.mark.parametrize("rate", [0.5, 5.0, 200.0])
    def test_keeps_to_the_rate(self, rate):
        messages, seconds = play(browsing(), events=20_000, rate=rate)

        assert len(messages) / seconds == pytest.approx(rate, rel=0.05)

    def test_holds_few_visits_at_once(self):
        visitors = browsing()

        play(visitors, events=50_000)

        assert visitors.visit_count < 200
        assert len(visitors.strangers) <= 500

    def test_does_all_that_shoppers_do(self, messages):
        done = {message.get("event") or message.get("name") or message["type"] for message in messages}

        assert done == {
            "Home", "Category", "Product", "Cart", "Offers", "identify", "Product Viewed", "Product Added",
            "Product Removed", "Cart Viewed", "Logged In", "Logged Out", "Order Completed", "Coupon Redeemed",
        }  # fmt: skip

    def test_names_every_message_once(self, messages):
        assert len({message["messageId"] for message in messages}) == len(messages)

    def test_gives_each_visit_an_order_of_events_that_can_be(self, visits):
        for visit in visits.values():
            assert visit[0].get("name") == "Home"
            cart = defaultdict(int)
            for message in visit:
                follow(cart, message)

    def test_takes_time_between_actions(self, visits):
        gaps = [
            (datetime.fromisoformat(later["timestamp"]) - datetime.fromisoformat(earlier["timestamp"])).total_seconds()
            for visit in visits.values()
            for earlier, later in pairwise(visit)
        ]
        thought = sorted(gap for gap in gaps if gap > 0)

        assert 4 < thought[len(thought) // 2] < 20
        assert min(gaps) >= 0

    def test_links_a_browser_to_its_shopper_by_identify(self, messages):
        emails = {person.user_id: (person.email, device_of(person)) for person in PEOPLE}
        identifies = [message for message in messages if message["type"] == "identify"]

        assert identifies
        for message in identifies:
            assert (message["traits"]["email"], message["anonymousId"]) == emails[message["userId"]]

    def test_keeps_part_of_the_visitors_anonymous_for_ever(self, messages):
        known = {message["anonymousId"] for message in messages if "userId" in message}
        strangers = {message["anonymousId"] for message in messages} - {device_of(person) for person in PEOPLE}

        assert strangers
        assert strangers.isdisjoint(known)

    def test_sees_frequent_shoppers_more_often(self):
        rare, frequent = PEOPLE[:2]
        visitors = Browsing(shoppers={rare: 1, frequent: 9}, products=PRODUCTS, seed=1, run="run")

        seen = Counter(message["anonymousId"] for message in play(visitors, events=20_000)[0])

        assert seen[device_of(frequent)] > 5 * seen[device_of(rare)] > 0

    def test_shares_no_browser_between_two_people(self, messages):
        users = defaultdict(set)
        for message in messages:
            if "userId" in message:
                users[message["anonymousId"]].add(message["userId"])

        assert {len(found) for found in users.values()} == {1}


def follow(cart, message) -> None:
    """What is taken out was put in, and what is paid for lies in the cart."""
    properties = message.get("properties", {})
    match message.get("event"):
        case "Product Added":
            cart[properties["product_id"]] += properties["quantity"]
        case "Product Removed":
            assert cart.pop(properties["product_id"]) == properties["quantity"]
        case "Order Completed":
            assert {line["product_id"]: line["quantity"] for line in properties["products"]} == cart
            total = sum(line["total"] for line in properties["products"])
            assert properties["revenue"] + properties["coupon_discount"] == pytest.approx(total, abs=0.005)
            assert "userId" in message
            cart.clear()


class TestSlug:
    @pytest.mark.parametrize(
        ("text", "expected"), [("FRUIT - SHELF STABLE", "fruit-shelf-stable"), ("A&B/C", "a-b-c")]
    )
    def test_leaves_words_and_hyphens(self, text, expected):
        assert slug(text) == expected


class TestOrigin:
    def test_of_a_page_is_the_page_before(self, visits):
        for messages in list(visits.values())[:50]:
            pages = [message["context"]["page"] for message in messages if message["type"] == "page"]

            assert all(later["referrer"] == earlier["url"] for earlier, later in pairwise(pages))

    def test_comes_in_many_kinds(self, messages):
        found = Counter(message["context"]["page"]["referrer"] for message in messages if message["type"] == "page")

        assert {"", "https://www.google.com/", "https://www.instagram.com/"} <= found.keys()
