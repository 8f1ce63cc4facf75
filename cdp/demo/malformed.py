"""What an old version of the shop's app still sends now and then: messages to try mending on, or the tracking plan.

Each is a copy of a good message under an id of its own, marked by `context.app` as coming from version 2.3.0.
"""

import itertools
import random
from collections.abc import Callable
from typing import Any

OLD_APP = {"name": "Shop app", "version": "2.3.0"}
SHARE = 0.01

Message = dict[str, Any]


def without_a_name(message: Message) -> Message:
    """The event's name stands in a field that nobody reads."""
    return {**message, "type": "track", "event": None, "eventName": message.get("event", "Page Viewed")}


def with_a_local_time(message: Message) -> Message:
    """The time is written as people of some country do."""
    day = message["timestamp"]
    return {**message, "timestamp": f"{day[8:10]}/{day[5:7]}/{day[:4]} {day[11:16]}"}


def with_a_wrapped_id(message: Message) -> Message:
    """The user id is wrapped in an object."""
    return {**message, "userId": {"id": message.get("userId") or message["anonymousId"]}}


def without_an_id(message: Message) -> Message:
    """Nobody is named at all."""
    return {key: value for key, value in message.items() if key not in {"userId", "anonymousId"}} | {"traits": {}}


MISTAKES: tuple[Callable[[Message], Message], ...] = (
    without_a_name,
    with_a_local_time,
    with_a_wrapped_id,
    without_an_id,
)


def off_the_plan(message: Message) -> Message:
    """It can be taken in, but a price is text and a field was forgotten in it: the tracking plan speaks up."""
    properties = {**message.get("properties", {}), "debug_trace": "7f3a"}
    if isinstance(price := properties.get("price"), float):
        properties["price"] = f"{price:.2f}"
    return {**message, "properties": properties}


class OldApp:
    """Adds a bad message for about one in a hundred good ones. Reproducible by its seed."""

    def __init__(self, *, seed: int, run: str) -> None:
        self.random = random.Random(seed)  # noqa: S311 - plays, keeps no secret
        self.run = run
        self.numbers = itertools.count(1)

    def spoil(self, messages: list[Message]) -> list[Message]:
        return [self._spoilt(message) for message in messages if self.random.random() < SHARE]

    def _spoilt(self, message: Message) -> Message:
        mistake = self.random.choice((*MISTAKES, off_the_plan, off_the_plan))
        context = {**message["context"], "app": OLD_APP}
        return mistake({**message, "messageId": f"{self.run}-old-app-{next(self.numbers)}", "context": context})
