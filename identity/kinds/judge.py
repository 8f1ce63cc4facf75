"""What becomes of one value, for somebody who tries it."""

from dataclasses import dataclass

from cdp.kernel.identifiers import normalise
from identity.kinds.rules import OTHERS, KindSettings, compile_reading
from identity.models import Identifier


@dataclass(frozen=True, slots=True)
class Judged:
    """The one spelling, or why there is none (see `words.EXPLAINED`), and whom it leads to today."""

    spelt: str | None
    reason: str
    profile_id: int | None


def judge_value(settings: KindSettings, sent: str) -> Judged:
    """Under these settings, whether they are in force or not."""
    reading = compile_reading(settings)
    said = normalise(settings.name, sent)
    if said is None and settings.name == "phone":
        said = reading.spell(sent.strip())
    if said is None:
        readable = settings.name in {"email", "phone"} and normalise("user_id", sent) is not None
        return Judged(None, "unreadable" if readable else "nobody", None)
    spelt, reason = reading.read(said)
    if spelt is None or settings.name == OTHERS:
        return Judged(spelt, reason, None)
    rows = Identifier.objects.filter(kind=settings.name, value=spelt)
    return Judged(spelt, reason, rows.values_list("profile_id", flat=True).first())
