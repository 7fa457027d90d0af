"""What programs of tests begin with that have to deliver at their end, however slow the machine is.

Two seconds are enough for users, and what takes longer goes to the spool. Where a test is about something else, what it
finds must not hang on these limits.
"""

from __future__ import annotations

from typing import Final

PATIENT: Final = """
def _have_patience():
    import sys, _spanledger_boot
    limits = {
        "spanledger.ledger": {"EXIT_LIMIT_S": 60.0, "_SET_UP_LIMIT_S": 60.0},
        "spanledger.delivery": {"HURRY_TIMEOUT_S": 60.0},
    }
    def lengthen(module):
        vars(module).update(limits[module.__name__])
    for name in limits:
        _spanledger_boot.watched[name] = lengthen  # where it is still to be imported
        if name in sys.modules:
            lengthen(sys.modules[name])

_have_patience()
"""
