"""Errors of the analytics.

spanledger.errors.SpanledgerError
└── UnprotectedError    SQL that somebody typed could overwrite the lake here
"""

from __future__ import annotations

from spanledger.errors import SpanledgerError


class UnprotectedError(SpanledgerError):
    """Nothing stops SQL from overwriting a data file here, so it isn't run."""

    def __init__(self) -> None:
        super().__init__(
            "as root, and without Landlock (Linux from 5.13), SQL could overwrite the lake's files; "
            "run it as another user"
        )
