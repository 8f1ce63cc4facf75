"""Kinds' rules: normalisers, patterns, and clusters under limits against a slow oracle. R: C1"""

import fnmatch
import random
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp.kernel.identifiers import normalise
from identity.cluster import Clusters
from identity.contracts import Identifier
from identity.kinds import rules
from identity.kinds.normalisers import NORMALISERS, REGIONS
from identity.kinds.queries import estimate
from identity.kinds.rules import KindSettings, Rules, compile_glob, compile_reading
from tests.factories.identity import sighting
from tests.oracles.identity import DAY, Limits, partition, people_with_limits

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
OPTIONS = {"email": {"gmail_dots": True, "plus_tags": True}, "phone": {"country": "DE"}}


class TestNormalisers:
    @pytest.mark.parametrize("name", NORMALISERS)
    def test_do_what_their_example_says(self, name: str):
        sent, spelt = NORMALISERS[name].example

        assert NORMALISERS[name].make({})(sent.strip()) == spelt

    @pytest.mark.parametrize("name", NORMALISERS)
    @QUICK
    @given(text=st.one_of(st.text(max_size=40), st.emails(), st.uuids().map(str), st.from_regex(r"\+?[0-9 -]{5,15}")))
    def test_leave_their_own_normal_form_alone(self, name: str, text: str):
        said = normalise("user_id", text)
        spell = NORMALISERS[name].make(OPTIONS.get(name, {}))
        once = None if said is None else spell(said)

        assert once is None or spell(once) == once

    @pytest.mark.parametrize(
        ("options", "sent", "spelt"),
        [
            ({}, "A.B+c@gmail.com", "a.b+c@gmail.com"),
            ({"gmail_dots": True}, "a.b+c@googlemail.com", "ab+c@gmail.com"),
            ({"gmail_dots": True}, "a.b@example.org", "a.b@example.org"),
            ({"plus_tags": True}, "a.b+c+d@example.org", "a.b@example.org"),
            ({"plus_tags": True}, "+c@example.org", "+c@example.org"),
            ({"gmail_dots": True}, "...@gmail.com", "...@gmail.com"),
        ],
    )
    def test_fold_addresses_as_told(self, options: dict[str, bool], sent: str, spelt: str):
        assert NORMALISERS["email"].make(options)(sent) == spelt

    def test_know_the_countries_of_telephone_numbers(self):
        assert {"DE", "GB", "US"} <= set(REGIONS)


class TestPatterns:
    @QUICK
    @given(pattern=st.text("ab*?", min_size=1, max_size=8), text=st.text("ab", max_size=10))
    def test_match_as_file_names_do(self, pattern: str, text: str):
        assert bool(compile_glob(pattern).fullmatch(text)) == fnmatch.fnmatchcase(text, pattern)

    def test_take_a_hash_for_a_digit_and_the_rest_literally(self):
        assert compile_glob("t(#)*.x").fullmatch("t(7) abc.x")
        assert not compile_glob("t(#)*.x").fullmatch("t(a).x")
        assert not compile_glob("a.c").fullmatch("abc")

    def test_cost_no_more_than_pattern_times_text(self):
        pattern = compile_glob("*a" * 50)

        begun = time.process_time()
        assert not pattern.fullmatch("a" * 49 + "b" * 205)
        assert time.process_time() - begun < 0.1


class TestReading:
    @pytest.mark.parametrize(
        ("changes", "value", "reason"),
        [
            ({"blocked": ("Test",)}, "tEST", "blocked"),
            ({"patterns": ("kiosk-##",)}, "KIOSK-12", "blocked_pattern"),
            ({"min_length": 4}, "abc", "too_short"),
            ({"min_distinct": 3}, "1212-12", "too_uniform"),
            ({"normaliser": "uuid"}, "abc", "unreadable"),
            ({"enabled": False}, "abc", "disabled"),
        ],
        ids=lambda value: str(value) if isinstance(value, str) else "",
    )
    def test_says_why_a_value_is_none(self, changes: dict[str, object], value: str, reason: str):
        assert compile_reading(KindSettings("card", **changes)).read(value) == (None, reason)

    def test_costs_nothing_while_nothing_is_configured(self):
        assert Rules().is_plain
        assert not Rules([KindSettings("card", blocked=("x",))]).is_plain

    def test_spells_a_previous_id_as_either_kind_that_it_may_be(self):
        found = Rules([KindSettings("user_id", normaliser="casefold", priority=10)]).refine(
            (("user_id", "NEW"), ("previous_id", "Old"))
        )

        assert found.kept == (("user_id", "new"), ("previous_id", "Old"), ("previous_id", "old"))


class TestEstimate:
    @pytest.mark.parametrize("people", [0, 1, 10, 100, 1_000, 10_000])
    def test_tells_about_how_many_there_are(self, people: int):
        chance = random.Random(people)
        bits = len({chance.randrange(2_048) for _ in range(people)})

        found, _ = estimate(bits)

        assert found == pytest.approx(people, rel=0.2, abs=1)

    def test_says_where_it_is_beyond_counting(self):
        assert estimate(2_048)[1]


SETTINGS = (
    KindSettings("user_id", priority=10, limit_ever=1, protected=True),
    KindSettings("email", priority=20, limit_ever=2, limit_weekly=1),
    KindSettings("card", priority=25, limit_ever=3, protected=True),
    KindSettings("anonymous_id", priority=30, limit_ever=4, limit_monthly=3, limit_weekly=2),
)
LIMITS = {
    "user_id": Limits(10, 1, protected=True),
    "email": Limits(20, 2, (("weekly", 7, 1),)),
    "card": Limits(25, 3, protected=True),
    "anonymous_id": Limits(30, 4, (("monthly", 30, 3), ("weekly", 7, 2))),
}
VALUES = [(kind, f"{kind[0]}{n}") for kind, many in (("user_id", 3), ("email", 4), ("card", 3), ("anonymous_id", 6))
          for n in range(many)]  # fmt: skip
MESSAGES = st.lists(
    st.tuples(
        st.integers(0, 60).map(lambda day: day * DAY),
        st.lists(st.sampled_from(VALUES), min_size=1, max_size=4, unique=True),
    ),
    min_size=1,
    max_size=14,
)


def some(values: list[Identifier]) -> st.SearchStrategy[list[Identifier]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=4)


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch):
    """Put settings in force for one test."""

    def put(*found: KindSettings) -> None:
        monkeypatch.setattr(rules._in_force, "rules", Rules(found))

    return put


def cluster(messages: list[tuple[int, list[Identifier]]]) -> Clusters:
    clusters = Clusters(homes={}, holdings={})
    for at, identifiers in messages:
        clusters.add(sighting(*identifiers, at=at))
    return clusters


def people(clusters: Clusters) -> set[frozenset[Identifier]]:
    found: dict[int, set[Identifier]] = {}
    for identifier, node, _ in clusters.linked:
        found.setdefault(clusters.root(node), set()).add(identifier)
    return {frozenset(one) for one in found.values()}


class TestLimits:
    def test_are_kept_as_the_documented_rule_has_it(self, configured):
        configured(*SETTINGS)

        @QUICK
        @given(MESSAGES)
        def holds(messages):
            clusters = cluster(messages)
            expected, refused = people_with_limits(messages, LIMITS)

            assert people(clusters) == expected
            assert [(one.identifier, one.reason) for one in clusters.conflicts] == refused

        holds()

    def test_do_not_make_the_order_matter_where_none_is_hit(self, configured):
        """Nobody is seen with more values in any stretch than a profile may gain in it."""
        configured(*SETTINGS)
        mine = [[("user_id", f"u{n}"), ("email", f"e{n}"), ("card", f"c{n}"),
                 *(("anonymous_id", f"a{n}{m}") for m in range(2))] for n in range(3)]  # fmt: skip

        @QUICK
        @given(st.data())
        def holds(data):
            messages = [
                (
                    data.draw(st.integers(0, 60)) * DAY,
                    data.draw(st.lists(st.sampled_from(values), min_size=1, max_size=4)),
                )
                for values in data.draw(st.lists(st.sampled_from(mine), min_size=1, max_size=12))
            ]
            again = data.draw(st.permutations(messages + messages[::2]))
            clusters = cluster(again)

            assert not clusters.conflicts
            assert people(clusters) == partition(identifiers for _, identifiers in messages)

        holds()

    def test_blame_the_value_that_is_shared(self, configured):
        configured(*SETTINGS)
        tablet, mail = ("anonymous_id", "tablet"), ("email", "test@test.com")
        clusters = cluster(
            [(0, [("user_id", f"u{n}"), tablet]) for n in range(3)]
            + [(n * 40 * DAY, [mail, ("anonymous_id", f"a{n}")]) for n in range(6)]
        )

        assert {one.shared for one in clusters.conflicts} == {tablet, mail}

    def test_stop_growth_even_where_no_limit_is_set(self, configured):
        configured(KindSettings("anonymous_id", priority=30, limit_ever=None))

        clusters = cluster([(n, [("user_id", "u"), ("anonymous_id", f"a{n}")]) for n in range(1_100)])

        assert max(len(one) for one in people(clusters)) == 1_001
