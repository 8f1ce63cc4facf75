"""From bytes to messages: what is taken in, what is turned away, and with which code and path."""

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.kernel.copy import timestamp_micros
from cdp.kernel.ids import message_uuid, message_uuid_bytes
from ingestion import messages, nesting
from ingestion.contracts import Incoming, Rejected
from ingestion.messages import storable
from tests.factories.ingestion import NOW, batch_body, identify, inbox_row, message
from tests.factories.messages import decode, decode_batch, refused, taken

RECEIVED = timestamp_micros(NOW)


def moment(text: str) -> int:
    return timestamp_micros(datetime.fromisoformat(text))


class TestKinds:
    def test_a_track_message_is_named_by_its_event(self):
        event = taken(message(event="  Order Completed "))

        assert (event.type, event.name) == ("track", "Order Completed")

    @pytest.mark.parametrize(
        ("kind", "name"),
        [
            ("identify", "Identify"),
            ("page", "Page Viewed"),
            ("screen", "Screen Viewed"),
            ("group", "Group"),
            ("alias", "Alias"),
        ],
    )
    def test_the_others_have_fixed_names(self, kind: str, name: str):
        assert taken(message(type=kind, event=..., groupId="g-1", previousId="u-0")).name == name

    def test_a_page_keeps_its_name_and_category_in_the_properties(self):
        page = taken(message(type="page", event=..., name="Home", category="Shop", properties={"url": "/"}))

        assert json.loads(page.properties) == {"name": "Home", "category": "Shop", "url": "/"}

    def test_properties_of_a_page_win_over_its_name(self):
        page = taken(message(type="page", event=..., name="outer", properties={"name": "inner"}))

        assert json.loads(page.properties) == {"name": "inner"}

    def test_the_name_of_a_track_message_stays_out_of_its_properties(self):
        assert taken(message(name="x", properties={"a": 1})).properties == b'{"a": 1}'

    def test_a_route_of_its_own_needs_no_type(self):
        (event,) = decode(json.dumps(message(type=...)).encode(), kind="track")

        assert isinstance(event, Incoming)
        assert event.type == "track"


class TestRefusals:
    @pytest.mark.parametrize(
        ("fields", "code", "path"),
        [
            ({"type": ...}, "type_missing", "/type"),
            ({"type": None}, "type_missing", "/type"),
            ({"type": "purchase"}, "type_unknown", "/type"),
            ({"type": 5}, "type_mismatch", "/type"),
            ({"event": ...}, "event_missing", "/event"),
            ({"event": None}, "event_missing", "/event"),
            ({"event": " "}, "event_missing", "/event"),
            ({"event": 5}, "type_mismatch", "/event"),
            ({"event": "x" * 201}, "event_too_long", "/event"),
            ({"messageId": "x" * 101}, "message_id_too_long", "/messageId"),
            ({"messageId": ["x"]}, "type_mismatch", "/messageId"),
            ({"messageId": True}, "type_mismatch", "/messageId"),
            ({"userId": {"id": 5}}, "type_mismatch", "/userId"),
            ({"userId": False}, "type_mismatch", "/userId"),
            ({"anonymousId": []}, "type_mismatch", "/anonymousId"),
            ({"userId": ...}, "identifier_missing", "/userId"),
            ({"userId": None, "anonymousId": ""}, "identifier_missing", "/userId"),
            ({"userId": "undefined", "anonymousId": "000-00"}, "identifier_missing", "/userId"),
            ({"properties": []}, "object_expected", "/properties"),
            ({"properties": "x"}, "object_expected", "/properties"),
            ({"context": 5}, "object_expected", "/context"),
            ({"context": {"traits": 5}}, "object_expected", "/context/traits"),
            ({"traits": [1]}, "object_expected", "/traits"),
            ({"timestamp": 1700000000}, "type_mismatch", "/timestamp"),
            ({"timestamp": "yesterday"}, "timestamp_invalid", "/timestamp"),
            ({"originalTimestamp": "yesterday"}, "timestamp_invalid", "/originalTimestamp"),
            ({"timestamp": "2026-03-10T12:00:00Z", "sentAt": "now"}, "timestamp_invalid", "/sentAt"),
            ({"timestamp": "1999-12-31T23:59:59Z"}, "timestamp_out_of_range", "/timestamp"),
            ({"timestamp": "0001-01-01T00:00:00+14:00"}, "timestamp_out_of_range", "/timestamp"),
            (
                {"timestamp": "0001-01-01T00:00:00Z", "sentAt": "9999-01-01T00:00:00Z"},
                "timestamp_out_of_range",
                "/sentAt",
            ),
        ],
    )
    def test_name_the_code_and_the_path(self, fields: dict[str, Any], code: str, path: str):
        rejected = refused(message(**fields))

        assert (rejected.code, rejected.path) == (code, path)

    @pytest.mark.parametrize("item", [5, "x", None, True, [], [message()]])
    def test_of_what_is_no_object(self, item: Any):
        assert refused(item).code == "type_mismatch"

    def test_keep_the_message_as_it_came_with_what_it_can_be_found_by(self):
        sent = message(type="purchase", messageId="m-1", event="Bought")

        rejected = refused(sent)

        assert json.loads(rejected.payload) == sent
        assert (rejected.message_id, rejected.event, rejected.received_at) == ("m-1", "Bought", NOW)

    def test_labels_are_storable_and_short(self):
        rejected = refused(message(type="x\0y", messageId="m\0" * 80, event="e\0" * 200))

        assert "\0" not in rejected.message + rejected.message_id + rejected.event
        assert (len(rejected.message_id), len(rejected.event)) == (100, 200)

    def test_leave_the_neighbours_alone(self):
        found = decode_batch(message(messageId="a"), 5, message(messageId="b", userId=...), message(messageId="c"))

        assert [type(item) for item in found] == [Incoming, Rejected, Rejected, Incoming]

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"batch": 5}', b"{}", b'{"batch": [{]}', b"\xff"])
    def test_a_row_that_is_no_batch_is_one_rejection(self, body: bytes):
        (rejected,) = decode(body)

        assert isinstance(rejected, Rejected)
        assert rejected.payload == body

    def test_a_shared_context_that_is_no_object_refuses_every_message(self):
        found = decode_batch(message(), message(), context=[1])

        assert [item.code for item in found if isinstance(item, Rejected)] == ["object_expected"] * 2


class TestNesting:
    def nested(self, depth: int) -> bytes:
        inner = "[" * depth + "1" + "]" * depth
        return b'{"messageId":"deep","type":"track","event":"E","userId":"u","properties":{"a":%s}}' % inner.encode()

    def test_to_the_limit_is_taken(self):
        (event,) = decode(self.nested(nesting.MAX_DEPTH - 1), kind="track")

        assert isinstance(event, Incoming)

    @pytest.mark.parametrize("depth", [100, 500, 940, 1_500, 10_000])
    def test_beyond_the_limit_is_turned_away_whatever_stack_is_left(self, depth: int):
        body = b'{"batch":[%s,%s,%s]}' % (
            json.dumps(message(messageId="a")).encode(),
            self.nested(depth),
            json.dumps(message(messageId="b")).encode(),
        )

        first, deep, last = decode(body)

        assert isinstance(first, Incoming)
        assert isinstance(last, Incoming)
        assert isinstance(deep, Rejected)
        assert (deep.code, deep.path, deep.message_id) == ("nested_too_deeply", "/properties", "deep")

    def test_brackets_inside_of_text_do_not_count(self):
        assert taken(message(properties={"a": '[{"\\' * 300})).name == "Product Viewed"

    @given(st.integers(0, 300), st.integers(1, 300), st.text(alphabet='ab[]{}"\\'))
    def test_cutting_keeps_the_length_and_what_is_shallow(self, before: int, depth: int, text: str):
        shallow = [0] * before + [text]
        body = b'{"a":%s,"b":%s}' % (json.dumps(shallow).encode(), b"[" * depth + b"]" * depth)

        cut = nesting.cut(body)

        assert len(cut) == len(body)
        assert json.loads(cut)["a"] == shallow
        assert nesting.is_too_deep(cut) == nesting.is_too_deep(body) == (depth + 1 > nesting.MAX_DEPTH)


class TestContext:
    def test_of_the_batch_fills_the_gaps(self):
        event = taken(
            message(context={"ip": "1.1.1.1", "page": {"path": "/"}}),
            context={"ip": "9.9.9.9", "page": {"url": "x"}, "library": {"name": "lib"}},
        )

        assert json.loads(event.context) == {"ip": "1.1.1.1", "page": {"path": "/"}, "library": {"name": "lib"}}

    @pytest.mark.parametrize("own", [..., None, {}])
    def test_of_the_batch_stands_where_there_is_no_other(self, own: Any):
        assert json.loads(taken(message(context=own), context={"ip": "9.9.9.9"}).context) == {"ip": "9.9.9.9"}

    @pytest.mark.parametrize("shared", ["null", "{}", "{ \n }"])
    @pytest.mark.parametrize("own", ["null", "{}", "{ }", '{"a":1}'])
    def test_an_empty_one_adds_nothing(self, own: str, shared: str):
        item = f'{{"type":"track","event":"E","userId":"u","context":{own}}}'
        (event,) = decode(f'{{"batch":[{item}],"context":{shared}}}'.encode())

        assert isinstance(event, Incoming)
        assert json.loads(event.context) == (json.loads(own) or {})


class TestTraits:
    def test_come_from_the_message(self):
        assert taken(identify(traits={"plan": "pro"})).traits == {"plan": "pro"}

    def test_come_from_the_context_where_the_message_has_none(self):
        assert taken(identify(context={"traits": {"plan": "pro"}})).traits == {"plan": "pro"}

    def test_of_an_identify_without_any_are_empty(self):
        assert taken(identify()).traits == {}

    def test_of_a_track_message_are_not_set_but_identify(self):
        event = taken(message(userId=..., context={"traits": {"email": "A@Example.org"}}))

        assert event.traits is None
        assert event.identifiers == (("email", "a@example.org"),)

    @pytest.mark.parametrize("number", ["1e400", "9" * 5_000])
    def test_a_number_that_no_computer_keeps_is_refused(self, number: str):
        body = b'{"type":"identify","userId":"u","traits":{"n":%s}}' % number.encode()

        (rejected,) = decode(body, kind="identify")

        assert isinstance(rejected, Rejected)
        assert rejected.path == "/traits"


class TestIntegrations:
    @pytest.mark.parametrize(
        ("own", "shared", "kept"),
        [
            (..., None, None),
            ({}, {}, None),
            ({"All": False}, None, {"All": False}),
            (..., {"All": True}, {"All": True}),
            ({"All": False}, {"All": True, "CRM": True}, {"All": False, "CRM": True}),
        ],
    )
    def test_are_kept_with_the_context(self, own: Any, shared: Any, kept: Any):
        event = taken(message(integrations=own, context={"ip": "::1"}), integrations=shared)

        assert json.loads(event.context) == {"ip": "::1"} | ({} if kept is None else {"integrations": kept})


class TestMessageId:
    def test_makes_the_id_of_the_event(self):
        event = taken(message(messageId="m-1"))

        assert event.id == message_uuid_bytes(source_id=1, message_id="m-1")
        assert event.id == message_uuid(source_id=1, message_id="m-1").bytes

    @pytest.mark.parametrize("text", ["x" * 100, "ü" * 100, " ", "a\0b", "🙂"])
    def test_may_be_any_text_of_up_to_100_characters(self, text: str):
        assert taken(message(messageId=text)).id == message_uuid_bytes(source_id=1, message_id=text)

    def test_of_another_source_is_another_event(self):
        body = batch_body([message(messageId="m-1")])

        first, second = decode(body, source_id=1) + decode(body, source_id=2)

        assert isinstance(first, Incoming)
        assert isinstance(second, Incoming)
        assert first.id != second.id

    @pytest.mark.parametrize("absent", [..., None, ""])
    def test_that_is_missing_is_the_place_in_the_inbox(self, absent: Any):
        row = inbox_row(batch_body([message(messageId=absent), message(messageId=absent)]))

        once, again = list(messages.decode_row(row)), list(messages.decode_row(row))

        assert [item.message_id for item in once] == [f"inbox-{row.id}-0", f"inbox-{row.id}-1"]
        assert once == again

    def test_a_number_is_its_text(self):
        assert taken(message(messageId=5)).id == taken(message(messageId="5")).id


class TestEventTime:
    def time_of(self, sent_at: str | None = None, **fields: Any) -> int:
        return taken(message(**fields), **({} if sent_at is None else {"sentAt": sent_at})).ts

    def test_is_the_time_of_receipt_where_none_is_given(self):
        assert self.time_of() == RECEIVED

    @pytest.mark.parametrize("nothing", [None, ""])
    def test_an_empty_one_is_none(self, nothing: Any):
        item = message(timestamp=nothing, originalTimestamp=nothing, sentAt=nothing)

        assert taken(item, sentAt=nothing).ts == RECEIVED
        assert taken(item | {"timestamp": "2026-03-10T11:00:00Z"}, sentAt=nothing).ts < RECEIVED

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("2026-03-10T11:00:00Z", "2026-03-10T11:00:00+00:00"),
            ("2026-03-10T11:00:00.123Z", "2026-03-10T11:00:00.123+00:00"),
            ("2026-03-10T11:00:00.123456789Z", "2026-03-10T11:00:00.123456+00:00"),
            ("2026-03-10T13:00:00+02:00", "2026-03-10T11:00:00+00:00"),
            ("2026-03-10T11:00:00", "2026-03-10T11:00:00+00:00"),
            ("2026-03-10", "2026-03-10T00:00:00+00:00"),
        ],
    )
    def test_is_iso_8601_utc_unless_it_says_otherwise(self, text: str, expected: str):
        assert self.time_of(timestamp=text) == moment(expected)

    def test_is_the_original_one_where_there_is_no_other(self):
        assert self.time_of(originalTimestamp="2026-03-09T11:00:00Z") == moment("2026-03-09T11:00:00+00:00")

    def test_stays_as_sent_where_the_clocks_agree(self):
        ts = self.time_of(timestamp="2026-03-10T10:00:00Z", sentAt="2026-03-10T12:00:59Z")

        assert ts == moment("2026-03-10T10:00:00+00:00")

    def test_is_corrected_where_the_senders_clock_is_off(self):
        ts = self.time_of(timestamp="2026-03-10T15:00:00Z", sentAt="2026-03-10T15:10:00Z")

        assert ts == moment("2026-03-10T11:50:00+00:00")

    def test_the_correction_starts_from_the_original_time(self):
        ts = self.time_of(
            timestamp="2026-03-10T11:00:00Z", originalTimestamp="2026-03-10T15:00:00Z", sentAt="2026-03-10T15:10:00Z"
        )

        assert ts == moment("2026-03-10T11:50:00+00:00")

    def test_is_corrected_by_the_batch_where_the_message_does_not_say_when_it_was_sent(self):
        ts = self.time_of(timestamp="2026-03-10T15:00:00Z", sent_at="2026-03-10T15:10:00Z")

        assert ts == moment("2026-03-10T11:50:00+00:00")

    def test_is_never_more_than_a_minute_ahead(self):
        assert self.time_of(timestamp="2030-01-01T00:00:00Z") == RECEIVED + 60_000_000

    def test_may_lie_ahead_where_the_source_allows_that(self):
        (event,) = messages.decode_row(
            inbox_row(batch_body([message(timestamp="2027-01-01T00:00:00Z")])), allow_future=True
        )

        assert event.ts == moment("2027-01-01T00:00:00+00:00")

    def test_lies_no_more_than_five_years_ahead_even_there(self):
        (bad,) = messages.decode_row(
            inbox_row(batch_body([message(timestamp="2033-01-01T00:00:00Z")])), allow_future=True
        )

        assert (bad.code, bad.path) == ("timestamp_out_of_range", "/timestamp")

    def test_is_to_the_microsecond(self):
        assert self.time_of(timestamp="2026-03-10T11:59:59.999999Z") == RECEIVED - 1

    @given(st.datetimes(datetime(2000, 1, 1), datetime(2026, 3, 10)), st.integers(-14 * 60, 14 * 60))  # noqa: DTZ001
    def test_counts_as_postgres_does(self, naive: datetime, offset_minutes: int):
        aware = naive.replace(tzinfo=UTC) + timedelta()
        micros = timestamp_micros(aware)

        assert datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros) == aware


class TestNumbers:
    @pytest.mark.parametrize(
        ("properties", "expected"),
        [
            ({}, (None, None, None, None)),
            ({"revenue": 9.5, "total": 10, "price": 1, "value": 0}, (9.5, 10.0, 1.0, 0.0)),
            ({"revenue": "9.5", "value": True, "price": None, "total": [1]}, (None, None, None, None)),
            ({"value": -3}, (None, None, None, -3.0)),
            ({"value": 10**400}, (None, None, None, None)),
        ],
    )
    def test_are_those_that_may_fill_the_value_column(self, properties: dict[str, Any], expected: tuple[Any, ...]):
        assert taken(message(properties=properties)).numbers == expected

    def test_are_finite(self):
        (event,) = decode(b'{"event":"E","userId":"u","properties":{"value":1e308,"price":1e309}}', kind="track")

        assert isinstance(event, Incoming)
        assert all(number is None or math.isfinite(number) for number in event.numbers)


class TestStorable:
    @pytest.mark.parametrize(
        ("raw", "kept"),
        [
            (rb'{"a":"x\u0000y"}', {"a": "x\ufffdy"}),
            (rb'{"a\u0000":1}', {"a\ufffd": 1}),
            (rb'{"a":"\ud83d\ude00"}', {"a": "😀"}),
            (rb'{"a":"\\u0000"}', {"a": "\\u0000"}),
            (rb'{"a":"\\ud800"}', {"a": "\\ud800"}),
        ],
    )
    def test_json_holds_what_jsonb_can_keep(self, raw: bytes, kept: dict[str, Any]):
        assert json.loads(messages.storable_json(raw)) == kept

    @pytest.mark.parametrize(
        ("raw", "kept"),
        [
            (rb'{"a":"\ud83d"}', {"a": "\ufffd"}),
            (rb'{"a":"x\udc00y"}', {"a": "x\ufffdy"}),
            (rb'{"a":"\ud83d\ud83d\ude00"}', {"a": "\ufffd😀"}),
            (rb'{"a":"\uD83D\uDE00"}', {"a": "😀"}),
            (rb'{"a":"\\ud83d"}', {"a": "\\ud83d"}),
            (rb'{"a":"\\\ud83d"}', {"a": "\\\ufffd"}),
        ],
    )
    def test_lone_surrogates_are_replaced_in_the_whole_body(self, raw: bytes, kept: dict[str, Any]):
        assert json.loads(messages.replace_lone_surrogates(raw)) == kept

    def test_untouched_bytes_stay_the_same_bytes(self):
        raw = '{"a": "ü\\u00fc \\" \\\\ 1.50"}'.encode()

        assert messages.storable_json(raw) is raw

    def test_names_are_cleaned(self):
        assert taken(message(event="Order\0Completed")).name == "Order\ufffdCompleted"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
FIELDS = [
    "type", "messageId", "userId", "anonymousId", "event", "name", "category", "properties", "traits", "context",
    "timestamp", "originalTimestamp", "sentAt",
]  # fmt: skip
ROUTES = st.sampled_from(["track", "identify", "page", "screen"])
TIMES = st.sampled_from(["2026-03-10T12:00:00Z", "2026-03-01", "", "x", "0001-01-01T00:00:00+14:00"])
MESSAGE = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(FIELDS, JSON),
        "type": ROUTES | JSON,
        "timestamp": TIMES | JSON,
        "sentAt": TIMES | JSON,
        "userId": st.text() | JSON,
    },
)


def as_bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


def surroundings(body: bytes) -> bytes:
    """What the HTTP edge does before a row is kept."""
    return messages.replace_lone_surrogates(body)


class TestFuzz:
    """Whatever arrives is decoded or turned away, and never raises."""

    @settings(max_examples=150)
    @given(st.lists(MESSAGE | JSON, max_size=4), JSON)
    def test_any_json(self, items: list[Any], context: Any):
        found = decode(surroundings(as_bytes({"batch": items, "context": context})))

        assert len(found) == len(items)
        for item in found:
            self.check(item)

    @settings(max_examples=150)
    @given(st.binary(max_size=60) | st.text(alphabet='{}[]":,\\u0d8 1e-', max_size=60).map(str.encode), ROUTES)
    def test_any_bytes(self, junk: bytes, kind: str):
        for item in decode(junk) + decode(junk, kind=kind) + decode(b'{"batch":[' + junk + b"]}"):
            self.check(item)

    @settings(max_examples=150)
    @given(MESSAGE, st.data())
    def test_any_damage(self, item: dict[str, Any], data: st.DataObject):
        body = bytearray(as_bytes(item))
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))

        for found in decode(bytes(body), kind="track"):
            self.check(found)

    def check(self, item: Incoming | Rejected) -> None:
        if isinstance(item, Rejected):
            assert item.code
            assert not storable._UNSTORABLE_TEXT.search(item.message + item.message_id + item.event + item.path)
            return
        assert item.identifiers
        assert item.name
        for part in (item.properties, item.context):
            assert isinstance(json.loads(part), dict)
            assert not storable._UNSTORABLE_TEXT.search(json.dumps(json.loads(part), ensure_ascii=False))
        assert storable._UNSTORABLE_TEXT.search(json.dumps(item.traits, ensure_ascii=False)) is None
