"""What a trend cannot do set-wise."""


class TooInvolvedError(Exception):
    """A condition whose days do not follow from one pass over the events; says which, in words."""
