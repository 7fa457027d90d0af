"""Errors of the analytics.

spanledger.errors.SpanledgerError
├── QueryError          the SQL is wrong, or asks for what it may not touch
├── QuestionError       a report can't be asked that
├── SavedQueryError     a query can't be kept, or isn't there
├── ScopeError          a scope that can't be told, or names a column that none can be told by
├── StoppedError        the SQL took longer, or more memory, than it may
└── UnprotectedError    SQL that somebody typed could overwrite the lake here
"""

from __future__ import annotations

from spanledger.errors import SpanledgerError


class QueryError(SpanledgerError):
    """The SQL is wrong, or asks for what it may not touch; the message is DuckDB's, with the place marked."""


class QuestionError(SpanledgerError):
    """A report can't be asked that; the message says what can be asked."""


class SavedQueryError(SpanledgerError):
    """A query can't be kept under that name, or isn't there."""


class ScopeError(SpanledgerError):
    """A scope that can't be told, or names a column that none can be told by."""


class StoppedError(SpanledgerError):
    """The SQL took longer, or more memory, than it may."""


class UnprotectedError(SpanledgerError):
    """Nothing stops SQL from overwriting a data file here, so it isn't run."""

    def __init__(
        self,
        reason: str = "as root, and without Landlock (Linux from 5.13), SQL could overwrite the lake's files",
        advice: str = "run it as another user",
    ) -> None:
        super().__init__(f"{reason}; {advice}")
