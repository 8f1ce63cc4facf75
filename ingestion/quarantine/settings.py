"""What a source says about messages that could not be taken in."""

import msgspec


class QuarantineSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """How long what was not taken in can be looked up and replayed, and when a batch is refused as a whole.

    `refuse_above` is a percentage: a batch with more bad messages than that is quarantined whole.
    """

    keep_days: int = 30
    trace_days: int = 14
    refuse_above: int | None = None
