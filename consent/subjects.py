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
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings

from cdp.kernel import env
from cdp.kernel.identifiers import normalise
from consent.errors import SubjectKeyError
from consent.models import SubjectKey

KEY_FILE = "subject_key"


def subject_hash(kind: str, value: str) -> str:
    """HMAC-SHA256 of an identifier, in hexadecimal. All spellings of one identifier give one hash."""
    spelt = normalise(kind, value) or value
    return hmac.digest(subject_key(), f"{kind}\x00{spelt}".encode("utf-8", "surrogatepass"), hashlib.sha256).hex()


def subject_hashes(subjects: Iterable[tuple[str, str]]) -> list[str]:
    """The hashes of several identifiers, sorted and each once; values that identify nobody are left out."""
    return sorted({subject_hash(kind, value) for kind, value in subjects if normalise(kind, value) is not None})


@functools.cache
def subject_key() -> bytes:
    """The key of this deployment: CDP_SUBJECT_KEY, else the one made once and kept in CDP_HOME."""
    given = env.text("CDP_SUBJECT_KEY")
    return given.encode() if given else read_or_make_key(Path(settings.CDP_HOME) / KEY_FILE)


def require_ledger_key() -> None:
    """Raises SubjectKeyError unless this process hashes as the ledger was hashed; the first use sets the key.

    Asked before anything is recorded or decided: with another key every refusal would be forgotten silently.
    """
    _check_fingerprint(fingerprint())


def fingerprint() -> str:
    """Tells keys apart and gives none away."""
    return hmac.digest(subject_key(), b"fingerprint", hashlib.sha256).hex()


@functools.cache
def _check_fingerprint(mine: str) -> None:
    """Once per process and key; a failure is not remembered, so putting the key right is enough."""
    SubjectKey.objects.bulk_create([SubjectKey(id=1, fingerprint=mine)], ignore_conflicts=True)
    if SubjectKey.objects.values_list("fingerprint", flat=True).get(id=1) != mine:
        raise SubjectKeyError(
            "The consent ledger was made with another subject key: put back CDP_SUBJECT_KEY, or the file "
            f"{KEY_FILE} in CDP_HOME. Until then nobody's choices are known, so nothing is collected or sent."
        )


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
