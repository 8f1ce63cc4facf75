"""What arrays cannot answer."""


class DeclinedError(Exception):
    """SQL answers this one: it would need more memory than it is worth, or the arrays do not tell."""
