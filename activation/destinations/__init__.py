"""Kinds of destination: one folder each. To add one, add a folder; nothing else changes.

A folder's `__init__.py` defines `DESTINATION`, an instance of a `DestinationKind` whose `kind` is the folder's
name. A broken or doubled one stops the start-up. Every kind passes `tests/integration/test_activation_kinds.py`.
"""

import functools
import importlib
import pkgutil
from collections.abc import Mapping

from activation.destinations.base import DestinationKind
from activation.errors import UnknownKindError

__all__ = ["DestinationKind", "get_kind", "kinds"]


class BrokenDestinationError(Exception):
    """A folder of `activation/destinations/` that does not define a destination kind."""


@functools.cache
def kinds() -> Mapping[str, DestinationKind]:
    """Every kind by its name, in the order of their labels."""
    found = [_load(module.name) for module in pkgutil.iter_modules(__path__) if module.ispkg]
    return {kind.kind: kind for kind in sorted(found, key=lambda kind: kind.label)}


def get_kind(name: str) -> DestinationKind:
    try:
        return kinds()[name]
    except KeyError:
        raise UnknownKindError(f"There is no kind of destination called {name!r}.", path="/kind") from None


def _load(name: str) -> DestinationKind:
    module = importlib.import_module(f"{__name__}.{name}")
    destination = getattr(module, "DESTINATION", None)
    if not isinstance(destination, DestinationKind) or destination.kind != name:
        raise BrokenDestinationError(f"activation/destinations/{name} must define DESTINATION of kind {name!r}.")
    return destination
