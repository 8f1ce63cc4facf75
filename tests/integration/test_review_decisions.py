"""What becomes of decisions: merges and constraints, the log of them, whole batches, and profiles that look wrong."""

import csv
import io
from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from cdp.kernel.access.models import User
from identity.candidates import jobs, operations, queue, turn
from identity.candidates.models import Candidate, MatchingSettings, MatchRun
from identity.merging.errors import MergeRefusedError
from identity.merging.operations import merge_profiles
from identity.models import Constraint, Merge
from identity.queries import canonical_id
from identity.review import log
from tests.factories.access import make_user
from tests.factories.candidates import CATHERINE, KATE, make_candidate, make_pair, make_person

pytestmark = pytest.mark.usefixtures("database")
JSON = {"Accept": "application/json"}


@pytest.fixture
def anna(client: Client) -> User:
    user = make_user("engineer", username="anna")
    client.force_login(user)
    return user


@pytest.fixture
def decide(client: Client, anna: User) -> Callable[..., dict]:
    def post(pair: Candidate, word: str) -> dict:
        answer = client.post(f"/identity/review/{pair.pk}/decide/", {"decision": word}, headers=JSON)
        assert answer.status_code == 200, answer.content
        return answer.json()

    return post


def work_off() -> None:
    while jobs.work(clock=timezone.now):
        pass


class TestDecisions:
    def test_merge_and_part_again(self, decide: Callable[..., dict], client: Client):
        pairs = [make_pair(number, value=9 - number) for number in range(3)]
        first, second, third = pairs
        decide(first, "accept")
        decide(second, "reject")
        decide(third, "skip")
        assert canonical_id(first.other_id) == first.one_id
        assert Constraint.objects.filter(kind="never").values_list("one_origin", "other_origin").get() == (
            second.one_id,
            second.other_id,
        )

        left = [client.post("/identity/review/undo/", headers=JSON).json().get("undo") for _ in range(3)]
        nothing = client.post("/identity/review/undo/", headers=JSON)

        assert left == [2, 1, 0]
        assert (nothing.status_code, nothing.json()["code"]) == (409, "nothing_to_undo")
        assert canonical_id(first.other_id) == first.other_id
        assert not Constraint.objects.exists()
        assert set(Candidate.objects.values_list("state", "skipped_at")) == {("waiting", None)}

    def test_of_two_people_the_first_one_holds(self, decide: Callable[..., dict], client: Client):
        pair = make_pair()
        decide(pair, "reject")

        late = client.post(f"/identity/review/{pair.pk}/decide/", {"decision": "accept"}, headers=JSON)

        assert (late.status_code, late.json()["code"]) == (409, "already_decided")

    def test_lead_to_the_next_pair_without_a_script(self, client: Client, anna: User):
        pair, other = make_pair(1, value=9), make_pair(2, value=1)

        answer = client.post(f"/identity/review/{pair.pk}/decide/", {"decision": "reject", "least": "10"}, follow=True)

        assert answer.redirect_chain[-1][0] == f"/identity/review/{other.pk}/?least=10"

    def test_are_never_asked_again_once_rejected(self, decide: Callable[..., dict]):
        twin = {"firstName": "Ada", "lastName": "Okonkwo", "email": "ada@example.org", "birthday": "1990-02-03"}
        ids = [make_person(twin | {"phone": f"+49451123450{number}"}) for number in range(2)]
        queue.note_changed(set(ids))
        turn.match_changes(now=timezone.now())
        pair = Candidate.objects.get(one_id=min(ids), other_id=max(ids))
        decide(pair, "reject")

        queue.note_changed(set(ids))
        turn.match_changes(now=timezone.now())

        assert list(Candidate.objects.values_list("state", flat=True)) == ["rejected"]
        with pytest.raises(MergeRefusedError):
            merge_profiles(one=ids[0], other=ids[1], cause=Merge.Cause.MATCH, evidence={}, now=timezone.now())


class TestDecisionsLog:
    def test_tells_who_decided_what_and_what_was_taken_back(
        self, decide: Callable[..., dict], client: Client, anna: User
    ):
        kept, undone = make_pair(1), make_pair(2)
        decide(kept, "reject")
        decide(undone, "accept")
        client.post("/identity/review/undo/", headers=JSON)

        entries = log.decisions(log.Sought(), limit=10)

        assert [(one.what, one.by, one.undone_at is None) for one in entries] == [
            ("accepted", "Anna Tester", False),
            ("rejected", "Anna Tester", True),
        ]
        assert [one.candidate_id for one in log.decisions(log.Sought(what="undone"), limit=10)] == [undone.pk]
        assert log.decisions(log.Sought(by=anna.pk + 1), limit=10) == []
        assert len(log.decisions(log.Sought(profile_id=kept.one_id), limit=10)) == 1

    def test_leaves_as_csv_without_personal_data(self, decide: Callable[..., dict], client: Client):
        pair = make_pair()
        decide(pair, "reject")

        answer = client.get("/identity/review/decisions/export/?what=rejected")

        (line,) = csv.DictReader(io.StringIO(answer.getvalue().decode()))
        assert (line["decision"], line["profile_one"], line["decided_by"]) == (
            "rejected",
            str(pair.one_id),
            "Anna Tester",
        )
        assert "Meyer" not in answer.getvalue().decode()

    def test_takes_back_and_lifts_from_its_page(self, decide: Callable[..., dict], client: Client):
        first, second = make_pair(1), make_pair(2)
        decide(first, "reject")
        decide(second, "reject")

        client.post(f"/identity/review/decisions/{first.pk}/undo/")
        said = client.get("/identity/review/decisions/").content.decode()
        client.post("/identity/review/decisions/lift/", {"one": second.one_id, "other": second.other_id})

        assert said.count("Never one person") == 1
        assert not Constraint.objects.exists()
        assert Candidate.objects.get(pk=first.pk).state == "waiting"


class TestBulk:
    def test_shows_merges_and_takes_back_a_batch(self, client: Client, anna: User):
        sure = [make_pair(number, probability=0.99) for number in range(3)]
        make_pair(9, probability=0.6)
        page = client.get("/identity/review/bulk/?least=90").content.decode()
        assert "<strong>3</strong> pairs of <strong>6</strong> profiles" in page

        run = client.post("/identity/review/bulk/accept/", {"least": "90"}, follow=True)
        work_off()

        assert "Waiting for a worker" in run.content.decode()
        assert Merge.objects.filter(undone_at=None).count() == 3
        batch = MatchRun.objects.get(kind="accept")
        assert "<strong>3</strong> merged by it" in client.get(f"/identity/review/bulk/{batch.pk}/").content.decode()

        client.post(f"/identity/review/bulk/{batch.pk}/undo/")
        work_off()

        assert not Merge.objects.filter(undone_at=None).exists()
        assert {pair.state for pair in Candidate.objects.filter(pk__in=[pair.pk for pair in sure])} == {"waiting"}

    def test_asks_for_a_probability_that_is_one(self, client: Client, anna: User):
        page = client.get("/identity/review/bulk/?least=120")

        assert page.status_code == 200
        assert "less than or equal to" in page.content.decode()


class TestThresholds:
    def test_are_saved_and_everybody_is_compared_again(self, client: Client, anna: User):
        client.post("/identity/review/thresholds/", {"accept": "98", "review": "40", "automatic": "on"})

        saved = MatchingSettings.objects.get()
        assert (saved.accept_above, saved.review_above, saved.automatic) == (0.98, 0.4, True)
        assert MatchRun.objects.get().kind == "full"

    def test_in_the_wrong_order_are_refused(self, client: Client, anna: User):
        answer = client.post("/identity/review/thresholds/", {"accept": "50", "review": "90"})

        assert answer.status_code == 422
        assert "below the threshold of merging" in answer.content.decode()


class TestEvidenceOfAMerge:
    def test_hides_what_was_compared_from_those_who_may_not_see_people(self, client: Client, anna: User):
        pair = make_pair()
        operations.accept(candidate=pair, actor=anna, now=timezone.now())
        (merge,) = Merge.objects.all()
        addresses = (f"/identity/review/merges/{merge.pk}/", f"/api/v1/profiles/{pair.one_id}/merges/")
        assert all("Katharine" in client.get(address).content.decode() for address in addresses)

        client.force_login(make_user("analyst"))

        for address in addresses:
            page = client.get(address)
            assert (page.status_code, "Katharine" in page.content.decode()) == (200, False), address


class TestSuspiciousProfiles:
    def test_are_listed_by_their_weakest_merge_which_can_be_taken_back(self, client: Client, anna: User):
        ids = [make_person(KATE if number else CATHERINE, user_id=f"user-{number}") for number in range(3)]
        pairs = [
            make_candidate(ids[0], ids[1], probability=0.97, score=5.0),
            make_candidate(ids[1], ids[2], score=1.5),
        ]
        for pair in pairs:
            operations.accept(candidate=pair, actor=anna, now=timezone.now())
        weak = Merge.objects.get(pk=Candidate.objects.get(pk=pairs[1].pk).merge_id)

        listed = client.get("/identity/review/clusters/").content.decode()
        looked = client.get(f"/identity/review/clusters/{ids[2]}/").content.decode()
        asked = client.get(f"/identity/review/merges/{weak.pk}/").content.decode()
        client.post(reverse("merging:undo", args=[weak.pk]))

        assert "3 profiles" in listed
        assert looked.index(f"/merges/{weak.pk}/") < looked.index("97%")
        assert "gets back" in asked
        assert canonical_id(ids[2]) == ids[2]
        assert canonical_id(ids[1]) == ids[0]
