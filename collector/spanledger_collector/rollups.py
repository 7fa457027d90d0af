"""The tables of rollups: what calls of a day come to, added up by quarter hour or by day, one file a day and table.

The name of a file says what it was counted from. So whether it still holds is told by the lists of live files alone,
however long nobody has looked: no memory is needed, no log that reaches back, and no old data. A day is counted
whole and its file is replaced; nothing is ever added to a count.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

import pyarrow as pa

from .lake import DataFile
from .row import COUNT, TEXT, TIME, Column
from .tables import LakeTable

MAKE: Final = 1
"""Raised whenever the same spans would be counted otherwise, or into other columns: every day is counted anew then."""
USD: Final = pa.decimal128(38, 12)
"""Wider than the money of a call."""

_WHO: Final = {
    "quarter_hour": Column("quarter_hour", TIME, "Start of the quarter of an hour, UTC; calls count when they begin."),
    "provider": Column("provider", TEXT, "Who bills the calls."),
    "model": Column("model", TEXT, "Model: that of the price book, else the one that answered or was asked for."),
    "team_id": Column("team_id", TEXT, "Team that pays."),
    "feature": Column("feature", TEXT, "Feature of the product."),
    "environment": Column("environment", TEXT, "Deployment environment."),
    "user_id": Column("user_id", TEXT, "User who caused it."),
}
MEASURES: Final = (
    Column("calls", COUNT, "Charged calls; 0 where settling has moved all that was booked here."),
    Column("requests", COUNT, "Traces, each counted once a day: in the row of its first charged call of that `dt`."),
    Column("input_tokens", COUNT, "All input tokens, cached ones included."),
    Column("output_tokens", COUNT, "All output tokens, reasoning included."),
    Column("cache_read_tokens", COUNT, "Input read from the prompt cache, text and audio."),
    Column("cache_write_tokens", COUNT, "Input written to the prompt cache, for however long."),
    Column("reasoning_tokens", COUNT, "Reasoning output."),
    Column("cost_usd", USD, "Cost as settled and corrected; NULL where no call of the row has a price."),
    Column("cost_input", USD, "Part of cost_usd: uncached, audio and image input."),
    Column("cost_cache_read", USD, "Part of cost_usd: prompt cache reads."),
    Column("cost_cache_write", USD, "Part of cost_usd: prompt cache writes."),
    Column("cost_output", USD, "Part of cost_usd: output and reasoning."),
    Column("cost_other", USD, "Part of cost_usd: everything else."),
    Column("booked_usd", USD, "Cost as booked, before settling and repricing, of the calls that were booked here."),
    Column("equivalent_usd", USD, "What calls that aren't known to be billed by usage would cost if they were."),
    Column("avoided_usd", USD, "What cache hits saved."),
    Column("retry_cost_usd", USD, "Estimate for failed attempts that may have been billed; outside cost_usd."),
    Column("estimated_usd", USD, "Part of cost_usd that is of tokens that nobody reported."),
    Column("unpriced_calls", COUNT, "Calls without a price that need one."),
    Column("estimated_calls", COUNT, "Calls whose cost is that of tokens that nobody reported."),
    Column("provisional_calls", COUNT, "Calls that their traces may still change."),
    Column("errors", COUNT, "Calls that ended in an error."),
    Column("duration_us", COUNT, "How long the calls took together, microseconds."),
)
"""What every rollup says; all of them add up."""
_COUNTED_AT: Final = Column("counted_at", TIME, "When this was counted, UTC.")


def _table(name: str, sentence: str, who: tuple[str, ...], *more: str) -> LakeTable:
    apart = tuple(
        Column(f"requests_{of}", COUNT, f"Traces, each counted once for each {of.replace('_', ', ')} of its day.")
        for of in more
    )
    # First, because Delta keeps bounds of no more than 32 columns.
    columns = (_COUNTED_AT, *(_WHO[name] for name in who), *MEASURES, *apart)
    return LakeTable(name, sentence, who, _COUNTED_AT.name, columns)


HOURLY_MODELS: Final = _table(
    "hourly_models",
    "one row a quarter of an hour, provider, model, team and environment that has calls",
    ("quarter_hour", "provider", "model", "team_id", "environment"),
    *("hour", "hour_team", "hour_model", "hour_environment", "hour_team_model", "hour_team_environment"),
    *("hour_model_environment", "hour_team_model_environment"),
)
HOURLY_FEATURES: Final = _table(
    "hourly_features",
    "one row a quarter of an hour, feature and model that has calls",
    ("quarter_hour", "feature", "model"),
)
HOURLY_USERS: Final = _table(
    "hourly_users",
    "one row a quarter of an hour, user and team that has calls",
    ("quarter_hour", "user_id", "team_id"),
    *("user", "user_team", "hour_user", "hour_user_team"),
)
DAILY_CUBE: Final = _table(
    "daily_cube",
    "one row a UTC day, team, feature, model and environment that has calls",
    ("team_id", "feature", "model", "environment"),
    *("team", "feature", "model", "environment"),
    *("team_feature", "team_model", "team_environment", "feature_model", "feature_environment", "model_environment"),
    *("team_feature_model", "team_feature_environment", "team_model_environment", "feature_model_environment"),
    "team_feature_model_environment",
)
ROLLUPS: Final = (HOURLY_MODELS, HOURLY_FEATURES, HOURLY_USERS, DAILY_CUBE)


@dataclass(frozen=True, slots=True)
class CountedFrom:
    """What a file of a rollup was counted from, as its name says it."""

    make: int
    files: str
    """Fingerprint of the live files of its day that were read."""
    settled_until_ms: int
    """How far the lake was settled then; -1 where nothing was."""
    provisional_until_ms: int
    """How far it has to be settled until none of the calls counted is provisional; -1 where none is."""

    def name(self) -> str:
        """Return a new name, without its ending."""
        numbers = (self.make, self.files, self.settled_until_ms, self.provisional_until_ms)
        return "_".join([*map(str, numbers), uuid.uuid4().hex])


def counted_from(file: DataFile) -> CountedFrom | None:
    """Return what a file was counted from; None where its name doesn't say, as after somebody merged files."""
    make, *rest = PurePath(file.path).stem.split("_")
    try:
        files, settled, provisional, _ = rest
        return CountedFrom(int(make), files, int(settled), int(provisional))
    except ValueError:
        return None


def fingerprint(files: Iterable[DataFile], more: Iterable[str] = ()) -> str:
    """Return what tells apart what a day is read from: the files, which never change, and `more` words."""
    names = sorted([*(f"{file.table}/{file.path}" for file in files), *more])
    return hashlib.blake2b("\n".join(names).encode(), digest_size=16).hexdigest()
