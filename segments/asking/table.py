"""Everything that is asked of the database in one statement, and so of one moment: rows of four fields, as arrays.

Parts that have nothing to do with each other are put one after the other; `what` tells them apart.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from django.db import connection

from cdp.kernel.copy import HEADER, TRAILER
from segments.asking.arrays import Ids, Instants, Numbers
from segments.sql import Sql, join

# A field count, then the length and the big-endian bytes of each field; none of them is NULL.
_ROW = np.dtype(
    [
        ("fields", ">i2"),
        *(
            field
            for name, kind in (("what", ">i8"), ("profile", ">i8"), ("at", ">i8"), ("number", ">f8"))
            for field in ((f"{name}_length", ">i4"), (name, kind))
        ),
    ]
)


@dataclass(frozen=True)
class Rows:
    """`what bigint, profile bigint, at timestamptz, number float8`, a column each."""

    what: Ids
    profile: Ids
    at: Instants
    number: Numbers

    def __len__(self) -> int:
        return len(self.what)

    def take(self, which: Any) -> "Rows":
        return Rows(self.what[which], self.profile[which], self.at[which], self.number[which])


def read(parts: Iterable[Sql]) -> Rows:
    """The rows of all parts, of which each has the four columns of `Rows`."""
    query = join(" UNION ALL ", parts)
    buffer = BytesIO()
    with connection.cursor() as cursor, connection.wrap_database_errors:
        raw: Any = cursor
        statement = raw.mogrify(query.text, query.params).decode()
        raw.copy_expert(f"COPY ({statement}) TO STDOUT (FORMAT binary)", buffer)
    data = buffer.getbuffer()
    count = (len(data) - len(HEADER) - len(TRAILER)) // _ROW.itemsize
    rows = np.frombuffer(data, dtype=_ROW, offset=len(HEADER), count=count)
    return Rows(
        rows["what"].astype(np.int64),
        rows["profile"].astype(np.int64),
        rows["at"].astype(np.int64),
        rows["number"].astype(np.float64),
    )
