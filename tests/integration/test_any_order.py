"""Any order, any pieces and any repetition of the same messages end in the same people, events and segments. R: H2

As long as no limit is hit. What identifiers and events a person has, a slow union-find says, too.
"""

import itertools
import json
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import segments.operations
from cdp import pipeline
from ingestion import inbox, messages, operations
from segments.models import Segment
from tests.factories.ingestion import NOW, SourceFactory, batch_body, identify, inbox_row, message, track
from tests.integration.conftest import at_once, drain_all, rows, wipe
from tests.oracles.identity import partition

PEOPLE = 3
SOURCES = (1, 2)
IDENTIFIERS = st.sampled_from(["userId", "anonymousId", "other browser", "email"])
TRAITS = st.dictionaries(st.sampled_from("xyz"), st.sampled_from([1, 2, "a", None, [1], 1.5]))
SEGMENTS: dict[str, dict[str, Any]] = {
    "trait": {"type": "not", "of": {"type": "trait", "trait": "x", "op": "eq", "value": 1}},
    "event": {"type": "event", "event": "Event 1", "measure": "count", "op": "gte", "value": 1},
    "events": {"type": "event", "event": ["Event 0", "Page Viewed"], "measure": "count", "op": "gte", "value": 2},
    "sum": {"type": "event", "event": "Event 2", "measure": "sum", "of": "value", "op": "gt", "value": 3},
}

Sent = tuple[int, dict[str, Any]]
"""A message with the source that it goes to."""


@st.composite
def histories(draw: st.DrawFn) -> list[Sent]:
    """Messages of a few people, each with identifiers of that person only: no limit is ever hit.

    Some are repeated with a user that was not known the first time, as SDKs do after a login.
    """
    found = []
    for number in range(draw(st.integers(2, 14))):
        person = draw(st.integers(1, PEOPLE))
        carried = draw(st.sets(IDENTIFIERS, min_size=1, max_size=3))
        fields: dict[str, Any] = {"messageId": f"m-{number}", "userId": None}
        if "userId" in carried:
            fields["userId"] = f"u-{person}"
        if "other browser" in carried:
            fields["anonymousId"] = f"b-{person}"
        if "anonymousId" in carried:
            fields["anonymousId"] = f"a-{person}"
        traits = {} if "email" not in carried else {"email": f"{person}@Example.org"}
        fields["timestamp"] = f"2026-0{draw(st.integers(1, 3))}-01T00:00:0{draw(st.integers(0, 4))}Z"
        kind = draw(st.sampled_from(["identify", "identify", "track", "track", "page", "screen", "group", "alias"]))
        if kind == "identify":
            item = identify(**fields, traits=traits | draw(TRAITS))
        elif kind == "track":
            properties = {"value": draw(st.integers(0, 5))}
            item = track(f"Event {number % 3}", **fields, properties=properties, context={"traits": traits})
        elif kind == "group":
            account = draw(st.sampled_from(["acme", "umbrella"]))
            item = message(**fields, type="group", event=..., groupId=account, context={"traits": traits})
        elif kind == "alias":
            fields |= {"userId": f"u-{person}", "previousId": f"a-{person}"}
            item = message(**fields, type="alias", event=...)
        else:
            item = message(**fields, type=kind, event=..., name="Start", context={"traits": traits})
        source = draw(st.sampled_from(SOURCES))
        found.append((source, item))
        if draw(st.integers(0, 4)) == 0:
            found.append((source, item | {"userId": f"u-{person}"}))
    return found


MANY = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


class TestAnyOrder:
    @MANY
    @given(histories(), st.randoms(use_true_random=False), st.lists(st.integers(0, 30), max_size=4))
    def test_any_pieces_and_any_repetition_give_the_same_people(self, database, history, rng, cuts):
        expected = replay([history])
        shuffled = history + rng.choices(history, k=len(history) // 2)
        rng.shuffle(shuffled)

        found = replay(chunks(shuffled, cuts))

        assert found == expected
        if all(item["type"] != "alias" for _, item in history):  # what an alias means, the oracle does not know
            parts = {(held, tuple(event[0] for event in events)) for _, _, held, events, _ in found}
            assert parts == by_oracle(history)

    @settings(MANY, max_examples=8)
    @given(histories(), st.randoms(use_true_random=False))
    def test_and_so_do_several_workers_at_once(self, database, history, rng):
        expected = replay([history])
        shuffled = history + rng.choices(history, k=len(history))
        rng.shuffle(shuffled)

        found = replay([[item] for item in shuffled], workers=4)

        assert found == expected


def replay(pieces: list[list[Sent]], *, workers: int = 0) -> set[Any]:
    """The people that come of it: drained and evaluated piece by piece, or all at the end by several workers."""
    wipe()
    for source_id in SOURCES:
        SourceFactory(id=source_id, priority=source_id)
    for slug, definition in SEGMENTS.items():
        segment = segments.operations.create_segment(slug=slug, name=slug, definition=definition, now=NOW)
        segments.operations.recompute(segment_id=segment.pk, now=NOW)
    for piece in pieces:
        for source_id in SOURCES:
            accept([item for source, item in piece if source == source_id], source_id=source_id)
        if not workers:
            drain_all(NOW)
            evaluate()
    if workers:
        at_once(workers, lambda _: drain_all(NOW, max_events=3))
        evaluate()
    assert inbox.depth()[0] == 0
    found = picture()
    for segment_id in Segment.objects.values_list("pk", flat=True):
        segments.operations.recompute(segment_id=segment_id, now=NOW)
    assert picture() == found, "the segments answer otherwise when they are computed anew"
    return found


def accept(items: list[dict[str, Any]], *, source_id: int) -> None:
    if items:
        body = batch_body(items)
        operations.accept(source_id=source_id, kind="batch", events=len(items), body=body, remote_addr="", now=NOW)


def evaluate() -> None:
    while pipeline.evaluate(now=NOW).claimed:
        pass


def picture() -> set[Any]:
    """All that must not depend on order: people with traits, stamps, identifiers, events and segments."""
    people = rows(
        "SELECT p.id, p.traits::text, p.provenance::text,"
        " ARRAY(SELECT i.kind || ':' || i.value FROM profile_identifier i WHERE i.profile_id = p.id ORDER BY 1),"
        " (SELECT json_agg(json_build_array(e.id, e.ts, n.name, e.source_id, e.properties) ORDER BY e.id)"
        "  FROM event e JOIN event_name n ON n.id = e.name_id WHERE e.profile_id = p.id)::text,"
        " ARRAY(SELECT s.slug FROM membership m JOIN segments_segment s ON s.id = m.segment_id"
        "  WHERE m.profile_id = p.id ORDER BY 1)"
        " FROM profile p"
    )
    homes = rows("SELECT kind || ':' || value, profile_id FROM identifier")
    assert sorted(homes) == sorted((identifier, person[0]) for person in people for identifier in person[3])
    assert rows("SELECT count(*) FROM membership WHERE profile_id NOT IN (SELECT id FROM profile)") == [(0,)]
    return {
        (canonical(traits), canonical(stamps), tuple(held), frozen(json.loads(events or "[]")), tuple(slugs))
        for _, traits, stamps, held, events, slugs in people
    }


def canonical(text: str) -> str:
    return json.dumps(json.loads(text), sort_keys=True)


def frozen(events: list[list[Any]]) -> tuple[Any, ...]:
    return tuple((*rest, json.dumps(properties, sort_keys=True)) for *rest, properties in events)


def chunks(items: Sequence[Sent], cuts: Iterable[int]) -> list[list[Sent]]:
    edges = [0, *sorted(cut % (len(items) + 1) for cut in cuts), len(items)]
    return [list(items[start:end]) for start, end in itertools.pairwise(edges) if start < end]


def by_oracle(history: list[Sent]) -> set[Any]:
    """Identifiers and events of each person, without limits."""
    decoded = [
        event
        for source, item in history
        for event in messages.decode_row(inbox_row(batch_body([item]), source_id=source))
    ]
    return {
        (
            tuple(sorted(f"{kind}:{value}" for kind, value in part)),
            tuple(sorted({str(uuid.UUID(bytes=event.id)) for event in decoded if event.identifiers[0] in part})),
        )
        for part in partition(event.identifiers for event in decoded)
    }
