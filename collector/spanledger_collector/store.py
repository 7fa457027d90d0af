"""A store that speaks S3, by pyarrow's client; the log of a table is read and written by deltalake's own.

Where it is and who we are come from the variables and files that every program of AWS reads (AWS_PROFILE,
AWS_ACCESS_KEY_ID, AWS_REGION, AWS_ENDPOINT_URL, ...). That two never write the same entry of a log is the store's
doing: it has to honour `If-None-Match: *` when something is put.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import shutil
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import BinaryIO, Final
from urllib.parse import urlsplit

import pyarrow as pa
from deltalake.exceptions import DeltaError
from pyarrow import fs

from spanledger.lake_path import LakePath, StorePath

from .errors import LakeError, StoreAwayError
from .storage import endpoint

_CONNECT_S: Final = 5
_REQUEST_S: Final = 30
_TRIES: Final = 3
"""Of a request: whoever asked tries again later, and then it is known what has become of the first."""
_SMALL_BYTES: Final = 1 << 20
_MOST_SMALL: Final = 32
_PART_BYTES: Final = 8 << 20
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
_NO_BUCKET: Final = re.compile(r"NoSuchBucket|bucket does not exist|Bucket '.*' not found|HTTP status 404", re.I)
_NOBODY: Final = re.compile(r"credential|no provider|AWS_ACCESS_KEY_ID|instance metadata|169\.254\.169\.254", re.I)
_REFUSED: Final = re.compile(
    r"ACCESS_DENIED|AccessDenied|Forbidden|\b40[13]\b|InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|"
    r"INVALID_ACCESS_KEY_ID|SIGNATURE_DOES_NOT_MATCH|INVALID_CLIENT_TOKEN_ID",
    re.I,
)
_AWAY: Final = re.compile(
    r"curlCode|connect|timed? ?out|sending request|after \d+ retries|HTTP status 5|SlowDown|SERVICE_UNAVAILABLE",
    re.I,
)
_CREDENTIALS: Final = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role"
_ACTIONS: Final = "s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject"


class Store:
    """The store of this process's environment."""

    def __init__(self) -> None:
        at = urlsplit(endpoint())
        place = {"endpoint_override": at.netloc + at.path.rstrip("/"), "scheme": at.scheme} if at.netloc else {}
        self._small = lru_cache(_MOST_SMALL)(lambda path, _at: self.read(path))
        self.filesystem = fs.S3FileSystem(
            region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"),
            connect_timeout=_CONNECT_S,
            request_timeout=_REQUEST_S,
            retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_TRIES),
            allow_delayed_open=True,  # what fits into one request takes no more than one
            **place,
        )

    def check(self, lake: StorePath) -> None:
        """Look whether a lake can be read.

        Raises:
            LakeError: there is no bucket, or we aren't let in.
            StoreAwayError: nobody answers.
        """
        with in_words(lake):
            bucket, _, _ = lake.key.partition("/")
            if self.filesystem.get_file_info(bucket).type == fs.FileType.NotFound:
                raise explained(lake, "NoSuchBucket")
            self.filesystem.get_file_info(fs.FileSelector(lake.key, allow_not_found=True))

    def holds(self, path: StorePath) -> bool:
        """Say whether an object is there."""
        with contextlib.suppress(FileNotFoundError):
            self.look(path)
            return True
        return False

    def look(self, path: StorePath) -> tuple[int, float]:
        """Return the bytes of an object, and when it was put (seconds since 1970).

        Raises:
            FileNotFoundError: there is none.
        """
        info = self.filesystem.get_file_info(path.key)
        if info.type != fs.FileType.File:
            raise FileNotFoundError(errno.ENOENT, "no such object", str(path))
        return int(info.size), info.mtime_ns / 1e9

    def opened(self, path: StorePath) -> pa.NativeFile:
        """Open an object, of which parts are read; FileNotFoundError where there is none.

        What is small is read whole and kept for a while, because a committer opens each new file some four times.
        """
        size, at = self.look(path)
        if size > _SMALL_BYTES:
            return self.filesystem.open_input_file(path.key)
        return pa.BufferReader(self._small(path, at))

    def read(self, path: StorePath) -> bytes:
        """Return an object; FileNotFoundError where there is none."""
        with self.filesystem.open_input_stream(path.key, compression=None) as source:
            content: bytes = source.read()
        return content

    def write(self, path: StorePath, content: bytes) -> None:
        """Put an object."""
        self.upload(io.BytesIO(content), path)

    def upload(self, source: BinaryIO, path: StorePath) -> None:
        """Put a file."""
        with self.filesystem.open_output_stream(path.key, buffer_size=0) as target:
            shutil.copyfileobj(source, target, _PART_BYTES)

    def delete(self, path: StorePath) -> None:
        """Delete an object, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self.filesystem.delete_file(path.key)

    def below(self, folder: StorePath, *, deep: bool) -> Iterator[tuple[StorePath, float]]:
        """Yield the objects under a prefix with when they were put, those of its parts too if that is asked for."""
        chosen = fs.FileSelector(folder.key, allow_not_found=True, recursive=deep)
        for info in self.filesystem.get_file_info(chosen):
            if info.type == fs.FileType.File:
                yield StorePath(f"s3://{info.path}"), info.mtime_ns / 1e9

    def folders_in(self, folder: StorePath) -> list[StorePath]:
        """Return the parts of a prefix that hold objects."""
        infos = self.filesystem.get_file_info(fs.FileSelector(folder.key, allow_not_found=True))
        return [StorePath(f"s3://{info.path}") for info in infos if info.type == fs.FileType.Directory]


@cache
def store() -> Store:
    """Return the store, one a process."""
    return Store()


def delta_options() -> dict[str, str]:
    """Return what deltalake is told beside what it reads in the environment."""
    options = {
        "conditional_put": "etag",
        "connect_timeout": f"{_CONNECT_S}s",
        "timeout": f"{_REQUEST_S}s",
        "max_retries": str(_TRIES),
        "retry_timeout": f"{_REQUEST_S}s",
    }
    if endpoint():
        options["aws_endpoint_url"] = endpoint()
    if endpoint().startswith("http:"):
        options["allow_http"] = "true"
    return options


@contextlib.contextmanager
def in_words(lake: LakePath) -> Iterator[None]:
    """Let what the store refuses be a LakeError that says what to do."""
    try:
        yield
    except (OSError, DeltaError, pa.ArrowException) as error:
        raise explained(lake, str(error)) from error


def explained(lake: LakePath, error: str) -> LakeError:
    """Return what to say of an error of the store."""
    at = endpoint() or "AWS"
    if _NO_BUCKET.search(error):
        return LakeError(lake, f"has no bucket at {at}; make it, or correct --lake and AWS_ENDPOINT_URL")
    if _NOBODY.search(error):
        return LakeError(lake, f"has no credentials at {at}; {_CREDENTIALS}")
    if _REFUSED.search(error):
        return LakeError(lake, f"is refused by {at} to these credentials; they need {_ACTIONS} there")
    lines = [line.strip(" ↳") for line in _COLOUR.sub("", error).splitlines() if line.strip()]
    said = ": ".join(dict.fromkeys(lines[:1] + lines[-1:]))
    if _AWAY.search(error):
        return StoreAwayError(lake, f"can't be reached at {at} ({said})")
    return LakeError(lake, f"can't be used: {said}")
