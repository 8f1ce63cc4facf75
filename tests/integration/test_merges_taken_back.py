"""The full pass looks again at what matching has merged by itself, and takes back what it would not merge today."""

import contextlib
import random
from datetime import timedelta

import msgspec
import pytest
from django.urls import reverse

from identity.candidates import operations, population, queue, runs, takeback, versions
from identity.candidates.fields import dump_fields
from identity.candidates.live import load_live
from identity.candidates.models import Candidate, MatchModel, MatchRun
from identity.merging import operations as merging
from identity.merging.errors import MergeRefusedError
from identity.models import Constraint, Merge, Profile, ProfileIdentifier
from identity.queries import lookup
from ingestion.models import Event
from tests.factories.access import make_user
from tests.factories.ingestion import NOW, track
from tests.integration.conftest import drain_all
from tests.integration.test_matching_runs import people, work
from tests.integration.test_matching_turns import ANNA, ANNA_AGAIN, OTHER, match, merge_all, person

NIGHT = NOW + timedelta(hours=12)


@pytest.fixture
def automatic(database) -> None:
    operations.change_settings(actor=None, now=NOW, automatic=True, accept_above=0.9)


def full_pass(now=NIGHT) -> MatchRun:
    run = runs.ask(MatchRun.Kind.FULL, actor=None, now=now)
    work(now)
    run.refresh_from_db()
    assert (run.state, run.error) == ("done", "")
    return run


def profile(name: str) -> int:
    return lookup(kind="anonymous_id", value=name) or 0


def origin(name: str) -> int:
    """The profile that it was before any merge."""
    found = ProfileIdentifier.objects.get(kind="anonymous_id", value=name)
    return found.origin_id or found.profile_id


def merge(one: str, other: str, cause: str = "match") -> Merge:
    return merging.merge_profiles(
        one=origin(one), other=origin(other), cause=Merge.Cause(cause), evidence={"score": 9.0}, now=NOW
    )


def draft_of_today() -> MatchModel:
    """A version that judges as the live one does."""
    live = load_live()
    figures = {"profiles": 2, "labels": 0, "pairs": 1, "expected_matches": 0}
    return MatchModel.objects.create(
        parameters=msgspec.to_builtins(live.model),
        summary={"fields": dump_fields(live.fields), **figures},
        created_at=NOW,
    )


def together(*names: str) -> set[frozenset[str]]:
    found: dict[int, set[str]] = {}
    for name in names:
        found.setdefault(profile(name), set()).add(name)
    return {frozenset(one) for one in found.values()}


@pytest.fixture
def wrong(accept, automatic) -> Merge:
    """Anna and Diego are one, says matching."""
    accept(person("anna", ANNA), person("diego", OTHER))
    drain_all(NOW)
    match()
    return merge("anna", "diego")


class TestTakingBack:
    def test_parts_those_who_are_not_alike_with_what_came_since(self, accept, wrong):
        accept(track("Seen", userId=..., anonymousId="diego"), track("Seen", userId=..., anonymousId="anna"))
        drain_all(NOW)

        run = full_pass()

        assert together("anna", "diego") == {frozenset({"anna"}), frozenset({"diego"})}
        seen = Event.objects.filter(name__name="Seen").values_list("profile_id", flat=True)
        assert sorted(seen) == sorted([profile("anna"), profile("diego")])
        assert Profile.objects.get(pk=profile("diego")).traits["firstName"] == "Diego"
        wrong.refresh_from_db()
        assert (wrong.undone_at, wrong.undone_by) == (NIGHT, None)
        assert wrong.evidence == {"score": 9.0, "undone_because": takeback.REASON}
        assert run.counts["taken_back"] == 1
        assert not Constraint.objects.exists()

    def test_leaves_those_who_are_alike(self, accept, automatic):
        accept(person("anna", ANNA), person("again", ANNA_AGAIN), person("diego", OTHER))
        drain_all(NOW)
        merge_all()

        assert full_pass().counts["taken_back"] == 0
        assert together("anna", "again", "diego") == {frozenset({"anna", "again"}), frozenset({"diego"})}

    @pytest.mark.parametrize("cause", ["identifier", "alias", "person"])
    def test_leaves_what_others_have_merged(self, accept, automatic, cause):
        accept(person("anna", ANNA), person("diego", OTHER))
        drain_all(NOW)
        merge("anna", "diego", cause)

        assert full_pass().counts["taken_back"] == 0
        assert len(together("anna", "diego")) == 1

    def test_leaves_all_where_matching_does_not_merge_by_itself(self, wrong):
        operations.change_settings(actor=None, now=NOW, automatic=False)

        assert full_pass().counts["taken_back"] == 0
        assert len(together("anna", "diego")) == 1

    def test_leaves_those_of_whom_a_person_has_said_that_they_are_one(self, wrong):
        merging.require(one=wrong.one_origin, other=wrong.other_origin, actor=make_user("engineer"), now=NOW)

        assert full_pass().counts["taken_back"] == 0
        assert len(together("anna", "diego")) == 1

    def test_gives_each_to_whom_they_belong(self, accept, wrong):
        """Who was merged with a stranger goes to the one who came later, in the same pass."""
        accept(
            person("again", ANNA_AGAIN), person("diego-again", OTHER | {"lastName": "Okafo", "phone": "+15005550007"})
        )
        drain_all(NOW)
        queue.drop(queue.visible())
        merge("anna", "diego-again")

        assert full_pass().counts["taken_back"] == 2
        while operations.merge_due(now=NIGHT):
            pass

        assert together("anna", "diego", "again", "diego-again") == {
            frozenset({"anna", "again"}),
            frozenset({"diego", "diego-again"}),
        }

    def test_parts_at_the_merge_of_its_own_and_nowhere_else(self, accept, automatic):
        """Two who met in a message stay together, on whichever side."""
        accept(person("anna", ANNA), person("phone", {"nickname": "A"}), person("diego", OTHER))
        drain_all(NOW)
        merge("anna", "phone", "identifier")
        merge("phone", "diego")

        assert full_pass().counts["taken_back"] == 1
        assert together("anna", "phone", "diego") == {frozenset({"anna", "phone"}), frozenset({"diego"})}

    def test_does_not_part_where_the_one_in_between_says_nothing(self, accept, automatic):
        for one in (person("anna", ANNA), person("nobody", {"plan": "gold"}), person("diego", OTHER)):
            accept(one)
            drain_all(NOW)
        merge("anna", "nobody")
        merge("nobody", "diego")

        assert full_pass().counts["taken_back"] == 0
        assert len(together("anna", "nobody", "diego")) == 1

    def test_heeds_that_two_origins_are_never_one(self, accept, automatic):
        """The word was of one origin of a profile; the other may go where it belongs."""
        accept(person("anna", ANNA), person("diego", OTHER), person("again", ANNA_AGAIN))
        drain_all(NOW)
        merging.forbid(one=profile("diego"), other=profile("again"), actor=None, now=NOW)
        merge("anna", "diego")

        assert full_pass().counts["taken_back"] == 1
        while operations.merge_due(now=NIGHT):
            pass
        assert together("anna", "diego", "again") == {frozenset({"anna", "again"}), frozenset({"diego"})}

    def test_the_pair_is_open_to_be_asked_about_again(self, accept, automatic):
        """After the threshold was raised: what is alike still waits for a person."""
        accept(person("anna", ANNA), person("again", ANNA_AGAIN), person("diego", OTHER))
        drain_all(NOW)
        merge_all()
        merged = Candidate.objects.get(state="merged")
        operations.change_settings(actor=None, now=NOW, accept_above=1 - 1e-12)

        assert full_pass().counts["taken_back"] == 1

        assert len(together("anna", "again")) == 2
        merged.refresh_from_db()
        assert (merged.state, merged.merge_due) == ("waiting", False)

    def test_one_that_was_undone_meanwhile_is_left_alone(self, wrong):
        merging.undo_merge(merge_id=wrong.pk, now=NOW, never_again=False)
        run = runs.ask(MatchRun.Kind.FULL, actor=None, now=NOW)

        assert takeback.take_back([wrong.pk], population.Population(), runs.Progress(run, lambda: NIGHT)) == 0

    def test_a_word_that_comes_while_everybody_is_matched_is_heeded(self, wrong):
        merging.require(one=wrong.one_origin, other=wrong.other_origin, actor=make_user("engineer"), now=NOW)
        run = runs.ask(MatchRun.Kind.FULL, actor=None, now=NOW)

        assert takeback.take_back([wrong.pk], population.Population(), runs.Progress(run, lambda: NIGHT)) == 0

        assert len(together("anna", "diego")) == 1
        assert Constraint.objects.get().kind == "must"

    def test_a_preview_says_how_many_it_would_be(self, wrong):
        match()
        draft = draft_of_today()

        versions.preview(model=draft, actor=None, now=NOW)
        work()

        seen = versions.last_preview(draft)
        assert seen is not None
        assert seen.counts["taken_back"] == 1
        assert len(together("anna", "diego")) == 1


class TestScreens:
    def test_say_what_was_taken_back_and_why(self, client, wrong):
        full_pass()
        client.force_login(make_user("engineer"))

        for page, id_ in (("merging:merges", profile("anna")), ("review:merge", wrong.pk)):
            shown = client.get(reverse(page, args=[id_]))
            assert shown.status_code == 200
            assert takeback.REASON in shown.content.decode()
        assert "1 automatic merge taken back" in client.get(reverse("matching:status")).content.decode()

    def test_show_what_a_draft_would_take_back(self, client, wrong):
        match()
        draft = draft_of_today()
        versions.preview(model=draft, actor=None, now=NOW)
        work()
        client.force_login(make_user("engineer"))

        shown = client.get(reverse("matching:model", args=[draft.pk])).content.decode()
        assert "Automatic merges that the next full pass would take back" in shown


@pytest.mark.parametrize("seed", range(3))
def test_passes_come_to_rest_wherever_they_began(accept, automatic, seed):
    """Whoever was merged at random: after a pass nobody is with a stranger, and the next one has nothing to do."""
    draw = random.Random(seed)
    said = people(24)
    names = [one["anonymousId"] for one in said]
    accept(*said)
    drain_all(NOW)
    match()
    for _ in range(12):
        with contextlib.suppress(MergeRefusedError):  # one profile already, or too many identifiers
            merge(*draw.sample(names, 2))

    first = full_pass()
    merge_all(NIGHT)
    second = full_pass(NIGHT + timedelta(days=1))
    merge_all(NIGHT + timedelta(days=1))

    assert first.counts["taken_back"] > 5
    assert second.counts["taken_back"] == 0
    assert {one for one in together(*names) if len(one) > 1} == {
        frozenset({name, f"{name}-again"}) for name in names if f"{name}-again" in names
    }
