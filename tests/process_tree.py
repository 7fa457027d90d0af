"""What a process and all its descendants take of the machine, as Linux tells in /proc."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sampling import sampling

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_PROC: Final = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """One process as it stands."""

    pid: int
    parent: int
    cpu_s: float
    """With what its children took that have ended."""
    rss_bytes: int
    command: str


def tree_of(pid: int) -> list[Process]:
    """Return a process and its descendants, itself first."""
    everyone = {process.pid: process for process in _processes()}
    members = [pid] if pid in everyone else []
    for member in members:
        members += [process.pid for process in everyone.values() if process.parent == member]
    return [everyone[member] for member in members]


def cpu_seconds(pid: int) -> float:
    """Return what the tree has taken so far."""
    return sum(process.cpu_s for process in tree_of(pid))


def thread_cpu_seconds(pid: int) -> dict[int, float]:
    """Return what each thread of one process has taken."""
    return {int(task.name): _cpu_s(_fields(task)[:2]) for task in (_PROC / str(pid) / "task").iterdir()}


def memory_bytes(pid: int) -> int:
    """Return the memory of the tree; what its processes share is counted once, as a part of each."""
    return sum(_memory_bytes(process) for process in tree_of(pid))


def name_of(process: Process) -> str:
    """Return what a process of the collector is: serve, one of its stages, or jobs."""
    name = process.command.partition("spanledger_collector.")[2].partition(" ")[0]
    return name or "convert"  # whose workers have no name of their own


def memory_by_name(pid: int) -> dict[str, int]:
    """Return the memory of the tree of a collector by what its processes are, bytes."""
    memory = defaultdict[str, int](int)
    for process in tree_of(pid):
        memory[name_of(process)] += _memory_bytes(process)
    return dict(memory)


@contextlib.contextmanager
def watching_memory(pid: int, every_s: float = 0.25) -> Iterator[list[int]]:
    """Note the memory of the tree again and again, in bytes, while the block runs."""
    with sampling(lambda: memory_bytes(pid), every_s) as seen:
        yield seen


def _processes() -> Iterator[Process]:
    for folder in _PROC.iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                yield _process(folder)


def _process(folder: Path) -> Process:
    stat = (folder / "stat").read_text()
    fields = stat.rpartition(")")[2].split()
    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return Process(
        pid=int(folder.name),
        parent=int(fields[1]),
        cpu_s=_cpu_s(fields[11:15]),
        rss_bytes=int(fields[21]) * _PAGE_BYTES,
        command=command,
    )


def _memory_bytes(process: Process) -> int:
    with contextlib.suppress(OSError):
        for line in (_PROC / str(process.pid) / "smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name == "Pss":
                return int(rest.split()[0]) * 1024
    return process.rss_bytes


def _fields(task: Path) -> list[str]:
    """Return utime, stime and what follows."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return (task / "stat").read_text().rpartition(")")[2].split()[11:]
    return ["0", "0"]


def _cpu_s(ticks: list[str]) -> float:
    return sum(int(tick) for tick in ticks) / _TICKS_PER_S
