"""What every kind of destination is made of."""

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from django import forms

from activation.egress import Answer
from activation.errors import InvalidDestinationError


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be sent. `id` and `body` are the same on every try, so that a receiver can tell a repetition."""

    id: str
    body: bytes
    """JSON: docs/reference/webhooks.md."""


@dataclass(frozen=True, slots=True)
class Target:
    """A destination as its kind needs to know it: its settings, and the secrets that sign now, newest first."""

    id: int
    config: Mapping[str, Any]
    secrets: tuple[str, ...]


class DestinationKind(abc.ABC):
    """A way to send. Instances hold no state that a restart would lose; threads share them."""

    kind: ClassVar[str]
    label: ClassVar[str]
    description: ClassVar[str]
    icon: ClassVar[str]
    """A name of the Tabler icon set."""
    settings_form: ClassVar[type[forms.Form]]
    concurrency: ClassVar[int] = 8
    """How many sends to one destination may be under way in one worker process."""

    @abc.abstractmethod
    def send(self, message: Message, *, to: Target, now: datetime) -> Answer:
        """Send once. Raises DestinationError unless the receiver took it; touches no database."""

    @abc.abstractmethod
    def describe(self, config: Mapping[str, Any]) -> str:
        """Where it goes, in a line for people. Shows no secret."""

    def rest(self) -> None:  # noqa: B027 - most kinds keep nothing open
        """Called after each run: let go of connections that have not been used for a while."""

    def clean(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The settings as they are kept. Raises InvalidDestinationError with the path of the first bad one."""
        form = self.settings_form(data=dict(config))
        unknown = sorted(set(config) - set(form.fields))
        if unknown:
            raise InvalidDestinationError("There is no such setting.", path=f"/config/{unknown[0]}")
        if not form.is_valid():
            field, problems = next(iter(form.errors.items()))
            raise InvalidDestinationError(str(problems[0]), path=f"/config/{field}")
        return dict(form.cleaned_data)
