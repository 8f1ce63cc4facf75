"""Sessions through the whole drain: in whatever order, pieces and repetitions the events come. R: A2, D6"""

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp import pipeline
from cdp.kernel.copy import timestamp_micros
from cdp.kernel.ids import message_uuid_bytes
from identity import queries as identities
from ingestion import operations
from ingestion.models import Source
from ingestion.sessions.settings import SessionSettings
from ingestion.settings import SourceSettings
from segments import operations as segments
from segments.models import Segment
from tests.factories.ingestion import NOW, batch_body, identify, message, track
from tests.integration.conftest import at_once, drain_all, rows, wipe
from tests.oracles import sessions as oracle

PAGE = {"path": "/shoes", "url": "https://shop.example/shoes"}
TIMEOUT = timedelta(minutes=30)


def at(minute: float) -> str:
    return (NOW - timedelta(hours=6) + timedelta(minutes=minute)).isoformat()


def browsed(minute: float, event: str = "Product Viewed", **fields: Any) -> dict[str, Any]:
    """What a browser sends that many minutes into the story."""
    base = {"userId": ..., "anonymousId": "a-1", "timestamp": at(minute), "context": {"page": PAGE}}
    return track(event, **(base | fields))


def drain(accept, *messages: dict[str, Any], now: datetime = NOW) -> None:
    accept(*messages, now=now)
    drain_all(now)


def end_all(now: datetime = NOW) -> None:
    while pipeline.end_sessions(now=now):
        pass


def log(name: str | None = None) -> list[dict[str, Any]]:
    """Stored events in their order: name, time, profile, properties."""
    found = rows(
        "SELECT n.name, e.ts, e.profile_id, e.properties FROM event e JOIN event_name n ON n.id = e.name_id"
        " ORDER BY e.ts, n.name <> 'Session Started', n.name = 'Session Ended', n.name, e.id"
    )
    return [
        {"name": row[0], "ts": row[1], "profile": row[2], **json.loads(row[3])}
        for row in found
        if name in {None, row[0]}
    ]


class TestVisit:
    def test_starts_with_its_first_event_and_labels_all(self, accept):
        drain(accept, browsed(0), browsed(10), browsed(39.9))

        started, *others = log()
        assert started["name"] == "Session Started"
        assert started["ts"] == datetime.fromisoformat(at(0))
        assert {event["session_id"] for event in others} == {started["session_id"]}
        assert [event["name"] for event in others] == ["Product Viewed"] * 3
        assert started["landing_page"] == "/shoes"

    def test_ends_when_the_time_has_run_out(self, accept):
        drain(accept, browsed(0), browsed(10, "Product Added", properties={"quantity": 2}))
        last = datetime.fromisoformat(at(10))

        end_all(last + TIMEOUT - timedelta(microseconds=1))
        assert log("Session Ended") == []

        end_all(last + TIMEOUT)
        (ended,) = log("Session Ended")
        assert ended["ts"] == last
        assert (
            ended
            | {
                "duration": 600,
                "events": 2,
                "pages": 0,
                "bounced": False,
                "products_viewed": 1,
                "products_added": 1,
                "items_added": 2,
                "orders": 0,
                "revenue": 0,
                "landing_page": "/shoes",
                "exit_page": "/shoes",
                "channel": "direct",
            }
            == ended
        )

    def test_goes_on_as_a_new_one_after_thirty_minutes(self, accept):
        drain(accept, browsed(0), browsed(29.99), browsed(60))

        assert len({event["session_id"] for event in log()}) == 2
        assert len(log("Session Started")) == 2

    def test_is_of_one_device(self, accept):
        drain(accept, browsed(0), browsed(1, anonymousId="a-2"))

        assert len({event["session_id"] for event in log()}) == 2

    def test_leaves_the_senders_own_id_alone(self, accept):
        drain(accept, browsed(0, properties={"session_id": "mine", "a": {"session_id": 1}}))
        drain(
            accept,
            browsed(1, properties={"nested": {"session_id": "no"}}),
            browsed(2, properties={"session_id": None}),
        )

        started, mine, nested, absent = log()
        assert mine["session_id"] == "mine"
        assert nested["session_id"] == absent["session_id"] == started["session_id"]

    def test_is_made_of_what_browsers_and_apps_send(self, accept):
        drain(
            accept,
            browsed(0, context={"library": {"name": "analytics-python"}}),
            browsed(1, userId="u-1", anonymousId=...),
            browsed(2, context={"page": PAGE, "userAgent": "Googlebot/2.1"}),
        )
        assert log("Session Started") == []

        drain(accept, browsed(3, context={"device": {"type": "ios"}, "os": {"name": "iOS"}}))
        (started,) = log("Session Started")
        assert (started["device"], started["os"]) == ("phone", "iOS")

    def test_follows_the_settings_of_its_source(self, accept, source: Source):
        server = {"library": {"name": "analytics-python"}}
        use(source, SessionSettings(mode="always", timeout_minutes=5))
        drain(accept, browsed(0, context=server), browsed(6, context=server))
        assert len(log("Session Started")) == 2

        use(source, SessionSettings(mode="never"))
        drain(accept, browsed(100))
        assert len(log("Session Started")) == 2

    def test_names_screens_of_apps(self, accept):
        app = {"device": {"type": "android"}}
        screen = message(
            type="screen", event=..., name="Basket", userId=..., anonymousId="a-1", timestamp=at(0), context=app
        )

        drain(accept, screen)
        end_all()

        (ended,) = log("Session Ended")
        assert (ended["landing_page"], ended["pages"], ended["bounced"]) == ("Basket", 1, True)


def use(source: Source, settings: SessionSettings) -> None:
    operations.change_settings(source=source, settings=SourceSettings(sessions=settings))


class TestLateEvents:
    def test_that_come_before_the_first_move_the_beginning(self, accept):
        drain(accept, browsed(10), browsed(20))
        end_all()
        before = log("Session Started")[0]["session_id"]

        drain(accept, browsed(5))
        end_all()

        (started,), (ended,) = log("Session Started"), log("Session Ended")
        assert started["session_id"] != before
        assert started["ts"] == datetime.fromisoformat(at(5))
        assert {event["session_id"] for event in log()} == {started["session_id"]}
        assert ended["duration"] == 900

    def test_that_come_after_the_end_extend_it(self, accept):
        drain(accept, browsed(0))
        end_all()

        drain(accept, browsed(20))
        assert log("Session Ended") == []

        end_all()
        (ended,) = log("Session Ended")
        assert (ended["duration"], ended["events"]) == (1_200, 2)

    def test_that_fill_a_gap_join_two(self, accept):
        drain(accept, browsed(0), browsed(50))
        end_all()
        assert len(log("Session Ended")) == 2

        drain(accept, browsed(25))
        end_all()

        assert len(log("Session Started")) == len(log("Session Ended")) == 1
        assert len({event["session_id"] for event in log()}) == 1
        assert rows("SELECT count(*) FROM device_session") == [(1,)]

    def test_tell_segments_what_is_true_no_more(self, accept):
        short = segment("duration", "lt", 60)
        drain(accept, browsed(0))
        end_all()
        pipeline.evaluate(now=NOW)
        assert members(short) == 1

        drain(accept, browsed(20))
        pipeline.evaluate(now=NOW)
        assert members(short) == 0

    def test_that_come_after_it_was_forgotten_start_their_own(self, accept):
        drain(accept, browsed(0))
        end_all()
        end_all(NOW + timedelta(days=30, seconds=1))
        assert rows("SELECT count(*) FROM device_session") == [(0,)]

        drain(accept, browsed(1), now=NOW + timedelta(days=31))

        assert len(log("Session Started")) == 2
        assert len(log("Session Ended")) == 1


def segment(property_: str, op: str, value: float, **fields: Any) -> Segment:
    definition = {
        "type": "event",
        "event": "Session Ended",
        "where": [{"property": property_, "op": op, "value": value}],
        **fields,
    }
    found = segments.create_segment(name=f"{property_} {op} {value}", definition=definition, now=NOW)
    pipeline.recompute(segment_id=found.pk, now=NOW)
    return found


def members(found: Segment) -> int:
    return rows("SELECT count(*) FROM membership WHERE segment_id = %s", found.pk)[0][0]


class TestSegments:
    def test_of_more_than_five_items_added_in_one_session(self, accept):
        keen = segment("products_added", "gt", 5)
        added = [browsed(minute, "Product Added") for minute in range(5)]
        other = [browsed(minute, "Product Added", anonymousId="a-2") for minute in (0, 1, 2, 60, 61, 62)]

        drain(accept, *added, *other)
        end_all()
        pipeline.evaluate(now=NOW)
        assert members(keen) == 0

        drain(accept, browsed(5, "Product Added"))
        end_all()
        pipeline.evaluate(now=NOW)
        assert members(keen) == 1

    def test_of_five_pages_and_over_four_minutes_in_a_session_of_the_last_week(self, accept):
        long = segment("duration", "gt", 240, window={"last": "7d"})
        drain(accept, browsed(0), browsed(4), browsed(0, anonymousId="a-2"), browsed(4.1, anonymousId="a-2"))

        end_all()
        pipeline.evaluate(now=NOW)

        visitor = identities.lookup(kind="anonymous_id", value="a-2")
        assert rows("SELECT profile_id FROM membership WHERE segment_id = %s", long.pk) == [(visitor,)]

    def test_of_what_enrichment_told(self, accept):
        context = {"page": PAGE, "campaign": {"source": "newsletter", "medium": "email", "name": "may"}}
        definition = {
            "type": "event",
            "event": "Product Viewed",
            "where": [{"property": "context.enriched.channel", "op": "eq", "value": "email"}],
        }
        found = segments.create_segment(name="By email", definition=definition, now=NOW)
        pipeline.recompute(segment_id=found.pk, now=NOW)

        drain(accept, browsed(0, context=context), browsed(0, anonymousId="a-2"))
        pipeline.evaluate(now=NOW)

        assert members(found) == 1


class TestMerge:
    def test_takes_the_sessions_along(self, accept):
        drain(accept, identify(userId="u-1", anonymousId=..., timestamp=at(-1)), browsed(0))
        end_all()

        drain(accept, identify(userId="u-1", anonymousId="a-1", timestamp=at(10), context={"page": PAGE}))
        end_all()

        person = identities.lookup(kind="user_id", value="u-1")
        assert {event["profile"] for event in log()} == {person}
        (ended,) = log("Session Ended")
        assert (ended["duration"], ended["events"]) == (600, 2)
        assert rows("SELECT DISTINCT profile_id FROM device_session") == [(person,)]

    def test_joins_sessions_of_one_device_that_two_profiles_had(self, accept):
        drain(accept, browsed(0), browsed(1, anonymousId="a-2"))
        end_all()
        # Both sessions become ones of the same device, as where a limit had kept an event from its device's profile.
        rows(
            "UPDATE device_session SET device ="
            " (SELECT device FROM device_session ORDER BY first DESC LIMIT 1) RETURNING 1"
        )

        drain(
            accept,
            identify(userId="u-1", anonymousId="a-1", timestamp=at(300)),
            identify(userId="u-1", anonymousId="a-2", timestamp=at(300)),
        )

        assert rows("SELECT count(*) FROM device_session") == [(1,)]
        assert len(log("Session Started")) == 1


# --- In any order -------------------------------------------------------------------------------------------

DEVICES = ("a-1", "a-2", "a-3")
PATHS = ("/", "/shoes", "/cart")

moments = st.integers(0, 40).map(lambda steps: steps * 7.5)  # so that some are exactly the timeout apart


@st.composite
def stories(draw: st.DrawFn) -> list[list[dict[str, Any]]]:
    """Messages of a few devices, some repeated, in chunks."""
    count = draw(st.integers(1, 14))
    told = [one_message(draw, number) for number in range(count)]
    told += draw(st.lists(st.sampled_from(told), max_size=4))
    cuts = sorted(draw(st.lists(st.integers(0, len(told)), max_size=4)))
    shuffled = draw(st.permutations(told))
    return [list(shuffled[start:end]) for start, end in itertools.pairwise([0, *cuts, len(told)])]


def one_message(draw: st.DrawFn, number: int) -> dict[str, Any]:
    kind = draw(st.sampled_from(("page", "page", "Product Viewed", "Product Added", "Order Completed", "identify")))
    page = {"path": draw(st.sampled_from(PATHS)), "url": "https://shop.example/", "referrer": draw(referrers)}
    device = draw(st.sampled_from(DEVICES))
    base = {
        "messageId": f"m-{number}",
        "anonymousId": device,
        "timestamp": at(draw(moments)),
        "context": {"page": page},
    }
    if draw(st.integers(0, 9)) == 0:
        base["context"]["campaign"] = draw(st.sampled_from(({"medium": "cpc", "source": "g"}, {"medium": "email"})))
    if draw(st.integers(0, 5)) == 0:
        base["userId"] = "u-1"  # so that profiles merge in between
    if kind == "page":
        return {"type": "page", **base}
    if kind == "identify":
        return {"type": "identify", "traits": {}, **base}
    values = {"Product Added": {"quantity": draw(st.integers(1, 3))}, "Order Completed": {"revenue": draw(amounts)}}
    return {"type": "track", "event": kind, "properties": values.get(kind, {}), **base}


referrers = st.sampled_from(("", "https://www.google.com/", "https://shop.example/x", "https://shop.example/y"))
amounts = st.sampled_from((0.1, 0.2, 0.3, 19.99, 5))


def expected(told: list[dict[str, Any]], source: Source) -> list[dict[str, Any]]:
    ids = {one["messageId"]: message_uuid_bytes(source_id=source.pk, message_id=one["messageId"]) for one in told}
    return sorted(
        (
            {"messages": sorted(ids[name].hex() for name in visit.messages), **visit.ended}
            for visit in oracle.sessions(told, TIMEOUT, ids)
        ),
        key=lambda visit: visit["messages"],
    )


def found() -> list[dict[str, Any]]:
    """Every session that the log tells of, with the ids of its messages and what Session Ended says."""
    events = rows("SELECT n.name, e.id::text, e.ts, e.properties FROM event e JOIN event_name n ON n.id = e.name_id")
    labelled: dict[str, dict[str, Any]] = {}
    for name, id_, ts, text in events:
        properties = json.loads(text)
        visit = labelled.setdefault(
            properties.pop("session_id"), {"messages": [], "times": [], "starts": [], "ends": []}
        )
        if name == "Session Started":
            visit["starts"].append(ts)
        elif name == "Session Ended":
            visit["ends"].append(ts)
            visit |= {name: value for name, value in properties.items() if name not in {"source", "medium"}}
        else:
            visit["messages"].append(id_.replace("-", ""))
            visit["times"].append(ts)
    for visit in labelled.values():
        times = visit.pop("times")
        assert visit.pop("starts") == [min(times)]
        assert visit.pop("ends") == [max(times)]
        visit["messages"].sort()
    return sorted(labelled.values(), key=lambda visit: visit["messages"])


def whole_log() -> list[tuple[Any, ...]]:
    """Everything that must not depend on the order: profiles are told by their identifiers."""
    return rows(
        "SELECT n.name, e.ts, e.id::text, e.value, e.properties, (SELECT min(kind || value) FROM profile_identifier p"
        " WHERE p.profile_id = e.profile_id) FROM event e JOIN event_name n ON n.id = e.name_id ORDER BY 2, 3"
    )


def tell(chunks: list[list[dict[str, Any]]], source: Source, *, ending: bool) -> None:
    for chunk in chunks:
        if chunk:
            body = batch_body(chunk)
            operations.accept(source_id=source.pk, kind="batch", events=len(chunk), body=body, remote_addr="", now=NOW)
        drain_all(NOW)
        if ending:
            end_all()
    end_all()


class TestAnyOrder:
    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(chunks=stories(), ending=st.booleans())
    def test_comes_to_what_the_oracle_says(self, database, chunks, ending):
        wipe()
        source, _ = operations.create_source(slug="shop", name="Shop", now=NOW)
        told = [one for chunk in chunks for one in chunk]

        tell(chunks, source, ending=ending)

        assert found() == expected(told, source)
        assert rows("SELECT count(*) FROM device_session WHERE NOT ended") == [(0,)]

    @settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(chunks=stories())
    def test_comes_to_the_very_rows_of_all_at_once_in_order(self, database, chunks):
        told = [one for chunk in chunks for one in chunk]
        logs = []
        for order, ending in (([sorted(told, key=lambda one: one["timestamp"])], False), (chunks, True)):
            wipe()
            rows("ALTER SEQUENCE ingestion_source_id_seq RESTART; SELECT 1")
            source, _ = operations.create_source(slug="shop", name="Shop", now=NOW)
            tell(order, source, ending=ending)
            logs.append(whole_log())

        assert logs[0] == logs[1]

    def test_comes_to_the_same_with_several_workers_at_once(self, accept, source: Source):
        told = [
            {
                "type": "page",
                "messageId": f"m-{number}",
                "anonymousId": f"a-{number % 7}",
                "timestamp": at((number * 37 % 160) * 2.0),
                "context": {"page": {"path": f"/{number % 5}", "url": "https://shop.example/"}},
            }
            for number in range(400)
        ]
        for start in range(0, 400, 10):
            accept(*told[start : start + 10])

        def work(number: int) -> None:
            for _ in range(60):
                if number == 3:
                    pipeline.end_sessions(now=NOW)
                elif not pipeline.drain(now=NOW, max_events=20).rows:
                    return

        at_once(4, work)
        drain_all(NOW)
        end_all()

        assert found() == expected(told, source)


class TestClock:
    def test_looks_again_at_what_went_on(self, accept):
        """`due` stays where it was as events come: so their update touches no index."""
        drain(accept, browsed(0))
        drain(accept, browsed(20))
        assert rows("SELECT due - first, last - first FROM device_session") == [(30 * 60_000_000, 20 * 60_000_000)]

        moment = datetime.fromisoformat(at(30))
        assert pipeline.end_sessions(now=moment) == 1
        assert rows("SELECT due FROM device_session") == [
            (timestamp_micros(moment.astimezone(UTC) + timedelta(minutes=20)),)
        ]
        assert pipeline.end_sessions(now=moment) == 0

    def test_forgets_the_sessions_of_a_source_that_was_deleted(self, accept, source: Source):
        drain(accept, browsed(0))
        source.delete()

        end_all()

        assert rows("SELECT count(*) FROM device_session") == [(0,)]
        assert log("Session Ended") == []
