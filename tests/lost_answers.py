"""Tables whose commits are done, and whose answers don't come, or come late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from spanledger_collector.lake import folder_of, open_table
from spanledger_collector.tables import SPANS, LakeTable


class Unanswered(DeltaTable):
    """The next commit is done, and then looks like a failure."""

    silent = 1

    def create_write_transaction(self, *args: Any, **named: Any) -> None:
        super().create_write_transaction(*args, **named)
        if self.silent:
            self.silent -= 1
            raise OSError("operation timed out")


class Late(DeltaTable):
    """The next commit is refused, and done when the table is read again: its request was under way all the time."""

    under_way: Callable[[], None] | None = None
    tried = False

    def create_write_transaction(self, *args: Any, **named: Any) -> None:
        if self.tried:
            super().create_write_transaction(*args, **named)
            return
        self.tried, version = True, self.version()
        self.under_way = lambda: DeltaTable(self.table_uri, version=version).create_write_transaction(*args, **named)
        raise CommitFailedError("Failed to commit transaction: 0")

    def update_incremental(self) -> None:
        if self.under_way:
            self.under_way()
            self.under_way = None
        super().update_incremental()


def unanswered(lake: Any, table: LakeTable = SPANS) -> Unanswered:
    return Unanswered(str(folder_of(open_table(lake, table))))


def late(lake: Any, table: LakeTable = SPANS) -> Late:
    return Late(str(folder_of(open_table(lake, table))))
