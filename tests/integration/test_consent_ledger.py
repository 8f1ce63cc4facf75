"""The ledger in PostgreSQL: appended to, folded, never changed."""

import random
import threading
from datetime import timedelta

import pytest
from django.db import InternalError, connection, transaction

from consent import queries, subjects
from consent.contracts import Choice, Reason, Recorded, State
from consent.errors import NoSubjectError, SubjectKeyError, UnknownPurposeError
from consent.models import ConsentRecord, ConsentState, SubjectKey
from consent.operations import record_consent, record_consents
from consent.policy import STRICTNESS, latest
from consent.subjects import require_ledger_key, subject_hash
from tests.factories.consent import ANNA, ANNAS_BROWSER, NOW, PurposeFactory, a_choice, choose

pytestmark = pytest.mark.django_db

ANNAS_HASH = subject_hash(*ANNA)


def held_state() -> ConsentState:
    return ConsentState.objects.get(subject=ANNAS_HASH)


class TestRecordConsents:
    def test_keeps_every_field_and_hashes_the_person(self):
        purpose = PurposeFactory()

        recorded = record_consent(
            subjects=[ANNA, ANNAS_BROWSER],
            purpose=purpose.slug,
            state="granted",
            method="double_opt_in",
            happened_at=NOW - timedelta(hours=1),
            now=NOW,
            expires_at=NOW + timedelta(days=365),
            external_id="form-1",
            evidence={"text": "Yes, please ✓"},
            actor="source shop",
            jurisdiction="DE",
            notice="privacy",
            notice_version="3",
        )

        record = ConsentRecord.objects.get()
        assert recorded == Recorded(record.pk, created=True)
        assert record.subjects == sorted([ANNAS_HASH, subject_hash(*ANNAS_BROWSER)])
        assert (record.state, record.method, record.legal_basis) == ("granted", "double_opt_in", "consent")
        assert (record.happened_at, record.recorded_at) == (NOW - timedelta(hours=1), NOW)
        assert record.expires_at == NOW + timedelta(days=365)
        assert record.evidence == {"text": "Yes, please ✓"}
        assert (record.actor, record.jurisdiction, record.notice, record.notice_version) == (
            "source shop",
            "DE",
            "privacy",
            "3",
        )

    def test_stores_no_identifier_anywhere(self):
        choose(PurposeFactory(), State.GRANTED, external_id="x")

        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT r::text FROM consent_consentrecord r UNION ALL SELECT s::text FROM consent_consentstate s"
            )
            stored = " ".join(text for (text,) in cursor.fetchall())

        assert stored
        assert "anna" not in stored

    def test_adds_nothing_when_an_external_id_comes_again(self):
        purpose = PurposeFactory()
        first = record_consents(choices=[a_choice(purpose, external_id="a")], now=NOW)
        later = a_choice(purpose, State.WITHDRAWN, external_id="a", happened_at=NOW + timedelta(hours=1))

        again = record_consents(
            choices=[later, a_choice(purpose, external_id="b"), a_choice(purpose, external_id="b")],
            now=NOW + timedelta(hours=2),
        )

        assert [each.created for each in again] == [False, True, False]
        assert again[0].record_id == first[0].record_id
        assert again[1].record_id == again[2].record_id
        assert ConsentRecord.objects.count() == 2
        assert held_state().state == "granted"

    def test_takes_choices_without_external_id_every_time(self):
        purpose = PurposeFactory()

        recorded = record_consents(choices=[a_choice(purpose)] * 2, now=NOW)

        assert all(each.created for each in recorded)
        assert recorded[0].record_id < recorded[1].record_id

    def test_counts_a_choice_from_the_future_as_made_now(self):
        record_consents(choices=[a_choice(PurposeFactory(), happened_at=NOW + timedelta(days=1))], now=NOW)

        assert held_state().happened_at == NOW

    def test_refuses_all_where_one_names_no_such_purpose(self):
        purpose = PurposeFactory()

        with pytest.raises(UnknownPurposeError) as caught:
            record_consents(choices=[a_choice(purpose), a_choice(PurposeFactory.build())], now=NOW)

        assert caught.value.path == "/1/purpose"
        assert not ConsentRecord.objects.exists()

    def test_refuses_a_choice_of_nobody(self):
        with pytest.raises(NoSubjectError) as caught:
            record_consents(choices=[a_choice(PurposeFactory(), State.DENIED, ("user_id", "null"))], now=NOW)

        assert caught.value.path == "/0/subjects"


class TestFold:
    def test_agrees_with_the_policy_on_random_choices_in_random_batches(self):
        dice = random.Random(7)
        purpose = PurposeFactory()
        people = [("user_id", f"u-{number}") for number in range(6)]
        told: dict[str, list[Choice]] = {}
        for _ in range(40):
            batch = [
                a_choice(
                    purpose,
                    dice.choice(list(State)),
                    *dice.sample(people, dice.randint(1, 3)),
                    happened_at=NOW - timedelta(hours=dice.randint(0, 4)),
                    expires_at=dice.choice([None, NOW + timedelta(days=dice.randint(1, 3))]),
                )
                for _ in range(dice.randint(1, 8))
            ]
            for choice, recorded in zip(batch, record_consents(choices=batch, now=NOW), strict=True):
                made = Choice(choice.state, choice.happened_at, choice.expires_at, recorded.record_id)
                for subject in choice.subjects:
                    told.setdefault(subject_hash(*subject), []).append(made)

            held = {row.subject: row for row in ConsentState.objects.all()}

            assert held.keys() == told.keys()
            for subject, row in held.items():
                expected = latest(told[subject])
                assert (row.happened_at, row.expires_at, row.record_id) == (
                    expected.happened_at,
                    expected.expires_at,
                    expected.record_id,
                )
                assert STRICTNESS[State(row.state)] == STRICTNESS[expected.state]

    def test_keeps_a_newer_choice_when_an_older_one_arrives_late(self):
        purpose = PurposeFactory()
        newer = choose(purpose, State.WITHDRAWN, happened_at=NOW)

        choose(purpose, State.GRANTED, happened_at=NOW - timedelta(days=1))

        assert held_state().record_id == newer


class TestAppendOnly:
    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE consent_consentrecord SET state = 'granted'",
            "DELETE FROM consent_consentrecord",
            "TRUNCATE consent_consentrecord CASCADE",
            "UPDATE consent_consentrecord SET actor = '' WHERE false",
        ],
    )
    def test_postgresql_refuses(self, statement):
        choose(PurposeFactory(), State.DENIED)

        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            savepoint = transaction.savepoint()
            with pytest.raises(InternalError, match="append-only"):
                cursor.execute(statement)
            transaction.savepoint_rollback(savepoint)

        assert ConsentRecord.objects.get().state == "denied"


class TestDecideMany:
    def test_answers_for_each_person_by_name(self):
        purpose = PurposeFactory()
        granted = choose(purpose, State.GRANTED)
        denied = choose(purpose, State.DENIED, ("user_id", "u-2"))
        people = {
            "anna": [ANNAS_HASH, subject_hash("user_id", "silent")],
            "ben": [subject_hash("user_id", "u-2")],
            "both": [ANNAS_HASH, subject_hash("user_id", "u-2")],
            "nobody": [],
            "silent": [subject_hash("user_id", "silent")],
        }

        answers = queries.decide_many(people=people, purpose_id=purpose.pk, now=NOW)

        assert {name: (each.reason, each.record_id) for name, each in answers.items()} == {
            "anna": (Reason.GRANTED, granted),
            "ben": (Reason.DENIED, denied),
            "both": (Reason.DENIED, denied),
            "nobody": (Reason.UNKNOWN_PERSON, None),
            "silent": (Reason.NO_CHOICE, None),
        }

    def test_knows_since_when_identifiers_belong_together(self):
        purpose = PurposeFactory()
        choose(purpose, State.DENIED, ANNAS_BROWSER, happened_at=NOW - timedelta(days=9))
        choose(purpose, State.GRANTED, happened_at=NOW - timedelta(days=1))
        linked = dict.fromkeys([ANNAS_HASH, subject_hash(*ANNAS_BROWSER)], NOW - timedelta(days=5))

        answers = queries.decide_many(
            people={"known": linked, "unknown": list(linked)}, purpose_id=purpose.pk, now=NOW
        )

        assert answers["known"].allowed
        assert not answers["unknown"].allowed

    def test_refuses_everybody_for_a_purpose_that_is_not_there(self):
        assert queries.decide(subjects=[ANNAS_HASH], purpose_id=0, now=NOW).reason is Reason.UNKNOWN_PURPOSE

    def test_refuses_who_has_no_identifier_even_where_silence_is_consent(self):
        purpose = PurposeFactory(requires_opt_in=False)

        assert not queries.decide(subjects=[], purpose_id=purpose.pk, now=NOW).allowed

    def test_keeps_purposes_apart(self):
        choose(PurposeFactory(), State.GRANTED)

        assert not queries.decide(subjects=[ANNAS_HASH], purpose_id=PurposeFactory().pk, now=NOW).allowed

    def test_asks_two_questions_however_many_people(self, django_assert_num_queries):
        purpose = PurposeFactory()
        people = {number: [subject_hash("user_id", f"u-{number}")] for number in range(500)}
        require_ledger_key()

        with django_assert_num_queries(2):
            queries.decide_many(people=people, purpose_id=purpose.pk, now=NOW)


class TestLedgerKey:
    @pytest.fixture(autouse=True)
    def checked_afresh(self):
        subjects._check_fingerprint.cache_clear()
        yield
        subjects._check_fingerprint.cache_clear()
        subjects.subject_key.cache_clear()

    def test_of_the_first_use_is_the_ledgers_from_then_on(self):
        choose(PurposeFactory(), State.DENIED)

        assert SubjectKey.objects.get().fingerprint == subjects.fingerprint()

    def test_that_is_another_stops_every_answer_and_every_record(self, monkeypatch):
        purpose = PurposeFactory(requires_opt_in=False)
        choose(purpose, State.DENIED)
        subjects.subject_key.cache_clear()
        monkeypatch.setenv("CDP_SUBJECT_KEY", "another")

        for _ in range(2):
            with pytest.raises(SubjectKeyError, match="CDP_SUBJECT_KEY"):
                queries.decide(subjects=[subject_hash(*ANNA)], purpose_id=purpose.pk, now=NOW)
        with pytest.raises(SubjectKeyError):
            choose(purpose, State.GRANTED)

        monkeypatch.undo()
        subjects.subject_key.cache_clear()
        assert not queries.decide(subjects=[subject_hash(*ANNA)], purpose_id=purpose.pk, now=NOW).allowed


class TestRefusedSubjects:
    def test_are_those_who_said_no_where_silence_is_consent(self):
        purpose = PurposeFactory(kind="collection", requires_opt_in=False)
        choose(purpose, State.DENIED)

        refused = queries.refused_subjects(
            subjects=[ANNAS_HASH, subject_hash("user_id", "silent")], purpose_id=purpose.pk, now=NOW
        )

        assert refused == {ANNAS_HASH}

    def test_are_all_but_those_who_agreed_where_people_opt_in(self):
        purpose = PurposeFactory(kind="collection")
        choose(purpose, State.GRANTED)
        silent = subject_hash("user_id", "silent")

        assert queries.refused_subjects(subjects=[ANNAS_HASH, silent], purpose_id=purpose.pk, now=NOW) == {silent}


@pytest.mark.django_db(transaction=True)
class TestSideBySide:
    def test_senders_of_the_same_choices_record_them_once_and_do_not_deadlock(self):
        purpose = PurposeFactory()
        choices = [a_choice(purpose, State.GRANTED, ("user_id", f"u-{n}"), external_id=f"c-{n}") for n in range(300)]
        failures: list[BaseException] = []

        def send(order: int) -> None:
            try:
                for part in range(6):
                    some = random.Random(order * 10 + part).sample(choices, 150)
                    record_consents(choices=some, now=NOW)
            except BaseException as error:  # noqa: BLE001 - reported below
                failures.append(error)
            finally:
                connection.close()

        threads = [threading.Thread(target=send, args=(order,)) for order in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert failures == []
        sent = ConsentRecord.objects.values_list("external_id", flat=True)
        assert len(sent) == len(set(sent)) == ConsentState.objects.count()
