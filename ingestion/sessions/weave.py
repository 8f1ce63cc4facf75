"""Events and the sessions that are known, made into sessions. Pure.

A session is a run of one device's events of which none is `timeout` or more later than the one before. Events are only
ever added, so sessions only grow and grow together: an event that comes late moves a beginning, goes on after an end,
or fills the gap between two. Whatever the order in which events come, the runs in the end are the same.
"""

import hashlib
from collections.abc import Iterable

import msgspec

from ingestion.contracts import Incoming
from ingestion.sessions.tally import Tally


class Session(msgspec.Struct, gc=False):
    """A session, and what is being made of it: `members` are its new events, `swallowed` the rows that went into it.

    `was_last` and `was_ended` are those of its row; None where it has none yet. `origin` is the origin that its first
    event is of, where that is not the profile itself.
    """

    profile_id: int
    device: bytes
    source_id: int
    first: int
    first_id: bytes
    last: int
    due: int
    ended: bool
    tally: Tally
    origin: int | None = None
    was_last: int | None = None
    was_ended: bool = False
    members: list[Incoming] = []
    swallowed: list["Session"] = []

    @property
    def is_new(self) -> bool:
        return self.was_last is None

    @property
    def is_touched(self) -> bool:
        return bool(self.members or self.swallowed)

    @property
    def id(self) -> bytes:
        return session_id(self.device, self.first_id)


def weave(
    known: Iterable[Session], events: Iterable[Incoming], *, profile_id: int, device: bytes, timeout: int
) -> list[Session]:
    """The sessions of one device. `known` are all that are within `timeout` of an event, and maybe others."""
    begun: list[tuple[int, bytes, Session | Incoming]] = [(one.first, one.first_id, one) for one in known]
    begun += [(event.ts, event.id, event) for event in events]
    begun.sort(key=_place)
    sessions: list[Session] = []
    current: Session | None = None
    for first, _, one in begun:
        if current is None or first - current.last >= timeout:
            current = one if isinstance(one, Session) else _begin(one, profile_id, device, timeout)
            sessions.append(current)
        elif isinstance(one, Session):
            _swallow(current, one)
        if isinstance(one, Incoming):
            current.members.append(one)
            current.tally.add(one)
            current.last = max(current.last, first)
    return sessions


def _place(entry: tuple[int, bytes, Session | Incoming]) -> tuple[int, bytes]:
    return entry[0], entry[1]


def _begin(event: Incoming, profile_id: int, device: bytes, timeout: int) -> Session:
    return Session(
        profile_id=profile_id,
        device=device,
        source_id=event.source_id,
        first=event.ts,
        first_id=event.id,
        last=event.ts,
        due=event.ts + timeout,
        ended=False,
        tally=Tally(),
        members=[],
        swallowed=[],
    )


def _swallow(session: Session, other: Session) -> None:
    session.swallowed.append(other)
    session.tally.join(other.tally)
    session.last = max(session.last, other.last)


def device_of(source_id: int, anonymous_id: str) -> bytes:
    return _digest(b"device", source_id.to_bytes(8, "big"), anonymous_id.encode("utf-8", "surrogatepass"))


def session_id(device: bytes, first_id: bytes) -> bytes:
    return _digest(b"session", device, first_id)


def event_id(session: bytes, name: str) -> bytes:
    """The id of the event of this name that says something about the session."""
    return _digest(b"event", session, name.encode())


def id_text(id_: bytes) -> str:
    text = id_.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _digest(person: bytes, *parts: bytes) -> bytes:
    """128 bits, marked as a custom id of RFC 9562 (version 8), as `cdp.kernel.ids` does."""
    digest = bytearray(hashlib.blake2b(b"".join(parts), digest_size=16, person=person).digest())
    digest[6] = (digest[6] & 0x0F) | 0x80
    digest[8] = (digest[8] & 0x3F) | 0x80
    return bytes(digest)
