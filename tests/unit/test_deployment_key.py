"""The key of the fingerprints: one for all processes of a deployment, its owner's alone."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from spanledger import faults, settings
from spanledger.deployment_key import FILE, DeploymentKey, own_key, read_key
from spanledger.errors import SettingError
from spanledger.fingerprints import make_fingerprints

RACERS = 12
RACE = """
import sys
from pathlib import Path
from spanledger.deployment_key import own_key
print("ready", flush=True)
sys.stdin.readline()
print(own_key(Path(sys.argv[1])).secret.hex())
"""


def test_the_key_is_made_once_and_read_by_its_owner_only(tmp_path: Path) -> None:
    home = tmp_path / "home"

    keys = [own_key(home) for _ in range(3)]

    (file,) = home.iterdir()
    assert keys[0] == keys[1] == keys[2]
    assert (file.name, stat.S_IMODE(file.stat().st_mode)) == (FILE, 0o600)
    assert bytes.fromhex(file.read_text("ascii")) == keys[0].secret
    assert len(keys[0].secret) == 32


def test_processes_that_start_together_have_one_key(tmp_path: Path) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(tmp_path / "home")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(RACERS)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    keys = {racer.communicate(timeout=180)[0].strip() for racer in racers}

    assert keys == {own_key(tmp_path / "home").secret.hex()}
    assert [file.name for file in (tmp_path / "home").iterdir()] == [FILE]


@pytest.mark.parametrize("make", [lambda home: home.write_text("a file"), lambda home: _with_junk(home)])
def test_where_no_key_can_be_kept_the_process_has_one_of_its_own_and_says_so_once(
    make: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(faults, "_counts", Counter())
    assert callable(make)
    make(tmp_path / "home")

    keys = {own_key(tmp_path / "home").secret for _ in range(3)}

    assert len(keys) == 1
    assert len(caplog.records) == 1
    assert "match no other's" in caplog.records[0].message


def _with_junk(home: Path) -> None:
    home.mkdir()
    (home / FILE).write_text("not a key")


def test_a_file_system_without_links_keeps_a_key_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_paths: object) -> None:
        raise PermissionError("Operation not permitted")

    monkeypatch.setattr("os.link", refuse)

    assert own_key(tmp_path) == own_key(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [FILE]


def test_the_id_of_a_key_tells_keys_apart_and_is_no_part_of_them() -> None:
    one, other = DeploymentKey(bytes(32)), DeploymentKey(bytes(31) + b"\1")

    assert (one.id, other.id) == ("cb0490bf", "e341bfc5")
    assert one.secret.hex() not in repr(one)


def test_a_fleet_shares_the_key_that_a_file_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "shared.key"
    shared.write_text("Ab" * 32 + "\n")
    monkeypatch.setenv("SPANLEDGER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SPANLEDGER_FEATURES_KEY_FILE", str(shared))

    fingerprints = make_fingerprints(settings.load())

    assert fingerprints is not None
    assert fingerprints.key_id == DeploymentKey(b"\xab" * 32).id
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("content", [None, "", "ab" * 31, "ab" * 33, "no digits " * 7])
def test_a_file_without_a_key_is_refused(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "shared.key"
    if content is not None:
        file.write_text(content)

    with pytest.raises(SettingError, match="SPANLEDGER_FEATURES_KEY_FILE"):
        read_key(file)


def test_without_fingerprints_there_is_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANLEDGER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SPANLEDGER_FEATURES", "none")

    assert make_fingerprints(settings.load()) is None
    assert not (tmp_path / "home").exists()
