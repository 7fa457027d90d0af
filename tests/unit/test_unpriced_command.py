"""`spanledger unpriced`."""

from __future__ import annotations

import json
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from ledger_rows import call, make_lake
from spanledger_cli import cli

DAY = datetime(2026, 11, 20, 9, tzinfo=UTC)


def run(lake: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["unpriced", "--lake", str(lake), "--format", "json", *arguments])


def test_models_without_a_price_are_listed_with_the_line_to_add(tmp_path: Path) -> None:
    unknown: dict[str, Any] = {"provider": "openai", "unpriced_reason": "unknown_model"}
    make_lake(
        tmp_path,
        [
            call(1, 1, DAY, "gpt-5"),
            call(2, 1, DAY + timedelta(hours=1), "gpt-99", 1000, 100, **unknown),
            call(3, 1, DAY, "gpt-99", 10, 1, **unknown),
            call(4, 1, DAY, "gpt-99", provider="openai", unpriced_reason="no_usage"),
            call(5, 1, DAY, "planned", billing_basis="plan", unpriced_reason="plan"),
        ],
    )

    missing, useless = json.loads(run(tmp_path).stdout)

    line = missing.pop("add")
    assert missing == {
        "provider": "openai",
        "model": "gpt-99",
        "reason": "unknown_model",
        "calls": 2,
        "tokens": 1111,
        "first_seen": "2026-11-20T09:00:00Z",
    }
    assert tomllib.loads(line)["price"] == [
        {"provider": "openai", "model": "gpt-99", "usd_per_million": {"input_tokens": "?", "output_tokens": "?"}}
    ]
    assert (useless["reason"], useless["add"]) == ("no_usage", "")


def test_days_can_be_named_and_an_empty_answer_is_one(tmp_path: Path) -> None:
    make_lake(tmp_path, [call(1, 1, DAY, "gpt-99", unpriced_reason="unknown_model")])

    assert json.loads(run(tmp_path, "--from", "2026-11-21").stdout) == []
    assert len(json.loads(run(tmp_path, "--to", "2026-11-20").stdout)) == 1
