"""The values of a column, each by its code: JSON texts as the database writes them."""

from collections.abc import Iterable

import numpy as np

from identity.columns.packing import ABSENT, Buffer, Codes

MOST_VALUES = 100_000
MOST_BYTES = 8 * 1024 * 1024
"""Of all values together. Beyond either, a test of every value costs as much as a test of every profile."""


class Dictionary:
    """Grows as values are coded. `stored` of its texts were there before."""

    def __init__(self, chunks: Iterable[Buffer] = ()) -> None:
        self.chunks = [bytes(chunk).decode().split("\n") for chunk in chunks]
        self.texts = [text for chunk in self.chunks for text in chunk]
        self.stored = len(self.texts)
        self._places = {text: code for code, text in enumerate(self.texts)}
        self._bytes = sum(map(len, self.texts))

    @property
    def is_too_large(self) -> bool:
        return len(self.texts) > MOST_VALUES or self._bytes > MOST_BYTES

    def code(self, texts: Iterable[str | None]) -> Codes:
        places, found = self._places, self.texts
        codes: list[int] = []
        for text in texts:
            if text is None:
                codes.append(ABSENT)
                continue
            code = places.get(text)
            if code is None:
                code = places[text] = len(found)
                found.append(text)
                self._bytes += len(text)
            codes.append(code)
        return np.array(codes, dtype=np.int32)

    def rewrite(self, codes: Codes) -> Codes:
        """Forget the values that no code stands for; the codes anew."""
        used = np.unique(codes[codes != ABSENT])
        self.texts = [self.texts[code] for code in used.tolist()]
        self.stored = 0
        self._places = {text: code for code, text in enumerate(self.texts)}
        self._bytes = sum(map(len, self.texts))
        return np.where(codes == ABSENT, ABSENT, np.searchsorted(used, codes)).astype(np.int32)
