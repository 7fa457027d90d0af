"""SQL of somebody who means harm, in the box: it reads nothing else, writes nothing, and ends in time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from attacks import ATTACKS, BOMBS, Attack
from forked_boxes import ForkedBoxes
from spanledger import contract
from spanledger_analytics import box, box_process
from spanledger_analytics.box_process import Limits
from spanledger_analytics.errors import QueryError, StoppedError
from spanledger_analytics.snapshot import LakeFiles, files_now
from spanledger_collector.lake import add_files, open_table, table_path, write_file
from spanledger_collector.row import SCHEMA
from waiting import wait_until

PROVE = os.environ.get("SPANLEDGER_PROVE") == "1"
IS_ROOT = os.geteuid() == 0
SECRET = "swordfish"
NOBODY = 65_534
SMALL = Limits(seconds=120.0, memory_mb=256, rows=1_000, answer_mb=1)
SHORT = replace(SMALL, seconds=1.0)
CROSS_JOIN = "select count(*) from range(100000000) a, range(100000000) b"
CALL = {
    "trace_id": "0" * 31 + "1",
    "span_id": "0" * 15 + "1",
    "start_time": datetime(2026, 11, 3, 9, 30, tzinfo=UTC),
    "role": "inference",
    "user_id": "u-1",
    "cost_usd": Decimal("0.068000000000"),
}


@dataclass(frozen=True)
class Place:
    """A folder with a lake in it, and with what SQL would like to have."""

    folder: Path
    names: dict[str, str]
    files: LakeFiles

    def fill(self, attack: Attack) -> str:
        return attack.sql.format(**self.names)


@pytest.fixture
def place() -> Iterator[Place]:
    """A lake that everybody may read; pytest's own folders are one user's."""
    folder = Path(tempfile.mkdtemp(prefix="sandbox-")).resolve()
    folder.chmod(0o755)
    lake = folder / "lake"
    open_table(lake)
    rows = pa.Table.from_pylist([CALL], schema=SCHEMA)
    add_files(lake, [write_file(lake, "a", rows)], writer="w", version=0)
    write_file(lake, "gone", rows)
    day = table_path(lake) / "dt=2026-11-03"
    secret = folder / "secret.csv"
    secret.write_text(f"word\n{SECRET}\n", "utf-8")
    (day / "link.csv").symlink_to(secret)
    names = {
        "live": str(day / "a.parquet"),
        "other": str(day / "gone.parquet"),
        "lake": str(lake),
        "folder": str(folder),
        "secret": str(secret),
        "link": str(day / "link.csv"),
        "port": "9",
        "deep": "(" * 5_000 + "1" + ")" * 5_000,
        "chain": ", ".join(
            ["c0 as (select 1 a union all select 2)"]
            + [f"c{n} as (select l.a from c{n - 1} l, c{n - 1} r)" for n in range(1, 41)]
        ),
    }
    yield Place(folder, names, files_now(lake))
    shutil.rmtree(folder)


def fingerprint(folder: Path) -> dict[str, str]:
    """Return everything below a folder with the hash of its bytes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in folder.rglob("*")
    }


def give(folder: Path, user: int) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user, user, follow_symlinks=False)


def outcome(boxes: ForkedBoxes, place: Place, attack: Attack, user: int) -> tuple[str, str]:
    """Return what came of a query, and all that whoever asked gets to see."""
    query, limits = place.fill(attack), SHORT if attack in BOMBS else SMALL
    users = box.users_for(place.files)
    said = boxes.said(box.make_request(place.files, query, contract.NONE, users, limits), user)
    if said is None:
        return "stopped", ""
    try:
        answer = box.read_answer(said, query, limits)
    except QueryError as error:
        return "refused", str(error)
    except StoppedError as error:
        return "stopped", str(error)
    return "harmless", str(answer.table.to_pylist()) if answer.table else ""


USERS = [("root", 0), ("root, of a private lake", 0), ("owner", NOBODY)] if IS_ROOT else [("owner", 0)]
"""Ways to be asked: as root of a lake for all eyes, or of one's own, and as its owner."""


def attacks_of(place: int) -> list[Attack]:
    """Return what is tried as the user at a place of USERS: in the short form a sixth, and what overwrites."""
    tried = [*ATTACKS, *BOMBS] if PROVE else ATTACKS
    return [
        attack
        for number, attack in enumerate(tried)
        if PROVE or number % (2 * len(USERS)) == place or "use_tmp_file" in attack.sql
    ]


@pytest.mark.parametrize("number", range(len(USERS)), ids=[who for who, _ in USERS])
def test_sql_that_means_harm_does_none(place: Place, number: int) -> None:
    who, user = USERS[number]
    if user:
        give(place.folder, user)
    if "private" in who:
        (place.folder / "lake").chmod(0o700)
    before = fingerprint(place.folder)
    tried = attacks_of(number)
    came: dict[str, str] = {}
    with ForkedBoxes() as boxes:
        for attack in tried:
            came[attack.name], seen = outcome(boxes, place, attack, user)
            assert SECRET not in seen, attack.name
            assert fingerprint(place.folder) == before, attack.name
    assert came == {attack.name: attack.outcome for attack in tried}
    print("evidence:", json.dumps({f"as {who}": {"attacks": len(tried), **Counter(came.values())}}))


def test_it_is_not_told_whether_a_file_is_there(place: Place) -> None:
    there, not_there = place.folder / "secret.csv", place.folder / "nobody.csv"
    said = []
    for path in (there, not_there):
        with pytest.raises(QueryError) as caught:
            box.ask(place.files, f"from read_text('{path}')", limits=SMALL)
        said.append(str(caught.value).replace(str(path), "it"))
    assert said[0] == said[1]


@pytest.mark.parametrize("attack", BOMBS[:2], ids=[attack.name for attack in BOMBS[:2]])
def test_what_never_ends_is_ended(place: Place, attack: Attack) -> None:
    with pytest.raises(StoppedError, match="stopped"):
        box.ask(place.files, place.fill(attack), limits=SHORT)


def pipes_of(process: Path) -> set[str]:
    """Return which of its descriptors are pipes; files come and go while it imports."""
    held = set()
    for descriptor in (process / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if "pipe" in str(descriptor.readlink()):
                held.add(descriptor.name)
    return held


def test_a_box_that_waits_is_told_nothing_and_holds_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANLEDGER_API_KEY", SECRET)
    with (place.folder / "secret.csv").open() as handle, box.Box() as waiting:
        os.set_inheritable(handle.fileno(), True)
        process = Path(f"/proc/{waiting.process_id}")
        wait_until(lambda: b"duckdb" in (process / "maps").read_bytes(), timeout_s=60)
        told = {line.split("=")[0] for line in (process / "environ").read_text().split("\0") if line}
        held = pipes_of(process)
        assert (SECRET in (process / "environ").read_text(), (process / "cwd").readlink()) == (False, Path("/"))
        assert told - {"LD_LIBRARY_PATH"} == set(box.ENVIRONMENT)
        assert held == {"0", "1"}
        assert waiting.ask(place.files, "select user_id from spans").table == pa.table({"user_id": ["u-1"]})
    assert not process.exists()


def ask_in_vain(asked: box.Box, files: LakeFiles) -> None:
    with contextlib.suppress(StoppedError):
        asked.ask(files, CROSS_JOIN, limits=Limits(seconds=300))


def test_a_box_is_not_root_and_has_no_power(place: Place) -> None:
    with box.Box() as asked:
        thread = threading.Thread(target=ask_in_vain, args=(asked, place.files))
        thread.start()
        status = Path(f"/proc/{asked.process_id}/status")
        wait_until(lambda: "NoNewPrivs:\t1" in status.read_text(), timeout_s=60)
        says = dict(line.split(":\t", 1) for line in status.read_text().splitlines())
        limits = Path(f"/proc/{asked.process_id}/limits").read_text()
        asked.stop()
        thread.join()
    assert says["CapEff"] == "0" * 16
    assert says["Uid"].split()[0] != "0"
    assert {line.split()[4] for line in limits.splitlines() if line.startswith("Max core file size")} == {"0"}


def test_a_box_that_is_gone_ends_no_process_that_has_its_number_now(monkeypatch: pytest.MonkeyPatch) -> None:
    with box.Box() as gone:
        gone.stop()
        ended: list[int] = []
        monkeypatch.setattr(os, "killpg", lambda group, number: ended.append(group))
        gone.stop()
    assert ended == []


def test_an_answer_is_cut_where_it_is_too_long_and_says_so(place: Place) -> None:
    rows = box.ask(place.files, "from range(5000)", limits=SMALL)
    assert rows == box.Answer(pa.table({"range": range(1_000)}), "truncated at 1,000 rows")
    wide = box.ask(place.files, "select repeat('x', 100000) as wide from range(100)", limits=SMALL)
    assert wide.table is not None
    assert wide.note == f"truncated at 1 MB, after {wide.table.num_rows} rows"
    assert 0 < wide.table.nbytes <= 1 << 20


def test_half_of_a_character_is_told(place: Place) -> None:
    with pytest.raises(QueryError, match="the SQL has half of a character in it; write it as UTF-8"):
        box.ask(place.files, "select '\ud800'")


def test_a_whole_answer_says_nothing(place: Place) -> None:
    asked = box.ask(place.files, "create temp table t as select 1 as a; insert into t values (2); from t", limits=SMALL)
    assert asked == box.Answer(pa.table({"a": pa.array([1, 2], pa.int32())}), None)
    assert box.ask(place.files, "/* nothing */", limits=SMALL) == box.Answer(None, None)


def test_root_without_landlock_is_refused_and_so_is_a_lake_that_can_be_written(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(box_process, "allow_only", lambda paths: False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "as root, and without Landlock" in str(box_process.danger([]))
    monkeypatch.setattr(os, "geteuid", lambda: 1)
    monkeypatch.setattr(os, "access", lambda path, mode: path == "b")
    assert box_process.danger(["a"]) is None
    assert box_process.danger(["a", "b"]) == "without Landlock (Linux from 5.13), SQL could overwrite b"
