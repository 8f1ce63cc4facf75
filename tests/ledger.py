"""Tests that commit are cleaned up by TRUNCATE, which the consent ledger refuses; only there it may be ignored."""

from collections.abc import Iterator
from typing import Any

import pgtrigger
import pytest
from django.core.management.commands import flush

APPEND_ONLY = "consent.ConsentRecord:append_only"


@pytest.fixture(autouse=True, scope="session")
def ledger_may_be_flushed() -> Iterator[None]:
    """Django's `flush`, and nothing else, goes past the ledger's guard: the guard itself is never dropped."""
    handle = flush.Command.handle

    def handle_past_the_guard(self: Any, **options: Any) -> None:
        with pgtrigger.ignore(APPEND_ONLY):
            handle(self, **options)

    flush.Command.handle = handle_past_the_guard  # type: ignore[method-assign]
    yield
    flush.Command.handle = handle  # type: ignore[method-assign]
