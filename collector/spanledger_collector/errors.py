"""Errors of the collector.

spanledger.errors.SpanledgerError
├── LakeError           the lake can't be used
│   └── StoreAwayError  its store doesn't answer now
├── PortTakenError      a door's port is in use
├── DoorError           a door can't be opened for another reason
├── AccessError         a file of tokens or certificates can't be used
├── WalError            the write-ahead log can't be used
│   └── WalBusyError    another collector has it
├── RevenueError        a file of revenue can't be taken; nothing of it was
├── DeliveryError       a body could not be handed to the ledger
│   └── BodyRefusedError  this one, as it is
└── RefusedError        a request isn't taken; nothing of it is kept
    ├── StrangerError   it has no token that is known
    ├── MalformedError  it will never be taken as it is
    ├── TooLargeError   it is over the limit, as sent or after decompression
    └── OverloadedError it can be sent again later
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from spanledger.errors import SpanledgerError
from spanledger.lake_path import LakePath

_MOST_FAULTS: Final = 20
"""Of a file that are named."""


class LakeError(SpanledgerError):
    """The lake can't be used; nothing was written."""

    def __init__(self, lake: LakePath, advice: str) -> None:
        self.lake = lake
        self.advice = advice
        super().__init__(f"the lake {lake} {advice}")


class StoreAwayError(LakeError):
    """The store of the lake doesn't answer; it may later."""


class PortTakenError(SpanledgerError):
    """Another program listens where a door should open."""

    def __init__(self, host: str, port: int, flag: str) -> None:
        self.host = host
        self.port = port
        self.flag = flag
        super().__init__(f"port {port} on {host} is taken; stop the other program or choose another with {flag}")


class DoorError(SpanledgerError):
    """A door can't be opened."""

    def __init__(self, address: str, advice: str) -> None:
        self.address = address
        self.advice = advice
        super().__init__(f"can't listen on {address}: {advice}")


class AccessError(SpanledgerError):
    """A file of tokens or certificates can't be used."""

    def __init__(self, path: Path | None, advice: str) -> None:
        self.path = path
        self.advice = advice
        super().__init__(f"the file {path} {advice}")


class WalError(SpanledgerError):
    """The write-ahead log can't be used; nothing in it was changed."""

    def __init__(self, folder: Path, advice: str) -> None:
        self.folder = folder
        self.advice = advice
        super().__init__(f"the write-ahead log {folder} {advice}")


class WalBusyError(WalError):
    """Another collector writes this log."""


class RevenueError(SpanledgerError):
    """A file of revenue can't be taken; nothing of it was."""

    def __init__(self, source: str, faults: Sequence[str]) -> None:
        self.source = source
        self.faults = tuple(faults)
        shown = [*self.faults[:_MOST_FAULTS], *(["..."] if len(self.faults) > _MOST_FAULTS else [])]
        super().__init__("\n  ".join([f"{source} was not imported, nothing of it; put right:", *shown]))


class DeliveryError(SpanledgerError):
    """A body could not be handed to the ledger; it is still where it came from."""


class BodyRefusedError(DeliveryError):
    """The collector will not take this body; it takes others."""


class RefusedError(SpanledgerError):
    """A request that isn't taken; the doors turn it into their protocol's answer."""

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__(message)


class StrangerError(RefusedError):
    """A request without a token that is known."""


class MalformedError(RefusedError):
    """A request that can't be read; sending it again is of no use."""


class TooLargeError(RefusedError):
    """A request over the size limit; sending it again is of no use."""


class OverloadedError(RefusedError):
    """There is no room now; the client should send it again."""

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)
