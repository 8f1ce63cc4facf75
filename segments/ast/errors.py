"""The one error of the parser."""

from cdp.kernel.errors import TributaryError


class DefinitionError(TributaryError):
    """A definition that cannot be understood: the code says why, the JSON pointer says where."""

    code = "invalid_definition"
