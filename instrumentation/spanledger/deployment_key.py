"""The key of this deployment: without it, nobody can tell from a fingerprint what was hashed, or try guesses on it.

One file of 64 hexadecimal digits, its owner's alone. It is made by whichever process comes first, completely before it
has its name, so that of any number of processes that start together all have the same.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Final

from . import faults
from .errors import SettingError
from .settings import Settings

FILE: Final = "fingerprints.key"
_LENGTH: Final = 32
_DIGITS: Final = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class DeploymentKey:
    """A key, and the name by which its hashes can be told from those of another."""

    secret: bytes = field(repr=False)
    id: str = field(init=False)
    """Eight hexadecimal digits, no secret."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", blake2b(self.secret, digest_size=4, person=b"key id").hexdigest())


def deployment_key(settings: Settings) -> DeploymentKey:
    """Return the key that the settings name a file for, else the one of the home folder.

    Raises:
        SettingError: the user named a file, and it holds none.
    """
    named = settings.features_key_file
    return read_key(Path(named).expanduser()) if named else own_key(settings.home)


def read_key(path: Path) -> DeploymentKey:
    """Return the key of a file that the user named.

    Raises:
        SettingError: there is no such file, or no key in it.
    """
    where = "SPANLEDGER_FEATURES_KEY_FILE"
    try:
        key = _read(path)
    except OSError as error:
        raise SettingError(where, str(path), f"cannot be read: {error.strerror}") from error
    if key is None:
        raise SettingError(where, str(path), "expected 64 hexadecimal digits, as `openssl rand -hex 32` makes them")
    return key


def own_key(home: Path) -> DeploymentKey:
    """Return the key kept in the home folder, made now if there is none; one of this process's where it can't be."""
    path = home / FILE
    try:
        with contextlib.suppress(FileNotFoundError):
            return _whole(path)
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(path)
        return _whole(path)
    except (OSError, ValueError) as error:
        faults.report("fingerprints of this process match no other's, its key cannot be kept", error, expected=True)
        return _of_this_process()


@lru_cache(maxsize=1)
def _of_this_process() -> DeploymentKey:
    return DeploymentKey(os.urandom(_LENGTH))


def _whole(path: Path) -> DeploymentKey:
    key = _read(path)
    if key is None:
        raise ValueError(f"{path} holds no key; remove it to have a new one made")
    return key


def _read(path: Path) -> DeploymentKey | None:
    with path.open("rb") as file:
        text = file.read(1024).decode("ascii", "replace").strip()
    return DeploymentKey(bytes.fromhex(text)) if _DIGITS.fullmatch(text) else None


def _make(path: Path) -> None:
    """Write a new key, unless another process has put its own there in the meantime."""
    part = path.with_name(f".{path.name}-{os.getpid()}-{os.urandom(4).hex()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(_LENGTH).hex().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        _publish(part, path)
    finally:
        part.unlink(missing_ok=True)


def _publish(part: Path, path: Path) -> None:
    try:
        # Not renamed: that would take the place of a key that others have read already.
        os.link(part, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        if not path.exists():
            part.rename(path)
