"""Every rule that people ask for first, built by clicking, says what its template says. R: D6"""

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from segments.ast import parse
from segments.gallery import GALLERY

EMPTY: dict[str, Any] = {"type": "all", "of": []}
ADDERS = {
    "event": "Something they did",
    "sequence": "Things in order",
    "trait": "Something about them",
    "account": "Their account",
    "consent": "Their consent",
}


class Clicking:
    """Fills one condition by its fields, as a person would; each drawing anew is waited for by asking again."""

    def __init__(self, page: Page, place: int) -> None:
        self.box: Locator = page.locator(".condition").nth(place)

    def field(self, name: str) -> Locator:
        return self.box.locator(f'[data-field="{name}"]').first

    def type(self, name: str, text: str) -> None:
        box = self.field(name)
        box.fill(text)
        box.press("Escape")
        box.press("Tab")
        expect(self.field(name)).to_have_value(text)

    def choose(self, name: str, value: str) -> None:
        self.field(name).select_option(value)
        expect(self.field(name)).to_have_value(value)

    def button(self, name: str, *, within: Locator | None = None) -> None:
        (within or self.box).get_by_role("button", name=name, exact=True).click()

    # --- Parts of a condition ---

    def duration(self, name: str, text: str) -> None:
        self.choose(f"{name}/unit", text[-1])
        self.type(name, text[:-1])

    def window(self, window: dict[str, Any] | None) -> None:
        self.choose("window", "last" if window else "all")
        if window:
            self.duration("window/last", window["last"])

    def comparison(self, test: dict[str, Any], prefix: str = "") -> None:
        op, value = test["op"], test["value"]
        self.choose(f"{prefix}op", op)
        if op == "between":
            for place, bound in enumerate(value):
                self.type(f"{prefix}value/{place}", str(bound))
        elif isinstance(value, list):
            for one in value:
                box = self.field(f"{prefix}value")
                box.fill(str(one))
                box.press("Enter")
                expect(self.box.get_by_label(f"Remove {one}", exact=True)).to_be_visible()
        else:
            self.type(f"{prefix}value", str(value))

    def filters(self, where: list[dict[str, Any]], prefix: str = "") -> None:
        for place, one in enumerate(where):
            self.button("and where…" if place else "only where…")
            self.type(f"{prefix}where/{place}/property", one["property"])
            self.comparison(one, f"{prefix}where/{place}/")

    # --- Conditions ---

    def event(self, wanted: dict[str, Any]) -> None:
        self.type("event", wanted["event"])
        if (wanted["op"], wanted["value"]) == ("eq", 0):
            self.choose("done", "not")
        else:
            self.choose("measure", wanted["measure"])
            if "of" in wanted:
                self.type("of", wanted["of"])
            self.comparison(wanted)
        self.window(wanted.get("window"))
        if "span" in wanted:
            self.button("all within some hour, day …")
            self.duration("span", wanted["span"])
        self.filters(wanted.get("where", []))

    def sequence(self, wanted: dict[str, Any]) -> None:
        self.window(wanted.get("window"))
        for place, step in enumerate(wanted["steps"]):
            prefix = f"steps/{place}/"
            self.type(f"{prefix}event", step["event"])
            if place:
                self.choose(f"{prefix}absent", "not" if step.get("absent") else "did")
                if "within" in step:
                    self.duration(f"{prefix}within", step["within"])
                else:
                    self.button("Remove the time limit")
            if step.get("where"):
                self.button("only where…", within=self.box.locator("li.step").nth(place))
                [one] = step["where"]
                self.type(f"{prefix}where/0/property", one["property"])
                self.comparison(one, f"{prefix}where/0/")

    def account(self, wanted: dict[str, Any]) -> None:
        self.type("trait", wanted["trait"])
        self.comparison(wanted)

    trait = account

    def consent(self, wanted: dict[str, Any]) -> None:
        self.choose("state", wanted["state"])
        self.type("purpose", wanted["purpose"])


@pytest.mark.timeout(300)
def test_every_example_is_built_by_clicking(log_in: Any):
    page = log_in("marketer")
    page.goto("/segments/new/")
    builder = page.locator("segment-builder")
    built = {}

    for template in GALLERY:
        builder.evaluate("(it, empty) => it.load(empty)", EMPTY)
        outer = template.definition
        for place, condition in enumerate(outer["of"]):
            page.get_by_role("button", name=ADDERS[condition["type"]], exact=True).click()
            getattr(Clicking(page, place), condition["type"])(condition)
        if outer["type"] == "any":
            page.get_by_label("How these combine").select_option("any")
        built[template.slug] = parse(builder.evaluate("it => it.definition"))

    assert built == {template.slug: parse(template.definition) for template in GALLERY}
