"""Lengths of time as people type them on the command line."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click

from spanledger_analytics.alerts.durations import parse_length


class Length(click.ParamType[timedelta]):
    """A length of time: 90s, 5m, 4h, 2d."""

    name = "length"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read it."""
        found = value if isinstance(value, timedelta) else parse_length(value)
        if found is None:
            self.fail(f"{value!r} is no length of time; write 90s, 5m, 4h or 2d", param, ctx)
        return found
