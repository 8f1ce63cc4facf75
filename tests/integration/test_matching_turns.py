"""Matching as profiles come: who is compared, who waits for a person, who is merged, and what is kept from merging."""

import random
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from cdp import pipeline
from identity.candidates import operations, queue
from identity.candidates.errors import DecidedError, NotDecidedError
from identity.candidates.live import load_settings
from identity.candidates.models import Candidate, Label, MatchKey, MatchRecord, MatchWarning
from identity.candidates.turn import match_changes
from identity.merging import operations as merging
from identity.models import Constraint, Merge, Profile
from tests.factories.access import make_user
from tests.factories.ingestion import NOW, identify
from tests.integration.conftest import drain_all, rows

ANNA = {
    "firstName": "Annabel",
    "lastName": "Fitzgerald",
    "birthday": "1984-03-12",
    "phone": "+442079460123",
    "address": {"street": "12 Harbour Lane", "city": "Whitby", "postalCode": "YO21 3PU"},
}
ANNA_AGAIN = ANNA | {"firstName": "Anabel", "phone": "+442079460124", "email": "a.fitzgerald@example.org"}
OTHER = {
    "firstName": "Diego",
    "lastName": "Okafor",
    "birthday": "1970-11-30",
    "phone": "+15005550006",
    "address": {"street": "8 Mill Road", "city": "Leeds", "postalCode": "LS1 4DY"},
}


def person(name: str, traits: dict[str, Any]) -> dict[str, Any]:
    return identify(userId=..., anonymousId=name, traits=traits)


def match(now=NOW) -> None:
    while match_changes(now=now).claimed:
        pass


def merge_all(now=NOW) -> None:
    match(now)
    while operations.merge_due(now=now):
        match(now)


@pytest.fixture
def pair(accept) -> Candidate:
    accept(person("a-1", ANNA), person("a-2", ANNA_AGAIN), person("a-3", OTHER))
    drain_all(NOW)
    match()
    return Candidate.objects.get()


class TestMatchChanges:
    def test_finds_the_same_person_under_two_profiles(self, pair):
        assert pair.state == "waiting"
        assert pair.probability > 0.9
        assert {field["field"] for field in pair.evidence["fields"]} >= {"surname", "birth_date"}
        assert queue.length() == 0
        assert MatchRecord.objects.count() == 3
        assert MatchKey.objects.values("profile_id").distinct().count() == 3

    def test_does_nothing_about_visitors_of_whom_nothing_is_known(self, accept):
        accept(identify(userId=..., anonymousId="a-1", traits={}))
        drain_all(NOW)

        assert queue.length() == 0

    def test_closes_a_pair_that_is_none_any_more(self, accept, pair):
        accept(
            person("a-2", OTHER | {"phone": "+15005550009", "email": "d@example.org"}), now=NOW + timedelta(hours=1)
        )
        drain_all(NOW)
        match()

        pair.refresh_from_db()
        assert pair.state == "gone"

    def test_compares_nobody_again_whose_record_is_as_it_was(self, accept, pair):
        accept(person("a-2", {"plan": "gold"}))
        drain_all(NOW)

        done = match_changes(now=NOW)

        assert (done.claimed, done.compared) == (1, 0)

    def test_asks_about_two_user_ids_but_never_merges_them_by_itself(self, accept):
        operations.change_settings(actor=None, now=NOW, automatic=True, accept_above=0.9)
        accept(identify(userId="u-1", traits=ANNA), identify(userId="u-2", traits=ANNA_AGAIN))
        drain_all(NOW)
        merge_all()

        found = Candidate.objects.get()
        assert (found.state, found.refusal, found.merge_due) == ("waiting", "limit_reached", False)

    def test_finds_nobody_who_is_gone(self, pair):
        """What is stored of one who is erased may be found for a moment yet."""
        Profile.objects.filter(pk=pair.one_id).delete()
        MatchRecord.objects.filter(profile_id=pair.other_id).delete()
        Candidate.objects.all().delete()
        with transaction.atomic():
            queue.note_changed({pair.other_id})

        done = match_changes(now=NOW)

        assert (done.compared, done.waiting, Candidate.objects.count()) == (1, 0, 0)

    def test_makes_no_profile_of_all_who_share_a_value(self, accept):
        operations.change_settings(actor=None, now=NOW, automatic=True, accept_above=0.9)
        names = ["Ada", "Boris", "Chloe", "Dmitri", "Elena", "Farid", "Greta", "Hugo"]
        people = [
            person(f"a-{one}-{two}", {"firstName": one, "lastName": f"{two}son", "ssn": "123-45-6789"})
            for one in names
            for two in names[:5]
        ]
        accept(*people)
        drain_all(NOW)
        merge_all()

        assert Profile.objects.count() == len(people)
        warning = MatchWarning.objects.get(code="shared_value")
        assert (warning.field, warning.profiles) == ("national_id", 40)
        assert "6789" not in warning.value


class TestOneByOne:
    def test_ends_where_all_at_once_end(self, accept):
        """Each with an id of its own: where two say something at the same instant, it decides which is the later."""
        people = [person(f"a-{number}", traits) for number, traits in enumerate(variations())]
        accept(*(one | {"messageId": f"m-{number}"} for number, one in enumerate(people)))
        drain_all(NOW)
        ids = sorted(Profile.objects.values_list("pk", flat=True))
        match()
        at_once = kept()

        for table in (Candidate, MatchKey, MatchRecord):
            table.objects.all().delete()
        for id_ in ids:
            with transaction.atomic():
                queue.note_changed({id_})
            assert match_changes(now=NOW, limit=1).claimed == 1

        assert len(at_once[0]) > 10
        assert kept() == at_once


def variations() -> list[dict[str, Any]]:
    """Ninety profiles of a dozen people: who has moved, is misspelt, gave no birthday, or lives with another."""
    draw = random.Random(11)
    surnames = ["Fitzgerald", "Okafor", "Lindqvist", "Moreau"]
    people = [
        ANNA
        | {
            "firstName": draw.choice(["Annabel", "Diego", "Ingrid", "Robert", "Chloe"]),
            "lastName": draw.choice(surnames),
            "birthday": f"19{draw.randrange(60, 99)}-0{draw.randrange(1, 9)}-1{draw.randrange(9)}",
            "phone": f"+4420794{draw.randrange(10_000, 99_999)}",
        }
        for _ in range(12)
    ]
    changes: list[dict[str, Any]] = [
        {},
        {"address": OTHER["address"]},
        {"lastName": "Fitzgerlad"},
        {"birthday": None},
        {"phone": "+442079460111"},
        {"email": "somebody@example.org"},
    ]
    return [draw.choice(people) | draw.choice(changes) for _ in range(90)]


def kept() -> tuple[list[Any], list[Any], list[Any]]:
    pairs = Candidate.objects.order_by("one_id", "other_id")
    return (
        list(pairs.values_list("one_id", "other_id", "score", "probability", "evidence", "state", "refusal")),
        sorted(MatchKey.objects.values_list("profile_id", "key")),
        sorted(MatchRecord.objects.values_list("profile_id", "origin_id", "record")),
    )


class TestAutomaticMerging:
    @pytest.fixture(autouse=True)
    def automatic(self, database):
        operations.change_settings(actor=None, now=NOW, automatic=True, accept_above=0.9)

    def test_merges_what_is_sure_and_says_why(self, pair):
        merge_all()

        pair.refresh_from_db()
        merge = Merge.objects.get()
        assert (pair.state, pair.merge_id) == ("merged", merge.pk)
        assert (merge.cause, merge.evidence["candidate"]) == ("match", pair.pk)
        assert merge.evidence["explanation"]["fields"]
        assert Profile.objects.count() == 2
        assert not MatchKey.objects.filter(profile_id=merge.absorbed_id).exists()

    def test_keeps_what_the_absorbed_was_known_by_and_gives_it_back(self, pair):
        merge_all()
        merge = Merge.objects.get()
        records = {row.origin_id: row.profile_id for row in MatchRecord.objects.all()}
        assert records[merge.absorbed_id] == merge.survivor_id

        merging.undo_merge(merge_id=merge.pk, actor=None, now=NOW)
        merge_all()

        pair.refresh_from_db()
        assert {row.origin_id: row.profile_id for row in MatchRecord.objects.all()} == {
            origin: origin for origin in records
        }
        assert (pair.state, Profile.objects.count()) == ("rejected", 3)
        assert Label.objects.get().same is False

    def test_keeps_what_each_of_a_merged_profile_says(self, pair):
        before = dict(MatchRecord.objects.values_list("origin_id", "record"))
        merge_all()

        assert dict(MatchRecord.objects.values_list("origin_id", "record")) == before

    def test_comes_before_others_are_matched(self, pair):
        with transaction.atomic():
            queue.note_changed({pair.one_id})

        first = pipeline.match(now=NOW)

        assert (first.more, first.merged, Merge.objects.count()) == (True, True, 1)
        assert queue.length() > 0
        while pipeline.match(now=NOW).more:
            pass
        assert queue.length() == 0

    def test_leaves_it_to_people_where_it_is_switched_off(self, pair):
        Candidate.objects.update(merge_due=True)
        operations.change_settings(actor=None, now=NOW, automatic=False)
        merge_all()

        assert not Merge.objects.exists()


class TestDecisions:
    @pytest.fixture
    def actor(self, database):
        return make_user("engineer")

    def test_accepting_merges_labels_and_never_asks_again(self, pair, actor):
        decided = operations.accept(candidate=pair, actor=actor, now=NOW)
        match()

        assert (decided.state, decided.decided_by) == ("accepted", actor)
        assert Label.objects.get().same is True
        assert Constraint.objects.get().kind == "must"
        assert Profile.objects.count() == 2
        assert operations.next_in_queue(actor=actor, now=NOW) is None

    def test_rejecting_keeps_them_apart_for_good(self, accept, pair, actor):
        operations.reject(candidate=pair, actor=actor, now=NOW)
        accept(person("a-2", {"email": "a.fitz@example.org"}))
        drain_all(NOW)
        merge_all()

        pair.refresh_from_db()
        assert pair.state == "rejected"
        assert Label.objects.get().same is False
        assert Constraint.objects.get().kind == "never"

    @pytest.mark.parametrize("decide", [operations.accept, operations.reject], ids=["accepted", "rejected"])
    def test_undoing_has_the_pair_wait_as_before(self, pair, actor, decide):
        operations.undo_decision(candidate=decide(candidate=pair, actor=actor, now=NOW), actor=actor, now=NOW)
        match()

        pair.refresh_from_db()
        assert (pair.state, pair.merge_id, pair.decided_at) == ("waiting", None, None)
        assert Label.objects.get().withdrawn_at == NOW
        assert not Constraint.objects.exists()
        assert Profile.objects.count() == 3

    def test_a_second_answer_is_refused(self, pair, actor):
        operations.reject(candidate=pair, actor=actor, now=NOW)

        with pytest.raises(DecidedError) as refused:
            operations.accept(candidate=pair, actor=actor, now=NOW)

        assert refused.value.code == "already_decided"

    def test_nothing_can_be_undone_that_was_not_decided(self, pair, actor):
        with pytest.raises(NotDecidedError):
            operations.undo_decision(candidate=pair, actor=actor, now=NOW)

    def test_two_reviewers_are_asked_about_different_pairs(self, pair, actor):
        other = make_user("privacy officer")

        assert operations.next_in_queue(actor=actor, now=NOW) == pair
        assert operations.next_in_queue(actor=other, now=NOW) is None
        assert operations.next_in_queue(actor=other, now=NOW + timedelta(minutes=4)) == pair

    def test_the_threshold_of_review_is_below_that_of_merging(self, database):
        with pytest.raises(operations.SettingsError) as refused:
            operations.change_settings(actor=None, now=NOW, review_above=0.995)

        assert (refused.value.code, refused.value.path) == ("thresholds_out_of_order", "/review_above")
        assert load_settings().review_above == 0.5


def test_a_turn_says_whether_others_wait_behind_it(database):
    for first in (1, 151, 301):
        with transaction.atomic():
            queue.note_changed(range(first, first + 150))

    assert [pipeline.match(now=NOW).more for _ in range(4)] == [True, True, False, False]
    assert queue.is_empty()


def test_the_queue_is_taken_by_one_matcher_at_a_time(database):
    assert rows("SELECT pg_try_advisory_xact_lock(%s)", queue.LOCK) == [(True,)]
