"""What this room refuses."""

from segments.errors import SegmentError


class ComputedTraitNotFoundError(SegmentError):
    """There is no such computed trait."""

    code = "computed_trait_not_found"
    http_status = 404


class NameTakenError(SegmentError):
    """A trait of this name comes from elsewhere."""

    code = "name_taken"
    http_status = 409


class ComputedTraitInUseError(SegmentError):
    """A segment or another computed trait reads it."""

    code = "computed_trait_in_use"
    http_status = 409
