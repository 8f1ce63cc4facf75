"""Who is told, in the same transaction, that profiles have merged or parted.

Rooms further down the flow register when their app starts: identity knows none of them.
"""

from collections.abc import Callable, Collection
from datetime import datetime

Listener = Callable[[Collection[int], datetime], None]
"""Takes the ids of profiles that gained or lost something, or are no more, and the time."""

_listeners: list[Listener] = []


def listen(listener: Listener) -> Listener:
    if listener not in _listeners:
        _listeners.append(listener)
    return listener


def tell(profile_ids: Collection[int], *, now: datetime) -> None:
    for listener in _listeners:
        listener(profile_ids, now)
