"""What the demo must remember between runs: its keys and how far it got. One file in CDP_HOME, for its owner only."""

import os
import tempfile
from pathlib import Path

import msgspec

FILE = "demo.json"


class Keyring(msgspec.Struct):
    """`sending` names what is being sent, `acknowledged` how many of its requests the server has taken, `loaded`
    what was sent to its end. `households` is how many of the data's the demo has; 0 stands for all.
    """

    write_keys: dict[str, str] = {}
    token: str = ""
    password: str = ""
    signing_secret: str = ""
    sending: str = ""
    acknowledged: int = 0
    loaded: str = ""
    households: int = 0


def read(home: Path) -> Keyring:
    try:
        return msgspec.json.decode((home / FILE).read_bytes(), type=Keyring)
    except (FileNotFoundError, msgspec.DecodeError):
        return Keyring()


def write(home: Path, keyring: Keyring) -> None:
    """Whole or not at all, whenever we are stopped."""
    home.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=home, prefix=f".{FILE}-")  # made 0600
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(keyring)))
    Path(draft).replace(home / FILE)
