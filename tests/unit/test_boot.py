"""The switch, in processes of its own: what a start costs, and what it must never do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

IMPORTED = "import sys; print(*sorted(m for m in sys.modules if m.partition('.')[0] in WATCHED))".replace(
    "WATCHED", "('_spanledger_boot', 'spanledger', 'opentelemetry', 'wrapt', 'requests')"
)


def _python(code: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run code in a Python started as an application's is, with the site-packages of this one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPANLEDGER_", "OTEL_"))}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**kept, "SPANLEDGER_HOME": str(cwd / "home"), **variables},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )


def test_switched_off_nothing_is_imported_and_nothing_written(tmp_path: Path) -> None:
    ran = _python(IMPORTED, tmp_path)

    assert (ran.stdout, ran.stderr) == ("\n", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("word", ["0", "false", "no", "", "maybe"])
def test_other_words_leave_it_off(word: str, tmp_path: Path) -> None:
    assert _python(IMPORTED, tmp_path, SPANLEDGER_ENABLED=word).stdout == "\n"


@pytest.mark.parametrize("word", ["1", "true", "Yes", "ON"])
def test_switched_on_without_an_sdk_only_the_switch_is_imported(word: str, tmp_path: Path) -> None:
    code = f"{IMPORTED}; import threading, _spanledger_boot as b; print(b.on, threading.active_count())"
    ran = _python(code, tmp_path, SPANLEDGER_ENABLED=word)

    assert (ran.stdout, ran.stderr) == ("_spanledger_boot\nTrue 1\n", "")
    assert list(tmp_path.iterdir()) == []


def test_importing_the_package_imports_the_standard_library_only(tmp_path: Path) -> None:
    code = f"import spanledger; spanledger.tags; spanledger.span; spanledger.flush; {IMPORTED}"

    assert "opentelemetry" not in _python(code, tmp_path).stdout
    assert _python(f"import spanledger; {IMPORTED}", tmp_path).stdout == "spanledger\n"


def test_importing_an_sdk_starts_no_thread_and_no_opentelemetry(tmp_path: Path) -> None:
    code = (
        "import openai, sys, threading; print(hasattr(openai._base_client.SyncAPIClient.request, '_spanledger'),"
        " threading.active_count(), 'opentelemetry.sdk' in sys.modules)"
    )

    assert _python(code, tmp_path, SPANLEDGER_ENABLED="1").stdout == "True 1 False\n"


@pytest.mark.parametrize("sdk", ["openai", "anthropic"])
def test_an_sdk_imported_before_the_switch_is_wrapped_all_the_same(sdk: str, tmp_path: Path) -> None:
    code = (
        f"import {sdk}._base_client as c, _spanledger_boot as b; before = c.AsyncAPIClient.request;"
        "b.switch_on(); b.switch_on(); once = c.AsyncAPIClient.request; b.switch_off(); b.switch_on();"
        "print(before is not once, once is c.AsyncAPIClient.request, once.__wrapped__ is before)"
    )

    assert _python(code, tmp_path).stdout == "True True True\n"


def test_the_anthropic_sdk_is_told_not_to_trace_itself_unless_the_user_says_so(tmp_path: Path) -> None:
    code = "import os; print(os.environ['ANTHROPIC_OPEN_TELEMETRY'])"

    assert _python(code, tmp_path, SPANLEDGER_ENABLED="1").stdout == "false\n"
    chosen = _python(code, tmp_path, SPANLEDGER_ENABLED="1", ANTHROPIC_OPEN_TELEMETRY="true")
    assert chosen.stdout == "true\n"


def test_opentelemetrys_own_switch_wins(tmp_path: Path) -> None:
    code = "import _spanledger_boot as b; print(b.on)"

    assert _python(code, tmp_path, SPANLEDGER_ENABLED="1", OTEL_SDK_DISABLED="true").stdout == "False\n"


def test_an_sdk_that_has_changed_its_shape_is_named_on_one_line_and_works(tmp_path: Path) -> None:
    package = tmp_path / "openai"
    package.mkdir()
    (package / "__init__.py").write_text("from . import _base_client\nVERSION = 99\n")
    (package / "_base_client.py").write_text("class Client: ...\n")
    ran = _python("import openai; print(openai.VERSION)", tmp_path, SPANLEDGER_ENABLED="1", PYTHONPATH=str(tmp_path))

    assert ran.stdout == "99\n"
    (line,) = ran.stderr.splitlines()
    assert line.startswith("spanledger: openai._base_client runs without tracing: AttributeError(")


def test_a_missing_sdk_stays_missing(tmp_path: Path) -> None:
    code = "import importlib.util; print(importlib.util.find_spec('openai_is_not_here'))"

    assert _python(code, tmp_path, SPANLEDGER_ENABLED="1").stdout == "None\n"


def test_the_import_hook_leaves_the_module_as_it_is(tmp_path: Path) -> None:
    code = (
        "import openai._base_client as c, inspect; s = c.__spec__;"
        "print(type(s.loader).__name__, s.origin == c.__file__, 'class SyncAPIClient' in inspect.getsource(c),"
        " list(inspect.signature(c.SyncAPIClient.request).parameters))"
    )

    assert _python(code, tmp_path, SPANLEDGER_ENABLED="1").stdout == _python(code, tmp_path).stdout


def test_opentelemetrys_entry_point_switches_on_unless_told_not_to(tmp_path: Path) -> None:
    code = (
        "from importlib.metadata import entry_points; import _spanledger_boot as b;"
        "(e,) = entry_points(group='opentelemetry_instrumentor', name='spanledger');"
        "i = e.load()(); i.instrument(skip_dep_check=True); print(b.on); i.uninstrument(); print(b.on)"
    )

    assert _python(code, tmp_path).stdout == "True\nFalse\n"
    assert _python(code, tmp_path, SPANLEDGER_ENABLED="0").stdout == "False\nFalse\n"
