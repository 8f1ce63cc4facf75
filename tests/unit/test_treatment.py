"""What the rules of a source make of its messages."""

from typing import Any

import pytest

from ingestion import messages, treatment
from ingestion.contracts import Incoming, SourceTerms
from ingestion.errors import BadMessageError
from ingestion.treatment import ANY_EVENT, Opened, treat
from tests.factories.ingestion import batch_body, identify, inbox_row, track


def decoded(*sent: dict[str, Any]) -> list[Incoming]:
    return [item for item in messages.decode_row(inbox_row(batch_body(list(sent)))) if isinstance(item, Incoming)]


def shout(opened: Opened) -> None:
    before = opened.fields.get("size")
    if isinstance(before, str):
        opened.fields["size"] = before.upper()
        opened.note("test", "/size", "in capitals", before=before, after=before.upper())


def refuse(opened: Opened) -> None:
    if "card" in opened.fields:
        raise BadMessageError("No card numbers here.", code="card", path="/card")


@pytest.fixture
def rules(monkeypatch: pytest.MonkeyPatch) -> dict[int, SourceTerms]:
    """Source 1 shouts sizes of products viewed, and no event of it may bring a card."""
    monkeypatch.setattr(treatment, "_compiled", {})
    monkeypatch.setattr(
        treatment,
        "_STAGES",
        (
            lambda id_: {"Product Viewed": shout, "Identify": shout} if id_ == 1 else {},
            lambda id_: {ANY_EVENT: refuse} if id_ == 1 else {},
        ),
    )
    return {1: SourceTerms(None, 100)}


class TestTreat:
    def test_changes_properties_and_notes_it(self, rules: dict[int, SourceTerms]):
        (event,) = treat(decoded(track("Product Viewed", properties={"size": "xl", "n": 1})), rules).kept

        assert event.properties == b'{"size":"XL","n":1}'
        assert [(change.path, change.before, change.after) for change in event.changes] == [("/size", "xl", "XL")]

    def test_changes_traits_and_the_event_that_shows_them(self, rules: dict[int, SourceTerms]):
        (event,) = treat(decoded(identify(traits={"size": "xl"})), rules).kept

        assert (event.traits, event.properties) == ({"size": "XL"}, b'{"size":"XL"}')

    def test_turns_away_what_a_check_refuses_and_nothing_else(self, rules: dict[int, SourceTerms]):
        treated = treat(decoded(track("A", properties={"card": 4}), track("B")), rules)

        assert [event.name for event in treated.kept] == ["B"]
        assert [(item.event, item.code, item.path) for item in treated.rejected] == [("A", "card", "/card")]

    def test_leaves_other_sources_and_events_as_they_came(self, rules: dict[int, SourceTerms]):
        (plain,) = treat(decoded(track("Else", properties={"size": "xl"})), rules).kept
        (other,) = treat(decoded(track("Product Viewed", properties={"size": "xl"})), {2: rules[1]}).kept

        assert b'"xl"' in plain.properties
        assert b'"xl"' in other.properties

    def test_compiles_rules_anew_when_their_version_grows(
        self, rules: dict[int, SourceTerms], monkeypatch: pytest.MonkeyPatch
    ):
        treat(decoded(track("A")), rules)
        monkeypatch.setattr(treatment, "_STAGES", ())

        same = treat(decoded(track("A", properties={"card": 4})), rules)
        newer = treat(decoded(track("A", properties={"card": 4})), {1: SourceTerms(None, 100, rules_version=1)})

        assert (len(same.rejected), len(newer.rejected)) == (1, 0)


class TestWhatFollows:
    """What was read from properties and traits before the rules is read again where they changed something."""

    def double(self, opened: Opened) -> None:
        opened.fields["revenue"] = opened.fields["revenue"] * 2
        opened.note("test", "/revenue", "doubled")

    def rename(self, opened: Opened) -> None:
        opened.fields["email"] = opened.fields.pop("mail", None)
        opened.note("test", "/email", "renamed")

    @pytest.fixture
    def rules(self, monkeypatch: pytest.MonkeyPatch) -> dict[int, SourceTerms]:
        monkeypatch.setattr(treatment, "_compiled", {})
        monkeypatch.setattr(treatment, "_STAGES", (lambda _id: {"Paid": self.double, "Identify": self.rename},))
        return {1: SourceTerms(None, 100)}

    def test_the_promoted_number(self, rules: dict[int, SourceTerms]):
        (event,) = treat(decoded(track("Paid", properties={"revenue": 4})), rules).kept

        assert event.numbers == (8.0, None, None, None)

    def test_the_e_mail_that_identifies(self, rules: dict[int, SourceTerms]):
        (event,) = treat(decoded(identify(userId="u-1", traits={"mail": "Anna@Example.org"})), rules).kept

        assert event.identifiers == (("user_id", "u-1"), ("email", "anna@example.org"))

    def test_but_never_so_that_nobody_is_meant(self, rules: dict[int, SourceTerms]):
        (event,) = treat(decoded(identify(userId=..., traits={"email": "anna@example.org"})), rules).kept

        assert event.traits == {"email": None}
        assert event.identifiers == (("email", "anna@example.org"),)

    def test_a_number_that_only_jsonb_can_hold_passes_as_it_came(self, rules: dict[int, SourceTerms]):
        (row,) = [
            inbox_row(b'{"batch":[{"type":"track","event":"Paid","userId":"u","properties":{"revenue":1e400}}]}')
        ]

        (event,) = treat([one for one in messages.decode_row(row) if isinstance(one, Incoming)], rules).kept

        assert event.properties == b'{"revenue":1e400}'
        assert [change.what.split(":")[0] for change in event.changes] == ["not looked at"]
