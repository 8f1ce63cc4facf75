"""The rules in force in this process, compiled from the rows of `IdentifierKind`.

Whoever drains calls `follow` with its chunk's sources: their `rules_version`, which is read anyway, grows when a kind
changes, so a chunk costs no query for it. Others call `fresh`, which reads the rows again after some seconds.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cdp.kernel.identifiers import normalise, read_phones_of
from identity.kinds.contracts import Kind, Period
from identity.kinds.normalisers import FIXED, NORMALISERS, Spell

PREVIOUS = "previous_id"
"""Not a kind of its own: in a message's identifiers, the id that its user had before, by an alias message."""

STATED_LIMIT = 25
"""How many of any kind a profile may have where alias messages say outright that user ids are one person."""

MOST = 1_000
"""How many of any kind a profile may ever have, whatever is configured: no profile grows without end."""

OTHERS = "*"
"""The kind whose settings hold for external ids that nobody has configured."""

MAX_PATTERN = 100
MAX_PATTERNS = 50
MAX_BLOCKED = 1_000
FRESH_SECONDS = 5.0
REMEMBERED = 100_000
MAX_SEEN = 1_000

Combination = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class KindSettings:
    """Everything that is configured of a kind. The defaults are those of an external id."""

    name: str
    label: str = ""
    icon: str = "id"
    normaliser: str = "exact"
    options: Mapping[str, Any] = field(default_factory=dict)
    priority: int = 25
    limit_ever: int | None = 5
    limit_yearly: int | None = None
    limit_monthly: int | None = None
    limit_weekly: int | None = None
    blocked: Sequence[str] = ()
    patterns: Sequence[str] = ()
    min_length: int = 1
    min_distinct: int = 1
    enabled: bool = True
    protected: bool = False

    @property
    def periods(self) -> tuple[tuple[Period, int], ...]:
        """The longest first, so that a refusal names the limit that holds the longest."""
        limits = ((Period.YEARLY, self.limit_yearly), (Period.MONTHLY, self.limit_monthly))
        found = (*limits, (Period.WEEKLY, self.limit_weekly))
        return tuple((period, limit) for period, limit in found if limit is not None)

    def kind(self) -> Kind:
        limit = MOST if self.limit_ever is None else min(self.limit_ever, MOST)
        return Kind(self.name, self.priority, limit, self.periods, self.protected)


DEFAULTS: Mapping[str, KindSettings] = {
    one.name: one
    for one in (
        KindSettings("user_id", "User id", "user", priority=10, limit_ever=1, protected=True),
        KindSettings("email", "E-mail address", "mail", "email", priority=20),
        KindSettings("phone", "Phone number", "phone", "phone", priority=22),
        KindSettings(OTHERS, "Other external ids", "id", priority=25),
        KindSettings("anonymous_id", "Anonymous id", "ghost-2", priority=30),
    )
}

Verdict = tuple[str | None, str]
"""A spelling and "", or None and the reason why the value is refused."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one kind makes of the values that the door lets through."""

    settings: KindSettings
    spell: Spell
    blocked: frozenset[str]
    patterns: tuple[re.Pattern[str], ...]

    @property
    def is_plain(self) -> bool:
        """Whether it leaves every value as the door spelt it."""
        mine = self.settings
        fixed = FIXED.get(mine.name, "exact") == mine.normaliser
        return (
            fixed
            and mine.enabled
            and not (self.blocked or self.patterns)
            and max(mine.min_length, mine.min_distinct) <= 1
            and not any(name != "country" and value for name, value in mine.options.items())
        )

    def read(self, text: str) -> Verdict:
        """The one spelling of a value, or why it is none."""
        if not self.settings.enabled:
            return None, "disabled"
        found = self.spell(text)
        if found is None:
            return None, "unreadable"
        reason = self._refusal(found, text)
        return (None, reason) if reason else (found, "")

    def _refusal(self, found: str, text: str) -> str:
        folded = found.casefold()
        if folded in self.blocked or text.casefold() in self.blocked:
            return "blocked"
        if any(pattern.fullmatch(folded) for pattern in self.patterns):
            return "blocked_pattern"
        if len(found) < self.settings.min_length:
            return "too_short"
        few = self.settings.min_distinct > 1 and len(set(filter(str.isalnum, folded))) < self.settings.min_distinct
        return "too_uniform" if few else ""


@dataclass(frozen=True, slots=True)
class Refined:
    """A combination under the rules: what is left of it, what is refused and why, what was spelt otherwise."""

    kept: Combination
    refused: tuple[tuple[tuple[str, str], str], ...] = ()
    respelt: tuple[tuple[str, str, str], ...] = ()


def compile_glob(pattern: str) -> re.Pattern[str]:
    """`*` is any run of characters, `?` one character, `#` one digit. Matched in time linear in pattern × text.

    Atomic groups keep the matcher from trying a run of a `*` again once what follows it was found; the last part
    is tied to the end.
    """
    parts = [_literal(part) for part in re.split(r"\*+", pattern.casefold())]
    first, *rest = parts
    if not rest:
        return re.compile(first, re.DOTALL)
    *middle, last = rest
    return re.compile(first + "".join(f"(?>.*?{part})" for part in middle) + ".*" + last, re.DOTALL)


def _literal(text: str) -> str:
    return "".join({"?": ".", "#": "[0-9]"}.get(letter) or re.escape(letter) for letter in text)


def compile_reading(settings: KindSettings) -> Reading:
    spell = NORMALISERS[settings.normaliser].make(settings.options)
    return Reading(
        settings=settings,
        spell=spell,
        blocked=frozenset(value.casefold() for value in settings.blocked),
        patterns=tuple(compile_glob(pattern) for pattern in settings.patterns),
    )


class Rules:
    """All kinds together."""

    def __init__(self, settings: Iterable[KindSettings] = ()) -> None:
        self.settings: dict[str, KindSettings] = dict(DEFAULTS) | {one.name: one for one in settings}
        self.kinds = {name: one.kind() for name, one in self.settings.items()}
        self.readings = {name: compile_reading(one) for name, one in self.settings.items()}
        self.is_plain = all(reading.is_plain for reading in self.readings.values())
        self.timed = frozenset(name for name, kind in self.kinds.items() if kind.periods)
        self._refined: dict[Combination, Refined] = {}
        self._seen: dict[str, Kind] = {}

    def kind(self, name: str) -> Kind:
        """The kind of this name; of one that nobody has configured, such as an external id's type, the default."""
        found = self.kinds.get(name) or self._seen.get(name)
        if found is None:
            if len(self._seen) >= MAX_SEEN:
                self._seen.clear()
            found = self._seen[name] = replace(self.kinds[OTHERS], name=name)
        return found

    def read(self, kind: str, text: str) -> Verdict:
        """What becomes of a value as the door spelt it."""
        reading = self.readings.get(kind) or self.readings[OTHERS]
        return reading.read(text)

    def spell(self, kind: str, sent: str) -> str | None:
        """The one spelling of a value as it was sent; None where it leads to nobody."""
        said = normalise(kind, sent)
        return None if said is None else self.read(kind, said)[0]

    def refine(self, combination: Combination) -> Refined:
        """Remembered, since the same people come again and again."""
        found = self._refined.get(combination)
        if found is None:
            if len(self._refined) >= REMEMBERED:
                self._refined.clear()
            found = self._refined[combination] = self._refine(combination)
        return found

    def _refine(self, combination: Combination) -> Refined:
        kept: dict[tuple[str, str], None] = {}
        refused, respelt = [], []
        for kind, said in combination:
            if kind == PREVIOUS:
                kept |= dict.fromkeys((PREVIOUS, value) for value in self._previous(said))
                continue
            value, reason = self.read(kind, said)
            if value is None:
                refused.append(((kind, said), reason))
                continue
            kept[kind, value] = None
            if value != said:
                respelt.append((kind, value, said))
        named = [one for one in kept if one[0] != PREVIOUS]
        user = named[0][1] if named and named[0][0] == "user_id" else None
        left = tuple(one for one in kept if one[0] != PREVIOUS or (user is not None and one[1] != user))
        return Refined(left, tuple(refused), tuple(respelt))

    def _previous(self, said: str) -> list[str]:
        """A previous id may turn out to be a user id or an anonymous id, which may be spelt differently."""
        found = (self.read(kind, said)[0] for kind in ("user_id", "anonymous_id"))
        return sorted({value for value in found if value is not None})


class _InForce:
    """What this process goes by."""

    def __init__(self) -> None:
        self.rules = Rules()
        self.rows: object = None
        self.read_at = -FRESH_SECONDS
        self.versions: dict[int, int] = {}
        self.forgetters: list[Callable[[], None]] = []


_in_force = _InForce()


def current() -> Rules:
    """The rules that this process read last."""
    return _in_force.rules


def kind_of(name: str) -> Kind:
    return _in_force.rules.kinds.get(name) or _in_force.rules.kind(name)


def fresh() -> Rules:
    """The rules, at most some seconds old: for web requests, and for tasks as they begin."""
    if time.monotonic() - _in_force.read_at > FRESH_SECONDS:
        reread()
    return _in_force.rules


def follow(versions: Mapping[int, int]) -> None:
    """Read the rules anew where the `rules_version` of a source is not the one that was read with them."""
    known = _in_force.versions
    if any(known.get(source) != version for source, version in versions.items()):
        reread()
        known.update(versions)


def reread() -> None:
    """Install what is stored now; what this process remembers of people goes where that differs."""
    from identity.kinds import queries

    stored = queries.stored_settings()
    _in_force.read_at = time.monotonic()
    if stored != _in_force.rows:
        _install(Rules(stored))
        _in_force.rows = stored


def _install(rules: Rules) -> None:
    _in_force.rules = rules
    phone = rules.settings["phone"]
    read_phones_of(phone.options.get("country") or None)
    for forget in _in_force.forgetters:
        forget()


def on_change(forget: Callable[[], None]) -> None:
    """Have `forget` called whenever other rules come into force in this process."""
    _in_force.forgetters.append(forget)


def forget_rules() -> None:
    """Go by the defaults until the rows are read again: for tests that roll them back."""
    _install(Rules())
    _in_force.rows = None
    _in_force.read_at = -FRESH_SECONDS
    _in_force.versions.clear()
