"""How the ledger knows people: by keyed hashes of their identifiers, which only this deployment can compute.

The key is not Django's SECRET_KEY, which may be rotated: whoever loses or changes this one loses every recorded
choice, since no hash will match again. It belongs in the backup, apart from the database.
"""

import functools
import hashlib
import hmac
import os
import secrets
import tempfile
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings

from cdp.kernel import env

KEY_FILE = "subject_key"
_PHONE_LAYOUT = str.maketrans("", "", " \t-./()\u00a0")


def subject_hash(kind: str, value: str) -> str:
    """HMAC-SHA256 of an identifier, in hexadecimal. Spellings of one e-mail or phone give one hash."""
    message = f"{kind}\x00{canonical(kind, value)}".encode("utf-8", "surrogatepass")
    return hmac.digest(subject_key(), message, hashlib.sha256).hex()


def subject_hashes(subjects: Iterable[tuple[str, str]]) -> list[str]:
    """The hashes of several identifiers, sorted and each once; blank values are left out."""
    return sorted({subject_hash(kind, value) for kind, value in subjects if value.strip()})


def canonical(kind: str, value: str) -> str:
    """The one spelling that is hashed.

    Identity normalises too, with more knowledge; this leaves what it made as it is, and makes the same of the
    raw spellings in which choices arrive here.
    """
    text = value.strip()
    if kind == "email":
        return unicodedata.normalize("NFC", text).lower()
    if kind == "phone":
        digits = text.translate(_PHONE_LAYOUT)
        return f"+{digits[2:]}" if digits.startswith("00") else digits
    return text


@functools.cache
def subject_key() -> bytes:
    """The key of this deployment: CDP_SUBJECT_KEY, else the one made once and kept in CDP_HOME."""
    given = env.text("CDP_SUBJECT_KEY")
    return given.encode() if given else read_or_make_key(Path(settings.CDP_HOME) / KEY_FILE)


def read_or_make_key(path: Path) -> bytes:
    """Whichever process comes first makes the key; all others read that one, and never half of it."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _publish(path, secrets.token_hex(32).encode())
    return path.read_bytes()


def _publish(path: Path, content: bytes) -> None:
    """A link to a finished file appears whole or not at all, and never replaces another."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # made 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        Path(draft).unlink()
