"""Complete Journey as messages: nothing lost, nothing invented, nothing in the future. The oracle is the raw table."""

import hashlib
from collections import Counter
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.demo import complete_journey
from cdp.demo.complete_journey import Message, Order, OrderLine
from tests.factories.complete_journey import table

NOW = datetime(2026, 5, 17, 9, 30, 15, 500_000, tzinfo=UTC)
MONEY = ("sales_value", "retail_disc", "coupon_disc", "coupon_match_disc")
DISCOUNTS = ("revenue", "discount", "coupon_discount", "coupon_match_discount")


class Line(msgspec.Struct, gc=False):
    total: float


class Bought(msgspec.Struct, gc=False):
    order_id: str
    revenue: float
    discount: float
    coupon_discount: float
    coupon_match_discount: float
    products: list[Line]


class Sent(msgspec.Struct, gc=False):
    """What is looked at of a message. There are 1.47 million lines in them: a decoder picks it out much faster."""

    type: str
    messageId: str  # noqa: N815 - as it is sent
    timestamp: str
    userId: str  # noqa: N815
    event: str = ""
    properties: msgspec.Raw = msgspec.Raw(b"{}")


read_batch = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
read_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
read_message = msgspec.json.Decoder(Sent).decode
read_order = msgspec.json.Decoder(Bought).decode


def cents(amount: float) -> int:
    """Of an amount with two decimals."""
    return round(amount * 100)


@pytest.fixture(scope="module", autouse=True)
def _files_are_read_once():
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(complete_journey, "table", table)
        yield


@pytest.fixture(scope="module")
def whole():
    """One pass over everything that is sent, folded as it goes: the whole is 300 MB."""
    journey = complete_journey.read()
    seen = SimpleNamespace(
        journey=journey,
        events=Counter(),
        ids=set(),
        money=Counter(),
        orders={},
        sizes=[],
        bodies=[],
        times=[],
        users=set(),
    )
    for batch in complete_journey.batches(journey, shift=complete_journey.shift_to(NOW)):
        seen.bodies.append((len(batch.body), batch.events))
        for raw in read_items(read_batch(batch.body)["batch"]):
            seen.sizes.append(len(bytes(raw)))
            look_at(read_message(raw), seen)
    return seen


def look_at(message, seen) -> None:
    seen.events[message.event or message.type] += 1
    seen.ids.add((message.type, message.messageId))
    seen.times.append(message.timestamp)
    seen.users.add(message.userId)
    if message.event == "Order Completed":
        order = read_order(message.properties)
        for field in DISCOUNTS:
            seen.money[field] += cents(getattr(order, field))
        seen.money["lines"] += sum([cents(line.total) for line in order.products])
        seen.money["products"] += len(order.products)
        seen.orders[order.order_id] = order.revenue


class TestTheWholeDataSet:
    def test_has_one_order_per_basket(self, whole):
        baskets = set(complete_journey.table("transactions")["basket_id"].astype(str))

        assert set(whole.orders) == baskets
        assert len(baskets) == 155_848

    def test_keeps_every_cent(self, whole):
        raw = complete_journey.table("transactions")

        for field, column in zip(DISCOUNTS, MONEY, strict=True):
            assert whole.money[field] == int((raw[column] * 100).round().astype("int64").sum())
        assert whole.money["lines"] == whole.money["revenue"]

    def test_keeps_every_line(self, whole):
        assert whole.money["products"] == len(complete_journey.table("transactions"))

    def test_has_every_household_campaign_and_redemption(self, whole):
        assert whole.events == {
            "identify": 2_469,
            "Campaign Received": len(complete_journey.table("campaigns")),
            "Order Completed": 155_848,
            "Coupon Redeemed": len(complete_journey.table("coupon_redemptions")),
        }
        assert sum(whole.events.values()) == whole.journey.message_count
        assert len(whole.users) == 2_469

    def test_ends_now_and_never_later(self, whole):
        assert max(whole.times) == "2026-05-17T09:30:15Z"

    def test_begins_a_year_earlier(self, whole):
        orders_and_traits = [time for time in whole.times if time >= "2025-05-16"]
        early = len(whole.times) - len(orders_and_traits)

        assert early < 1_500  # a few campaigns had begun before the data do
        assert min(whole.times) >= "2025-03"

    def test_gives_every_message_its_own_id(self, whole):
        assert len(whole.ids) == sum(whole.events.values())

    def test_stays_below_the_limits_of_the_api(self, whole):
        assert max(whole.sizes) <= 32 * 1024
        assert max(size for size, _ in whole.bodies) <= 500 * 1024
        assert max(events for _, events in whole.bodies) <= 2_500
        assert max(len(message_id) for _, message_id in whole.ids) <= 100


@pytest.fixture(scope="module")
def slice_of_data():
    return complete_journey.read(households=20)


def messages_of(journey, *, now=NOW):
    shift = complete_journey.shift_to(now)
    for batch in complete_journey.batches(journey, shift=shift):
        yield from msgspec.json.decode(batch.body)["batch"]


class TestMessages:
    def test_are_the_same_bytes_every_time(self, slice_of_data):
        def digest() -> str:
            shift = complete_journey.shift_to(NOW)
            bodies = (
                batch.body for batch in complete_journey.batches(complete_journey.read(households=20), shift=shift)
            )
            return hashlib.sha256(b"".join(bodies)).hexdigest()

        assert digest() == digest()

    def test_of_a_slice_are_those_of_the_whole(self, slice_of_data):
        fewer = {message["messageId"]: message for message in messages_of(complete_journey.read(households=5))}
        more = {message["messageId"]: message for message in messages_of(slice_of_data)}

        assert fewer.items() <= more.items()

    @pytest.mark.parametrize("now", [NOW, datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC), NOW + timedelta(days=400)])
    def test_move_as_a_whole_with_the_shift(self, slice_of_data, now):
        moved = [datetime.fromisoformat(message["timestamp"]) for message in messages_of(slice_of_data, now=now)]
        start = [datetime.fromisoformat(message["timestamp"]) for message in messages_of(slice_of_data)]

        assert {there - here for there, here in zip(moved, start, strict=True)} == {
            now.replace(microsecond=0) - NOW.replace(microsecond=0)
        }
        assert max(moved) <= now

    def test_are_what_segment_calls_valid(self, slice_of_data):
        for message in messages_of(slice_of_data):
            assert message["type"] in {"identify", "track"}
            assert message["messageId"]
            assert message["userId"].startswith("loyalty-")
            assert datetime.fromisoformat(message["timestamp"]).tzinfo is not None
            body = message["traits"] if message["type"] == "identify" else message["properties"]
            assert isinstance(body, dict)
            assert (message["type"] == "track") == bool(message.get("event"))

    def test_say_what_a_product_is(self, slice_of_data):
        lines = [
            line
            for message in messages_of(slice_of_data)
            if message.get("event") == "Order Completed"
            for line in message["properties"]["products"]
        ]

        described = [line for line in lines if {"name", "category", "department", "brand"} <= line.keys()]
        assert len(described) > 0.95 * len(lines)
        assert all(isinstance(line["product_id"], str) and line["quantity"] >= 0 for line in lines)

    def test_carry_demographics_as_the_data_have_them(self, slice_of_data):
        traits = {m["userId"]: m["traits"] for m in messages_of(slice_of_data) if m["type"] == "identify"}
        known = complete_journey.table("demographics").set_index("household_id").loc[1]

        assert traits["loyalty-0001"]["age_band"] == known["age"] == "65+"
        assert traits["loyalty-0001"]["has_kids"] is False
        assert "age_band" not in traits["loyalty-0002"]
        assert all(trait["synthetic"] is True for trait in traits.values())

    def test_leave_out_what_was_not_asked(self, slice_of_data):
        for message in messages_of(complete_journey.read(households=300)):
            if message["type"] == "identify":
                assert "nan" not in {str(value).lower() for value in message["traits"].values()}

    def test_tie_a_redemption_to_the_basket_of_its_day(self):
        journey = complete_journey.read(households=200)
        orders = {}
        redeemed = []
        for message in messages_of(journey):
            if message.get("event") == "Order Completed":
                orders[message["properties"]["order_id"]] = message
            elif message.get("event") == "Coupon Redeemed":
                redeemed.append(message)

        tied = [message for message in redeemed if "order_id" in message["properties"]]
        assert len(redeemed) > 50
        assert len(tied) > 0.95 * len(redeemed)
        for message in tied:
            order = orders[message["properties"]["order_id"]]
            assert (order["userId"], order["timestamp"]) == (message["userId"], message["timestamp"])


def order_of(count: int, *, text: str) -> Message:
    lines = [OrderLine(str(n), 1, 1.5, 1.5, text, text, text, "National", 0.1) for n in range(count)]
    order = Order("1", "2", 3, "USD", 1.5 * count, 0.1 * count, 0.0, 0.0, count, lines)
    return Message("track", "order-1", "loyalty-0001", "2026-01-01T00:00:00Z", "Order Completed", order)


class TestFit:
    @given(st.integers(0, 1_500), st.text(max_size=40))
    def test_brings_an_order_under_the_limit_and_keeps_its_sums(self, count, text):
        message = complete_journey.fit(order_of(count, text=text))

        order = message.properties
        assert len(msgspec.json.encode(message)) <= complete_journey.MAX_EVENT_BYTES
        assert (order.revenue, order.product_count) == (1.5 * count, count)
        assert len(order.products) + order.products_truncated == count

    def test_leaves_an_order_that_fits_as_it_is(self):
        assert complete_journey.fit(order_of(100, text="BREAD")) == order_of(100, text="BREAD")

    def test_gives_up_names_before_lines(self):
        order = complete_journey.fit(order_of(200, text="FRUIT - SHELF STABLE")).properties

        assert len(order.products) == 200
        assert order.products[0].name == ""
        assert order.products[0].category == "FRUIT - SHELF STABLE"


class TestPack:
    @given(st.lists(st.integers(0, 30_000), max_size=60), st.integers(0, 6_000))
    def test_loses_nothing_and_stays_below_the_limits(self, sizes, tiny):
        wanted = [f"m-{n}" for n in range(len(sizes) + tiny)]
        texts = ["x" * size for size in sizes] + [""] * tiny
        sent = (
            Message("identify", message_id, "u", "t", traits={"text": text})
            for message_id, text in zip(wanted, texts, strict=True)
        )

        batches = list(complete_journey.pack("crm", sent))

        got = [message["messageId"] for batch in batches for message in msgspec.json.decode(batch.body)["batch"]]
        assert got == wanted
        assert all(len(batch.body) <= 500 * 1024 and batch.events <= 2_500 for batch in batches)
        assert sum(batch.events for batch in batches) == len(wanted)
