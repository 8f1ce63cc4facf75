"""The arrays in which answers are kept, and instants as PostgreSQL counts them."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from cdp.kernel.copy import timestamp_micros

Ids: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]
Numbers: TypeAlias = npt.NDArray[np.float64]
Instants: TypeAlias = npt.NDArray[np.int64]
"""Microseconds since 2000-01-01 UTC."""

NEVER = int(np.iinfo(np.int64).max)
"""PostgreSQL's `infinity`: an instant that does not come."""
MICROSECOND = timedelta(microseconds=1)
_EPOCH = np.datetime64("2000-01-01T00:00:00", "us")


def ids_of(found: Sequence[int]) -> Ids:
    return np.array(found, dtype=np.int64)


def instant(moment: datetime) -> int:
    return timestamp_micros(moment)


def length(delta: timedelta) -> int:
    return delta // MICROSECOND


def never(count: int) -> Instants:
    return np.full(count, NEVER, dtype=np.int64)


def later(moments: Instants, lengths: Ids) -> Instants:
    """Each instant that comes, so much later."""
    return np.where(moments == NEVER, NEVER, np.where(moments == NEVER, 0, moments) + lengths)


def spelled(moments: Instants) -> str:
    """An array of instants as PostgreSQL reads one."""
    texts = (_EPOCH + moments.astype("timedelta64[us]")).astype(str).tolist()
    return "{" + ",".join(f"{text}Z" for text in texts) + "}"


def listed(values: Iterable[int] | Iterable[str]) -> str:
    """An array of numbers or words as PostgreSQL reads one: a list of constants would be parsed one by one."""
    known = values.tolist() if isinstance(values, np.ndarray) else values
    return "{" + ",".join(map(str, known)) + "}"
