"""Children of the demo: watched, and none left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from spanledger_cli.demo.errors import ProcessError
from spanledger_cli.demo.processes import Child, Children
from waiting import wait_until

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)
DEAF = (
    "import signal, time; signal.signal(signal.SIGTERM, lambda *_: print('asked', flush=True));"
    "print('up', flush=True)\nwhile True: time.sleep(600)"
)
PARENT = (
    "import subprocess, sys, time;"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
    "print(child.pid, flush=True); time.sleep(600)"
)


def start(children: Children, code: str, folder: Path, name: str = "sample") -> Child:
    return children.start(name, [sys.executable, "-c", code], os.environ, folder)


def says_something(child: Child) -> bool:
    return child.log.read_bytes().endswith(b"\n")


def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    with Children(tmp_path, stop_s=0.2) as children:
        child = start(children, STUBBORN, tmp_path)
        wait_until(lambda: says_something(child))
    assert child.process.returncode == -9


def test_a_second_ctrl_c_ends_the_waiting_but_leaves_nothing(tmp_path: Path) -> None:
    with Children(tmp_path, stop_s=600) as children:
        polite, deaf = (start(children, DEAF, tmp_path, name) for name in ("polite", "deaf"))
        wait_until(lambda: says_something(polite) and says_something(deaf))

        def press_again() -> None:
            wait_until(lambda: deaf.log.read_text().endswith("asked\n"), what="the first SIGTERM")
            os.kill(os.getpid(), signal.SIGINT)

        finger = threading.Thread(target=press_again)
        finger.start()
    finger.join()
    assert [polite.process.returncode, deaf.process.returncode] == [-9, -9]


def test_children_of_children_go_too(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        child = start(children, PARENT, tmp_path)
        wait_until(lambda: says_something(child))
        grandchild = int(child.log.read_text())
    wait_until(lambda: not is_running(grandchild), what="the end of the grandchild")


def test_all_stop_when_something_fails(tmp_path: Path) -> None:
    started: list[Child] = []
    with contextlib.suppress(ZeroDivisionError), Children(tmp_path) as children:
        started.append(start(children, "import time; time.sleep(600)", tmp_path))
        raise ZeroDivisionError
    assert [child.process.returncode for child in started] == [-15]


def test_a_child_that_ends_is_reported_with_its_last_words(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        child = start(children, "import sys; sys.exit('no room on the disk')", tmp_path)
        with pytest.raises(ProcessError, match=r"the sample ended with exit code 1;(.|\n)*no room on the disk"):
            child.wait_ready(lambda: False, timeout_s=60)
        with pytest.raises(ProcessError, match="failed with exit code 1"):
            child.wait_done(60)
        with pytest.raises(ProcessError):
            children.check()
        children.forget(child)
        children.check()


def test_a_child_that_does_not_come_up_is_reported(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        child = start(children, "import time; time.sleep(600)", tmp_path)
        with pytest.raises(ProcessError, match="did not come up within 0 s"):
            child.wait_ready(lambda: False, timeout_s=0)


def is_running(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.joinpath("self").exists():
        # A zombie has ended; only its parent's interest in it has not.
        return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
