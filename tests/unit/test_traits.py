"""Traits: the same set of updates ends in the same traits, in whatever order and however often they come."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from identity.traits import DAY, Policy, Rule, TraitState, TraitUpdate, fold, newest_of_each_source
from tests.oracles.identity import last_writer_wins, value_by_policy

NAMES = st.sampled_from(["plan", "city", "age"])
VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from(["a", "b", ""])
    | st.lists(st.integers(0, 2), max_size=2)
)
UPDATES = st.lists(
    st.builds(
        TraitUpdate,
        profile_id=st.just(1),
        at=st.integers(0, 4),
        source_id=st.integers(1, 3),
        priority=st.sampled_from([50, 100]),
        traits=st.dictionaries(NAMES, VALUES, max_size=3),
    ),
    max_size=8,
)


def update(at: int = 1, *, source_id: int = 1, priority: int = 100, **traits: object) -> TraitUpdate:
    return TraitUpdate(1, at, source_id, priority, traits)


def state_after(*updates: TraitUpdate) -> TraitState:
    state = TraitState()
    fold({1: state}, updates)
    return state


def stored(state: TraitState) -> TraitState:
    """As the database gives it back."""
    return TraitState(json.loads(json.dumps(state.traits)), json.loads(json.dumps(state.provenance)))


class TestOrder:
    @given(UPDATES, st.randoms(use_true_random=False))
    def test_and_repetition_do_not_matter(self, updates, random):
        expected = state_after(*updates)
        repeated = updates + random.choices(updates, k=3) if updates else []
        random.shuffle(repeated)

        found = state_after(*repeated)

        assert (found.traits, found.provenance) == (expected.traits, expected.provenance)

    @given(UPDATES, st.integers(0, 8))
    def test_and_chunks_do_not_matter(self, updates, cut):
        expected = state_after(*updates)

        state = stored(state_after(*updates[:cut]))
        fold({1: state}, updates[cut:])

        assert (state.traits, state.provenance) == (expected.traits, expected.provenance)

    @given(UPDATES, st.lists(st.booleans(), min_size=8, max_size=8))
    def test_and_merges_do_not_matter(self, updates, sides):
        """Half of the updates went to another profile, which was absorbed."""
        expected = state_after(*updates)
        left = state_after(*(u for u, side in zip(updates, sides, strict=False) if side))
        right = state_after(*(u for u, side in zip(updates, sides, strict=False) if not side))

        left.absorb(stored(right))

        assert (left.traits, left.provenance) == (expected.traits, expected.provenance)

    @given(
        st.lists(
            st.tuples(
                st.tuples(st.integers(0, 3), st.sampled_from([50, 100]), st.integers(1, 3)),
                st.dictionaries(NAMES, VALUES),
            ),
            max_size=8,
            unique_by=lambda pair: pair[0],
        )
    )
    def test_the_last_writer_wins(self, stamped):
        updates = [TraitUpdate(1, at, source, priority, traits) for (at, priority, source), traits in stamped]

        assert state_after(*updates).traits == last_writer_wins(stamped)


POLICIES = st.sampled_from(
    [Policy(), Policy(Rule.OLDEST), Policy(Rule.FREQUENT), Policy(Rule.PRIORITY, (3, 1)), Policy(Rule.PRIORITY)]
)
STATEMENTS = st.lists(
    st.builds(
        TraitUpdate,
        profile_id=st.just(1),
        at=st.builds(lambda day, rest: day * DAY + rest, st.sampled_from([0, 1, 2, 3, 60, 91, 92]), st.integers(0, 2)),
        source_id=st.integers(1, 3),
        priority=st.sampled_from([50, 100]),
        traits=st.fixed_dictionaries({"x": st.none() | st.sampled_from(["a", "b", "c"]) | st.just(1) | st.just(True)}),
    ),
    max_size=12,
)


def state_by(policy: Policy, updates: list[TraitUpdate]) -> TraitState:
    state = TraitState(policies={"x": policy})
    fold({1: state}, updates)
    return state


def said(source_id: int, value: Any) -> TraitUpdate:
    return TraitUpdate(profile_id=1, at=0, source_id=source_id, priority=50, traits={"x": value})


class TestPolicies:
    @given(POLICIES, STATEMENTS, st.randoms(use_true_random=False))
    def test_heed_neither_order_nor_repetition(self, policy, updates, random):
        expected = state_by(policy, updates)
        repeated = updates + random.choices(updates, k=3) if updates else []
        random.shuffle(repeated)

        found = state_by(policy, repeated)

        assert (found.traits, found.provenance) == (expected.traits, expected.provenance)

    @given(POLICIES, STATEMENTS, st.lists(st.integers(0, 3), min_size=12, max_size=12), st.permutations(range(4)))
    def test_heed_no_grouping_of_merges(self, policy, updates, sides, order):
        """The statements went to four profiles, which were merged in any order, in pairs and then together."""
        expected = state_by(policy, updates)
        parts = [state_by(policy, [u for u, side in zip(updates, sides, strict=False) if side == n]) for n in order]
        for part in parts:
            part.traits, part.provenance = stored(part).traits, stored(part).provenance

        parts[0].absorb(parts[1])
        parts[2].absorb(parts[3])
        parts[0].absorb(parts[2])

        assert (parts[0].traits, parts[0].provenance) == (expected.traits, expected.provenance)

    @given(POLICIES, STATEMENTS)
    def test_choose_as_they_are_defined(self, policy, updates):
        said = [(u.at, u.source_id, u.priority, u.traits["x"]) for u in updates]

        found = state_by(policy, updates).traits.get("x")

        wanted = value_by_policy(said, rule=policy.rule, sources=policy.sources, day=DAY)
        assert json.dumps(found) == json.dumps(wanted)

    @example(Policy(), [said(1, None), said(2, 1), said(2, True)])
    @example(Policy(), [said(1, None), said(2, [1]), said(2, [True])])
    @given(POLICIES, STATEMENTS)
    def test_tell_what_every_source_says_now(self, policy, updates):
        state = state_by(policy, updates)

        found = {one[1]: one[3] for one in newest_of_each_source(state.statements("x"))}

        for source, value in found.items():
            theirs = [(u.at, u.source_id, u.priority, u.traits["x"]) for u in updates if u.source_id == source]
            assert json.dumps(value_by_policy(theirs, rule="newest")) == json.dumps(value)
        assert found.keys() == {u.source_id for u in updates}

    @given(POLICIES, st.sampled_from([Rule.NEWEST, Rule.PRIORITY]), STATEMENTS)
    def test_can_be_changed_back_to_those_that_need_only_the_newest(self, policy, rule, updates):
        expected = state_by(Policy(rule, (2,)), updates)

        state = state_by(policy, updates)
        state.policies = {"x": Policy(rule, (2,))}
        state.decide("x")

        assert (state.traits, state.provenance) == (expected.traits, expected.provenance)


class TestNews:
    def test_is_what_a_source_had_not_said(self):
        state = state_after(update(1, plan="pro", city="Oslo"), update(2, plan="free", city="Oslo"))

        assert [(one.at, traits) for one, traits in state.news] == [
            (1, {"plan": "pro", "city": "Oslo"}),
            (2, {"plan": "free"}),
        ]

    def test_is_not_a_repetition_by_two_sources_in_turn(self):
        updates = [update(at, source_id=at % 2 + 1, plan="pro") for at in range(6)]

        assert [one.at for one, _ in state_after(*updates).news] == [0, 1]

    def test_is_an_older_value_that_comes_late(self):
        state = state_after(update(2, plan="free"), update(1, plan="pro"))

        assert [(one.at, traits) for one, traits in state.news] == [(2, {"plan": "free"}), (1, {"plan": "pro"})]

    def test_is_not_the_deletion_of_what_was_not_known(self):
        assert state_after(update(1, plan=None)).news == []


class TestTraits:
    def test_of_two_at_one_instant_the_better_source_wins(self):
        state = state_after(update(priority=50, plan="crm"), update(priority=100, plan="web"))

        assert state.traits == {"plan": "crm"}

    def test_a_null_deletes(self):
        state = state_after(update(1, plan="pro", city="Oslo"), update(2, plan=None))

        assert state.traits == {"city": "Oslo"}

    def test_an_older_value_does_not_bring_a_deleted_one_back(self):
        state = state_after(update(2, plan=None), update(1, plan="pro"))

        assert state.traits == {}
        assert state.provenance == {"plan": [2, 1, 100]}

    def test_provenance_names_the_winner(self):
        state = state_after(update(5, source_id=3, priority=50, plan="pro"))

        assert state.provenance == {"plan": [5, 3, 50]}


class TestChanged:
    def test_names_what_has_another_value(self):
        state = state_after(update(1, plan="pro", city="Oslo"))
        state.changed.clear()

        fold({1: state}, [update(2, plan="free", city="Oslo")])

        assert state.changed == {"plan"}
        assert state.touched

    @pytest.mark.parametrize(("before", "after"), [(1, True), (0, False), (1, "1"), ("", None)])
    def test_tells_types_apart(self, before, after):
        state = state_after(update(1, x=before))
        state.changed.clear()

        fold({1: state}, [update(2, x=after)])

        assert state.changed == {"x"}

    def test_is_empty_for_a_repetition(self):
        state = stored(state_after(update(1, plan="pro")))

        fold({1: state}, [update(1, plan="pro")])

        assert not state.changed
        assert not state.touched
