"""Writes of this room: configure kinds, try a change on what is stored, decide conflicts."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

import ingestion.operations
from cdp.kernel.identifiers import RESERVED_KINDS, external_kind
from cdp.kernel.tasks import send_on_commit
from identity.kinds import queries, rules
from identity.kinds.errors import ConflictError, KindError
from identity.kinds.models import ConflictGroup, IdentifierKind, KindRun
from identity.kinds.normalisers import FIXED, NORMALISERS, REGIONS
from identity.kinds.rules import DEFAULTS, MAX_BLOCKED, MAX_PATTERN, MAX_PATTERNS, MOST, OTHERS, KindSettings
from identity.kinds.words import TROUBLES
from identity.merging.operations import merge_profiles
from identity.models import Merge

STEP = 10  # between priorities, when they are given out anew
MAX_LENGTH = 254
RUN_TASK = "cdp.run_kinds"

# What decides which stored identifiers are spelt otherwise, or lead to nobody, under other settings.
_SPELLING = ("normaliser", "options", "blocked", "patterns", "min_length", "min_distinct")


@transaction.atomic
def save_kind(*, settings: KindSettings, actor: Any = None, now: datetime) -> KindRun | None:
    """Put a kind's settings in force; returns the run that carries them out on stored identifiers, if one has to.

    Raises:
        KindError: with the path of the setting at fault.
    """
    checked = check_settings(settings)
    before = queries.settings_named(checked.name)
    values = asdict(checked) | {"blocked": list(checked.blocked), "patterns": list(checked.patterns)}
    values["options"] = dict(checked.options)
    IdentifierKind.objects.update_or_create(
        name=values.pop("name"), defaults=values | {"updated_at": now, "updated_by": actor}
    )
    _publish()
    KindRun.objects.filter(kind=checked.name, state=KindRun.State.RUNNING).update(
        state=KindRun.State.CANCELLED, updated_at=now
    )
    if not checked.enabled or not changes_spelling(before, checked):
        return None
    return _start(KindRun.Mode.APPLY, checked, actor=actor, now=now)


def try_settings(*, settings: KindSettings, actor: Any = None, now: datetime) -> KindRun:
    """Start a dry run: what these settings would do to the stored identifiers. Nothing is changed.

    Raises:
        KindError: with the path of the setting at fault.
    """
    return _start(KindRun.Mode.TRY, check_settings(settings), actor=actor, now=now)


def cancel_run(*, run: KindRun, now: datetime) -> None:
    """Stop a run where it is; what a change has carried out by then stays so."""
    KindRun.objects.filter(pk=run.pk, state=KindRun.State.RUNNING).update(
        state=KindRun.State.CANCELLED, updated_at=now
    )


@transaction.atomic
def reset_kind(*, name: str, now: datetime) -> None:
    """Give a built-in kind its defaults back, and have any other follow those of external ids again.

    Raises:
        KindError: where the kind has no settings of its own.
    """
    if not IdentifierKind.objects.filter(name=name).exists():
        raise KindError(f"The kind {name!r} has no settings of its own.", code="kind_unknown", path="/name")
    if name in DEFAULTS:
        save_kind(settings=DEFAULTS[name], now=now)
        return
    before = queries.settings_named(name)
    IdentifierKind.objects.filter(name=name).delete()
    _publish()
    after = queries.settings_named(name)
    if after.enabled and changes_spelling(before, after):
        _start(KindRun.Mode.APPLY, after, actor=None, now=now)


@transaction.atomic
def order_kinds(*, names: Sequence[str], actor: Any = None, now: datetime) -> None:
    """Let kinds decide in this order; those that are not named keep theirs, behind.

    Raises:
        KindError: where a name is none of a kind with settings, or comes twice.
    """
    known = {one.name: one for one in queries.all_settings()}
    for place, name in enumerate(names):
        if name not in known or name in names[:place]:
            raise KindError(f"{name!r} is no kind, or named twice.", code="kind_unknown", path=f"/{place}")
    order = [*names, *(name for name in known if name not in names)]
    for place, name in enumerate(order, 1):
        row = queries.row_of(known[name])
        row.priority, row.updated_at, row.updated_by = place * STEP, now, actor
        row.save()
    _publish()


def block_value(*, kind: str, value: str, actor: Any = None, now: datetime) -> KindRun | None:
    """Have a value lead to nobody from now on, and take it from the profile that has it; events stay where they are.

    Raises:
        KindError: where as many are blocked already as may be.
    """
    settings = queries.settings_named(kind)
    if value.casefold() in {known.casefold() for known in settings.blocked}:
        return None
    return save_kind(settings=replace(settings, blocked=(*settings.blocked, value)), actor=actor, now=now)


def dismiss_conflict(*, group: ConflictGroup, actor: Any = None, now: datetime) -> None:
    """Say that a conflict is as it should be. It goes on to be counted, and is not shown as open any more."""
    _decide(ConflictGroup.objects.filter(pk=group.pk), ConflictGroup.State.DISMISSED, actor=actor, now=now)


def reopen_conflict(*, group: ConflictGroup, now: datetime) -> None:
    _decide(ConflictGroup.objects.filter(pk=group.pk), ConflictGroup.State.OPEN, actor=None, now=now)


@transaction.atomic
def block_conflict(*, group: ConflictGroup, actor: Any = None, now: datetime) -> KindRun | None:
    """Block the value that a conflict is about: everything that is open of it is settled by that.

    Raises:
        KindError: where as many values are blocked already as may be.
    """
    run = block_value(kind=group.kind, value=group.value, actor=actor, now=now)
    rows = ConflictGroup.objects.filter(kind=group.kind, value=group.value, reason__in=TROUBLES)
    _decide(rows, ConflictGroup.State.BLOCKED, actor=actor, now=now)
    return run


def merge_conflict(*, group: ConflictGroup, one: int, other: int, actor: Any = None, now: datetime) -> Merge:
    """Merge two profiles of a conflict after all, on a person's word.

    Raises:
        ConflictError: where the two are not among the samples of the conflict.
        MergeRefusedError: where even a person may not merge them.
    """
    if not group.samples.filter(profile_id=one, other_id=other).exists():
        raise ConflictError("These profiles are not of this conflict.", code="not_of_conflict", path="/profile")
    evidence = {"identifiers": [[group.kind, group.value]], "conflict": group.pk}
    merge = merge_profiles(one=one, other=other, cause=Merge.Cause.PERSON, evidence=evidence, actor=actor, now=now)
    _decide(ConflictGroup.objects.filter(pk=group.pk), ConflictGroup.State.MERGED, actor=actor, now=now)
    return merge


def _decide(rows: QuerySet[ConflictGroup], state: ConflictGroup.State, *, actor: Any, now: datetime) -> None:
    decided_at = None if state == ConflictGroup.State.OPEN else now
    rows.update(state=state, decided_at=decided_at, decided_by=actor)


def changes_spelling(before: KindSettings, after: KindSettings) -> bool:
    """Whether stored identifiers can be affected by the change."""
    old, new = asdict(before), asdict(after)
    return any(_plain(old[name]) != _plain(new[name]) for name in _SPELLING) or (after.enabled and not before.enabled)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return sorted(value)
    return {name: one for name, one in value.items() if one} if isinstance(value, dict) else value


def _start(mode: KindRun.Mode, settings: KindSettings, *, actor: Any, now: datetime) -> KindRun:
    run = KindRun.objects.create(
        kind=settings.name,
        mode=mode,
        proposal=asdict(settings),
        total=queries.count_stored(settings.name),
        created_at=now,
        updated_at=now,
        created_by=actor,
    )
    send_on_commit(RUN_TASK, run.pk)
    return run


def _publish() -> None:
    """Every drain reads the rules anew with its next chunk, everybody else within seconds, this process at once."""
    ingestion.operations.bump_all_rules()
    transaction.on_commit(rules.reread)


# --- What may be configured ---------------------------------------------------------------------------------


def check_settings(settings: KindSettings) -> KindSettings:
    """The same in one spelling.

    Raises:
        KindError: with the path of the setting at fault.
    """
    name = settings.name if settings.name == OTHERS else external_kind(settings.name)
    if name is None or name in RESERVED_KINDS:
        raise KindError(
            "The name holds up to 30 lower-case letters, digits, points, hyphens and underscores.",
            code="name_invalid",
            path="/name",
        )
    _check_normaliser(name, settings)
    for limit in ("limit_ever", "limit_yearly", "limit_monthly", "limit_weekly"):
        number = getattr(settings, limit)
        if number is not None and not 1 <= number <= MOST:
            raise KindError(f"A limit lies between 1 and {MOST:,}.", code="limit_invalid", path=f"/{limit}")
    if not -30_000 <= settings.priority <= 30_000:
        raise KindError("The priority is a small number.", code="priority_invalid", path="/priority")
    if not 1 <= settings.min_length <= MAX_LENGTH:
        raise KindError("The length lies between 1 and 254.", code="length_invalid", path="/min_length")
    if not 1 <= settings.min_distinct <= 36:
        raise KindError("This number lies between 1 and 36.", code="distinct_invalid", path="/min_distinct")
    if len(settings.label) > 60 or len(settings.icon) > 40:
        raise KindError("The label holds up to 60 characters.", code="label_too_long", path="/label")
    return replace(
        settings,
        name=name,
        blocked=_lines(settings.blocked, "blocked", most=MAX_BLOCKED, longest=MAX_LENGTH),
        patterns=_patterns(settings.patterns),
    )


def _check_normaliser(name: str, settings: KindSettings) -> None:
    found = NORMALISERS.get(settings.normaliser)
    if found is None:
        known = ", ".join(NORMALISERS)
        raise KindError(f"The normaliser is one of {known}.", code="normaliser_unknown", path="/normaliser")
    if FIXED.get(name, settings.normaliser) != settings.normaliser:
        raise KindError(
            f"The kind {name!r} is always read as {FIXED[name]!r}.", code="normaliser_fixed", path="/normaliser"
        )
    for option, value in settings.options.items():
        if option not in found.options:
            raise KindError(
                f"{found.label} has no option {option!r}.", code="option_unknown", path=f"/options/{option}"
            )
        if option == "country" and value and value not in REGIONS:
            raise KindError(
                "Name a country by its two letters, such as DE.", code="country_unknown", path="/options/country"
            )
        if option != "country" and not isinstance(value, bool):
            raise KindError("This option is true or false.", code="option_invalid", path=f"/options/{option}")


def _patterns(patterns: Sequence[str]) -> tuple[str, ...]:
    found = _lines(patterns, "patterns", most=MAX_PATTERNS, longest=MAX_PATTERN)
    for place, pattern in enumerate(found):
        if not pattern.replace("*", "").replace("?", ""):
            raise KindError(
                "This pattern would block every value: name at least one character.",
                code="pattern_too_wide",
                path=f"/patterns/{place}",
            )
    return found


def _lines(values: Sequence[str], name: str, *, most: int, longest: int) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(text for value in values if (text := value.strip())))
    if len(found) > most:
        raise KindError(f"There may be up to {most:,} of them.", code="too_many", path=f"/{name}")
    for place, text in enumerate(found):
        if len(text) > longest or not text.isprintable():
            raise KindError(
                f"One of them holds up to {longest} printable characters.",
                code="value_invalid",
                path=f"/{name}/{place}",
            )
    return found
