"""What can be kept of a definition that nobody has read yet: everything but what no JSON column takes."""

import math
import re

from segments.ast.errors import DefinitionError

_SURROGATE_OR_NUL = re.compile("[\ud800-\udfff\0]")


def require_storable(definition: object) -> None:
    """
    Raises:
        DefinitionError: for a NUL, half of a surrogate pair, or a number that is not finite, wherever it stands.
    """
    waiting = [("", definition)]
    while waiting:
        at, value = waiting.pop()
        match value:
            case dict():
                for key, inner in value.items():
                    _require_text(key, at)
                    waiting.append((f"{at}/{key.replace('~', '~0').replace('/', '~1')}", inner))
            case list():
                waiting += [(f"{at}/{place}", inner) for place, inner in enumerate(value)]
            case str():
                _require_text(value, at)
            case float() if not math.isfinite(value):
                raise DefinitionError("A number must be finite.", code="not_finite", path=at)


def _require_text(text: str, at: str) -> None:
    if _SURROGATE_OR_NUL.search(text):
        message = "This text has a NUL or half of a surrogate pair in it."
        raise DefinitionError(message, code="invalid_character", path=at)
