"""Which pairs somebody wants to see, as the address says it, and back."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from identity.candidates.models import Candidate
from identity.review.contracts import Wanted

NAMES = ("least", "most", "reason", "source", "field", "age")
_DAY = timedelta(days=1)
# Of how long ago: from when on, and until when.
AGES = {
    "today": ("Found in the last day", _DAY, None),
    "week": ("Found in the last week", 7 * _DAY, None),
    "older": ("Waiting for over a week", None, 7 * _DAY),
    "month": ("Waiting for over a month", None, 30 * _DAY),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """`fields` are as typed, `wanted` what they mean; nonsense restricts nothing."""

    fields: dict[str, str]
    wanted: Wanted

    @property
    def given(self) -> bool:
        return bool(self.fields)

    @property
    def query(self) -> str:
        return "?" + urlencode(self.fields) if self.fields else ""


def read_asked(given: Any, *, now: datetime) -> Asked:
    texts = {name: str(given.get(name, "")).strip()[:100].replace("\x00", "") for name in NAMES}
    least, most = (_share(texts[name]) for name in ("least", "most"))
    source = texts["source"]
    _, newest, oldest = AGES.get(texts["age"], ("", None, None))
    wanted = Wanted(
        least=least,
        most=most,
        reason=texts["reason"] if texts["reason"] in Candidate.Reason.values else "",
        source_id=int(source) if source.isascii() and source.isdigit() and len(source) < 19 else None,
        field=texts["field"],
        since=now - newest if newest else None,
        before=now - oldest if oldest else None,
    )
    kept = {
        "least": least is not None,
        "most": most is not None,
        "reason": bool(wanted.reason),
        "source": wanted.source_id is not None,
        "field": bool(wanted.field),
        "age": texts["age"] in AGES,
    }
    return Asked({name: text for name, text in texts.items() if kept[name]}, wanted)


def _share(text: str) -> float | None:
    """Percent as typed; None where it is none."""
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        return None
    return number / 100 if math.isfinite(number) and 0 <= number <= 100 else None
