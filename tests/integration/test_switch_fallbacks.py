"""The ways to switch on where the environment variable alone is not enough, and what an uninstallation leaves."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import venv
import zipapp
from pathlib import Path

import pytest

from application import billed_ids, environment, response_ids
from otlp_sink import OtlpSink
from spanledger_cli.demo.provider import LocalProvider
from waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = str(Path(importlib.util.find_spec("openai").origin).parents[1])  # type: ignore[union-attr, arg-type]
CALL = """
import sys
from openai import OpenAI
OpenAI(base_url=sys.argv[1] + "/v1", api_key="none").chat.completions.create(
    model="gpt-4o", messages=[{"role": "user", "content": "hi"}]
)
sys.stdin.read()
"""
"""Lives until it is told to end, as there is a limit to how long the end waits for the span to be sent."""
IS_ON = "import _spanledger_boot as b; print(b.on)"


def _run(
    argv: list[str], provider: LocalProvider, sink: OtlpSink, home: Path, *, spans: int = 1, **more: str
) -> tuple[int, str, str]:
    """Run a program until it has made its call and sent its spans; return its exit code and its words."""
    with subprocess.Popen(
        [sys.executable, *argv, provider.url],
        env={**environment(sink.url, home), **more},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:

        def is_done() -> bool:
            return process.poll() is not None or (len(provider.billed), len(sink.spans())) >= (1, spans)

        try:
            wait_until(is_done, timeout_s=120, what="the program to be done")
            out, err = process.communicate(timeout=120)
        finally:
            process.kill()
    return process.returncode, out, err


def _python(argv: list[str], folder: Path, **variables: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPANLEDGER_", "OTEL_"))}
    ran = subprocess.run(
        argv, env={**kept, **variables}, cwd=folder, capture_output=True, text=True, timeout=300, check=True
    )
    return ran.stdout


@pytest.mark.parametrize(
    ("flags", "code", "variables"),
    [
        pytest.param(["-I"], CALL, {}, id="isolated: the variable is enough"),
        pytest.param(["-S"], "import spanledger.auto\n" + CALL, {}, id="without site: by import"),
        pytest.param([], "import spanledger.auto\n" + CALL, {"SPANLEDGER_ENABLED": ""}, id="variable says no"),
        pytest.param([], CALL + "\nimport spanledger.auto\n", {}, id="both"),
    ],
)
def test_switching_on_by_variable_or_by_import(
    flags: list[str], code: str, variables: dict[str, str], tmp_path: Path
) -> None:
    path = {"PYTHONPATH": os.pathsep.join([str(ROOT / "instrumentation"), LIBRARIES])} if "-S" in flags else {}
    with LocalProvider() as provider, OtlpSink() as sink:
        spans = 0 if variables else 1
        ran = _run([*flags, "-c", code], provider, sink, tmp_path / "home", spans=spans, **path, **variables)

    expected = [] if variables else billed_ids(provider)
    assert ran == (0, "", "")
    assert response_ids(sink) == expected
    assert len(provider.billed) == 1


def test_importing_auto_switches_on_without_the_variable_and_wraps_what_is_imported_already(tmp_path: Path) -> None:
    code = "import openai._base_client as c, spanledger.auto; print(hasattr(c.SyncAPIClient.request, '__wrapped__'))"

    assert _python([sys.executable, "-c", code], tmp_path) == "True\n"
    assert _python([sys.executable, "-c", code], tmp_path, SPANLEDGER_ENABLED="0") == "False\n"


def test_a_zipapp_with_the_package_inside_records_priced_calls(tmp_path: Path) -> None:
    source = tmp_path / "source"
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "instrumentation" / "spanledger", source / "spanledger", ignore=skip)
    shutil.copy(ROOT / "instrumentation" / "_spanledger_boot.py", source)
    (source / "__main__.py").write_text("import spanledger.auto\n" + CALL)
    zipapp.create_archive(source, tmp_path / "app.pyz", compressed=True)
    with LocalProvider() as provider, OtlpSink() as sink:
        # Neither site-packages' start files nor the installed package's entries are seen.
        ran = _run(["-S", str(tmp_path / "app.pyz")], provider, sink, tmp_path / "home", PYTHONPATH=LIBRARIES)
        (span,) = sink.spans()
        ((call),) = provider.billed

    assert ran == (0, "", "")
    assert span["attributes"]["gen_ai.response.id"] == call.response_id
    assert span["attributes"]["spanledger.cost.pico_usd"] > 0
    assert span["attributes"]["spanledger.price.id"].startswith(("base:", "overlay:"))


def test_uninstalling_leaves_nothing_that_runs_at_a_start(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(wheels)]
    subprocess.run([*build, str(ROOT)], check=True, timeout=300, capture_output=True)
    (wheel,) = wheels.glob("spanledger-*.whl")
    venv.create(tmp_path / "venv")
    python = str(tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "-q", "--disable-pip-version-check"]

    def files() -> set[Path]:
        found = (path for path in (tmp_path / "venv").rglob("*") if path.is_file())
        return {path for path in found if "__pycache__" not in path.parts}

    before = files()
    subprocess.run([*pip, "install", "--no-deps", str(wheel)], check=True, timeout=300)
    installed = {path.name for path in files() - before}
    switched_on = _python([python, "-c", IS_ON], tmp_path, SPANLEDGER_ENABLED="1")
    subprocess.run([*pip, "uninstall", "-y", "spanledger"], check=True, timeout=300)

    assert {"spanledger_autoload.pth", "spanledger_autoload.start", "_spanledger_boot.py"} <= installed
    assert switched_on == "True\n"
    assert files() == before
    assert _python([python, "-c", "print('starts')"], tmp_path, SPANLEDGER_ENABLED="1") == "starts\n"
