"""Statements that a session of PostgreSQL parses and plans once, several of them sent at a time.

To plan a small statement costs more than to run it, and to send one costs as much again. The driver speaks the simple
protocol, so this is SQL's own PREPARE and EXECUTE. A session keeps what it has prepared whatever becomes of the
transaction, until it ends; a pooler between us and PostgreSQL has to pool sessions.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from django.db import DEFAULT_DB_ALIAS, connections

_prepared: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()


class Prepared:
    """A statement over `$1`, `$2`… of these types. Its name is no other statement's."""

    def __init__(self, name: str, types: Sequence[str], sql: str) -> None:
        given = ("(" + ", ".join(types) + ")", "(" + ", ".join(["%s"] * len(types)) + ")") if types else ("", "")
        self.name = name
        self.prepare = f"PREPARE {name} {given[0]} AS {sql}"
        self.execute = f"EXECUTE {name} {given[1]}"

    def of(self, *values: Any) -> "Call":
        return Call(self, values)

    def rows(self, *values: Any) -> list[tuple[Any, ...]]:
        return rows_after((), self.of(*values))

    def run(self, *values: Any) -> int:
        return run([self.of(*values)])


@dataclass(frozen=True, slots=True)
class Call:
    """A prepared statement with its values, not sent yet."""

    statement: Prepared
    values: tuple[Any, ...]


class _Unprepared(Prepared):
    def __init__(self, sql: str) -> None:
        self.name, self.prepare, self.execute = "", "", sql


PLAN_ONCE = _Unprepared("SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_seqscan = off").of()
"""For the rest of the transaction: one plan serves all values, and goes by index although a table is empty yet."""


COMMIT_SOON = _Unprepared("SET LOCAL synchronous_commit = off").of()
"""To commit without waiting for the disk. A crash may undo the transaction as a whole, with all that came after it."""


def set_local(**values: str) -> Call:
    """Settings for the rest of the transaction, sent along with a statement that follows."""
    return _Unprepared("; ".join(f"SET LOCAL {name} = %s" for name in values)).of(*values.values())


def rows_after(earlier: Iterable[Call], last: Call) -> list[tuple[Any, ...]]:
    """Run all in order, each seeing what those before it wrote; returns the rows of the last."""
    with _send([*earlier, last]) as cursor:
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def run(calls: Collection[Call]) -> int:
    """Run all in order; returns how many rows the last has written."""
    if not calls:
        return 0
    with _send(calls) as cursor:
        return int(cursor.rowcount)


def array(numbers: Iterable[int]) -> str:
    """An array of whole numbers, as PostgreSQL reads it fastest."""
    return "{" + ",".join(map(str, numbers)) + "}"


def columns(rows: Collection[Sequence[int]]) -> list[str]:
    """Rows of whole numbers as an array per column."""
    return [array(column) for column in zip(*rows, strict=True)]


def _send(calls: Collection[Call]) -> Any:
    """A cursor with what the last has to say."""
    db: Any = connections[DEFAULT_DB_ALIAS]
    cursor = bare_cursor(db)
    with db.wrap_database_errors:
        known = _prepared.setdefault(db.connection, set())
        for call in calls:
            statement = call.statement
            if statement.prepare and statement.name not in known:
                cursor.execute(statement.prepare)
                known.add(statement.name)
        cursor.execute("; ".join([call.statement.execute for call in calls]), [v for c in calls for v in c.values])
    return cursor


def bare_cursor(db: Any) -> Any:
    """The driver's own cursor where nobody listens: Django's wrapper takes longer than a small statement does."""
    if not _is_healthy(db) or db.execute_wrappers or db.queries_logged:
        return db.cursor()
    db.validate_no_broken_transaction()
    with db.wrap_database_errors:
        return db.connection.cursor()


def _is_healthy(db: Any) -> bool:
    """Whether Django would not look first if the connection still stands."""
    return db.connection is not None and (db.in_atomic_block or db.health_check_done or not db.health_check_enabled)
