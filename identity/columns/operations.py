"""Writes of this room: which traits are worth a column."""

from identity.columns.paths import steps_of


def want_trait(path: str) -> None:
    """Say that a trait is asked of everybody, so that it gets a column. Call it after the transaction that read it."""
    steps_of(path)
