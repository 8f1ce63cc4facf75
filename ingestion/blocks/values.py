"""Dictionaries: the JSON values that properties have, by code."""

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import numpy as np
from django.db import connection
from numpy.typing import NDArray

LONG_NUMBER = 4_000  # digits; Python refuses to read much longer ones as an int
NOTHING = b""  # how the absence of a value is written


class Values:
    """The dictionary of one property, from how PostgreSQL writes its values. It only grows."""

    def __init__(self, written: Iterable[bytes] = ()) -> None:
        self.written = list(written)
        self.values: list[Any] = _read(b"[" + b",".join(self.written) + b"]")
        self._codes: dict[bytes, int] | None = None

    def encode(self, written: list[bytes]) -> NDArray[np.int32]:
        """The codes of values, -1 for nothing; what is new gets the next codes."""
        if self._codes is None:
            self._codes = {text: code for code, text in enumerate(self.written)} | {NOTHING: -1}
        codes = self._codes
        found = list(map(codes.get, written))
        if None in found:
            for text in written:
                if text not in codes:
                    codes[text] = len(self.values)
                    self.values.append(_read(text))
                    self.written.append(text)
            found = list(map(codes.get, written))
        return np.array(found, dtype=np.int32)


def load_values(column_ids: Iterable[int]) -> Mapping[int, Values]:
    """The dictionaries of these columns."""
    ids = list(column_ids)
    written: dict[int, list[bytes]] = {column_id: [] for column_id in ids}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_id, values FROM event_column_values WHERE column_id = ANY(%s) ORDER BY column_id, first",
            [ids],
        )
        for column_id, piece in cursor.fetchall():
            written[column_id] += piece.encode().split(b"\n")
    return {column_id: Values(texts) for column_id, texts in written.items()}


def _read(text: bytes) -> Any:
    return json.loads(text, parse_float=Decimal, parse_int=_whole)


def _whole(digits: str) -> int | Decimal:
    return int(digits) if len(digits) < LONG_NUMBER else Decimal(digits)


PIECES = 50  # of one dictionary, before they are made one


def save_values(column_id: int, values: Values, *, before: int) -> None:
    """Keep what a dictionary has got beyond its first values; to be called by one at a time."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM event_column_values WHERE column_id = %s", [column_id])
        if cursor.fetchone()[0] >= PIECES:
            cursor.execute("DELETE FROM event_column_values WHERE column_id = %s", [column_id])
            before = 0
        if before < len(values.written):
            piece = b"\n".join(values.written[before:]).decode()
            cursor.execute("INSERT INTO event_column_values VALUES (%s, %s, %s)", [column_id, before, piece])
