"""Run a module for as long as whoever started it lives: `python -m spanledger_cli.attached MODULE ARGUMENTS...`.

A process that is killed with SIGKILL can't stop its children, but the pipe that is their standard input ends with
it. The module then gets SIGTERM, as if it had been stopped in order. For programs that don't watch their standard
input themselves: Streamlit, the foreground collector, the demo's agents.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Sequence
from typing import Final

STOP_S: Final = 15.0
"""How long the module may take to stop before the process ends all the same."""


def attached(argv: Sequence[str]) -> list[str]:
    """Return the command that runs `python -m MODULE ...` like this; it needs a pipe as its standard input."""
    python, flag, *module = argv
    if flag != "-m":
        raise ValueError(f"only a module can be attached, not {flag}")
    return [python, "-m", __name__, *module]


def main() -> None:
    """Run the module named by the first argument as the main program, with the other arguments."""
    sys.argv = sys.argv[1:]
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _end_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_S)
    os._exit(1)


if __name__ == "__main__":
    main()
