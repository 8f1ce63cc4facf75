"""The real data set's tables, each read once by a worker: reading takes longer than most of what is asked of them."""

import functools
from collections.abc import Sequence

import pandas as pd

from cdp.demo import complete_journey

_read = functools.cache(complete_journey.table)


def table(name: str, *, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """In place of `complete_journey.table`; not to be written to."""
    whole = _read(name)
    return whole if columns is None else whole[list(columns)]
