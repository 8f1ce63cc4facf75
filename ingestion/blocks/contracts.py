"""What crosses the border of this room."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Column:
    """One property of some events, dictionary-coded.

    `codes` are places in `values`, -1 where the event lacks the property; of whichever type is wide enough. `values`
    are JSON values, of which None is JSON's null and a number an `int`, or a `Decimal` where it has a fraction: as
    exact as PostgreSQL has it. No two are written alike, but `1.0` and `1.00` may both be there.

    All rows of one reading share `values`: later ones may append to it, so what was found for a code stays true.
    """

    codes: "NDArray[np.integer[Any]]"
    values: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Rows:
    """Some events of one name, in no particular order.

    `profiles` are ids that lead now. `times` are microseconds since 2000-01-01 UTC, `values` those of `event.value`,
    NaN for NULL; both only where they were asked for. `columns` are the properties asked for, by their paths.
    """

    profiles: "NDArray[np.int64]"
    times: "NDArray[np.int64] | None"
    values: "NDArray[np.float64] | None"
    columns: Mapping[str, Column]
