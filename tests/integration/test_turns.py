"""How workers take turns, and hear of work."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from cdp import tasks
from cdp.kernel.tasks import nudge
from cdp.kernel.wake import Listener, awake, claim_wake, tell
from segments.contracts import TransitionSpan
from tests.factories.ingestion import track

ALWAYS_MORE = TransitionSpan((), 0, 0, 0, claimed=1)
NAME = "cdp.test_turns"


def test_evaluation_gives_way_and_asks_for_another_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """What time brings about waits in the same queue for no longer than one of its turns."""
    asked: list[str] = []
    monkeypatch.setattr(tasks, "SHORT_SECONDS", 0.0)
    monkeypatch.setattr("cdp.pipeline.evaluate", lambda **_: ALWAYS_MORE)
    monkeypatch.setattr(tasks, "nudge", asked.append)

    tasks.evaluate()

    assert asked == ["cdp.evaluate"]
    assert claim_wake("cdp.evaluate")  # news that come now are a nudge of their own


class TestGivingWay:
    """What only follows the drain."""

    @pytest.fixture
    def rests(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        found: list[float] = []
        monkeypatch.setattr("cdp.tasks.time.sleep", found.append)
        return found

    def test_rests_while_a_request_has_waited_for_long(self, accept, rests: list[float]) -> None:
        accept(track("A"), now=timezone.now() - timedelta(seconds=5))

        assert tasks._giving_way(lambda: 7) == 7

        (rest,) = rests
        assert 0 < rest <= tasks.WAY_SECONDS

    def test_goes_on_where_the_drain_keeps_up(self, accept, rests: list[float]) -> None:
        accept(track("A"), now=timezone.now())

        assert tasks._giving_way(lambda: 7) == 7

        assert rests == []

    def test_ends_at_once_where_nothing_is_left(self, accept, rests: list[float]) -> None:
        accept(track("A"), now=timezone.now() - timedelta(seconds=5))

        assert not tasks._giving_way(lambda: 0)

        assert rests == []


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The tasks that go through the broker."""
    names: list[str] = []
    monkeypatch.setattr("cdp.kernel.tasks.current_app.send_task", names.append)
    awake(NAME)
    yield names
    awake(NAME)


class TestStaying:
    def test_hears_of_more_work_without_the_broker(self, monkeypatch: pytest.MonkeyPatch, sent: list[str]) -> None:
        monkeypatch.setattr(tasks, "STAY_SECONDS", 1.0)
        waiting, done = [3], threading.Event()

        def step() -> bool:
            found = bool(waiting) and bool(waiting.pop())
            if not found:
                done.set()
            return found

        worker = threading.Thread(target=lambda: tasks._stay(step, NAME))
        worker.start()
        assert done.wait(20)
        wait_for_listener()
        done.clear()
        waiting.append(2)
        nudge(NAME)
        worker.join(20)

        assert not worker.is_alive()
        assert (waiting, done.is_set(), sent) == ([], True, [])

    def test_ends_where_nothing_comes(self, monkeypatch: pytest.MonkeyPatch, sent: list[str]) -> None:
        monkeypatch.setattr(tasks, "STAY_SECONDS", 0.01)

        tasks._stay(once(), NAME)
        nudge(NAME)

        assert sent == [NAME]

    def test_is_for_who_has_worked(self, monkeypatch: pytest.MonkeyPatch, sent: list[str]) -> None:
        listened: list[float] = []

        def hear(_listener: Listener, *, seconds: float) -> bool:
            listened.append(seconds)
            return False

        monkeypatch.setattr(Listener, "heard", hear)

        tasks._stay(lambda: 0, NAME)
        assert listened == []

        tasks._stay(once(), NAME)
        assert listened == [tasks.STAY_SECONDS]

    @pytest.mark.parametrize(("found", "pauses"), [(20, []), (200, [tasks.REST_SECONDS]), (3_000, [])])
    def test_comes_with_a_rest_where_more_at_once_cost_less(
        self, monkeypatch: pytest.MonkeyPatch, sent: list[str], found: int, pauses: list[float]
    ) -> None:
        slept: list[float] = []
        monkeypatch.setattr(tasks, "STAY_SECONDS", 0.01)
        monkeypatch.setattr("cdp.tasks.time.sleep", slept.append)

        tasks._stay(once(found), NAME)

        assert slept == pauses


class TestListener:
    def test_is_told_and_nobody_else_is(self, sent: list[str]) -> None:
        first, second = Listener(NAME), Listener(NAME)
        assert not first.heard(seconds=0)
        assert not second.heard(seconds=0)

        nudge(NAME)

        assert (first.heard(seconds=5), second.heard(seconds=0), sent) == (True, False, [])
        assert (first.close(), second.close(), tell(NAME)) == (False, False, False)

    def test_says_at_its_end_what_it_did_not_hear(self, sent: list[str]) -> None:
        listener = Listener(NAME)
        listener.heard(seconds=0)
        nudge(NAME)

        assert listener.close()

    def test_that_is_missed_makes_another_turn(self, monkeypatch: pytest.MonkeyPatch, sent: list[str]) -> None:
        """Told after it has listened for the last time, and before it is gone."""
        monkeypatch.setattr(tasks, "STAY_SECONDS", 0.01)
        close = Listener.close

        def close_late(listener: Listener) -> bool:
            nudge(NAME)
            return close(listener)

        monkeypatch.setattr(Listener, "close", close_late)

        tasks._stay(once(), NAME)

        assert sent == [NAME]

    def test_that_was_killed_is_followed_by_another(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("cdp.kernel.wake.LISTENED_SECONDS", 0.05)
        Listener(NAME).heard(seconds=0)
        time.sleep(0.1)
        listener = Listener(NAME)

        listener.heard(seconds=0)

        assert tell(NAME)
        assert listener.heard(seconds=5)
        listener.close()


def once(found: int = 1) -> Callable[[], int]:
    """A step that finds so much, and then nothing."""
    waiting = [found]
    return lambda: waiting.pop() if waiting else 0


def wait_for_listener() -> None:
    end = time.monotonic() + 20
    while not tell(NAME):
        assert time.monotonic() < end
        time.sleep(0.01)
