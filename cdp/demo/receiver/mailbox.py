"""What the receiver got: the last messages, in memory."""

import json
import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

KEPT = 500
LONGEST_FAILURE = 3_600


@dataclass(frozen=True)
class Received:
    """One request. `attempt` counts how often this webhook-id came; `problem` says why it was not believed."""

    number: int
    at: datetime
    webhook_id: str
    attempt: int
    status: int
    problem: str
    headers: dict[str, str]
    body: Any

    @property
    def type(self) -> str:
        return str(self.body.get("type", "")) if isinstance(self.body, dict) else ""

    @property
    def data(self) -> dict[str, Any]:
        data = self.body.get("data") if isinstance(self.body, dict) else None
        return data if isinstance(data, dict) else {}

    @property
    def pretty(self) -> str:
        return self.body if isinstance(self.body, str) else json.dumps(self.body, indent=2, ensure_ascii=False)

    def as_dict(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "at": self.at.isoformat(),
            "webhook_id": self.webhook_id,
            "attempt": self.attempt,
            "status": self.status,
            "problem": self.problem,
            "body": self.body,
        }


class Mailbox:
    """Shared by the threads that take in and those that show."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._messages: deque[Received] = deque(maxlen=KEPT)
        self._numbers: Counter[int] = Counter()
        self._failing_until: datetime | None = None

    def take(self, *, headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> Received:
        """Check and keep one request; the answer to give is its `status`."""
        problem = verify(headers=headers, body=body, secret=secret)
        status = HTTPStatus.UNAUTHORIZED if problem else HTTPStatus.NO_CONTENT
        if self.failing_for(now=now):
            status = HTTPStatus.INTERNAL_SERVER_ERROR
        webhook_id = headers.get("webhook-id", "")
        with self._lock:
            self._numbers[status] += 1
            message = Received(
                number=self._numbers.total(),
                at=now,
                webhook_id=webhook_id,
                attempt=1 + sum(1 for earlier in self._messages if webhook_id and earlier.webhook_id == webhook_id),
                status=status,
                problem=problem,
                headers={
                    name: value for name, value in headers.items() if name.startswith(("webhook-", "user-agent"))
                },
                body=_readable(body),
            )
            self._messages.appendleft(message)
        return message

    def messages(self) -> list[Received]:
        """Newest first."""
        with self._lock:
            return list(self._messages)

    def clear(self) -> None:
        with self._lock:
            self._messages.clear()

    def counts(self) -> dict[str, int]:
        with self._lock:
            return {
                "total": self._numbers.total(),
                "accepted": self._numbers[HTTPStatus.NO_CONTENT],
                "failed": self._numbers[HTTPStatus.INTERNAL_SERVER_ERROR],
                "refused": self._numbers[HTTPStatus.UNAUTHORIZED],
            }

    def fail_for(self, *, seconds: int, now: datetime) -> None:
        """Answer 500 for so long; 0 ends it."""
        self._failing_until = now + timedelta(seconds=min(max(seconds, 0), LONGEST_FAILURE))

    def failing_for(self, *, now: datetime) -> int:
        """Seconds of failure that are left."""
        until = self._failing_until
        return max(0, round((until - now).total_seconds())) if until else 0


def verify(*, headers: Mapping[str, str], body: bytes, secret: str) -> str:
    """What is wrong with the signature by Standard Webhooks 1.0; empty when nothing is."""
    if not secret:
        return "The receiver knows no signing secret yet: run load_demo."
    try:
        Webhook(secret).verify(body, dict(headers))
    except WebhookVerificationError as error:
        return str(error) or "The signature does not match."
    except ValueError as error:  # a body that is signed rightly but is no JSON, or a secret that is no base64
        return f"It cannot be read: {error}"
    return ""


def _readable(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
