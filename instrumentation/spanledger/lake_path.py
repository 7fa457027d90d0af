"""Where a lake is: a folder on this machine, or a prefix in an object store.

Both are put together with `/`, so whoever only names files need not know which it is; what reads and writes is
`spanledger_collector.storage`. Nothing of a store is loaded here, because settings are read in every application.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Final

_SCHEME: Final = "s3:/"
"""As a path has it, which knows of no empty part."""


class StorePath(PurePosixPath):
    """An address in a store that speaks S3, `s3://bucket/prefix`."""

    __slots__ = ()

    def __str__(self) -> str:
        text = super().__str__()
        return f"s3://{text.removeprefix(_SCHEME)}" if text.startswith(_SCHEME) else text

    def __fspath__(self) -> str:
        return str(self)

    @property
    def key(self) -> str:
        """Bucket and name within it, without the scheme."""
        return str(self).removeprefix("s3://")


LakePath = Path | StorePath
"""Of a lake, or of something in it."""


def lake_path(text: str) -> LakePath:
    """Return where `text` says that a lake is."""
    return StorePath(text) if in_store(text) else Path(text).expanduser()


def in_store(text: str) -> bool:
    """Say whether `text` is an address in a store."""
    return text.startswith(_SCHEME)


def absolute(path: LakePath) -> LakePath:
    """Return a path that means the same from everywhere."""
    return path.absolute() if isinstance(path, Path) else path
