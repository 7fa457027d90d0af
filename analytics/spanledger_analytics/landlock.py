"""Landlock: bans that a thread puts on itself and on the threads it starts, for good, and needs no root for.

Linux has it from 5.13. Where it isn't there nothing is banned, and the functions say so: what that means is for the
caller to decide.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable
from typing import Final

_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_PR_SET_NO_NEW_PRIVS: Final = 38
_CREATE_RULESET_VERSION: Final = 1
_RULE_PATH_BENEATH: Final = 1
_WRITES: Final = {
    1: 1 << 1 | 0b1_1111_1111 << 4,  # write_file, remove_dir to make_sym
    2: 1 << 13,  # refer
    3: 1 << 14,  # truncate
}
"""Rights to ban, by the Landlock version that brought them (linux/landlock.h)."""
_READ_FILE: Final = 1 << 2
_READS: Final = 1 << 0 | _READ_FILE | 1 << 3
"""execute, read_file, read_dir."""
_NET_SINCE: Final = 4
_BIND_AND_CONNECT: Final = 0b11
_SCOPES_SINCE: Final = 6
_SOCKETS_AND_SIGNALS: Final = 0b11
"""Abstract sockets of other processes, and signals to them."""


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def forbid_writes(*, tcp: bool = False) -> bool:
    """Ban this thread, and those it starts, from writing any file and, without `tcp`, from TCP.

    False where it can't be done. Files that are open already stay writable. It can't be undone.
    """
    return _restrict(0, (), tcp=tcp)


def allow_only(files: Iterable[str]) -> bool:
    """Ban this thread, and those it starts, from all that `forbid_writes` does, and from opening any other file.

    Directories can't be listed, programs can't be started. False where it can't be done.

    Raises:
        OSError: one of the files isn't there.
    """
    return _restrict(_READS, files)


def _restrict(reads: int, readable: Iterable[str], *, tcp: bool = False) -> bool:
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION)
    if version < 1:
        return False
    writes = sum(right for since, right in _WRITES.items() if since <= version)
    net = _BIND_AND_CONNECT if version >= _NET_SINCE and not tcp else 0
    scopes = _SOCKETS_AND_SIGNALS if reads and version >= _SCOPES_SINCE else 0
    banned = (ctypes.c_uint64 * 3)(writes | reads, net, scopes)
    size = 24 if version >= _SCOPES_SINCE else 16 if version >= _NET_SINCE else 8
    ruleset = libc.syscall(_CREATE_RULESET, ctypes.byref(banned), size, 0)
    if ruleset < 0:
        return False
    try:
        for path in readable:
            _allow(libc, ruleset, path)
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            return False
        return bool(libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, path: str) -> None:
    """Except a file from the ban on reading."""
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = _PathBeneath(_READ_FILE, handle)
        if libc.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0) != 0:
            raise OSError(ctypes.get_errno(), "Landlock refuses it", path)
    finally:
        os.close(handle)
