"""What this room gives away: one trait of everybody."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TraitColumn:
    """A trait of every profile, dictionary-coded.

    `profiles` are the ids of all profiles, ascending. `codes` has a place in `values` for each of them, or -1 where
    the profile lacks the trait; its type is wide enough for one more. A value may stand in `values` more than once,
    and some there belong to nobody. Numbers are exact: what no float holds is a Decimal.
    """

    profiles: NDArray[np.int64]
    codes: NDArray[np.signedinteger[Any]]
    values: Sequence[Any]
