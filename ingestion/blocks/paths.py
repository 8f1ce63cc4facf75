"""Dotted paths into an event, as the language of segments writes them."""


def keys_of(path: str) -> tuple[str, tuple[str, ...]]:
    """The column of the event log that a path leads into, and the keys from there.

    Raises:
        ValueError: where it leads through a list. What the list holds can be asked for as one value.
    """
    keys = tuple(path.split("."))
    if any(key.endswith("[]") for key in keys):
        raise ValueError(path)
    if keys[0] == "context" and len(keys) > 1:
        return "context", keys[1:]
    return "properties", keys
