"""Reading and writing what a lake consists of, whether it is a folder or a prefix in a store that speaks S3.

Everything that differs between the two is here and in `store`. Files have their names at once and whole, or not at
all: on disk by a rename, in a store because it knows no halves. Only the tables go to a store; drafts, locks and what
is in the works stay on this machine's disk, in `beside`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from spanledger.lake_path import LakePath
from spanledger.settings import load

from .disk import publish as write_whole

if TYPE_CHECKING:
    import pyarrow as pa

    from .store import Store

S = TypeVar("S")
T = TypeVar("T")

_AT_ONCE: Final = 16
"""Requests to a store."""


def exists(path: LakePath) -> bool:
    """Say whether a file is there."""
    return path.exists() if isinstance(path, Path) else _store().holds(path)


def changed_at(path: LakePath) -> float:
    """Return when a file was written, seconds since 1970.

    Raises:
        FileNotFoundError: it isn't there.
    """
    return path.stat().st_mtime if isinstance(path, Path) else _store().look(path)[1]


def size_of(path: LakePath) -> int:
    """Return the bytes of a file.

    Raises:
        FileNotFoundError: it isn't there.
    """
    return path.stat().st_size if isinstance(path, Path) else _store().look(path)[0]


def read_bytes(path: LakePath) -> bytes:
    """Return a small file.

    Raises:
        FileNotFoundError: it isn't there.
    """
    return path.read_bytes() if isinstance(path, Path) else _store().read(path)


def write_bytes(path: LakePath, content: bytes) -> None:
    """Give a small file new contents, whole or not at all."""
    if isinstance(path, Path):
        write_whole(path, content)
    else:
        _store().write(path, content)


def delete(path: LakePath) -> None:
    """Delete a file, if it is there."""
    if isinstance(path, Path):
        path.unlink(missing_ok=True)
    else:
        _store().delete(path)


def files_in(folder: LakePath, pattern: str) -> list[tuple[LakePath, float]]:
    """Return what is below a folder and is named by a pattern, with when it was written (seconds since 1970).

    Each part of the pattern is of a name.
    """
    if isinstance(folder, Path):
        return [(path, _changed_at(path)) for path in folder.glob(pattern)]
    below = _store().below(folder, deep="/" in pattern)
    return [(path, at) for path, at in below if path.match(f"{folder.name}/{pattern}")]


def parquet(path: LakePath) -> Path | pa.NativeFile:
    """Return what pyarrow reads a Parquet file from.

    Raises:
        FileNotFoundError: it isn't in its store; on disk that is found out when it is read.
    """
    return path if isinstance(path, Path) else _store().opened(path)


def beside(lake: LakePath) -> Path:
    """Return the folder on this machine's disk for what belongs to a lake and isn't of its tables; it is there."""
    if isinstance(lake, Path):
        return lake
    digest = hashlib.blake2b(f"{endpoint()} {lake}".encode(), digest_size=8).hexdigest()
    folder = load().home / "stores" / digest
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def endpoint() -> str:
    """Return the address of the store of this environment; empty where it is AWS's own."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""


def table_logs(lake: LakePath) -> list[LakePath]:
    """Return the folders of the logs of a lake's tables."""
    if isinstance(lake, Path):
        return list(lake.glob("*/_delta_log"))
    return [folder / "_delta_log" for folder in _store().folders_in(lake)]


def draft_of(lake: LakePath, final: LakePath) -> Path:
    """Return where a file of a lake is written before it has its name."""
    return final.with_suffix(".tmp") if isinstance(final, Path) else beside(lake) / f"{final.stem}.tmp"


def publish(draft: Path, final: LakePath) -> int:
    """Give a written file its name so that it survives a power cut, read-only; returns its size in bytes."""
    with draft.open("rb") as handle:
        size = os.fstat(handle.fileno()).st_size
        if isinstance(final, Path):
            os.fsync(handle.fileno())
        else:
            _store().upload(handle, final)
    if isinstance(final, Path):
        draft.chmod(0o444)
        draft.rename(final)
        sync_folder(final.parent)
    else:
        draft.unlink()
    return size


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut (no-op where folders can't be opened)."""
    with contextlib.suppress(PermissionError, IsADirectoryError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def delta_options(path: LakePath) -> dict[str, str] | None:
    """Return what deltalake has to be told to reach a table."""
    if isinstance(path, Path):
        return None
    from .store import delta_options

    return delta_options()


def each(lake: LakePath, task: Callable[[S], T], of: Iterable[S]) -> list[T]:
    """Return what `task` says of each: for a store several at a time, because it is the way there that takes long."""
    if isinstance(lake, Path):
        return [task(one) for one in of]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(task, of))


@contextlib.contextmanager
def in_words(lake: LakePath) -> Iterator[None]:
    """Let what a store refuses be a LakeError that says what to do; what a disk does says so itself."""
    if isinstance(lake, Path):
        yield
        return
    from .store import in_words

    with in_words(lake):
        yield


def _store() -> Store:
    """Return the store; its module is loaded where a lake is in one, for those who watch have little memory."""
    from .store import store

    return store()


def _changed_at(path: Path) -> float:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_mtime
    return float("inf")  # it has gone in between
