"""The base of the user's own: what `spanledger prices update` makes from a newer library, read for the shipped base.

Whatever is wrong with it, calls are priced, by the shipped one. That holds for an old one, too: a later spanledger may
ship newer prices than the file has, and stale prices would win over right ones. Our overlay lies over either. The
first line has a digest of the rest, so that a file that was cut or edited is known without reading it all.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from . import faults
from .book import BASE, OVERLAY, PriceBook, shipped_text, use_book
from .errors import SpanledgerError
from .settings import Settings

FORMAT: Final = 1
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)+")


class BaseFileError(SpanledgerError):
    """A base that isn't used; the message says why, and what to do."""

    def __init__(self, path: Path, advice: str) -> None:
        self.path = path
        self.advice = advice
        super().__init__(f"{path}: {advice}")


@dataclass(frozen=True, slots=True)
class Header:
    """What the first line of a base says."""

    library: str
    """What it was made from: `genai-prices 0.2.3`."""
    format: int
    digest: str = ""
    """SHA-256 of the lines below; the shipped base has none."""
    forced: bool = False
    """It counts although it is older than the shipped one, or lacks what that one has."""

    @property
    def release(self) -> str:
        """The version in `library`; empty where there is none."""
        found = _NUMBER.search(self.library)
        return found[0] if found else ""

    @property
    def order(self) -> tuple[int, ...]:
        """By which releases are compared; empty, which is the least, where there is none."""
        return tuple(map(int, self.release.split("."))) if self.release else ()

    def line(self) -> str:
        """Write it as it stands in the file of a user."""
        told = {
            "generated": f"by spanledger prices update from {self.library}; do not edit",
            "library": self.library,
            "format": self.format,
            "sha256": self.digest,
            **({"forced": True} if self.forced else {}),
        }
        return json.dumps(told, separators=(",", ":")) + "\n"


def read_header(text: str) -> Header:
    """Read the first line of a base.

    Raises:
        ValueError: it isn't one.
    """
    try:
        told = json.loads(text.partition("\n")[0])
        return Header(str(told["library"]), int(told["format"]), str(told.get("sha256", "")), bool(told.get("forced")))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError("not a base of the price book: its first line is no header") from error


def shipped_header() -> Header:
    """Return the header of the base that ships with this version."""
    return read_header(shipped_text(BASE))


def place(settings: Settings) -> Path:
    """Return where the user's base is, or would be."""
    return Path(settings.prices).expanduser() if settings.prices else settings.home / BASE


def named(settings: Settings) -> Path | None:
    """Return the file that the settings name; None where there is none."""
    path = place(settings)
    return path if settings.prices or path.is_file() else None


def read_base(path: Path) -> tuple[Header, str]:
    """Return the header and the whole text of a user's base that can be used.

    Raises:
        BaseFileError: there is none, it was changed, or it is older than the shipped one.
    """
    try:
        text = path.read_text("utf-8")
        header = read_header(text)
    except OSError as error:
        raise BaseFileError(path, f"can't be read ({error.strerror}); {_AGAIN}") from error
    except ValueError as error:
        raise BaseFileError(path, f"is no base of the price book; {_AGAIN}") from error
    if header.format != FORMAT or header.digest != digest_of(text.partition("\n")[2]):
        raise BaseFileError(path, f"is cut short, edited or of another version of spanledger; {_AGAIN}")
    shipped = shipped_header()
    if header.order < shipped.order and not header.forced:
        raise BaseFileError(path, f"is of {header.library}, and the shipped base of {shipped.library}; {_AGAIN}")
    return header, text


_AGAIN: Final = "make it again by `spanledger prices update`, or take it away by `spanledger prices update --reset`"


def use_named(settings: Settings) -> None:
    """Price by the base that the settings name, for the length of the process; by the shipped one without.

    Raises:
        BaseFileError: it can't be used; the shipped one is in force.
    """
    use_book(None)
    path = named(settings)
    if path is not None:
        header, text = read_base(path)
        use_book(PriceBook(text, shipped_text(OVERLAY), f"base-{header.release or header.digest[:8]}"))


def use_or_report(settings: Settings) -> None:
    """Do as `use_named`; what is wrong is counted and told once."""
    try:
        use_named(settings)
    except Exception as error:
        faults.report("calls priced by the shipped base", error, expected=True)


def write_base(path: Path, header: Header, lines: str) -> None:
    """Write a user's base so that whoever reads meanwhile has the old one or the new one, whole."""
    told = Header(header.library, header.format, digest_of(lines), header.forced)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("w", encoding="utf-8", newline="") as file:
            file.write(told.line() + lines)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def digest_of(lines: str) -> str:
    """Return the digest of what stands below a header."""
    return sha256(lines.encode()).hexdigest()
