"""The kernel's small parts on the write path: ids, times, rows of binary COPY, nudges."""

import gc
import struct
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from cdp.kernel import tasks, wake
from cdp.kernel.copy import timestamp_micros
from cdp.kernel.garbage import collecting_later
from cdp.kernel.ids import message_uuid, message_uuid_bytes
from segments.changes import _array


class TestMessageUuid:
    def test_is_the_same_for_the_same_message(self):
        assert message_uuid(source_id=1, message_id="m") == message_uuid(source_id=1, message_id="m")

    def test_never_changes_between_releases(self):
        assert str(message_uuid(source_id=7, message_id="order-1")) == ORDER_1

    @given(st.integers(1, 2**40), st.integers(1, 2**40), st.text(max_size=100), st.text(max_size=100))
    def test_differs_by_source_and_by_message(self, source: int, other: int, text: str, another: str):
        same = (source, text) == (other, another)

        found = message_uuid_bytes(source_id=source, message_id=text)

        assert (found == message_uuid_bytes(source_id=other, message_id=another)) == same

    @given(st.text(alphabet=st.characters(), max_size=100))
    def test_is_a_custom_uuid_of_any_text(self, text: str):
        found = message_uuid(source_id=1, message_id=text)

        assert (found.version, found.variant) == (8, uuid.RFC_4122)
        assert found.bytes == message_uuid_bytes(source_id=1, message_id=text)


ORDER_1 = "456f48cc-e21f-8484-b3d2-a57625578510"


class TestTimestampMicros:
    def test_of_the_epoch_is_zero(self):
        assert timestamp_micros(datetime(2000, 1, 1, tzinfo=UTC)) == 0

    def test_is_negative_before_it(self):
        assert timestamp_micros(datetime(1999, 12, 31, 23, 59, 59, 999_999, UTC)) == -1

    @given(st.datetimes(timezones=st.timezones() | st.just(UTC), allow_imaginary=False))
    def test_is_exact_in_any_zone(self, moment: datetime):
        since = moment - datetime(2000, 1, 1, tzinfo=UTC)

        assert timestamp_micros(moment) == since // timedelta(microseconds=1)


class TestArrays:
    def test_an_empty_one_has_no_dimension(self):
        assert _array(23, []) == struct.pack(">iiii", 12, 0, 0, 23)

    def test_names_its_length_and_that_of_each_item(self):
        expected = struct.pack(">iiiii", 1, 0, 25, 2, 1) + struct.pack(">i1si2s", 1, b"a", 2, b"bc")

        assert _array(25, [b"a", b"bc"]) == struct.pack(">i", len(expected)) + expected


class TestCollectingLater:
    def test_holds_the_collector_off_and_lets_it_go_on(self):
        with collecting_later():
            inside = gc.isenabled()

        assert not inside
        assert gc.isenabled()

    def test_goes_on_after_an_error(self):
        with pytest.raises(KeyError), collecting_later():
            raise KeyError

        assert gc.isenabled()

    def test_of_two_the_outer_one_counts(self):
        with collecting_later():
            with collecting_later():
                pass

            assert not gc.isenabled()


class TestWithoutValkey:
    @pytest.fixture(autouse=True)
    def _away(self, monkeypatch: pytest.MonkeyPatch, tmp_path):
        nowhere = redis.Redis.from_url(f"unix://{tmp_path}/none.sock")
        monkeypatch.setattr(wake, "client", lambda: nowhere)

    def test_nobody_is_asked_to_send_a_nudge(self):
        assert wake.claim_wake("x") is False

    def test_a_nudge_is_lost_and_nothing_else(self):
        tasks.nudge("cdp.drain")
        wake.awake("cdp.drain")

    def test_a_fault_of_the_client_is_lost_too(self, monkeypatch: pytest.MonkeyPatch):
        def fail(_: str) -> bool:
            raise ValueError("I/O operation on closed file.")

        monkeypatch.setattr(tasks, "claim_wake", fail)

        tasks.nudge("cdp.drain")


class TestWake:
    def test_one_asker_sends_until_the_worker_is_awake(self):
        name = f"test-{uuid.uuid4()}"

        asked = [wake.claim_wake(name), wake.claim_wake(name)]
        wake.awake(name)

        assert [*asked, wake.claim_wake(name)] == [True, False, True]

    def test_a_nudge_that_got_lost_is_forgotten(self):
        name = f"test-{uuid.uuid4()}"

        wake.claim_wake(name)

        assert 0 < wake.client().pttl(f"cdp:wake:{name}") <= wake.PENDING_MS

    def test_threads_that_begin_together_share_one_client(self, monkeypatch: pytest.MonkeyPatch):
        """One that was made beside it would close its connections, in use or not, when it is let go."""
        made: list[redis.Redis] = []

        def slowly(*args: Any, **kwargs: Any) -> redis.Redis:
            time.sleep(0.05)
            made.append(from_url(*args, **kwargs))
            return made[-1]

        from_url = redis.Redis.from_url
        monkeypatch.setattr(redis.Redis, "from_url", slowly)
        monkeypatch.setattr(wake, "_client", None)
        names = [f"test-{uuid.uuid4()}" for _ in range(8)]

        with ThreadPoolExecutor(len(names)) as pool:
            claimed = list(pool.map(wake.claim_wake, names))

        assert claimed == [True] * len(names)
        assert len(made) == 1
