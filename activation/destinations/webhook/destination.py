from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, ClassVar

from activation.destinations.base import DestinationKind, Message, Target
from activation.destinations.webhook.forms import WebhookSettingsForm
from activation.egress import Answer, Client
from activation.errors import DestinationError
from activation.retry import parse_retry_after
from activation.signing import signature_headers

TIMEOUT_SECONDS = 15.0
USER_AGENT = "Tributary/1"

_TELLING: dict[int, str] = {
    HTTPStatus.GONE: "The receiver says that this address is gone for good.",
    HTTPStatus.TOO_MANY_REQUESTS: "The receiver asks us to slow down.",
}


class WebhookDestination(DestinationKind):
    kind = "webhook"
    label = "Webhook"
    description = "A signed HTTP POST to any address, as Standard Webhooks describe it."
    icon = "webhook"
    settings_form = WebhookSettingsForm
    concurrency: ClassVar[int] = 16

    def __init__(self) -> None:
        self._clients: dict[int, Client] = {}

    def send(self, message: Message, *, to: Target, now: datetime) -> Answer:
        headers = {
            "content-type": "application/json",
            "user-agent": USER_AGENT,
            **signature_headers(message_id=message.id, at=now, body=message.body, secrets=to.secrets),
        }
        answer = self._client(to.id).post(
            to.config["url"], headers=headers, body=message.body, timeout=TIMEOUT_SECONDS
        )
        if not 200 <= answer.status < 300:
            raise _failure(answer, now=now)
        return answer

    def rest(self) -> None:
        for client in list(self._clients.values()):
            client.rest()

    def _client(self, destination_id: int) -> Client:
        """One per destination, so that none waits for another's connections."""
        client = self._clients.get(destination_id)
        return client or self._clients.setdefault(destination_id, Client(connections=self.concurrency))

    def describe(self, config: Mapping[str, Any]) -> str:
        return str(config.get("url", ""))


def _failure(answer: Answer, *, now: datetime) -> DestinationError:
    return DestinationError(
        _explain(answer.status),
        permanent=answer.status == HTTPStatus.GONE,
        status=answer.status,
        retry_after=parse_retry_after(answer.headers.get("retry-after", ""), now=now),
        response=answer.text,
    )


def _explain(status: int) -> str:
    if 300 <= status < 400:
        return f"The receiver answered {status}: redirects are not followed."
    return _TELLING.get(status, f"The receiver answered {status}.")
