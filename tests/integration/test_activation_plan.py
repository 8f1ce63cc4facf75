"""From transitions to deliveries. R: F1"""

import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction

from activation.models import Delivery, Destination
from activation.operations import disable_destination, pause_destination, plan
from activation.plan import CHUNK
from consent.contracts import State
from segments.contracts import TransitionSpan
from tests.factories.activation import (
    NOW,
    email_of,
    make_destination,
    make_people,
    make_segment,
    make_subscription,
    make_transitions,
)
from tests.factories.consent import PurposeFactory, choose

pytestmark = pytest.mark.django_db

URL = "https://example.com/hook"


class TestPlan:
    def test_makes_one_delivery_per_listening_subscription(self):
        segment = make_segment()
        both = [make_subscription(make_destination(URL), segment) for _ in range(2)]
        people = make_people(3)

        planned = plan(make_transitions(segment, people), now=NOW)

        found = Delivery.objects.values_list("subscription_id", "profile_id", "state", "next_attempt_at")
        assert planned == 6
        assert set(found) == {(one.pk, person, "pending", NOW) for one in both for person in people}
        assert len(set(Delivery.objects.values_list("message_id", flat=True))) == 6

    @pytest.mark.parametrize(
        ("on_enter", "on_exit", "heard"),
        [(True, False, ["entered"]), (False, True, ["left"]), (True, True, ["entered", "left"])],
    )
    def test_tells_of_what_was_asked_for(self, on_enter, on_exit, heard):
        segment = make_segment()
        subscription = make_subscription(make_destination(URL), segment, on_exit=True)
        subscription.on_enter, subscription.on_exit = on_enter, on_exit
        subscription.save()
        (person,) = make_people(1)

        plan(make_transitions(segment, [person]), now=NOW)
        plan(make_transitions(segment, [person], kind="left"), now=NOW)

        found = Delivery.objects.order_by("id")
        assert [delivery.event for delivery in found] == heard
        assert [delivery.payload["type"] for delivery in found] == [f"segment.{kind}" for kind in heard]

    def test_tells_nobody_who_does_not_listen(self):
        segment = make_segment()
        off = make_subscription(make_destination(URL), segment)
        off.enabled = False
        off.save()
        gone = make_destination(URL)
        make_subscription(gone, segment)
        disable_destination(destination=gone)
        make_subscription(make_destination(URL))

        assert plan(make_transitions(segment, make_people(2)), now=NOW) == 0

    def test_keeps_what_a_paused_destination_is_owed(self):
        destination = make_destination(URL)
        segment = make_subscription(destination).segment
        pause_destination(destination=destination)

        assert plan(make_transitions(segment, make_people(2)), now=NOW) == 2

    def test_leaves_earlier_transitions_alone(self):
        segment = make_segment()
        make_transitions(segment, make_people(2))
        make_subscription(make_destination(URL), segment)

        span = make_transitions(segment, make_people(3))

        assert plan(span, now=NOW) == 3

    def test_leaves_other_segments_alone(self):
        mine, other = make_segment(), make_segment()
        make_subscription(make_destination(URL), mine)
        make_subscription(make_destination(URL), other)
        span = make_transitions(mine, make_people(1))
        make_transitions(other, make_people(1))

        assert plan(span, now=NOW) == 1

    def test_adds_nothing_when_done_again(self):
        segment = make_subscription(make_destination(URL)).segment
        span = make_transitions(segment, make_people(3))

        assert (plan(span, now=NOW), plan(span, now=NOW)) == (3, 0)

    def test_costs_nothing_where_nobody_listens(self, django_assert_num_queries):
        with django_assert_num_queries(0):
            plan(TransitionSpan((1,), 0, 0, 0), now=NOW)
        with django_assert_num_queries(1):
            plan(TransitionSpan((1,), 0, 5, 0), now=NOW)

    def test_works_through_more_than_one_chunk(self):
        segment = make_subscription(make_destination(URL)).segment
        people = make_people(2 * CHUNK + 5)

        planned = plan(make_transitions(segment, people), now=NOW)

        assert planned == len(people)
        assert Delivery.objects.values("profile_id").distinct().count() == len(people)

    def test_keeps_text_of_any_language(self):
        segment = make_subscription(make_destination(URL)).segment
        segment.name = 'Größte "Käufer" 💶 \\ 買い手'
        segment.save()

        plan(make_transitions(segment, make_people(1, traits={"name": "Zoë \u2028 <b>"})), now=NOW)

        data = Delivery.objects.get().payload["data"]
        assert data["segment"]["name"] == segment.name
        assert data["profile"]["traits"] == {"name": "Zoë \u2028 <b>"}

    def test_tells_of_a_profile_that_is_gone_by_its_id(self):
        segment = make_subscription(make_destination(URL)).segment
        (person,) = make_people(1, identify=False)
        span = make_transitions(segment, [person], kind="left")
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM profile WHERE id = %s", [person])

        plan(span, now=NOW)

        assert Delivery.objects.get().payload["data"]["profile"] == {"id": person, "identifiers": {}, "traits": {}}


class TestConsentAtPlanning:
    def test_holds_back_who_has_not_agreed_and_says_why(self):
        purpose = PurposeFactory()
        segment = make_subscription(make_destination(URL), purpose=purpose).segment
        agreed, refused, silent = make_people(3)
        (unknown,) = make_people(1, identify=False)
        yes = choose(purpose, State.GRANTED, email_of(agreed))
        no = choose(purpose, State.DENIED, email_of(refused))

        planned = plan(make_transitions(segment, [agreed, refused, silent, unknown]), now=NOW)

        found = {each.profile_id: each for each in Delivery.objects.all()}
        assert planned == 4
        assert {id_: (each.state, each.last_error, each.consent_record_id) for id_, each in found.items()} == {
            agreed: ("pending", "", yes),
            refused: ("suppressed", "denied", no),
            silent: ("suppressed", "no_choice", None),
            unknown: ("suppressed", "unknown_person", None),
        }
        assert found[refused].finished_at == NOW
        assert found[refused].next_attempt_at is None

    def test_asks_each_subscription_for_its_own_purpose(self):
        allowed, other = PurposeFactory(), PurposeFactory()
        segment = make_segment()
        to_one = make_subscription(make_destination(URL), segment, purpose=allowed)
        to_other = make_subscription(make_destination(URL), segment, purpose=other)
        free = make_subscription(make_destination(URL), segment)
        (person,) = make_people(1)
        choose(allowed, State.GRANTED, email_of(person))

        plan(make_transitions(segment, [person]), now=NOW)

        assert dict(Delivery.objects.values_list("subscription_id", "state")) == {
            to_one.pk: "pending",
            to_other.pk: "suppressed",
            free.pk: "pending",
        }

    def test_is_as_strict_as_either_half_of_a_merged_person_until_they_choose_again(self):
        purpose = PurposeFactory()
        segment = make_subscription(make_destination(URL), purpose=purpose).segment
        agreed, refused = make_people(2, at=NOW - timedelta(days=30))
        choose(purpose, State.DENIED, email_of(refused), happened_at=NOW - timedelta(days=20))
        choose(purpose, State.GRANTED, email_of(agreed), happened_at=NOW - timedelta(days=10))
        with connection.cursor() as cursor:
            cursor.execute("UPDATE profile_identifier SET profile_id = %s WHERE profile_id = %s", [agreed, refused])
            cursor.execute("INSERT INTO profile_alias VALUES (%s, %s, %s)", [refused, agreed, NOW - timedelta(days=5)])

        plan(make_transitions(segment, [agreed]), now=NOW)
        choose(purpose, State.GRANTED, email_of(agreed), happened_at=NOW - timedelta(days=1))
        plan(make_transitions(segment, [agreed, refused]), now=NOW)

        assert [each.state for each in Delivery.objects.order_by("id")] == ["suppressed", "pending", "pending"]


@pytest.mark.django_db(transaction=True)
class TestDuplicates:
    def test_are_impossible_when_two_plan_the_same_at_once(self):
        segment = make_subscription(make_destination(URL)).segment
        span = make_transitions(segment, make_people(50))
        together = threading.Barrier(2)
        outcomes: list[object] = []

        def plan_it() -> None:
            try:
                together.wait()
                with transaction.atomic():
                    outcomes.append(plan(span, now=NOW))
            except Exception as error:  # noqa: BLE001 - one of them may be refused
                outcomes.append(error)
            finally:
                connection.close()

        threads = [threading.Thread(target=plan_it) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert Delivery.objects.count() == 50
        assert 50 in outcomes
        assert Destination.objects.count() == 1
