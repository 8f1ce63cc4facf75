"""What can be wrong with a file or with what was said of it."""

import difflib
from collections.abc import Iterable

from cdp.kernel.errors import TributaryError


class FileError(TributaryError):
    """The file cannot be read, matched or written as asked."""

    code = "unreadable_file"


def unknown(word: str, known: Iterable[str]) -> str:
    """The end of a message about a word that is not one of ours."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1)
    meant = f" Did you mean {close[0]}?" if close else ""
    return f"{meant} There are: {', '.join(known)}."
