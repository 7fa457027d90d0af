"""Rules that people write: what they come to, and what is said where they can't be read."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from alert_rules import rules_of
from spanledger_analytics.alerts.kinds import KINDS
from spanledger_analytics.alerts.kinds.velocity import Velocity
from spanledger_analytics.alerts.rules import Pace, Receiver, Rule
from spanledger_analytics.alerts.rules_file import RulesError
from spanledger_analytics.reports.question import Where
from spanledger_cli import alerts as alerts_command

RULE = """
[[rule]]
name = "r"
kind = "velocity"
"""


def test_a_rule_says_all_that_it_can(tmp_path: Path) -> None:
    found = rules_of(
        tmp_path,
        """
[alerting]
every = "1m"
group_wait = "10s"
group_interval = "2m"
repeat = "1d"
external_url = "https://ledger.example.com"

[[receiver]]
name = "ops"
kind = "webhook"
url = "https://example.com/hook?x=1"
headers = { X-Team = "finops" }
token_env = "OPS_TOKEN"
send_resolved = false
timeout = "3s"

[[rule]]
name = "search is fast"
kind = "velocity"
where = "environment=production and model!=gpt-4o"
by = "team_id"
percent = "250"
floor_usd = "2.5"
for = 3
cooldown = "2h"
severity = "critical"
labels = { channel = "finops" }
receivers = ["ops", "log"]
""",
    )
    options = {"url": "https://example.com/hook?x=1", "headers": {"X-Team": "finops"}, "secret_env": "OPS_TOKEN"}
    assert found.pace == Pace(
        timedelta(minutes=1),
        timedelta(seconds=10),
        timedelta(minutes=2),
        timedelta(days=1),
        "https://ledger.example.com",
    )
    assert found.receivers == {
        "log": Receiver("log", "log"),
        "ops": Receiver("ops", "webhook", options, send_resolved=False, timeout_s=3),
    }
    assert found.rules == (
        Rule(
            "search is fast",
            KINDS["velocity"],
            Velocity(Decimal(250), Decimal("2.5")),
            "team",
            Where({"environment": ("production",)}, {"model": ("gpt-4o",)}),
            3,
            timedelta(hours=2),
            "critical",
            {"channel": "finops"},
            ("ops", "log"),
        ),
    )


def test_what_is_left_out_has_a_default(tmp_path: Path) -> None:
    found = rules_of(tmp_path, RULE)
    assert found.pace == Pace()
    assert found.rules == (Rule("r", KINDS["velocity"], Velocity(Decimal(150), Decimal(1))),)
    assert found.rules[0].receivers == ("log",)


def test_a_rule_without_receivers_tells_all_of_the_file(tmp_path: Path) -> None:
    hooks = "".join(f'[[receiver]]\nname = "{name}"\nkind = "webhook"\nurl = "http://h/"\n' for name in "ab")
    assert rules_of(tmp_path, hooks + RULE).rules[0].receivers == ("a", "b")


def test_the_file_to_begin_with_can_be_read(tmp_path: Path) -> None:
    text = alerts_command._STARTING_FILE.read_text("utf-8")
    assert [rule.kind.name for rule in rules_of(tmp_path, text).rules] == ["velocity"]
    switched_on = re.sub(r"^# (?=\[|\w+ = )", "", text, flags=re.MULTILINE)
    assert {rule.kind.name for rule in rules_of(tmp_path, switched_on).rules} == set(KINDS)


@pytest.mark.parametrize(
    ("text", "line", "advice"),
    [
        ("[[rules]]", 1, "unknown entry rules; known: alerting, rule, receiver"),
        ("[rule]", 1, "write [[rule]], once for each"),
        ("[[alerting]]", 1, "write [alerting], once"),
        ('[alerting]\nevery = "soon"', 2, "expected a length of time"),
        ('[alerting]\nevery = "0s"', 2, "[alerting] every: expected at least a second"),
        ('[[rule]]\nname = "r"', 1, "[[rule]] kind: needed, as text in quotes"),
        ('[[rule]]\nname = "r"\nkind = "speed"', 3, "no rule is a 'speed'; there are velocity"),
        (RULE + "floor_usd = 2.5", 5, 'write the number in quotes, as "2.5"'),
        (RULE + "floor = 2", 5, "[[rule]] floor: unknown; known: "),
        (RULE + 'by = "colour"', 5, "nothing is called 'colour'; there are provider, model, team"),
        (RULE + 'where = "team"', 5, "write dimension=value"),
        (RULE + "for = 0", 5, "expected a whole number above 0"),
        (RULE + "for = true", 5, "expected a whole number above 0"),
        (RULE + 'severity = "red"', 5, "expected info, warning, critical"),
        (RULE + 'labels = { alertname = "x" }', 5, "'alertname' can't be one"),
        (RULE + 'receivers = ["ops"]', 5, "no [[receiver]] is called 'ops'; there are log"),
        (RULE + RULE, 7, "'r' stands twice"),
        ('[[receiver]]\nname = "x"\nkind = "webhook"', 1, "[[receiver]] url: needed"),
        ('[[receiver]]\nname = "x"\nkind = "webhook"\nurl = "ftp://h"', 4, "expected an address, as https://host/path"),
        ('[[receiver]]\nname = "x"\nkind = "log"\nurl = "http://h"', 4, "a receiver of the kind log"),
        ('[[receiver]]\nname = "x"\nkind = "pigeon"', 3, "no receiver is a 'pigeon'; there are log, webhook"),
        ('[[receiver]]\nname = "x"\nkind = "email"\nhost = "h"\nfrom = "me"\nto = "a@b"', 5, "needed, as name@host"),
        (
            '[[receiver]]\nname = "x"\nkind = "email"\nhost = "h"\nfrom = "a@b"\nto = "a@b"\nuser = "u"',
            7,
            "goes with password_file or password_env",
        ),
        (
            '[[receiver]]\nname = "x"\nkind = "email"\nhost = "h"\nfrom = "a@b"\nto = "a@b"\nuser = "u"\n'
            'password_env = "P"\ntls = "none"',
            9,
            "a password needs starttls or ssl",
        ),
        ('[[receiver]]\nname = "x"\nkind = "apprise"', 1, "needed, or url_file or url_env"),
        ("[[rule]", None, "not valid TOML"),
    ],
)
def test_what_cannot_be_is_told_with_its_line(tmp_path: Path, text: str, line: int | None, advice: str) -> None:
    with pytest.raises(RulesError) as told:
        rules_of(tmp_path, text)
    assert told.value.line == line
    assert advice in str(told.value)
