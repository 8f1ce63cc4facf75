"""Evaluations of matching: asked for, done in the background, shown, exported; and files held against profiles."""

import csv
import io
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from identity.candidates import jobs
from identity.candidates.models import MatchRun
from identity.evaluation import operations, queries, uploads
from identity.evaluation.errors import EvaluationError
from identity.evaluation.models import MatchEvaluation
from tests.factories.access import make_user
from tests.factories.candidates import make_candidate
from tests.factories.evaluation import make_label, make_people

PAGE = "/identity/evaluation/"
FILE = b"user_id,email,truth\np-0,adele.0@example.org,a\np-0-again,,a\np-1,,b\nnobody,,c\n"
TABLES = ("labels", "thresholds", "sizes", "scores", "passes", "unlinkables", "mistakes", "weights")


def work() -> None:
    while jobs.work(clock=timezone.now, others=operations.JOBS):
        pass


def ask_file(body: bytes = FILE) -> MatchEvaluation:
    row = operations.evaluate_file(body=body, name="known.csv", actor=None, now=timezone.now())
    work()
    return MatchEvaluation.objects.get(pk=row.pk)


@pytest.fixture
def people(database) -> list[int]:
    """Thirty, of whom six are there twice."""
    return make_people(30, twice=6)


@pytest.fixture
def labels(people) -> None:
    """Five pairs of one person, four of two; one of either kind is on the wrong side."""
    for number in range(4):
        make_label(people[number], people[30 + number], same=True)
        make_label(people[number], people[number + 7], same=False)
    make_label(people[4], people[11], same=True)
    make_label(people[5], people[35], same=False)


@pytest.fixture
def evaluated(labels) -> MatchEvaluation:
    operations.evaluate_profiles(model=None, actor=None, now=timezone.now())
    work()
    return MatchEvaluation.objects.get()


@pytest.fixture
def engineer(client, database):
    client.force_login(make_user("engineer"))
    return client


class TestEvaluateProfiles:
    def test_measures_labels_groups_scores_and_coverage(self, evaluated, people):
        report = queries.report_of(evaluated)

        assert (report.profiles, report.labels.same, report.labels.different) == (36, 5, 5)
        assert report.labels.quality.precision.value == pytest.approx(4 / 5)
        assert report.labels.quality.recall.value == pytest.approx(4 / 5)
        assert report.labels.coverage == pytest.approx(4 / 5)
        assert [(one.size, one.clusters) for one in report.sizes] == [(1, 24), (2, 6)]
        assert sum(report.histogram.matches) == 5
        assert sum(report.histogram.non_matches) == 5
        assert [(one.one, one.other) for one in report.wrong] == [(people[5], people[35])]
        assert [(one.one, one.other) for one in report.missed] == [(people[4], people[11])]
        assert report.unlinkables.shares == sorted(report.unlinkables.shares)
        assert report.passes[0].pairs > 0

    def test_changes_nothing_and_keeps_no_personal_data(self, evaluated):
        assert MatchRun.objects.get().state == "done"
        assert "Abernathy" not in str(evaluated.result)
        assert "example.org" not in str(evaluated.result)

    def test_trusts_a_random_sample_more_than_the_queue(self, people):
        make_label(people[0], people[30], same=True, sampled=True, weight=3.0)
        make_label(people[1], people[9], same=True)
        operations.evaluate_profiles(model=None, actor=None, now=timezone.now())
        work()

        labels = queries.report_of(MatchEvaluation.objects.get()).labels

        assert (labels.sampled, labels.same, labels.quality.recall.value) == (True, 1, 1.0)

    def test_is_asked_for_once_while_it_waits(self, database):
        for _ in range(3):
            operations.evaluate_profiles(model=None, actor=None, now=timezone.now())

        assert MatchEvaluation.objects.count() == 1

    def test_does_with_nobody_at_all(self, database):
        operations.evaluate_profiles(model=None, actor=None, now=timezone.now())
        work()

        report = queries.report_of(MatchEvaluation.objects.get())
        assert (report.profiles, report.labels, report.sizes) == (0, None, [])


class TestEvaluateFile:
    def test_holds_profiles_against_it_and_forgets_the_ids(self, people):
        row = ask_file()

        report = queries.report_of(row)
        assert (report.rows, report.unknown, report.people) == (5, 1, 2)
        assert (report.pairs.true_positives, report.pairs.false_positives, report.pairs.false_negatives) == (1, 0, 2)
        assert [(one.one, one.other) for one in report.missed] == [(people[0], people[30])]
        assert report.missed[0].probability > 0.5
        assert row.upload is None
        assert "adele" not in str(row.result)

    def test_names_profiles_that_hold_several_people(self, people):
        report = queries.report_of(ask_file(b"user_id;email;truth\np-0;;a\n;ADELE.0@example.org;b\n"))

        assert [one.one for one in report.wrong] == [people[0]]
        assert report.pairs.precision == 0

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            (b"", "empty_file"),
            (b"user_id,truth\n", "empty_file"),
            (b"user_id,name\nu,a\n", "no_truth"),
            (b"user_id,truth\n,a\nu,\n", "no_ids"),
            ("user_id,truth\nü,a\n".encode("cp1252"), "bad_encoding"),
            (b"\0\1\2\3", "bad_csv"),
        ],
        ids=["empty", "header-only", "no-truth", "no-ids", "encoding", "binary"],
    )
    def test_says_what_is_wrong_with_it(self, body, code):
        with pytest.raises(EvaluationError) as raised:
            uploads.read_upload(body)

        assert (raised.value.code, raised.value.path) == (code, "/file")

    def test_takes_kinds_from_a_column(self):
        rows = uploads.read_upload(b"kind\tvalue\tperson\nemail\ta@x.org\t1\nuser_id\tu\t1\n")

        assert [(row.kind, row.value, row.truth) for row in rows] == [("email", "a@x.org", "1"), ("user_id", "u", "1")]


class TestScreens:
    def test_say_what_to_do_first(self, engineer):
        page = engineer.get(PAGE).content.decode()

        assert "Nothing was evaluated yet" in page
        assert 'data-dialog="start"' in page

    def test_are_read_only_for_those_who_may_not_decide(self, client, evaluated):
        client.force_login(make_user("analyst"))

        page = client.get(PAGE).content.decode()

        assert 'data-dialog="start"' not in page
        assert client.post(f"{PAGE}start/").status_code == 403
        assert "Abernathy" not in page
        assert "Abernathy" not in client.get(f"{PAGE}{evaluated.pk}/missed/0/").content.decode()

    def test_show_everything_and_explain_mistakes(self, engineer, evaluated, people):
        pair = make_candidate(people[4], people[11])

        page = engineer.get(PAGE).content.decode()
        why = engineer.get(f"{PAGE}{evaluated.pk}/missed/0/").content.decode()

        for text in (
            "Precision",
            "Pairs by score",
            "Groups by size",
            "What each field weighs",
            "Label a random sample",
        ):
            assert text in page
        assert f"/identity/review/{pair.pk}/" in page
        assert "likely one person" in why
        assert engineer.get(f"{PAGE}{evaluated.pk}/missed/7/").status_code == 404

    def test_export_every_table(self, engineer, evaluated):
        for name in TABLES:
            answer = engineer.get(f"{PAGE}{evaluated.pk}/{name}.csv")
            rows = list(csv.reader(io.StringIO(answer.content.decode())))
            assert len(rows) > 1, name
            assert {len(row) for row in rows} == {len(rows[0])}, name
        assert engineer.get(f"{PAGE}{evaluated.pk}/nothing.csv").status_code == 404

    def test_start_and_follow_an_evaluation(self, engineer, people):
        engineer.post(f"{PAGE}start/")

        waiting = engineer.get(PAGE).content.decode()
        progress = engineer.get(f"{PAGE}progress/").content.decode()
        work()

        assert "Waiting for a worker" in waiting
        assert "Waiting for a worker" in progress
        assert engineer.get(f"{PAGE}progress/")["HX-Refresh"] == "true"
        assert "No pair is labelled yet" in engineer.get(PAGE).content.decode()

    def test_take_a_file_and_show_what_became_of_it(self, engineer, people):
        answer = engineer.post(f"{PAGE}upload/", {"file": SimpleUploadedFile("known.csv", FILE)}, follow=True)
        work()

        row = MatchEvaluation.objects.get()
        assert "The file is read" in answer.content.decode()
        page = engineer.get(f"{PAGE}{row.pk}/").content.decode()
        assert "1 of the ids are nobody" in page
        assert "People whose ids lead to several profiles" in page

    @pytest.mark.parametrize("files", [{}, {"file": SimpleUploadedFile("x.csv", b"a,b\n1,2\n")}], ids=["none", "bad"])
    def test_say_what_is_wrong_with_a_file(self, engineer, files):
        answer = engineer.post(f"{PAGE}upload/", files, follow=True).content.decode()

        assert "Choose a CSV file first" in answer or "No column says who each row is" in answer
        assert not MatchEvaluation.objects.exists()


class TestApi:
    URL = "/api/v1/match-evaluations/"

    def test_asks_and_reads(self, engineer, labels):
        asked = engineer.post(self.URL, {}, content_type="application/json")
        work()

        found = engineer.get(f"{self.URL}{asked.json()['id']}/").json()
        assert (asked.status_code, asked.json()["state"]) == (202, "waiting")
        assert (found["state"], found["progress"], found["result"]["profiles"]) == ("done", 1.0, 36)
        assert [row["id"] for row in engineer.get(self.URL).json()["results"]] == [found["id"]]

    def test_takes_labelled_rows(self, engineer, people):
        rows = [{"kind": "user_id", "value": value, "truth": "x"} for value in ("p-0", "p-0-again")]
        asked = engineer.post(self.URL, {"rows": rows}, content_type="application/json").json()
        work()

        assert engineer.get(f"{self.URL}{asked['id']}/").json()["result"]["pairs"]["false_negatives"] == 1

    @pytest.mark.parametrize(
        ("body", "path"),
        [({"model": 99}, "/model"), ({"rows": []}, "/rows"), ({"rows": [{"kind": "email"}]}, "/rows/0/value")],
        ids=["model", "no-rows", "row"],
    )
    def test_says_what_is_wrong(self, engineer, body, path):
        answer = engineer.post(self.URL, body, content_type="application/json")

        assert (answer.status_code, answer.json()["path"]) == (400, path)

    def test_needs_a_scope_to_ask(self, client, database):
        client.force_login(make_user("marketer"))

        assert client.post(self.URL, {}, content_type="application/json").status_code == 403


class TestForgetOld:
    def test_keeps_the_last_fifty(self, database):
        for _ in range(operations.KEPT):
            MatchEvaluation.objects.create(kind="file", asked_at=timezone.now() - timedelta(days=9))

        operations.evaluate_file(body=FILE, name="new.csv", actor=None, now=timezone.now())

        assert MatchEvaluation.objects.count() == operations.KEPT
