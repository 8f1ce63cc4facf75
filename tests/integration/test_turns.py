import pytest

from cdp import tasks
from cdp.kernel.wake import claim_wake
from segments.contracts import TransitionSpan

ALWAYS_MORE = TransitionSpan((), 0, 0, 0, claimed=1)


def test_evaluation_gives_way_and_asks_for_another_turn(monkeypatch: pytest.MonkeyPatch):
    """What time brings about waits in the same queue for no longer than one of its turns."""
    asked: list[str] = []
    monkeypatch.setattr(tasks, "SHORT_SECONDS", 0.0)
    monkeypatch.setattr(tasks.pipeline, "evaluate", lambda **_: ALWAYS_MORE)
    monkeypatch.setattr(tasks, "nudge", asked.append)

    tasks.evaluate()

    assert asked == ["cdp.evaluate"]
    assert claim_wake("cdp.evaluate")  # news that come now are a nudge of their own
