"""The part of a source's settings that says when its data is as it should be."""

from typing import Annotated, Literal

import msgspec

Hour = Annotated[int, msgspec.Meta(ge=0, le=24)]


class QualitySettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """`expected_minutes`: at least one event in so many minutes (within the opening hours); none: no promise.

    `outliers`: which tests must call a number an outlier: both, z (`max_z` standard deviations from the mean), iqr
    (outside of `fence` times the interquartile range), or off.
    """

    expected_minutes: Annotated[int, msgspec.Meta(ge=1, le=43_200)] | None = None
    weekdays_only: bool = False
    open_from: Hour = 0
    open_until: Hour = 24
    outliers: Literal["both", "z", "iqr", "off"] = "both"
    max_z: Annotated[float, msgspec.Meta(ge=1, le=100)] = 4.0
    fence: Annotated[float, msgspec.Meta(ge=0.5, le=100)] = 3.0
    alerts: bool = True
    loads: bool = False
