"""Lists of identifiers: read, matched with profiles, looked at by a person, applied, and taken back. R: D7

1. `take_upload` reads the file and guesses what each column holds; the person confirms.
2. `match` looks every line up, set-wise, and keeps what it leads to: what is unknown is seen before anything changes.
3. `apply` gives or takes members in one transaction and notes whom; 4. `undo` takes back what that changed.

Long steps run in a worker, which locks the row: two never do the same, and a step that is killed has not happened.
"""

import json
import re
import tempfile
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import zstandard
from django.db import transaction
from django.db.models import Count

import identity.consents.operations
import identity.operations
from cdp.kernel.access.models import User
from cdp.kernel.copy import timestamp_micros
from cdp.kernel.tasks import send_on_commit
from identity.contracts import Combination, Sighting
from identity.files.errors import FileError
from identity.files.texts import CsvTable, read_csv
from identity.kinds import conflicts
from identity.kinds.rules import fresh
from identity.models import Identifier
from ingestion.contracts import Person
from segments.changes import ProfileChange, note_changes
from segments.engine import run
from segments.manual import given
from segments.manual.errors import UploadError
from segments.manual.models import Upload, UploadEffect, UploadLine
from segments.manual.operations import PROFILE, Named, find, hold_manual
from segments.sql import sql

MOST_BYTES = 50_000_000
MOST_LINES = 1_000_000
AT_ONCE = 2_000
"""Lines up to which somebody who waits is answered at once."""
BATCH = 20_000
SAMPLE = 200
MOST_COLUMNS = 50
CREATED_AT_ONCE = 2_000

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.\w+")
_NAMED = {
    "email": "email", "mail": "email", "e_mail": "email", "email_address": "email",
    "phone": "phone", "mobile": "phone", "telephone": "phone", "phone_number": "phone",
    "user_id": "user_id", "userid": "user_id", "customer_id": "user_id", "customer": "user_id", "id": "user_id",
    "anonymous_id": "anonymous_id", "anonymousid": "anonymous_id",
    "profile": PROFILE, "profile_id": PROFILE,
}  # fmt: skip

State, Outcome = Upload.State, UploadLine.Outcome


def take_upload(*, segment_id: int, file_name: str, body: bytes, user: User | None, now: datetime) -> Upload:
    """Read a file and guess its columns; nothing is looked up yet.

    Raises:
        UploadError: where it is no list that can be read.
    """
    if len(body) > MOST_BYTES:
        message = f"The file has more than {MOST_BYTES // 1_000_000} MB."
        raise UploadError(message, code="too_large", path="/file")
    table = _read(body)
    if table.rows > MOST_LINES:
        raise UploadError(f"The file has more than {MOST_LINES:,} lines.", code="too_large", path="/file")
    columns = [
        {"name": name, "kind": _guess(name, table.column(name)[:SAMPLE]), "example": _example(table.column(name))}
        for name in table.names[:MOST_COLUMNS]
    ]
    if not any(column["kind"] for column in columns) and columns:
        columns[0]["kind"] = "user_id"
    with transaction.atomic():
        segment = hold_manual(segment_id)
        return Upload.objects.create(
            segment=segment,
            file_name=Path(file_name).name[:200] or "list",
            described=table.described[:100],
            body=zstandard.compress(body),
            columns=columns,
            total=table.rows,
            created_by=user,
            created_at=now,
            touched_at=now,
        )


def start_matching(*, upload_id: int, kinds: Sequence[str], now: datetime) -> None:
    """Look up whom the lines lead to, with what the person says each column holds ("" leaves it out)."""
    with transaction.atomic():
        upload = _hold(upload_id, State.CHOOSING, State.READY)
        if len(kinds) != len(upload.columns) or not any(kinds):
            raise UploadError("Choose at least one column with identifiers.", code="no_column", path="/columns")
        for column, kind in zip(upload.columns, kinds, strict=True):
            column["kind"] = kind.strip().lower()[:30]
        upload.state, upload.done, upload.touched_at = State.MATCHING, 0, now
        upload.save()
        _continue(upload, now)


def start_applying(*, upload_id: int, mode: str, create_unknown: bool, now: datetime) -> None:
    """Do to the segment what the list says."""
    with transaction.atomic():
        upload = _hold(upload_id, State.READY)
        if mode not in Upload.Mode.values:
            raise UploadError("Add, replace or remove.", code="unknown_mode", path="/mode")
        upload.mode, upload.create_unknown = mode, create_unknown and mode != Upload.Mode.REMOVE
        upload.state, upload.touched_at = State.APPLYING, now
        upload.save()
        _continue(upload, now)


def work(*, upload_id: int, now: datetime) -> None:
    """The step that an upload waits for, unless another worker is at it."""
    try:
        with transaction.atomic():
            rows = Upload.objects.select_for_update(skip_locked=True, of=("self",))
            upload = rows.filter(pk=upload_id).first()
            if upload is not None and upload.state == State.MATCHING:
                _match(upload, now)
            elif upload is not None and upload.state == State.APPLYING:
                _apply(upload, now)
    except (UploadError, FileError) as error:
        Upload.objects.filter(pk=upload_id).update(state=State.FAILED, error=str(error)[:500])


def waiting(*, idle_since: datetime) -> list[int]:
    """Uploads whose nudge or worker was lost."""
    rows = Upload.objects.filter(state__in=[State.MATCHING, State.APPLYING], touched_at__lt=idle_since)
    return list(rows.order_by("pk").values_list("pk", flat=True))


def undo(*, upload_id: int, now: datetime) -> tuple[int, int]:
    """Take out whom it put in, unless somebody has put them in again since, and put back whom it took out."""
    with transaction.atomic():
        upload = _hold(upload_id, State.APPLIED)
        segment = hold_manual(upload.segment_id)
        effects = UploadEffect.objects.filter(upload=upload)
        added = list(effects.filter(added=True).values_list("origin_id", flat=True))
        removed = list(effects.filter(added=False).values_list("origin_id", flat=True))
        gone = given.take_origins(segment=segment, origins=added, upload_id=upload.pk)
        back = given.give(segment=segment, origins=removed, now=now)
        upload.state, upload.undone_at = State.UNDONE, now
        upload.save(update_fields=["state", "undone_at"])
        send_on_commit("cdp.evaluate")
    return len(gone), len(back)


def discard(*, upload_id: int) -> None:
    """Forget a list that was not applied."""
    with transaction.atomic():
        _hold(upload_id, State.CHOOSING, State.READY, State.FAILED).delete()


# --- Reading ------------------------------------------------------------------------------------------------


def _read(body: bytes) -> CsvTable:
    if body.startswith((b"PK", b"\xd0\xcf\x11\xe0")):
        raise UploadError("This is a spreadsheet or an archive. Save it as CSV.", code="bad_file", path="/file")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "list.csv"
        path.write_bytes(body)
        try:
            table = read_csv(path, header=None)
            if table.header and not any(_kind_named(name) for name in table.header) and _has_digits(table.header):
                table = read_csv(path, header=False)  # an identifier in the first line, and no name of a column
        except FileError as error:
            message = str(error).replace(str(path), "The file")
            raise UploadError(message, code="bad_file", path="/file") from error
    if not table.rows:
        raise UploadError("The file has no lines.", code="bad_file", path="/file")
    return table


def _guess(name: str, values: Sequence[str | None]) -> str:
    """By the column's name; else by what most of its first values are known as."""
    if named := _kind_named(name):
        return named
    told = [value.strip() for value in values if value]
    if told and sum(bool(_EMAIL.fullmatch(value)) for value in told) > len(told) / 2:
        return "email"
    kinds = [kind for kind in fresh().settings if kind != "*"]
    known = Identifier.objects.filter(kind__in=kinds, value__in=told).values("kind").annotate(n=Count("*"))
    hits = Counter({row["kind"]: row["n"] for row in known})
    return hits.most_common(1)[0][0] if hits else ""


def _kind_named(name: str) -> str:
    word = re.sub(r"[^a-z]+", "_", name.strip().lower()).strip("_")
    return _NAMED.get(word) or (word if word in fresh().settings else "")


def _has_digits(header: Sequence[str]) -> bool:
    return any(character.isdigit() for name in header for character in name)


def _example(values: Sequence[str | None]) -> str:
    return next((value[:60] for value in values if value), "")


# --- Matching -----------------------------------------------------------------------------------------------


def _match(upload: Upload, now: datetime) -> None:
    table = _read(zstandard.decompress(bytes(upload.body)))
    columns = [(column["kind"], table.column(column["name"])) for column in upload.columns if column["kind"]]
    UploadLine.objects.filter(upload=upload).delete()
    seen: set[int] = set()
    counts: Counter[str] = Counter()
    for start in range(0, table.rows, BATCH):
        parts = [(kind, values[start : start + BATCH]) for kind, values in columns]
        lines = [
            [Named(kind, value) for (kind, _), value in zip(parts, row, strict=True) if value]
            for row in zip(*(values for _, values in parts), strict=True)
        ]
        counts += _match_lines(upload, start + 1, lines, seen)
    upload.state, upload.counts, upload.done, upload.touched_at = State.READY, dict(counts), table.rows, now
    upload.save()


def _match_lines(upload: Upload, first: int, lines: list[list[Named]], seen: set[int]) -> Counter[str]:
    found = find(list({named: None for line in lines for named in line}))
    led = given.led_by(set(found.values()))
    rules = fresh()
    rows: list[tuple[int, str, str, int | None]] = []
    for number, line in enumerate(lines, first):
        origins = [found[named] for named in line if named in found]
        people = {led[origin] for origin in origins}
        outcome = _outcome(line, people, seen, rules)
        if len(people) == 1:
            seen |= people
        said = json.dumps([[named.kind, named.value] for named in line], ensure_ascii=False).replace("\\u0000", "")
        rows.append((number, said, outcome, origins[0] if outcome == Outcome.FOUND else None))
    numbers, saids, outcomes, origin_ids = map(list, zip(*rows, strict=True))
    insert = (
        "INSERT INTO segment_upload_line (upload_id, number, said, outcome, origin_id) SELECT {upload}, w.* FROM"
        " unnest({numbers}::int[], {saids}::jsonb[], {outcomes}::text[], {origins}::bigint[]) AS w"
    )
    run(
        sql(insert, upload=upload.pk, numbers=numbers, saids=saids, outcomes=[str(o) for o in outcomes],
            origins=origin_ids)
    )  # fmt: skip
    return Counter(str(outcome) for outcome in outcomes)


def _outcome(line: Sequence[Named], people: Collection[int], seen: Collection[int], rules: Any) -> str:
    if len(people) > 1:
        return Outcome.AMBIGUOUS
    if people:
        return Outcome.DUPLICATE if next(iter(people)) in seen else Outcome.FOUND
    readable = any(one.kind == PROFILE or rules.spell(one.kind, one.value) for one in line)
    return Outcome.UNKNOWN if readable else Outcome.INVALID


# --- Applying -----------------------------------------------------------------------------------------------


def _apply(upload: Upload, now: datetime) -> None:
    segment = hold_manual(upload.segment_id)
    lines = UploadLine.objects.filter(upload=upload)
    found = lines.filter(outcome=Outcome.FOUND).values_list("origin_id", flat=True)
    origins = {origin for origin in found if origin is not None}
    created = _create(lines.filter(outcome=Outcome.UNKNOWN), now) if upload.create_unknown else set()
    people = set(given.led_by(origins | created).values())
    added: list[int] = []
    removed: list[int] = []
    if upload.mode == Upload.Mode.REMOVE:
        removed = given.take(segment=segment, profile_ids=people)
    else:
        if upload.mode == Upload.Mode.REPLACE:
            removed = given.take(segment=segment, profile_ids=people, others=True)
        added = given.give(segment=segment, origins=origins | created, upload_id=upload.pk, now=now)
    given.record_effects(upload_id=upload.pk, origins=added, added=True)
    given.record_effects(upload_id=upload.pk, origins=removed, added=False)
    upload.counts |= {"added": len(added), "removed": len(removed), "created": len(created)}
    upload.state, upload.applied_at, upload.touched_at, upload.body = State.APPLIED, now, now, b""
    upload.save()
    send_on_commit("cdp.evaluate")


def _create(unknown: Any, now: datetime) -> set[int]:
    """Profiles of identifiers that lead to nobody yet, by identity's own rules; returns them."""
    rules = fresh()
    combinations: dict[Combination, None] = {}
    for said in unknown.order_by("number").values_list("said", flat=True):
        spelt = {(kind, value): None for kind, text in said if kind != PROFILE and (value := rules.spell(kind, text))}
        if spelt:
            combinations[tuple(sorted(spelt))] = None
    wanted = list(combinations)
    found: set[int] = set()
    for start in range(0, len(wanted), CREATED_AT_ONCE):
        found |= _create_some(wanted[start : start + CREATED_AT_ONCE], now)
    return found


def _create_some(combinations: Sequence[Combination], now: datetime) -> set[int]:
    at = timestamp_micros(now)

    def sightings_of(places: Sequence[int]) -> list[Sighting]:
        return [Sighting(combinations[place], 0, "", at) for place in places]

    people = [Person(combination) for combination in combinations]
    resolution = identity.operations.resolve_identities(people, sightings_of=sightings_of, now=now)
    identity.operations.write_traits([], resolution=resolution, now=now)
    identity.consents.operations.note_resolved(resolution)
    merged = set(resolution.absorbed) | set(resolution.absorbed.values())
    note_changes(
        ProfileChange(
            id_, events=frozenset(), traits=frozenset(), merged=id_ in merged, created=id_ in resolution.created
        )
        for id_ in sorted(resolution.created | merged)
    )
    conflicts.record(resolution.conflicts, now=now)
    return set(resolution.ids)


# --- Rows ---------------------------------------------------------------------------------------------------


def _hold(upload_id: int, *states: str) -> Upload:
    upload = Upload.objects.select_for_update(of=("self",)).filter(pk=upload_id).first()
    if upload is None or upload.state not in states:
        raise UploadError("This list is at another step by now. Load the page again.", code="wrong_step")
    return upload


def _continue(upload: Upload, now: datetime) -> None:
    """At once for a short list, by a worker for a long one."""
    if upload.total > AT_ONCE:
        send_on_commit("cdp.work_upload", upload.pk)
    elif upload.state == State.MATCHING:
        _match(upload, now)
    else:
        _apply(upload, now)


def counts_of(upload: Upload) -> Mapping[str, int]:
    return {outcome.value: upload.counts.get(outcome.value, 0) for outcome in Outcome}
