"""The queue of uncertain pairs: who is asked what, what is shown to whom, and what becomes of an answer."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from cdp.kernel.access.models import User
from identity.candidates import queue, turn
from identity.candidates.models import Candidate, Label, MatchingSettings
from identity.models import Profile
from identity.review import blind, queries, turns
from identity.review.contracts import Wanted
from identity.review.models import Draw, Verdict
from tests.factories.access import make_user
from tests.factories.candidates import CITY, NAMES, SURNAME, make_candidate, make_pair, make_person, make_scored

pytestmark = pytest.mark.usefixtures("database")
EVERYTHING = Wanted()


def next_for(user: User, **fields: object) -> Candidate | None:
    return turns.take_next(user_id=user.pk, **({"wanted": EVERYTHING, "now": timezone.now()} | fields))


@pytest.fixture
def log_in(client: Client) -> Callable[..., User]:
    def enter(*roles: str) -> User:
        user = make_user(*roles)
        client.force_login(user)
        return user

    return enter


class TestTurns:
    def test_give_two_people_two_pairs(self):
        pairs = [make_pair(number, value=9 - number) for number in range(3)]
        anna, ben = make_user("engineer"), make_user("engineer")

        asked = [next_for(anna), next_for(ben), next_for(anna)]

        assert asked == [pairs[0], pairs[1], pairs[0]]

    def test_lapse(self):
        pair = make_pair()
        next_for(make_user("engineer"))
        ben = make_user("engineer")

        assert next_for(ben) is None
        assert next_for(ben, now=timezone.now() + turns.TURN) == pair

    def test_leave_pairs_of_the_same_people_for_later(self):
        first = make_pair(1, value=9)
        third = make_person({"firstName": "Kathrin"})
        related = make_candidate(first.one_id, third, value=8)
        apart = make_pair(2, value=1)
        anna = make_user("engineer")

        assert next_for(anna, besides=[first.pk]) == apart
        assert next_for(anna, besides=[first.pk, apart.pk]) == related

    def test_ask_about_skipped_pairs_last(self):
        skipped = make_pair(1, value=9, skipped_at=timezone.now())
        fresh = make_pair(2, value=1)

        assert list(queries.waiting()) == [fresh, skipped]


class TestWaiting:
    def test_is_narrowed_by_what_somebody_wants(self):
        now = timezone.now()
        likely = make_pair(1, reason="bridge", now=now - timedelta(days=9))
        one, other = (make_person({}, source_id=7, user_id=name) for name in ("a", "b"))
        unlikely = make_candidate(one, other, SURNAME, CITY)

        def found(**fields: object) -> list[Candidate]:
            return list(queries.waiting(Wanted(**fields)))

        assert found(least=0.5) == [likely]
        assert found(most=0.5) == [unlikely]
        assert found(reason="bridge") == [likely]
        assert found(source_id=7) == [unlikely]
        assert found(field=NAMES.field) == [likely]
        assert found(field=CITY.field) == []
        assert found(before=now - timedelta(days=7)) == [likely]
        assert found(since=now - timedelta(days=7)) == [unlikely]

    def test_takes_nonsense_in_the_address_for_no_filter(self, client: Client, log_in: Callable[..., User]):
        make_pair()
        log_in("engineer")

        page = client.get("/identity/review/?least=nan&most=-1&reason=x&source=abc&age=never&page=9e9")

        assert page.status_code == 200
        assert b"data-line" in page.content


class TestPairPage:
    def test_marks_letters_and_adds_the_evidence_up(self, client: Client, log_in: Callable[..., User]):
        pair = make_pair()
        log_in("engineer")

        page = client.get(f"/identity/review/{pair.pk}/").content.decode()

        assert "<mark>K</mark>ath<mark>a</mark>rine" in page
        assert "18 times likelier one person" in page
        assert '"steps": [{"name": "surname"' in page

    def test_masks_people_for_those_who_may_not_see_them(self, client: Client, log_in: Callable[..., User]):
        pair = make_pair()
        log_in("analyst")

        for address in ("", f"{pair.pk}/", f"{pair.pk}/preview/", "bulk/?least=60", "decisions/"):
            page = client.get(f"/identity/review/{address}").content.decode()
            assert "Meyer" not in page, address
            assert "kate0@example.org" not in page, address
        assert client.post(f"/identity/review/{pair.pk}/decide/", {"decision": "accept"}).status_code == 403

    def test_tells_who_else_is_answering(self, client: Client, log_in: Callable[..., User]):
        pair = make_pair()
        next_for(make_user("engineer", username="anna"))
        log_in("engineer")

        page = client.get(f"/identity/review/{pair.pk}/").content.decode()
        answer = client.post(
            f"/identity/review/{pair.pk}/decide/", {"decision": "accept"}, headers={"Accept": "application/json"}
        )

        assert "Anna Tester is answering this pair" in page
        assert (answer.status_code, answer.json()["code"]) == (409, "turn_taken")


class TestBlindLabelling:
    def test_draws_from_every_stratum_and_weighs_by_its_size(self):
        make_scored(200)

        drawn = blind.draw(actor=None, now=timezone.now(), a_stratum=5, seed=1)

        sizes = {draw.stratum: draw.stands_for for draw in Draw.objects.all()}
        assert drawn == Draw.objects.count()
        assert sum(sizes.values()) == 200
        assert blind.draw(actor=None, now=timezone.now(), a_stratum=5, seed=1) > 0

    def test_draws_from_below_the_threshold_of_asking_too(self):
        MatchingSettings.objects.create(accept_above=0.99999, review_above=0.9999)
        for number, name in enumerate(("Ada", "Ade", "Adanna", "Femi", "Grace", "Tunde")):
            traits = {
                "firstName": name,
                "lastName": "Okonkwo",
                "city": "Lübeck",
                "birthday": f"19{6 + number}{number}-0{number + 1}-03",
            }
            make_person(traits, email=f"{name}@example.org")
        queue.note_changed(set(Profile.objects.values_list("pk", flat=True)))
        turn.match_changes(now=timezone.now())

        drawn = blind.draw(actor=None, now=timezone.now(), seed=1)

        below = Draw.objects.filter(stratum__lt=0)
        assert drawn > 0
        assert below.count() == drawn - Draw.objects.filter(stratum__gte=0).count() > 0
        assert all(draw.shown and draw.probability < 0.9999 for draw in below)

    def test_makes_labels_and_merges_nothing(self):
        make_scored(8)
        blind.draw(actor=None, now=timezone.now(), seed=1)
        anna = make_user("engineer")

        for answer in ("same", "different", "unsure"):
            draw = blind.next_draw(actor=anna)
            blind.judge(draw_id=draw.pk, answer=answer, actor=anna, now=timezone.now())

        labels = Label.objects.order_by("pk")
        assert [(label.same, label.blind, label.sampled) for label in labels] == [
            (True, True, True),
            (False, True, True),
        ]
        assert len(blind.judged_pairs()) == 2
        assert set(Candidate.objects.values_list("state", flat=True)) == {"waiting"}

    def test_asks_nobody_twice_and_some_pairs_of_two_people(self):
        make_scored(30)
        blind.draw(actor=None, now=timezone.now(), seed=1)
        Draw.objects.filter(pk__in=Draw.objects.order_by("pk")[:3]).update(judges=2)
        anna, ben = make_user("engineer"), make_user("engineer")

        for user in (anna, ben):
            while draw := blind.next_draw(actor=user):
                answer = "same" if user == anna or draw.pk % 2 else "different"
                blind.judge(draw_id=draw.pk, answer=answer, actor=user, now=timezone.now())

        twice = Draw.objects.filter(judges=2).count()
        assert Verdict.objects.filter(given_by=anna).count() == Draw.objects.count()
        assert Verdict.objects.filter(given_by=ben).count() == twice
        assert blind.agreement().pairs == twice

    def test_takes_the_last_answer_back(self):
        make_scored(3)
        blind.draw(actor=None, now=timezone.now(), seed=1)
        anna = make_user("engineer")
        draw = blind.next_draw(actor=anna)
        blind.judge(draw_id=draw.pk, answer="same", actor=anna, now=timezone.now())

        assert blind.take_back(actor=anna, now=timezone.now()) == draw
        assert blind.judged_pairs() == []
        assert Label.objects.get().withdrawn_at is not None
