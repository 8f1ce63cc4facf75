"""The policy against its own sentences, and against a slow oracle on random sets of choices."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.policy import (
    REFUSALS,
    Choice,
    Course,
    Decision,
    Reason,
    Standing,
    State,
    course,
    decide,
    latest,
    standing,
)

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


def day(number: int) -> datetime:
    return NOW + timedelta(days=number)


def choice(
    state: State, at: int = -10, *, known: int | None = None, ends: int | None = None, record: int = 1
) -> Choice:
    """A choice `at` days from now, on an identifier known since `known`, lapsing at `ends`."""
    return Choice(state, day(at), None if ends is None else day(ends), record, None if known is None else day(known))


def answer(*choices: Choice, opt_in: bool = True) -> Decision:
    return decide(choices, requires_opt_in=opt_in, now=NOW)


GRANTED, DENIED, WITHDRAWN, EXPIRED = State


class TestSilence:
    def test_is_no_where_people_have_to_opt_in(self):
        assert answer() == Decision(False, Reason.NO_CHOICE)

    def test_is_yes_where_people_may_object(self):
        assert answer(opt_in=False) == Decision(True, Reason.NOT_OBJECTED)


class TestGrant:
    def test_allows_and_is_cited(self):
        assert answer(choice(GRANTED, record=7)) == Decision(True, Reason.GRANTED, 7)

    @pytest.mark.parametrize("opt_in", [True, False])
    def test_holds_until_the_instant_it_ends(self, opt_in):
        lasting, ended = choice(GRANTED, ends=1), choice(GRANTED, ends=0)

        assert answer(lasting, opt_in=opt_in).reason is Reason.GRANTED
        assert answer(ended, opt_in=opt_in).reason is (Reason.EXPIRED if opt_in else Reason.NOT_OBJECTED)

    def test_that_was_recorded_as_expired_is_no_consent(self):
        assert answer(choice(EXPIRED, record=3)) == Decision(False, Reason.EXPIRED, 3)

    def test_on_one_identifier_is_enough_where_another_only_lapsed(self):
        assert answer(choice(EXPIRED), choice(GRANTED, ends=5)).allowed


class TestRefusal:
    @pytest.mark.parametrize("opt_in", [True, False])
    @pytest.mark.parametrize("state", [DENIED, WITHDRAWN])
    def test_is_no_whatever_the_purpose(self, state, opt_in):
        assert answer(choice(state, record=4), opt_in=opt_in) == Decision(False, Reason(state), 4)

    def test_never_lapses(self):
        assert not answer(choice(DENIED, ends=-1), opt_in=False).allowed

    def test_cites_the_newest_one_that_stands(self):
        assert answer(choice(DENIED, -9, record=1), choice(WITHDRAWN, -3, record=2)).record_id == 2


class TestTwoIdentifiersOfOnePerson:
    def test_are_as_strict_as_the_stricter_before_anything_is_known_of_the_link(self):
        assert not answer(choice(DENIED, -9), choice(GRANTED, -3)).allowed

    def test_stay_strict_where_the_grant_came_before_they_were_linked(self):
        assert not answer(choice(DENIED, -9, known=-1), choice(GRANTED, -3, known=-20)).allowed
        assert not answer(choice(DENIED, -9, known=-20), choice(GRANTED, -3, known=-1)).allowed

    def test_follow_a_newer_grant_that_was_made_when_they_were_linked(self):
        assert answer(choice(DENIED, -9, known=-5), choice(GRANTED, -3, known=-20)).allowed

    def test_follow_a_grant_of_the_very_instant_of_the_link(self):
        assert answer(choice(DENIED, -9, known=-3), choice(GRANTED, -3, known=-20)).allowed

    def test_refuse_where_both_chose_at_the_same_instant(self):
        assert not answer(choice(DENIED, -3, known=-9), choice(GRANTED, -3, known=-9)).allowed

    def test_refuse_again_once_the_grant_that_answered_lapses(self):
        assert not answer(choice(DENIED, -9, known=-20), choice(GRANTED, -3, known=-20, ends=-1)).allowed

    def test_keep_their_answer_when_a_third_joins_that_never_chose_or_only_agreed(self):
        two = [choice(DENIED, -9, known=-5), choice(GRANTED, -3, known=-20)]

        assert answer(*two, choice(GRANTED, -2, known=-1)).allowed


class TestLatest:
    def test_is_the_newest(self):
        assert latest([choice(DENIED, -5), choice(GRANTED, -1), choice(WITHDRAWN, -9)]).state is GRANTED

    def test_is_the_strictest_of_one_instant_however_they_were_recorded(self):
        tied = [choice(GRANTED, record=3), choice(DENIED, record=1), choice(EXPIRED, record=2)]

        assert latest(tied).state is DENIED

    def test_is_what_ends_first_of_two_grants_of_one_instant(self):
        assert latest([choice(GRANTED, record=2), choice(GRANTED, ends=5, record=1)]).expires_at == day(5)


def says(held: Choice) -> tuple[object, ...]:
    """What matters of a choice that holds; a denial and a withdrawal say the same."""
    return (held.happened_at, held.state in REFUSALS or held.state, held.expires_at, held.record_id)


few_days = st.integers(-6, 2)
choices = st.builds(
    choice,
    st.sampled_from(State),
    few_days,
    known=st.none() | few_days,
    ends=st.none() | few_days,
    record=st.integers(1, 5),
)


def slow_answer(all_choices: list[Choice], *, opt_in: bool) -> bool:
    """Word for word: no refusal stands, and somebody agreed or nobody had to."""
    live = [c for c in all_choices if c.state == GRANTED and not (c.expires_at and c.expires_at <= NOW)]
    for refusal in all_choices:
        if refusal.state not in REFUSALS:
            continue
        answered = False
        for grant in live:
            newer = grant.happened_at > refusal.happened_at
            linked = grant.known_since is not None and refusal.known_since is not None
            if newer and linked and grant.known_since <= grant.happened_at >= refusal.known_since:
                answered = True
        if not answered:
            return False
    return bool(live) or not opt_in


class TestProperties:
    @given(st.lists(choices, max_size=6), st.booleans())
    def test_agrees_with_the_oracle(self, some, opt_in):
        assert answer(*some, opt_in=opt_in).allowed is slow_answer(some, opt_in=opt_in)

    @given(st.lists(choices, max_size=6), st.booleans(), st.randoms())
    def test_does_not_depend_on_order_or_repetition(self, some, opt_in, random):
        shuffled = some + some[:2]
        random.shuffle(shuffled)

        assert answer(*shuffled, opt_in=opt_in) == answer(*some, opt_in=opt_in)

    @given(st.lists(choices, min_size=1, max_size=6), st.randoms())
    def test_folds_one_identifier_the_same_in_any_order(self, some, random):
        shuffled = random.sample(some, len(some))

        assert says(latest(shuffled)) == says(latest(some))

    @given(st.lists(choices, max_size=5), choices, st.booleans())
    def test_one_refusal_more_never_turns_no_into_yes(self, some, one_more, opt_in):
        refusal = Choice(DENIED, one_more.happened_at, None, one_more.record_id, one_more.known_since)

        assert answer(*some, opt_in=opt_in).allowed or not answer(*some, refusal, opt_in=opt_in).allowed

    @given(st.lists(choices, max_size=5))
    def test_opting_in_allows_no_more_than_objecting_does(self, some):
        assert answer(*some, opt_in=False).allowed or not answer(*some, opt_in=True).allowed

    @given(st.lists(choices, max_size=5), st.booleans())
    def test_knowing_less_of_the_links_never_allows_more(self, some, opt_in):
        unlinked = [Choice(c.state, c.happened_at, c.expires_at, c.record_id) for c in some]

        assert answer(*some, opt_in=opt_in).allowed or not answer(*unlinked, opt_in=opt_in).allowed


class TestStanding:
    def test_is_unknown_where_what_was_agreed_to_has_expired(self):
        assert standing([choice(GRANTED, ends=0)], now=NOW) is Standing.UNKNOWN
        assert standing([choice(EXPIRED)], now=NOW) is Standing.UNKNOWN

    def test_is_denied_again_when_the_grant_that_answered_expires(self):
        refused, granted = choice(DENIED, -10, known=-20), choice(GRANTED, -5, known=-20, ends=3)

        assert course([refused, granted]) == Course(Standing.GRANTED, day(3), Standing.DENIED)

    def test_lasts_as_long_as_the_last_of_several_grants(self):
        assert course([choice(GRANTED, ends=1), choice(GRANTED, ends=4)]) == Course(
            Standing.GRANTED, day(4), Standing.UNKNOWN
        )
        assert course([choice(GRANTED, ends=1), choice(GRANTED)]) == Course(Standing.GRANTED)

    @given(st.lists(choices, max_size=6), st.integers(-30, 30))
    def test_follows_its_course_at_every_instant(self, held, number):
        for now in (day(number), day(number) - timedelta(microseconds=1)):
            assert course(held).at(now) is standing(held, now=now)

    @given(st.lists(choices, max_size=6))
    def test_says_yes_exactly_where_people_who_have_to_opt_in_may_be_written_to(self, held):
        assert (standing(held, now=NOW) is Standing.GRANTED) == answer(*held).allowed
