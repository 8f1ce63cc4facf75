"""Segments that ask how consent stands, from the choice to the transition. R: D1, G4"""

import importlib
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db.models import ProtectedError
from django.test import Client

from activation.people import decide_all
from cdp import pipeline
from cdp.kernel.access.models import ApiToken
from cdp.kernel.access.roles import Scope
from consent.contracts import State
from consent.models import ConsentNews, Purpose
from consent.operations import record_consent
from identity.consents.models import ProfileConsent, StaleConsent
from identity.merging.operations import merge_profiles, undo_merge
from identity.models import Merge
from segments import operations
from segments.ast import DefinitionError
from segments.models import Membership, Segment, Transition
from tests.factories.consent import PurposeFactory
from tests.factories.ingestion import NOW, identify, track
from tests.integration.conftest import at_once, drain_all, rows
from tests.integration.test_identity_flow import drain, profile_of

DAY = timedelta(days=1)
ANN, BOB = ("user_id", "ann"), ("anonymous_id", "b-1")
STATES = ("granted", "denied", "unknown")


@pytest.fixture
def newsletter(database: None) -> Purpose:
    return PurposeFactory(slug="newsletter")


@pytest.fixture
def stands(newsletter: Purpose) -> Any:
    """How it stands for a profile, as the three segments have it that ask."""
    for state in STATES:
        definition = {"type": "consent", "purpose": "newsletter", "state": state}
        segment = operations.create_segment(slug=state, name=state, definition=definition, now=NOW)
        pipeline.recompute(segment_id=segment.pk, now=NOW)

    def ask(profile_id: int, now: datetime = NOW) -> str:
        while pipeline.evaluate(now=now).claimed or pipeline.wake(now=now).claimed:
            pass
        members = Membership.objects.filter(profile_id=profile_id).values_list("segment__slug", flat=True)
        (state,) = members
        return state

    return ask


def choose(state: str, *subjects: tuple[str, str], at: datetime = NOW, **fields: Any) -> None:
    record_consent(
        subjects=subjects, purpose="newsletter", state=State(state), method="form", happened_at=at, now=at, **fields
    )


def moves_of(profile_id: int) -> list[tuple[str, str]]:
    found = Transition.objects.filter(profile_id=profile_id).order_by("id")
    return list(found.values_list("kind", "segment__slug"))


class TestChoices:
    def test_move_people_at_once(self, accept, stands):
        drain(accept, track("Viewed", userId="ann"))
        ann = profile_of(*ANN)
        assert stands(ann) == "unknown"

        choose("granted", ANN)
        assert stands(ann) == "granted"
        choose("withdrawn", ANN, at=NOW + DAY)

        assert stands(ann, NOW + DAY) == "denied"
        assert ConsentNews.objects.count() == StaleConsent.objects.count() == 0

    def test_that_expire_are_over_at_that_instant(self, accept, stands):
        drain(accept, track("Viewed", userId="ann"))
        choose("granted", ANN, expires_at=NOW + DAY)
        ann = profile_of(*ANN)

        assert stands(ann, NOW + DAY - timedelta(microseconds=1)) == "granted"
        assert stands(ann, NOW + DAY) == "unknown"
        left = Transition.objects.get(profile_id=ann, kind="left", segment__slug="granted")
        assert (left.at, left.cause) == (NOW + DAY, Transition.Cause.TIME)

    def test_made_before_somebody_was_known_count_from_the_first_message(self, accept, stands):
        choose("denied", ANN)

        drain(accept, track("Viewed", userId="ann"))

        assert stands(profile_of(*ANN)) == "denied"
        assert moves_of(profile_of(*ANN)) == [("entered", "denied")]

    def test_come_with_an_identifier_that_is_linked_later(self, accept, stands):
        drain(accept, track("Viewed", userId="ann"))
        choose("denied", ("email", "Ann@Example.org"))
        ann = profile_of(*ANN)
        assert stands(ann) == "unknown"

        drain(accept, identify(userId="ann", traits={"email": "ann@example.org"}))

        assert stands(ann) == "denied"

    def test_recorded_again_change_nothing(self, accept, stands):
        drain(accept, track("Viewed", userId="ann"))
        choose("granted", ANN, external_id="form-1")
        assert stands(profile_of(*ANN)) == "granted"

        choose("granted", ANN, external_id="form-1")

        assert not ConsentNews.objects.exists()

    def test_about_many_people_touch_those_who_chose(self, accept, stands):
        drain(accept, *(track("Viewed", userId=f"u-{number}") for number in range(30)))
        chosen = [("user_id", f"u-{number}") for number in range(0, 30, 3)]
        for each in chosen:
            choose("granted", each)

        stands(profile_of("user_id", "u-0"))

        assert Segment.objects.get(slug="granted").member_count == len(chosen) == ProfileConsent.objects.count()


class TestMerges:
    @pytest.fixture
    def two(self, accept, stands) -> tuple[int, int]:
        """Ann agreed; her browser, a day later, did not."""
        drain(accept, track("A", userId="ann"), track("B", userId=..., anonymousId="b-1"))
        choose("granted", ANN, at=NOW - 2 * DAY)
        choose("denied", BOB, at=NOW - DAY)
        ann, bob = profile_of(*ANN), profile_of(*BOB)
        assert (stands(ann), stands(bob)) == ("granted", "denied")
        return ann, bob

    def test_leave_the_strictest_answer_until_a_newer_choice(self, two, stands):
        merged = merge(*two)

        assert stands(merged.survivor_id) == "denied"
        assert not ProfileConsent.objects.filter(profile_id=merged.absorbed_id).exists()
        choose("granted", ANN, at=NOW + DAY)
        assert stands(merged.survivor_id, NOW + DAY) == "granted"

    def test_taken_back_give_each_their_own_again(self, two, stands):
        merged = merge(*two)
        assert stands(merged.survivor_id) == "denied"

        undo_merge(merge_id=merged.pk, now=NOW)

        assert [stands(each) for each in two] == ["granted", "denied"]

    def test_by_a_message_do_the_same(self, two, accept, stands):
        drain(accept, track("C", userId="ann", anonymousId="b-1"))

        assert profile_of(*ANN) == profile_of(*BOB)
        assert stands(profile_of(*ANN)) == "denied"

    def test_never_show_a_moment_in_which_the_refusal_was_forgotten(self, accept, two, stands):
        ann, bob = two
        definition = {"type": "all", "of": [
            {"type": "consent", "purpose": "newsletter", "state": "granted"}, {"type": "event", "event": "B"}
        ]}  # fmt: skip
        segment = operations.create_segment(slug="both", name="Both", definition=definition, now=NOW)
        pipeline.recompute(segment_id=segment.pk, now=NOW)

        stands(merge(ann, bob).survivor_id)

        assert not Transition.objects.filter(segment=segment).exists()


def merge(one: int, other: int) -> Merge:
    return merge_profiles(one=one, other=other, cause=Merge.Cause.PERSON, evidence={}, now=NOW)


class TestPolicy:
    def test_says_what_planning_is_told(self, accept, stands, newsletter):
        """For a purpose that needs opt-in, allowed is granted and everything else is not."""
        people = [("user_id", f"u-{number}") for number in range(6)]
        drain(accept, *(track("Viewed", userId=value) for _, value in people))
        for number, (person, state) in enumerate(zip(people, (*State, State.GRANTED), strict=False)):
            choose(state, person, expires_at=NOW + number * DAY)

        for now in (NOW, NOW + 2 * DAY, NOW + 10 * DAY):
            for person in people:
                profile_id = profile_of(*person)
                (decision,) = decide_all({0: (profile_id, newsletter.pk)}, now=now).values()
                assert (stands(profile_id, now) == "granted") == decision.allowed


class TestCost:
    def test_is_nothing_where_there_is_no_purpose(self, accept):
        drain(accept, track("Viewed", userId="ann"))

        assert not StaleConsent.objects.exists()

    def test_is_a_row_a_chunk_where_nobody_has_chosen(self, accept, newsletter):
        drain(accept, *(track("Viewed", userId=f"u-{number}") for number in range(20)))
        assert StaleConsent.objects.count() == 1

        pipeline.evaluate(now=NOW)

        assert not StaleConsent.objects.exists()

    def test_is_borne_by_the_segments_that_ask(self, accept, stands):
        PurposeFactory(slug="ads")
        record_consent(
            subjects=[ANN], purpose="ads", state=State.GRANTED, method="form", happened_at=NOW, now=NOW
        )  # fmt: skip
        drain(accept, track("Viewed", userId="ann"))
        stands(profile_of(*ANN))

        assert rows("SELECT kind, key FROM segment_dependency WHERE purpose_id IS NOT NULL ORDER BY segment_id") == [
            ("consent", "newsletter")
        ] * len(STATES)


class TestAtOnce:
    def test_who_records_and_who_links_do_not_miss_each_other(self, accept, stands, source):
        """Each of them commits without having seen the other; what follows sees both."""
        emails = [f"p-{number}@example.org" for number in range(40)]
        drain(accept, *(track("Viewed", userId=f"p-{number}") for number in range(40)))
        accept(
            *(identify(userId=f"p-{number}", traits={"email": email}) for number, email in enumerate(emails)), now=NOW
        )

        def work(worker: int) -> None:
            if worker == 0:
                for email in emails:
                    choose("denied", ("email", email))
            elif worker == 1:
                drain_all(NOW, max_events=3)
            else:
                for _ in range(20):
                    pipeline.evaluate(now=NOW)

        at_once(4, work)

        assert {stands(profile_of("email", email)) for email in emails} == {"denied"}

    def test_an_upgrade_looks_at_everybody_once(self, accept, stands):
        drain(accept, track("Viewed", userId="ann"))
        choose("granted", ANN)
        ConsentNews.objects.all().delete()  # recorded by the version before
        StaleConsent.objects.all().delete()
        migration = importlib.import_module("identity.consents.migrations.0001_initial")

        rows(f"{migration.EVERYBODY} RETURNING id")

        assert stands(profile_of(*ANN)) == "granted"


class TestPurposes:
    ASKED = {"type": "any", "of": [{"type": "not", "of": {"type": "consent", "purpose": "x", "state": "granted"}}]}

    def test_that_are_not_known_are_refused_with_their_place(self, newsletter):
        with pytest.raises(DefinitionError) as refused:
            operations.create_segment(name="A", definition=self.ASKED, now=NOW)

        assert (refused.value.code, refused.value.path) == ("unknown_purpose", "/of/0/of/purpose")

    def test_are_checked_by_the_api(self, client: Client, newsletter):
        _, token = ApiToken.issue(name="t", scopes=[Scope.SEGMENTS_READ, Scope.SEGMENTS_WRITE])
        asked = self.ASKED["of"][0]["of"] | {"purpose": "newsleter"}
        headers = {"Authorization": f"Bearer {token}"}

        answer = client.post(
            "/api/v1/segments/validate/", {"definition": asked}, content_type="application/json", headers=headers
        ).json()

        assert (answer["error"]["code"], answer["error"]["path"]) == ("unknown_purpose", "/purpose")
        assert "Did you mean “newsletter”" in answer["error"]["message"]

    def test_that_a_segment_names_are_not_deleted(self, stands, newsletter):
        with pytest.raises(ProtectedError):
            newsletter.delete()
