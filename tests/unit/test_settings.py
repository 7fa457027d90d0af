"""Where a setting's value comes from, and what is said when it cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from spanledger import settings
from spanledger.errors import SettingError


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for setting in settings.SETTINGS:
        monkeypatch.delenv(setting.env, raising=False)
    monkeypatch.delenv("SPANLEDGER_CONFIG", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def test_defaults_need_no_file_and_make_none(tmp_path: Path) -> None:
    found = settings.load()
    home = settings.user_data_dir() / "spanledger"

    assert found == settings.Settings(
        enabled=False,
        endpoint="http://127.0.0.1:4318",
        headers="",
        protocol="http/protobuf",
        lake=home / "lake",
        home=home,
        providers="",
        billing="",
        propagate_to="",
        trust_baggage=False,
        capture_content="",
        features="hash",
        features_key_file="",
        contract="",
        prices="",
        alerts="",
        policy="",
        service="",
        environment="",
        flush="auto",
        token_file="",
        tls_cert="",
        tls_key="",
        tls_client_ca="",
        max_body_bytes=20 << 20,
        backlog_bytes=4 << 30,
        reserve_bytes=1 << 30,
        check="parse",
        settle_after_s=600,
        keep_days=400,
        keep_attributes_days=None,
        zone="UTC",
        billing_day=1,
        dashboard_address="",
        login_provider="",
        login_client_id="",
        login_secret_file="",
        login_scopes="openid email profile",
        login_claim="teams",
        login_everything="*",
        login_hours=12,
        login_contact="",
        batch_delay_ms=1000,
        batch_size=512,
        queue_size=20000,
    )
    assert list(tmp_path.iterdir()) == []


def test_flags_win_over_environment_and_environment_over_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "spanledger.toml").write_text('endpoint = "http://file:1"\nprotocol = "grpc"\nenabled = true\n')
    monkeypatch.setenv("SPANLEDGER_PROTOCOL", "http/protobuf")
    monkeypatch.setenv("SPANLEDGER_ENVIRONMENT", "staging")

    found = settings.load(environment="flag", lake=tmp_path / "lake")

    assert (found.endpoint, found.protocol, found.environment, found.enabled, found.lake) == (
        "http://file:1",
        "http/protobuf",
        "flag",
        True,
        tmp_path / "lake",
    )


def test_the_lake_follows_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPANLEDGER_HOME", str(tmp_path / "elsewhere"))

    assert settings.load().lake == tmp_path / "elsewhere" / "lake"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SPANLEDGER_ENABLED", "perhaps", "SPANLEDGER_ENABLED = 'perhaps': expected 1/true/yes/on or 0/false/no/off"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "OTEL_BSP_MAX_QUEUE_SIZE = '0': expected a whole number above 0"),
        ("SPANLEDGER_CONFIG", "nowhere.toml", "SPANLEDGER_CONFIG = 'nowhere.toml': no such file"),
    ],
)
def test_a_value_that_cannot_be_read_is_named_with_its_place(
    name: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingError) as caught:
        settings.load()
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('endpiont = "x"', "unknown setting; known: alerts, backlog_bytes, "),
        ("endpoint = 3", "expected text in quotes"),
        ("endpoint =", "not valid TOML"),
        ("batch_size = true", "expected a whole number above 0"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "spanledger.toml").write_text(text)

    with pytest.raises(SettingError, match=r"spanledger\.toml") as caught:
        settings.load()
    assert words in str(caught.value)


def test_a_flag_that_cannot_be_read_is_named_as_a_flag() -> None:
    with pytest.raises(SettingError, match="--max-body-bytes = '-1': expected a whole number above 0"):
        settings.load(max_body_bytes=-1)


def test_every_setting_is_a_field_and_has_a_sentence() -> None:
    assert [setting.name for setting in settings.SETTINGS] == list(settings.Settings.__slots__)
    assert all(setting.sentence.endswith(".") for setting in settings.SETTINGS)
    assert len({setting.env for setting in settings.SETTINGS}) == len(settings.SETTINGS)


@pytest.mark.parametrize(("value", "found"), [("none", "none"), ("hash", "hash"), (" Sketch ", "sketch")])
def test_a_word_is_one_of_the_choices(monkeypatch: pytest.MonkeyPatch, value: str, found: str) -> None:
    monkeypatch.setenv("SPANLEDGER_FEATURES", value)
    assert settings.load().features == found


def test_any_other_word_is_refused_with_the_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANLEDGER_FEATURES", "embedding")
    with pytest.raises(SettingError, match=r"SPANLEDGER_FEATURES.*none, hash or sketch"):
        settings.load()
