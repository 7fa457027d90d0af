"""From an evaluation to who is told: real servers, real SQLite, a clock that is set."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from alert_rules import NOW, reading
from alert_sinks import SmtpSink, WebhookSink
from certificates import authority, signed
from spanledger_analytics.alerts.delivery import deliver_next
from spanledger_analytics.alerts.errors import DeliveryError
from spanledger_analytics.alerts.evaluate import evaluate
from spanledger_analytics.alerts.kinds import KINDS
from spanledger_analytics.alerts.lookout import Lookout
from spanledger_analytics.alerts.reading import Reading
from spanledger_analytics.alerts.receivers import send
from spanledger_analytics.alerts.rules import Receiver, Rule, Rules
from spanledger_analytics.alerts.silences import parse_matchers
from spanledger_analytics.alerts.store import Store
from spanledger_analytics.connection import Ledger
from spanledger_analytics.reports.calendar import Calendar
from spanledger_analytics.scope import EVERYTHING

EVERY = timedelta(seconds=20)
TOLD: Mapping[str, Any] = {
    "status": "firing",
    "groupLabels": {"alertname": "r", "scope": "total"},
    "externalURL": "",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "r"},
            "annotations": {"summary": "it is 11"},
            "startsAt": "2026-11-26T12:30:00.000Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "",
        }
    ],
}


class World:
    """Rules of one made-up rule whose readings are set, and a store; `run` evaluates every 20 seconds."""

    def __init__(self, folder: Path, receivers: Sequence[Receiver], **more: Any) -> None:
        self.readings: list[Reading] = []
        self.now = NOW
        self.folder = folder
        kind = replace(KINDS["velocity"], readings=lambda terms, rule, lookout: self.readings)
        rule = Rule("r", kind, None, "team", receivers=tuple(receiver.name for receiver in receivers), **more)
        self.rules = Rules((rule,), {receiver.name: receiver for receiver in receivers})
        self.lookout = Lookout(Ledger(folder / "lake", EVERYTHING), Calendar())
        self.store = Store(folder)

    def run(self, *values: int) -> None:
        for value in values:
            self.readings = [reading(value, scope={"team": "search"})]
            evaluate(self.rules, self.lookout, self.store, self.now)
            self.now += EVERY

    def restart(self) -> None:
        self.store.close()
        self.store = Store(self.folder)

    def deliver(self, at: datetime | None = None) -> bool:
        (receiver,) = self.rules.receivers.values()
        return deliver_next(self.store, receiver, at or self.now)


def webhook(url: str, **options: Any) -> Receiver:
    return Receiver("ops", "webhook", {"url": url, "headers": {}, **options})


def test_what_is_told_has_the_shape_of_alertmanagers_webhook(tmp_path: Path) -> None:
    with WebhookSink() as hook:
        world = World(tmp_path, [webhook(hook.url)], labels={"channel": "finops"})
        world.run(11, 12)
        assert world.deliver()
        world.run(1, 1)
        world.now += timedelta(minutes=5)
        world.run(1)
        assert world.deliver()
        assert not world.deliver()
    labels = {
        "alertname": "r",
        "channel": "finops",
        "kind": "velocity",
        "scope": "team",
        "severity": "warning",
        "team": "search",
    }
    firing = {
        "status": "firing",
        "labels": labels,
        "annotations": {"summary": "it is 12", "value": "12", "trip_level": "10", "unit": "USD"},
        "startsAt": "2026-11-26T12:30:20.000Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "",
        "fingerprint": hook.bodies[0]["alerts"][0]["fingerprint"],
    }
    told = {
        "version": "4",
        "groupKey": '{}:{alertname="r", scope="team"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "ops",
        "groupLabels": {"alertname": "r", "scope": "team"},
        "commonLabels": labels,
        "commonAnnotations": {"summary": "it is 12"},
        "externalURL": "",
        "alerts": [firing],
    }
    over = {"status": "resolved", "endsAt": "2026-11-26T12:31:00.000Z"}
    over["annotations"] = firing["annotations"] | {"value": "1"}
    assert hook.bodies == [told, told | {"status": "resolved", "alerts": [firing | over]}]
    assert hook.paths == ["/hook", "/hook"]


def test_a_restart_repeats_nothing(tmp_path: Path) -> None:
    with WebhookSink() as hook:
        world = World(tmp_path, [webhook(hook.url)])
        world.run(11, 11)
        world.restart()
        assert world.deliver()
        world.restart()
        world.run(11, 11, 11)
        assert not world.deliver()
        assert len(hook.bodies) == 1


def test_who_dies_between_sending_and_noting_sends_again_with_the_same_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with WebhookSink() as hook:
        world = World(tmp_path, [webhook(hook.url)])
        world.run(11, 11)

        def die(*_: object) -> None:
            raise SystemExit

        with monkeypatch.context() as patched:
            patched.setattr(Store, "sent", die)
            with pytest.raises(SystemExit):
                world.deliver()
        world.restart()
        assert world.deliver()
        assert not world.deliver()
    first, again = (headers["idempotency-key"] for headers in hook.headers)
    assert first == again
    assert [row["attempts"] for row in world.store.outbox()] == [2]


def test_an_evaluation_that_dies_leaves_nothing_and_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, [webhook("http://127.0.0.1:1/")])
    world.run(11)

    def die(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(Store, "put_alerts", die)
        with pytest.raises(SystemExit):
            world.run(11)
    world.restart()
    assert world.store.outbox() == []
    assert [alert.state for alert in world.store.alerts().values()] == ["pending"]
    world.run(11)
    assert len(world.store.outbox()) == 1


def test_what_is_refused_for_now_is_tried_again_later_and_later(tmp_path: Path) -> None:
    with WebhookSink(503, 429) as hook:
        world = World(tmp_path, [webhook(hook.url)])
        world.run(11, 11)
        begin = world.now
        assert world.deliver(begin)
        assert not world.deliver(begin)
        assert world.deliver(begin + timedelta(seconds=1))
        assert not world.deliver(begin + timedelta(seconds=2))
        assert world.deliver(begin + timedelta(seconds=3))
        assert not world.deliver(begin + timedelta(hours=1))
    assert (len(hook.bodies), [row["failed"] for row in world.store.outbox()]) == (3, [None])


@pytest.mark.parametrize("status", [400, 404, 302])
def test_what_is_refused_for_good_is_given_up_and_no_redirection_followed(tmp_path: Path, status: int) -> None:
    with WebhookSink(status) as hook:
        world = World(tmp_path, [webhook(hook.url)])
        world.run(11, 11)
        assert world.deliver()
        assert not world.deliver(world.now + timedelta(hours=1))
    (row,) = world.store.outbox()
    assert len(hook.bodies) == 1
    assert row["failed"].startswith(f"127.0.0.1 answered {status} ")


def test_after_a_day_nobody_tries_any_more(tmp_path: Path) -> None:
    world = World(tmp_path, [webhook("http://127.0.0.1:1/")])
    world.run(11, 11)
    world.deliver()
    assert world.deliver(world.now + timedelta(hours=25))
    (row,) = world.store.outbox()
    assert (row["done_at"] is not None, row["failed"]) == (True, "127.0.0.1 can't be reached: Connection refused")


def test_of_too_many_that_wait_the_oldest_are_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spanledger_analytics.alerts.store.MOST_WAITING", 2)
    store = Store(tmp_path)
    for number in range(4):
        store.put_out(str(number), "ops", {}, NOW + number * EVERY)
    assert [(row["key"], row["failed"]) for row in store.outbox()] == [
        ("0", "dropped: too many wait"),
        ("1", "dropped: too many wait"),
        ("2", None),
        ("3", None),
    ]


def test_a_silenced_alert_fires_and_is_told_when_the_silence_is_over(tmp_path: Path) -> None:
    world = World(tmp_path, [webhook("http://127.0.0.1:1/")])
    number = world.store.silence(parse_matchers(["team=search"]), NOW + timedelta(hours=1), "deploy", NOW)
    world.run(11, 11, 11)
    assert [alert.state for alert in world.store.alerts().values()] == ["firing"]
    assert world.store.outbox() == []
    assert world.store.end_silence(number, world.now)
    world.run(11)
    assert len(world.store.outbox()) == 1


def test_a_silence_of_another_team_silences_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, [webhook("http://127.0.0.1:1/")])
    world.store.silence(parse_matchers(["alertname=r", "team!=search"]), NOW + timedelta(hours=1), "", NOW)
    world.run(11, 11)
    assert len(world.store.outbox()) == 1


def test_who_wants_no_ends_is_told_none(tmp_path: Path) -> None:
    world = World(tmp_path, [replace(webhook("http://127.0.0.1:1/"), send_resolved=False)])
    world.run(11, 11, 1, 1)
    world.now += timedelta(minutes=5)
    world.run(1)
    assert len(world.store.outbox()) == 1


def test_a_rule_that_cannot_look_leaves_its_alerts_as_they_are(tmp_path: Path) -> None:
    world = World(tmp_path, [webhook("http://127.0.0.1:1/")])
    world.run(11, 11)

    def fail(*_: object) -> list[Reading]:
        raise OSError("the disk is away")

    (rule,) = world.rules.rules
    world.rules = replace(world.rules, rules=(replace(rule, kind=replace(rule.kind, readings=fail)),))
    world.run(0, 0, 0)
    assert [alert.state for alert in world.store.alerts().values()] == ["firing"]
    assert world.store.facts()["trouble"] == "r: the disk is away"


def test_alerts_of_a_rule_that_was_removed_are_told_as_over_to_those_who_know_of_them(tmp_path: Path) -> None:
    with WebhookSink() as hook:
        world = World(tmp_path, [webhook(hook.url)])
        world.run(11, 11)
        (firing,) = world.store.alerts().values()
        stranger = Receiver("stranger", "webhook", {"url": hook.url, "headers": {}})
        world.rules = replace(world.rules, rules=(), receivers={**world.rules.receivers, "stranger": stranger})
        world.run(11)
        assert [alert.state for alert in world.store.alerts().values()] == ["firing"]
        world.restart()
        world.run(11, 11, 11)
        while deliver_next(world.store, world.rules.receivers["ops"], world.now):
            pass
    assert world.store.alerts() == {}
    assert world.store.told(firing.fingerprint) == set()
    assert {row["receiver"] for row in world.store.outbox()} == {"ops"}
    assert [event["event"] for event in world.store.history()] == ["resolved", "firing"]
    before, after = hook.bodies
    (told,) = before["alerts"]
    said = {"summary": "it is 11 (the rule was removed)"}
    over = told | {
        "status": "resolved",
        "endsAt": "2026-11-26T12:31:00.000Z",
        "annotations": told["annotations"] | said,
    }
    assert after == before | {"status": "resolved", "commonAnnotations": said, "alerts": [over]}


def test_an_alert_that_nobody_knew_of_ends_silently_with_its_rule(tmp_path: Path) -> None:
    world = World(tmp_path, [webhook("http://127.0.0.1:1/")])
    world.store.silence(parse_matchers(["team=search"]), NOW + timedelta(hours=1), "deploy", NOW)
    world.run(11, 11)
    world.rules = replace(world.rules, rules=())
    world.run(11, 11, 11)
    assert (world.store.alerts(), world.store.outbox()) == ({}, [])


def test_a_rule_that_is_missing_for_one_evaluation_ends_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, [webhook("http://127.0.0.1:1/")])
    world.run(11, 11)
    rules, world.rules = world.rules, replace(world.rules, rules=())
    world.run(11)
    world.rules = rules
    world.run(11, 11)
    assert [(alert.state, alert.under) for alert in world.store.alerts().values()] == [("firing", 0)]
    assert len(world.store.outbox()) == 1


def test_a_token_is_read_where_it_stands_and_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("from-file\n", "utf-8")
    monkeypatch.setenv("OPS_TOKEN", "from-env")
    with WebhookSink() as hook:
        send(webhook(hook.url, secret_file=str(tmp_path / "token")), TOLD, "k")
        send(webhook(hook.url, secret_env="OPS_TOKEN"), TOLD, "k")
        with pytest.raises(DeliveryError, match="the variable OTHER is not set where alerts are evaluated"):
            send(webhook(hook.url, secret_env="OTHER"), TOLD, "k")
    assert [headers["authorization"] for headers in hook.headers] == ["Bearer from-file", "Bearer from-env"]


def test_alertmanagers_own_api_gets_a_list_of_alerts_that_hold_until_they_are_over() -> None:
    resolved = {**TOLD["alerts"][0], "status": "resolved", "endsAt": "2026-11-26T13:00:00.000Z"}
    with WebhookSink() as hook:
        receiver = Receiver("am", "alertmanager", {"url": hook.url, "headers": {}})
        send(receiver, {**TOLD, "alerts": [*TOLD["alerts"], resolved]}, "k")
    (holds, over) = hook.bodies[0]
    assert holds.pop("endsAt") > "2026-12"
    assert holds == {name: TOLD["alerts"][0][name] for name in ("labels", "annotations", "startsAt", "generatorURL")}
    assert over["endsAt"] == "2026-11-26T13:00:00.000Z"


def email(port: int, tls: str, **options: Any) -> Receiver:
    to = ("a@example.com", "b@example.com")
    said = {"host": "127.0.0.1", "port": port, "tls": tls, "from": "l@example.com", "to": to, "user": None}
    return Receiver("mail", "email", said | options)


@pytest.mark.parametrize("tls", ["starttls", "ssl"])
def test_a_mail_goes_over_tls_with_a_password_that_no_error_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tls: str
) -> None:
    by = authority(tmp_path, "ca")
    monkeypatch.setattr(ssl, "create_default_context", lambda: ssl._create_default_https_context(cafile=str(by.cert)))
    monkeypatch.setenv("MAIL_PASSWORD", "secret")
    with SmtpSink(signed(tmp_path, "server", by), implicit=tls == "ssl") as sink:
        receiver = email(sink.port, tls, user="me", secret_env="MAIL_PASSWORD")
        assert send(receiver, TOLD, "k1") == "taken by 127.0.0.1"
        monkeypatch.setenv("MAIL_PASSWORD", "wrong-one")
        with pytest.raises(DeliveryError) as refused:
            send(receiver, TOLD, "k2")
    (mail,) = sink.mails
    assert (mail.tls, mail.user, mail.sender, mail.to) == (
        True,
        "me",
        "l@example.com",
        ["a@example.com", "b@example.com"],
    )
    lines = mail.text.replace("\r\n", "\n")
    assert "Subject: [firing] r\n" in lines
    assert "Message-ID: <k1@spanledger>\n" in lines
    assert lines.endswith("\n\nfiring since 2026-11-26T12:30:00.000Z: it is 11\n")
    assert str(refused.value) == "127.0.0.1 refuses the user me (535)"


def test_a_mail_server_without_tls_gets_no_mail_that_has_to_be_safe() -> None:
    with SmtpSink() as sink, pytest.raises(DeliveryError, match=r"127\.0\.0\.1 didn't take the mail: STARTTLS"):
        send(email(sink.port, "starttls"), TOLD, "k")
    assert sink.mails == []


def test_apprise_is_asked_for_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "apprise", None)
    with pytest.raises(DeliveryError, match=r"pip install 'spanledger\[notify\]'"):
        send(Receiver("chat", "apprise", {"urls": ("json://127.0.0.1:1",)}), TOLD, "k")


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # apprise asks whether it is there
def test_what_apprise_is_told_arrives_where_its_address_says(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("apprise")
    with WebhookSink(200, 200, 500) as hook:
        address = hook.url.replace("http://", "json://")
        monkeypatch.setenv("CHAT_URLS", address)
        receiver = Receiver("chat", "apprise", {"urls": (address,), "secret_env": "CHAT_URLS"})
        assert send(receiver, TOLD, "k") == "sent to 2 addresses"
        with pytest.raises(DeliveryError, match=r"^not all addresses of chat took it$"):
            send(replace(receiver, options={"urls": (address,)}), TOLD, "k")
    said = {"title": "[firing] r", "message": "firing since 2026-11-26T12:30:00.000Z: it is 11", "type": "warning"}
    assert [{name: body[name] for name in said} for body in hook.bodies] == [said] * 3
    unknown = Receiver("chat", "apprise", {"urls": ("nothing-like-it://127.0.0.1",)})
    with pytest.raises(DeliveryError, match=r"apprise knows nothing like the 1\. address of chat") as refused:
        send(unknown, TOLD, "k")
    assert refused.value.for_good


def test_no_float_and_no_secret_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS_TOKEN", "very-secret")
    world = World(tmp_path, [webhook("http://127.0.0.1:1/", secret_env="OPS_TOKEN")])
    world.readings = [Reading(Decimal("0.1") + Decimal("0.2"), Decimal("0.25"), "s", {"team": "x"})]
    for _ in range(2):
        evaluate(world.rules, world.lookout, world.store, world.now)
    world.deliver()
    (row,) = world.store.alerts().values()
    assert row.value == Decimal("0.3")
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("alerts.sqlite*"))
    assert b"very-secret" not in kept
    waiting = world.store.next_out("ops")
    assert waiting is not None
    assert json.loads(json.dumps(waiting.payload))["alerts"][0]["annotations"]["value"] == "0.3"
