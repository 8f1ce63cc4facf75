"""The rules that people ask for first, as the gallery offers them: who is in, who is not, and when. R: D5, D6"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from segments import operations, queries
from segments.gallery import GALLERY, PURPOSE
from tests.factories import segments as make
from tests.factories.consent import PurposeFactory
from tests.oracles.segments import Chosen

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 12, 12, 0, tzinfo=UTC)  # a Thursday
TEMPLATES = {template.slug: template.definition for template in GALLERY}

Did = tuple[str, str] | tuple[str, str, dict[str, Any]]  # how long ago, what, with which properties

CART, VIEW, ORDER, SESSION = "Product Added", "Product Viewed", "Order Completed", "Session Ended"
LONG, SHORT = {"duration": 300, "items_added": 6}, {"duration": 60, "items_added": 5}
X, Y = {"products": [{"name": "Product X"}]}, {"products": [{"name": "Accessory Y"}, {"name": "Product X"}]}

# For each template: histories of people who are in, and of people who are not.
EXAMPLES: dict[str, tuple[list[list[Did]], list[list[Did]]]] = {
    "viewed-three-in-an-hour": (
        [[("3h", VIEW), ("150m", VIEW), ("2h", VIEW)]],
        [[("3h", VIEW), ("150m", VIEW), ("119m", VIEW)], [("8d", VIEW), ("8d", VIEW), ("8d", VIEW)]],
    ),
    "highly-interested": (
        [[("20m", VIEW), ("15m", VIEW), ("10m", VIEW)]],
        [[("20m", VIEW), ("15m", VIEW), ("9m", VIEW)], [("1m", VIEW), ("1m", VIEW)]],
    ),
    "left-at-checkout": (
        [[("30m", CART)], [("2h", CART), ("89m", ORDER)]],
        [[("29m", CART)], [("2h", CART), ("90m", ORDER)], [("8d", CART)]],
    ),
    "dear-cart-left": (
        [[("2d", CART, {"price": 101})], [("3d", ORDER), ("2d", CART, {"price": 101})]],
        [[("2d", CART, {"price": 100})], [("2d", CART, {"price": 101}), ("1d", ORDER)]],
    ),
    "full-cart-left": (
        [[("26h", CART), ("25h", CART), ("24h", CART)]],
        [
            [("26h", CART), ("25h", CART)],
            [("3h", CART), ("2h", CART), ("1h", CART)],
            [("26h", CART), ("25h", CART), ("24h", CART), ("23h", ORDER)],
        ],
    ),
    "fresh-cart-left": (
        [[("2h", CART, {"price": 30}), ("1h", CART, {"price": 20.5})]],
        [[("2h", CART, {"price": 50})], [("25h", CART, {"price": 90})], [("2h", CART, {"price": 90}), ("1h", ORDER)]],
    ),
    "engaged-visitors": (
        [[("2d", VIEW)] * 5 + [("2d", SESSION, LONG)]],
        [[("2d", VIEW)] * 4 + [("2d", SESSION, LONG)], [("2d", VIEW)] * 5 + [("2d", SESSION, SHORT)]],
    ),
    "long-visits-often": (
        [[("2d", SESSION, LONG)] * 6],
        [[("2d", SESSION, LONG)] * 5, [("2d", SESSION, SHORT)] * 9],
    ),
    "weekly-visitors": ([[("6d", "Session Started")] * 5], [[("6d", "Session Started")] * 4]),
    "cart-fillers": ([[("1d", SESSION, LONG)]], [[("1d", SESSION, SHORT)], [("8d", SESSION, LONG)]]),
    "category-fans": (
        [[("9d", VIEW, {"category": "Category"})] * 3],
        [[("9d", VIEW, {"category": "Category"})] * 2 + [("9d", VIEW, {"category": "Other"})]],
    ),
    "one-time-buyers": ([[("9d", ORDER)]], [[], [("9d", ORDER)] * 2]),
    "occasional-buyers": ([[("9d", ORDER)] * 2, [("9d", ORDER)] * 3], [[("9d", ORDER)], [("9d", ORDER)] * 4]),
    "frequent-buyers": ([[("9d", ORDER)] * 4], [[("9d", ORDER)] * 3]),
    "showed-interest": (
        [[("1d", VIEW)], [("1d", CART)], [("1d", "Promotion Viewed")]],
        [[("1d", ORDER)], [("8d", VIEW)]],
    ),
    "missing-accessory": ([[("9d", ORDER, X)]], [[("9d", ORDER, X), ("1d", ORDER, Y)], [("9d", ORDER)]]),
    "weekend-evenings": (
        [[("89h", ORDER)]],
        [[("2h", ORDER)], [("96h", ORDER)]],
    ),  # Sunday at 19; Thursday; Sunday noon
}


@pytest.fixture(scope="module", autouse=True)
def _months(django_db_setup: None, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        make.ensure_months((NOW - timedelta(days=70)).date(), NOW.date())


def ago(text: str) -> datetime:
    return NOW - timedelta(seconds=int(text[:-1]) * {"m": 60, "h": 3_600, "d": 86_400}[text[-1]])


def people(histories: Iterable[list[Did]], *, first: int) -> set[int]:
    """A profile for each history."""
    found, serial = set(), first
    for history in histories:
        profile_id = make.make_profile({})
        found.add(profile_id)
        for when, what, *more in history:
            serial += 1
            make.make_event_name(what)
            make.make_events([(profile_id, what, ago(when), more[0] if more else {}, serial, {})])
    return found


@pytest.mark.parametrize("slug", sorted(EXAMPLES))
def test_a_template_takes_exactly_whom_it_says(slug: str) -> None:
    inside, outside = EXAMPLES[slug]
    expected = people(inside, first=0)
    people(outside, first=10_000)

    found = queries.preview(definition=TEMPLATES[slug], as_of=NOW, sample=100)

    assert set(found.sample_ids) == expected


class TestBesideEvents:
    """Templates that ask for more than what people did."""

    def test_only_who_agreed_may_be_written_to(self) -> None:
        PurposeFactory(slug=PURPOSE)
        buyers = sorted(people([[("9d", ORDER)]] * 3, first=0))
        for number, profile_id in enumerate(buyers):
            make.link(profile_id, f"u-{number}", since=ago("30d"))
        make.record_choices([chosen("u-0", "granted"), chosen("u-1", "withdrawn")], now=NOW)
        operations.follow_consents()

        assert taken_by("may-be-written-to") == {buyers[0]}

    def test_one_enterprise_account_is_enough(self) -> None:
        both, one, idle = sorted(people([[("2d", "Session Started")]] * 2 + [[("40d", "Session Started")]], first=0))
        enterprise, free = (make.make_account({"plan": plan}, group_id=plan) for plan in ("enterprise", "free"))
        for profile_id, account in ((both, enterprise), (both, free), (one, free), (idle, enterprise)):
            make.join_account(profile_id, account)

        assert taken_by("enterprise-people") == {both}


def chosen(identifier: str, state: str) -> Chosen:
    return Chosen(identifier, PURPOSE, state, ago("2d"), None, 0)


def taken_by(slug: str) -> set[int]:
    return set(queries.preview(definition=TEMPLATES[slug], as_of=NOW, sample=100).sample_ids)
