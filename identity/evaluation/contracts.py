"""What an evaluation finds, as it is kept and shown. Pairs are named by profile ids or labels, never by values."""

import msgspec

from identity.matching.evaluate import Curve, Histogram, LabelledQuality, PairQuality, Quality, SizeCount


class LabelReport(msgspec.Struct, frozen=True):
    """What labels say of one version. `sampled`: from pairs drawn at random, so that it holds for all pairs."""

    model_id: int | None
    same: int
    different: int
    sampled: bool
    blind: int
    learnt_from: int
    """Labels that the version itself was estimated with."""
    quality: LabelledQuality
    curve: Curve
    coverage: float
    """The share of the pairs labelled as one person that share a blocking key."""


class Pass(msgspec.Struct, frozen=True):
    """A blocking key: pairs it proposed, and the share of probed ones that were matches no earlier key finds."""

    key: str
    pairs: int
    found: float
    kept: bool


class Unlinkables(msgspec.Struct, frozen=True):
    """Of `records` that were compared with themselves, the share that stays below each probability."""

    records: int
    thresholds: list[float]
    shares: list[float]


class Mistake(msgspec.Struct, frozen=True):
    """A pair that came out otherwise than people, or a file, say. `label_id` where it was labelled."""

    one: int
    other: int
    score: float
    probability: float
    label_id: int | None = None


class ProfilesReport(msgspec.Struct, frozen=True, tag="profiles"):
    profiles: int
    pairs: int
    threshold: float
    labels: LabelReport | None
    previous: LabelReport | None
    sizes: list[SizeCount]
    """Of clusters of profiles, as the matcher alone would have them."""
    origins: list[SizeCount]
    """Of profiles as they are, by what they were first recorded as."""
    histogram: Histogram
    unlinkables: Unlinkables
    passes: list[Pass]
    coverage: float
    wrong: list[Mistake]
    missed: list[Mistake]
    warnings: list[str] = []


class FileReport(msgspec.Struct, frozen=True, tag="file"):
    """Profiles as they are against a file. `unknown` rows name ids that nobody has."""

    rows: int
    unknown: int
    people: int
    profiles: int
    pairs: PairQuality
    b_cubed: Quality
    wrong: list[Mistake]
    missed: list[Mistake]


Report = ProfilesReport | FileReport
