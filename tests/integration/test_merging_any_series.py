"""Any series of messages, merges and undos ends where the remaining merges alone would have ended. R: C2, H2"""

import itertools
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import segments.operations
from cdp import pipeline
from identity.merging import operations as merging
from identity.merging.errors import MergeRefusedError
from identity.models import Merge
from ingestion import operations
from segments.models import Segment
from tests.factories.ingestion import NOW, SourceFactory, batch_body, identify
from tests.integration.conftest import drain_all, rows, wipe
from tests.oracles.merging import World

MAILS = [f"{n}@example.org" for n in range(3)]
BROWSERS = [f"a-{n}" for n in range(4)]
SEGMENTS: dict[str, dict[str, Any]] = {
    "trait": {"type": "trait", "trait": "x", "op": "eq", "value": 1},
    "events": {"type": "event", "event": "Identify", "measure": "count", "op": "gte", "value": 3},
    "few": {"type": "event", "event": "Identify", "measure": "count", "op": "lt", "value": 3},
    "unknown": {"type": "trait", "trait": "y", "op": "not_exists"},
}

SAY = st.tuples(
    st.just("say"),
    st.sampled_from([None, *MAILS]),
    st.sampled_from([None, *BROWSERS]),
    st.dictionaries(st.sampled_from("xy"), st.sampled_from([1, 2, None]), max_size=2),
)
AGAIN = st.tuples(st.just("again"), st.integers(0, 20))
MERGE = st.tuples(st.just("merge"), st.integers(0, 20), st.integers(0, 20))
UNDO = st.tuples(st.just("undo"), st.integers(0, 20), st.booleans())
EVALUATE = st.tuples(st.just("evaluate"))
SERIES = st.lists(st.one_of(SAY, SAY, SAY, MERGE, UNDO, AGAIN, EVALUATE), min_size=4, max_size=14)


class TestAnySeries:
    @settings(
        max_examples=25,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(SERIES)
    def test_ends_where_the_remaining_merges_alone_would_have_ended(self, database, series):
        begin()
        world = World()
        said: list[tuple[dict[str, Any], tuple[Any, ...]]] = []
        for number, (what, *step) in enumerate(series):
            if what == "say":
                said += say(world, number, *step)
            elif what == "again" and said:
                hear(world, *said[step[0] % len(said)])
            elif what == "merge" and world.origins:
                one, other = (place % world.origins for place in step)
                assert merge(one, other) == world.merge(one, other)
            elif what == "undo" and world.ties:
                place, never_again = step[0] % len(world.ties), step[1]
                merging.undo_merge(merge_id=in_force()[place], never_again=never_again, now=NOW)
                world.undo(place, never_again=never_again)
            elif what == "evaluate":
                evaluate()

        assert people() == world.people()
        assert_segments_are_right()


def begin() -> None:
    wipe()
    SourceFactory(id=1, priority=1)
    for slug, definition in SEGMENTS.items():
        segment = segments.operations.create_segment(slug=slug, name=slug, definition=definition, now=NOW)
        segments.operations.recompute(segment_id=segment.pk, now=NOW)


def say(
    world: World, number: int, mail: str | None, browser: str | None, traits: dict[str, Any]
) -> list[tuple[dict[str, Any], tuple[Any, ...]]]:
    identifiers = [("email", mail)] if mail else []
    identifiers += [("anonymous_id", browser)] if browser else []
    if not identifiers:
        return []
    told = traits | ({"email": mail} if mail else {})
    item = identify(
        userId=...,
        anonymousId=browser or ...,
        messageId=f"m-{number}",
        timestamp=f"2026-01-01T00:00:{number:02}Z",
        traits=told,
    )
    heard = (f"m-{number}", identifiers, number, told)
    hear(world, item, heard)
    return [(item, heard)]


def hear(world: World, item: dict[str, Any], heard: tuple[Any, ...]) -> None:
    operations.accept(source_id=1, kind="batch", events=1, body=batch_body([item]), remote_addr="", now=NOW)
    drain_all(NOW)
    world.hear(*heard)


def merge(one: int, other: int) -> bool:
    ids = origins()
    try:
        merging.merge_profiles(one=ids[one], other=ids[other], cause=Merge.Cause.PERSON, evidence={}, now=NOW)
    except MergeRefusedError:
        return False
    return True


def origins() -> list[int]:
    """In the order in which they came up."""
    return [id_ for (id_,) in rows("SELECT id FROM profile UNION SELECT profile_id FROM profile_alias ORDER BY 1")]


def in_force() -> list[int]:
    return [id_ for (id_,) in rows("SELECT id FROM merge WHERE undone_at IS NULL ORDER BY id")]


def people() -> set[tuple[Any, ...]]:
    places = {id_: place for place, id_ in enumerate(origins())}
    found = rows(
        "SELECT p.id, p.traits::text,"
        " ARRAY(SELECT a.profile_id FROM profile_alias a WHERE a.canonical_id = p.id),"
        " ARRAY(SELECT i.kind || ' ' || i.value FROM profile_identifier i WHERE i.profile_id = p.id),"
        " ARRAY(SELECT i.kind || ' ' || i.value FROM identifier i WHERE i.profile_id = p.id),"
        " ARRAY(SELECT e.id::text FROM event e WHERE e.profile_id = p.id)"
        " FROM profile p"
    )
    names = message_names()
    for _, _, _, held, leading, _ in found:
        assert sorted(held) == sorted(leading)
    return {
        (
            places[id_],
            frozenset(places[one] for one in [id_, *aliases]),
            frozenset(tuple(one.split(" ", 1)) for one in held),
            frozenset(names[one] for one in events),
            frozenset(json.loads(traits).items()),
        )
        for id_, traits, aliases, held, _, events in found
    }


def message_names() -> dict[str, str]:
    """By the ids of their events, messages by the second in which they were said."""
    found = rows("SELECT id::text, extract(second FROM ts)::int FROM event")
    return {id_: f"m-{second}" for id_, second in found}


def assert_segments_are_right() -> None:
    evaluate()
    found = members()
    for segment_id in Segment.objects.values_list("pk", flat=True):
        segments.operations.recompute(segment_id=segment_id, now=NOW)
    assert members() == found
    seen = rows("SELECT segment_id, profile_id, kind FROM transition ORDER BY segment_id, profile_id, id")
    for _, moves in itertools.groupby(seen, key=lambda row: row[:2]):
        kinds = [kind for *_, kind in moves]
        assert kinds == ["entered", "left"] * (len(kinds) // 2) + ["entered"] * (len(kinds) % 2)


def evaluate() -> None:
    while pipeline.evaluate(now=NOW).claimed:
        pass


def members() -> list[tuple[int, int]]:
    return rows("SELECT segment_id, profile_id FROM membership ORDER BY 1, 2")
