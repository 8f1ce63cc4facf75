"""The tab "Standardise" of a source."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from ingestion.models import Source
from ingestion.standardise import forms, operations
from ingestion.standardise.models import StandardRule
from ingestion.standardise.operations import RuleError
from ingestion.standardise.rules import RuleSpec
from tests.factories.access import make_user
from tests.factories.ingestion import identify, track
from tests.integration.conftest import drain_all

URL = "/sources/shop/standardise/"


@pytest.fixture
def engineer(database: None) -> Client:
    client = Client()
    client.force_login(make_user("engineer"))
    return client


@pytest.fixture
def events(accept) -> None:
    accept(
        track("Paid", properties={"country": "Germany", "sex": "m"}),
        track("Paid", properties={"country": "FRA", "sex": "w"}),
        identify(traits={"email": "Anna@Example.org"}),
        now=timezone.now(),
    )
    drain_all()


def add(source: Source, field: str, kind: str = "text", **fields: Any) -> StandardRule:
    return operations.add_rule(source=source, rule=RuleSpec(field=field, kind=kind, **fields), now=timezone.now())


def posted(**fields: Any) -> dict[str, Any]:
    return {"of": "properties", "event": "", "field": "country", "kind": "country", "on_failure": "keep"} | fields


class TestList:
    def test_suggests_rules_for_what_is_seen_and_links_to_them(self, engineer: Client, source: Source, events: None):
        page = engineer.get(URL).content.decode()

        assert "Suggested" in page
        assert "field=country&amp;kind=country" in page
        assert "Germany" in page

    def test_says_what_to_do_next_without_events(self, engineer: Client, source: Source):
        page = engineer.get(URL).content.decode()

        assert "No rules yet" in page
        assert "No events in the last 30 days" in page

    def test_moves_switches_deletes_and_restores(self, engineer: Client, source: Source):
        rows = [add(source, name) for name in "abc"]

        def act(index: int, action: str) -> list[tuple[str, bool]]:
            engineer.post(f"{URL}{rows[index].pk}/{action}/", headers={"HX-Request": "true"})
            found = StandardRule.objects.filter(deleted_at=None).order_by("position")
            return list(found.values_list("field", "enabled"))

        assert act(2, "up") == [("a", True), ("c", True), ("b", True)]
        assert act(0, "up") == [("a", True), ("c", True), ("b", True)]
        assert act(0, "off") == [("a", False), ("c", True), ("b", True)]
        assert act(2, "delete") == [("a", False), ("b", True)]
        assert act(2, "restore") == [("a", False), ("c", True), ("b", True)]

    def test_offers_undo_after_a_deletion(self, engineer: Client, source: Source):
        row = add(source, "size")

        answer = engineer.post(f"{URL}{row.pk}/delete/", headers={"HX-Request": "true"}).content.decode()

        assert "Undo" in answer
        assert f"{URL}{row.pk}/restore/" in answer

    def test_an_analyst_reads_and_changes_nothing(self, client: Client, source: Source):
        row = add(source, "size")
        client.force_login(make_user("analyst"))

        assert client.get(URL).status_code == 200
        assert client.get(f"{URL}new/").status_code == 403
        assert client.post(f"{URL}{row.pk}/delete/").status_code == 403


class TestEditor:
    def test_saves_a_new_rule(self, engineer: Client, source: Source):
        answer = engineer.post(f"{URL}new/", posted(kind="phone", field="tel", **{"o-region": "DE"}))

        assert answer.status_code == 302
        row = StandardRule.objects.get()
        assert (row.kind, row.field, row.options) == ("phone", "tel", {"region": "DE"})

    def test_changes_a_rule_and_leaves_it_switched_off(self, engineer: Client, source: Source):
        row = add(source, "size", enabled=False)

        engineer.post(f"{URL}{row.pk}/", posted(kind="text", field="size", **{"o-case": "upper"}))

        row.refresh_from_db()
        assert (row.options, row.enabled) == ({"case": "upper"}, False)

    @pytest.mark.parametrize(
        "kind", ["phone", "date", "language", "number", "money", "quantity", "boolean", "mapping"]
    )
    def test_shows_every_kind_and_saves_what_it_shows(self, engineer: Client, source: Source, kind: str):
        options = {"quantity": {"unit": "kg"}, "mapping": {"table": {"a": "b"}}, "date": {"formats": ["%d%m%y"]}}
        row = add(source, "size", kind, options=options.get(kind, {}))
        page = engineer.get(f"{URL}{row.pk}/")
        form = page.context["option_form"]
        shown = {f"o-{name}": form[name].value() for name in form.fields}
        if kind == "mapping":
            shown |= {
                "o-from": [old for old, _ in page.context["table"]],
                "o-to": [new for _, new in page.context["table"]],
            }

        engineer.post(
            f"{URL}{row.pk}/", posted(kind=kind, field="size") | {k: v for k, v in shown.items() if v is not None}
        )

        before = forms.KIND_CHOICES and row.spec
        row.refresh_from_db()
        assert operations.check_rule(row.spec) is None
        assert {k: v for k, v in before.options.items() if row.options.get(k) != v} == {}

    @pytest.mark.parametrize(
        ("fields", "form", "place"),
        [
            ({"field": "a..b"}, "form", "field"),
            ({"kind": "money", "o-currency": "XQQ"}, "option_form", "currency"),
            ({"kind": "date", "o-output": "as_given", "o-formats": "%d"}, "option_form", "formats"),
            ({"kind": "copy", "o-to": "country"}, "option_form", "to"),
            ({"kind": "copy", "o-to": ""}, "option_form", "to"),
        ],
    )
    def test_shows_what_is_wrong_where(
        self, engineer: Client, source: Source, fields: dict[str, str], form: str, place: str
    ):
        answer = engineer.post(f"{URL}new/", posted(**fields))

        assert answer.status_code == 422
        assert place in answer.context[form].errors
        assert not StandardRule.objects.exists()

    def test_previews_what_is_typed(self, engineer: Client, source: Source, events: None):
        page = engineer.post(f"{URL}preview/", posted()).content.decode()

        assert "Germany" in page
        assert "&quot;DE&quot;" in page

    def test_a_preview_says_what_is_wrong(self, engineer: Client, source: Source):
        page = engineer.post(f"{URL}preview/", posted(field="a..b")).content.decode()

        assert "is no path of a field" in page

    def test_counts_the_values_that_a_table_lacks(self, engineer: Client, source: Source, events: None):
        fields = posted(field="sex", kind="mapping", **{"o-kind": "mapping", "o-unknown": "keep"})
        page = engineer.post(f"{URL}options/", fields | {"o-from": ["m"], "o-to": ["male"]})

        assert page.context["table"] == [("m", "male")]
        assert page.context["unmapped"] == [("w", 1)]

    def test_takes_a_table_from_a_file(self, engineer: Client, source: Source):
        file = SimpleUploadedFile("map.csv", b"value;standard\nw;female\nHerr;male\n")
        fields = posted(field="sex", kind="mapping", **{"o-kind": "mapping", "o-unknown": "flag", "o-csv": file})

        engineer.post(f"{URL}new/", fields)

        assert StandardRule.objects.get().options == {"table": {"w": "female", "Herr": "male"}, "unknown": "flag"}


class TestReadCsv:
    @pytest.mark.parametrize("text", ["a,b\nc,d\n", "from\tto\na\tb\nc\td", "\ufeffa;b\r\n\r\nc;d\r\n"])
    def test_reads_common_forms(self, text: str):
        assert forms.read_csv(text.encode()) == {"a": "b", "c": "d"}

    @pytest.mark.parametrize(
        ("content", "code"), [(b"a\n", "csv_line_invalid"), ("ä,b".encode("latin-1"), "csv_not_utf8")]
    )
    def test_refuses_others(self, content: bytes, code: str):
        with pytest.raises(RuleError) as caught:
            forms.read_csv(content)

        assert caught.value.code == code

    def test_reads_what_it_writes(self):
        table = {"a, b": 'say "x"', "c": "d\ne"}

        assert forms.read_csv(forms.write_csv(table)) == table
