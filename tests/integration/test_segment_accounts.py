"""Segments that ask for traits of people's accounts, from the group message to the transition. R: A2, D1"""

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from cdp import pipeline
from identity.merging.operations import merge_profiles, undo_merge
from identity.models import Merge
from ingestion.dictionary.masking import Masker, Pii
from segments import computations, operations
from segments.changes import PROFILES_A_ROW
from segments.explain import explain, mask_value
from segments.models import AccountChange, Change, Membership, Segment, Transition
from segments.publishing import Staging
from segments.usage import read_usage
from tests.factories.ingestion import NOW, track
from tests.integration.conftest import rows
from tests.integration.test_accounts import group
from tests.integration.test_identity_flow import drain, profile_of

ENTERPRISE = {"type": "account", "trait": "plan", "op": "eq", "value": "enterprise"}
NOBODYS = ENTERPRISE | {"op": "neq"}


def add(slug: str, definition: dict[str, Any]) -> Segment:
    segment = operations.create_segment(slug=slug, name=slug, definition=definition, now=NOW)
    pipeline.recompute(segment_id=segment.pk, now=NOW)
    return segment


@pytest.fixture
def both(database: None) -> None:
    add("enterprise", ENTERPRISE)
    add("others", NOBODYS)


def settle(now=NOW) -> None:
    while pipeline.evaluate(now=now).claimed or pipeline.wake(now=now).claimed:
        pass


def members(slug: str) -> set[int]:
    settle()
    return set(Membership.objects.filter(segment__slug=slug).values_list("profile_id", flat=True))


class TestAccountConditions:
    def test_hold_if_any_account_passes_and_their_negation_if_none_does(self, accept, both):
        drain(accept, group(userId="a", groupId="g1", traits={"plan": "free"}), track("A", userId="c"))
        drain(accept, group(userId="a", groupId="g2", traits={"plan": "enterprise"}))
        drain(accept, group(userId="b", groupId="g1", traits={"plan": "free"}))
        a, b, c = (profile_of("user_id", value) for value in "abc")

        assert members("enterprise") == {a}
        assert members("others") == {b, c}

    def test_follow_a_trait_that_changes_for_all_of_the_account(self, accept, both):
        people = PROFILES_A_ROW + 20
        drain(accept, *(group(userId=f"u-{number}", groupId="big") for number in range(people)))
        drain(accept, group(userId="x", groupId="small", traits={"plan": "free"}))
        assert members("enterprise") == set()

        drain(accept, group(userId="u-0", groupId="big", traits={"plan": "enterprise", "seats": 5}))
        assert AccountChange.objects.count() == 1

        assert len(members("enterprise")) == people
        assert AccountChange.objects.count() == Change.objects.count() == 0
        assert Transition.objects.filter(segment__slug="enterprise", cause="change").count() == people

    def test_ask_nobody_about_traits_that_no_segment_reads(self, accept, both):
        drain(accept, *(group(userId=f"u-{number}", groupId="big") for number in range(9)))
        settle()

        drain(accept, group(userId="u-0", groupId="big", traits={"seats": 5}))

        assert pipeline.evaluate(now=NOW).claimed == 1  # the message itself, of one person

    def test_are_not_forgotten_of_a_version_on_its_way(self, accept, both):
        """It reads a trait that no live segment does."""
        drain(accept, *(group(userId=f"u-{number}", groupId="big") for number in range(3)))
        settle()
        segment = operations.create_segment(
            name="Seats", definition={"type": "account", "trait": "seats", "op": "gt", "value": 4}, now=NOW
        )
        lease = computations.claim(segment_id=segment.pk, now=NOW)
        staging = Staging(lease)
        with transaction.atomic():
            staging.ask_everybody(now=NOW)

            drain(accept, group(userId="u-0", groupId="big", traits={"seats": 5}))
            settle()
            operations.compute(lease, clock=lambda: NOW, staging=staging)

        assert len(members(segment.slug)) == 3

    def test_follow_whoever_comes_to_belong(self, accept, both):
        drain(accept, group(userId="a", groupId="g", traits={"plan": "enterprise"}))
        drain(accept, track("A", userId="b"))
        assert members("enterprise") == {profile_of("user_id", "a")}

        drain(accept, track("A", userId="b", context={"groupId": "g"}))

        assert members("enterprise") == {profile_of("user_id", "a"), profile_of("user_id", "b")}

    def test_follow_a_merge_and_its_undoing(self, accept, both):
        drain(accept, track("A", userId="a"), group(userId=..., anonymousId="b", traits={"plan": "enterprise"}))
        a, b = profile_of("user_id", "a"), profile_of("anonymous_id", "b")
        assert members("enterprise") == {b}

        merge = merge_profiles(one=a, other=b, cause=Merge.Cause.PERSON, evidence={}, now=NOW)
        assert members("enterprise") == {merge.survivor_id}
        undo_merge(merge_id=merge.pk, now=NOW)

        assert members("enterprise") == {b}
        assert members("others") == {a}

    def test_come_true_by_time_alone(self, accept, database):
        renewal = (NOW + timedelta(days=40)).isoformat().replace("+00:00", "Z")
        drain(accept, group(userId="a", traits={"renewal": renewal}))
        add("renewing", {"type": "account", "trait": "renewal", "op": "within_next", "value": "30d"})
        assert members("renewing") == set()

        settle(NOW + timedelta(days=10))

        assert members("renewing") == {profile_of("user_id", "a")}
        assert rows("SELECT at FROM due") == [(NOW + timedelta(days=40),)]

    def test_are_explained_by_account_and_masked_as_the_group_messages_are(self, accept, database):
        drain(accept, group(userId="a", groupId="g1", traits={"plan": "free", "email": "desk@acme.example"}))
        drain(accept, group(userId="a", groupId="g2", traits={"plan": "enterprise"}))
        a = profile_of("user_id", "a")
        segment = add(
            "asked", {"type": "all", "of": [ENTERPRISE, {"type": "account", "trait": "email", "op": "exists"}]}
        )

        plan, email = explain(segment=segment, profile_id=a, traits={}, now=NOW).explanation.parts

        assert (plan.holds, plan.value) == (True, {"g1": "free", "g2": "enterprise"})
        assert mask_value(email, Masker()) == {"g1": "d•••@a•••.example"}
        stated = Masker(classes={("property", "Group", "plan"): Pii.SENSITIVE})
        assert mask_value(plan, stated) == {"g1": "•••", "g2": "•••"}

    def test_are_told_to_the_data_dictionary(self, both):
        assert read_usage()[("property", "Group", "plan")] == [("enterprise", "enterprise"), ("others", "others")]
